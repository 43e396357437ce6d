package anyframetest_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
)

const connectorFields = "id display_name mcp_url catalog_slug default_enabled transport auth_kind secret_last4 expires_at scopes " +
	"is_authorized last_refresh_attempt_at last_refresh_error created_at updated_at"

// entry returns one entry of the catalog.
func entry(t *testing.T, cp *anyframetest.Server, slug string) map[string]any {
	t.Helper()
	for _, e := range list(t, cp, "/api/connectors/catalog") {
		if e["slug"] == slug {
			return e
		}
	}
	t.Fatalf("got a catalog without %s, want one with it", slug)
	return nil
}

func TestCatalog_Entries_CoverEverySetup(t *testing.T) {
	cp := anyframetest.Start(t)
	kinds, levels, soon := map[any]bool{}, map[any]bool{}, 0
	for _, e := range list(t, cp, "/api/connectors/catalog") {
		wantFields(t, e, "slug display_name category description mcp_url transport setup_kind publisher trust_level docs_url "+
			"tags has_logo coming_soon installed connector_id is_authorized")
		want(t, e, map[string]any{"installed": false, "connector_id": nil, "is_authorized": nil})
		kinds[e["setup_kind"]], levels[e["trust_level"]] = true, true
		if e["coming_soon"] == true {
			soon++
		}
	}
	if len(kinds) != 4 || len(levels) != 3 || soon != 1 {
		t.Errorf("got setups %v, levels %v and %d that are coming soon, want 4, 3 and 1", kinds, levels, soon)
	}
}

func TestConnector_Bearer_ReadyAtOnceTokenHidden(t *testing.T) {
	cp := anyframetest.Start(t)
	made := call(t, cp, "POST", "/api/connectors/bearer", map[string]any{
		"mcp_url": "https://mcp.example.com/x", "display_name": "Mine", "token": "hush-1234", "default_enabled": false,
	}, 201)
	wantFields(t, made, connectorFields)
	want(t, made, map[string]any{
		"display_name": "Mine", "mcp_url": "https://mcp.example.com/x", "catalog_slug": nil, "default_enabled": false, "transport": "http",
		"auth_kind": "bearer_token", "secret_last4": "1234", "expires_at": nil, "scopes": nil, "is_authorized": true,
		"last_refresh_attempt_at": nil, "last_refresh_error": nil,
	})
	installed := call(t, cp, "POST", "/api/connectors/catalog/sentry/bearer", map[string]any{"token": "hush-5678"}, 201)
	want(t, installed, map[string]any{"catalog_slug": "sentry", "default_enabled": true, "transport": "sse", "secret_last4": "5678"})
	want(t, entry(t, cp, "sentry"), map[string]any{"installed": true, "connector_id": installed["id"], "is_authorized": true})

	if raw := string(callRaw(t, cp, "GET", "/api/connectors", nil, 200)); strings.Contains(raw, "hush") {
		t.Errorf("got %s, want it without the tokens", raw)
	}
	if got := list(t, cp, "/api/connectors"); len(got) != 2 || got[0]["id"] != made["id"] || got[1]["id"] != installed["id"] {
		t.Errorf("got connectors %v, want both", got)
	}
	call(t, cp, "DELETE", path("connectors", installed["id"]), nil, 204)
	call(t, cp, "DELETE", path("connectors", installed["id"]), nil, 404)
	want(t, entry(t, cp, "sentry"), map[string]any{"installed": false, "connector_id": nil})
	call(t, cp, "POST", "/api/connectors/catalog/sentry/bearer", map[string]any{"token": "again"}, 201)
}

func TestConnector_OAuth_ReadyAfterFinish(t *testing.T) {
	cp := anyframetest.Start(t)
	for _, c := range []struct {
		path, kind, slug string
		body             any
	}{
		{"/api/connectors/oauth", "oauth_dcr", "", map[string]any{"mcp_url": "https://mcp.example.com", "display_name": "Mine"}},
		{"/api/connectors/catalog/linear/oauth", "oauth_dcr", "linear", nil},
		{"/api/connectors/catalog/github/oauth", "oauth_preregistered", "github", nil},
	} {
		t.Run(c.path, func(t *testing.T) {
			begun := call(t, cp, "POST", c.path, c.body, 201)
			wantFields(t, begun, "connector_id authorize_url state")
			state, _ := begun["state"].(string)
			address, err := url.Parse(begun["authorize_url"].(string))
			if err != nil || address.Query().Get("state") != state || state == "" {
				t.Errorf("got %v, want a URL with the state: %v", begun, err)
			}
			for _, secret := range []string{state, address.String()} {
				if !slices.Contains(cp.Secrets(), secret) {
					t.Errorf("got secrets without %q, want it among them", secret)
				}
			}
			call(t, cp, "POST", c.path, c.body, 409)

			find := func() map[string]any {
				all := list(t, cp, "/api/connectors")
				i := slices.IndexFunc(all, func(m map[string]any) bool { return m["id"] == begun["connector_id"] })
				return all[i]
			}
			want(t, find(), map[string]any{"is_authorized": false, "auth_kind": c.kind, "expires_at": nil, "secret_last4": nil})
			if !cp.FinishOAuth(state) || cp.FinishOAuth(state) {
				t.Error("got another answer, want the state to work once")
			}
			ready := find()
			want(t, ready, map[string]any{"is_authorized": true, "scopes": "read write"})
			if ready["expires_at"] == nil {
				t.Error("got no expires_at, want one")
			}
			if c.slug != "" {
				want(t, entry(t, cp, c.slug), map[string]any{"installed": true, "connector_id": begun["connector_id"], "is_authorized": true})
			}
		})
	}
	if cp.FinishOAuth("") || cp.FinishOAuth("x") {
		t.Error("got something finished, want nothing")
	}
}

func TestConnector_Reauthorize_KeepsToggles(t *testing.T) {
	cp := anyframetest.Start(t)
	first := call(t, cp, "POST", "/api/connectors/catalog/linear/oauth", nil, 201)
	cp.FinishOAuth(first["state"].(string))
	id := first["connector_id"]
	toggle := path("agents", cp.AgentID(), "connectors", id)
	call(t, cp, "PUT", toggle, map[string]any{"enabled": false}, 200)
	if !cp.ExpireConnector(int64(id.(float64)), "The access was withdrawn") || cp.ExpireConnector(99999, "") {
		t.Error("got another answer, want the one connector expired")
	}
	expired := list(t, cp, "/api/connectors")[0]
	want(t, expired, map[string]any{"is_authorized": false, "last_refresh_error": "The access was withdrawn"})
	if expired["last_refresh_attempt_at"] == nil {
		t.Error("got no last_refresh_attempt_at, want one")
	}
	again := call(t, cp, "POST", path("connectors", id, "reauthorize"), nil, 200)
	want(t, again, map[string]any{"connector_id": id})
	if again["state"] == first["state"] || !cp.FinishOAuth(again["state"].(string)) {
		t.Error("got the same state, want a new one that works")
	}
	want(t, list(t, cp, "/api/connectors")[0], map[string]any{"is_authorized": true, "last_refresh_error": nil})
	want(t, list(t, cp, path("agents", cp.AgentID(), "connectors"))[0], map[string]any{"connector_id": id, "enabled": false})

	call(t, cp, "POST", path("connectors", id, "reauthorize"), nil, 200)
	call(t, cp, "DELETE", path("connectors", id), nil, 204)
	if cp.FinishOAuth(again["state"].(string)) {
		t.Error("got a deleted connector authorised, want it gone")
	}
}

func TestToggle_Unset_FollowsConnector(t *testing.T) {
	cp := anyframetest.Start(t)
	at := path("agents", cp.AgentID(), "connectors")
	if got := list(t, cp, at); len(got) != 0 {
		t.Errorf("got toggles %v, want none", got)
	}
	on := call(t, cp, "POST", "/api/connectors/catalog/linear/oauth", nil, 201)["connector_id"]
	off := call(t, cp, "POST", "/api/connectors/bearer", map[string]any{
		"mcp_url": "https://mcp.example.com", "display_name": "Mine", "token": "x", "default_enabled": false,
	}, 201)["id"]
	toggles := list(t, cp, at)
	if len(toggles) != 2 {
		t.Fatalf("got %d toggles, want 2", len(toggles))
	}
	wantFields(t, toggles[0], "connector_id display_name mcp_url auth_kind enabled is_authorized")
	want(t, toggles[0], map[string]any{"connector_id": on, "display_name": "Linear", "auth_kind": "oauth_dcr", "enabled": true, "is_authorized": false})
	want(t, toggles[1], map[string]any{"connector_id": off, "enabled": false, "is_authorized": true})

	set := call(t, cp, "PUT", at+path(off)[len("/api"):], map[string]any{"enabled": true}, 200)
	want(t, set, map[string]any{"connector_id": off, "enabled": true})
	detail := call(t, cp, "GET", path("agents", cp.AgentID()), nil, 200)["connectors"].([]any)
	want(t, detail[1].(map[string]any), set)
	other := createAgent(t, cp, map[string]any{})
	want(t, list(t, cp, path("agents", other, "connectors"))[1], map[string]any{"enabled": false})
	wantRefused(t, cp, []refused{
		{"nothing", "PUT", at + path(off)[len("/api"):], map[string]any{}, 422, "body enabled"},
		{"a word", "PUT", at + path(off)[len("/api"):], map[string]any{"enabled": "on"}, 422, "body enabled"},
		{"an unknown connector", "PUT", at + "/99999", map[string]any{"enabled": true}, 404, ""},
		{"a connector by name", "PUT", at + "/linear", map[string]any{"enabled": true}, 422, "path connector_id"},
		{"an unknown agent", "GET", "/api/agents/99999/connectors", nil, 404, ""},
	})
}

func TestConnector_Discover_CatalogElseOAuth(t *testing.T) {
	cp := anyframetest.Start(t)
	for _, c := range []struct {
		address string
		want    map[string]any
	}{
		{"https://mcp.example.com/x", map[string]any{
			"supports_dcr": true, "suggested_display_name": "mcp.example.com", "scopes_supported": []string{"read", "write"},
			"authorization_endpoint": "https://auth.mcp.example.com/authorize", "token_endpoint": "https://auth.mcp.example.com/token",
		}},
		{entry(t, cp, "github")["mcp_url"].(string), map[string]any{"supports_dcr": false, "suggested_display_name": "GitHub"}},
		{entry(t, cp, "sentry")["mcp_url"].(string), map[string]any{
			"supports_dcr": false, "authorization_endpoint": nil, "token_endpoint": nil, "scopes_supported": []string{},
		}},
	} {
		found := call(t, cp, "POST", "/api/connectors/discover", map[string]any{"mcp_url": c.address}, 200)
		wantFields(t, found, "mcp_url supports_dcr suggested_display_name authorization_endpoint token_endpoint scopes_supported")
		want(t, found, c.want)
		want(t, found, map[string]any{"mcp_url": c.address})
	}
	if got := list(t, cp, "/api/connectors"); len(got) != 0 {
		t.Errorf("got connectors %v, want none", got)
	}
}

func TestConnector_Invalid_Refused(t *testing.T) {
	cp := anyframetest.Start(t)
	bearer := call(t, cp, "POST", "/api/connectors/catalog/sentry/bearer", map[string]any{"token": "x"}, 201)
	at := "/api/connectors/"
	wantRefused(t, cp, []refused{
		{"discover nothing", "POST", at + "discover", map[string]any{}, 422, "body mcp_url"},
		{"discover no URL", "POST", at + "discover", map[string]any{"mcp_url": "ftp://x"}, 422, "body mcp_url"},
		{"OAuth of nothing", "POST", at + "oauth", map[string]any{}, 422, "body mcp_url; body display_name"},
		{"bearer of nothing", "POST", at + "bearer", map[string]any{"default_enabled": 1}, 422, "body mcp_url; body display_name; body token; body default_enabled"},
		{"the same again", "POST", at + "bearer", map[string]any{"mcp_url": bearer["mcp_url"], "display_name": "x", "token": "x"}, 409, ""},
		{"the same from the catalog", "POST", at + "catalog/sentry/bearer", map[string]any{"token": "x"}, 409, ""},
		{"an unknown slug", "POST", at + "catalog/nothing/oauth", nil, 404, ""},
		{"a slug that climbs", "POST", at + "catalog/..%2Flinear/oauth", nil, 404, ""},
		{"what is coming soon", "POST", at + "catalog/google-drive/oauth", nil, 400, ""},
		{"a bearer's by OAuth", "POST", at + "catalog/sentry/oauth", nil, 400, ""},
		{"an OAuth's by bearer", "POST", at + "catalog/linear/bearer", map[string]any{"token": "x"}, 400, ""},
		{"a custom one by OAuth", "POST", at + "catalog/custom/oauth", nil, 400, ""},
		{"a custom one by bearer", "POST", at + "catalog/custom/bearer", map[string]any{"token": "x"}, 400, ""},
		{"a bearer without token", "POST", at + "catalog/sentry/bearer", map[string]any{}, 422, "body token"},
		{"reauthorize a bearer", "POST", at + path(bearer["id"])[len("/api/"):] + "/reauthorize", nil, 400, ""},
		{"reauthorize an unknown one", "POST", at + "99999/reauthorize", nil, 404, ""},
		{"delete an unknown one", "DELETE", at + "99999", nil, 404, ""},
		{"delete by name", "DELETE", at + "linear", nil, 422, "path connector_id"},
	})
}
