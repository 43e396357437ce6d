package anyframetest_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
)

// statusWith returns the response status of a request with another key.
func statusWith(t *testing.T, cp *anyframetest.Server, key string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", cp.URL()+"/api/me", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+key)
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	return res.StatusCode
}

func TestToken_Created_ShownOnceAndValidUntilRevoked(t *testing.T) {
	cp := anyframetest.Start(t)
	if got := list(t, cp, "/api/tokens"); len(got) != 0 {
		t.Errorf("got tokens %v, want none", got)
	}
	made := call(t, cp, "POST", "/api/tokens", map[string]any{"name": "ci"}, 201)
	wantFields(t, made, "id name prefix last4 created_at revoked_at token")
	secret, _ := made["token"].(string)
	if !strings.HasPrefix(secret, "afm_") || !strings.HasSuffix(secret, made["last4"].(string)) || made["prefix"] != "afm_" {
		t.Errorf("got %v, want a key of which the beginning and the end are shown", made)
	}
	if !slices.Contains(cp.Secrets(), secret) {
		t.Errorf("got secrets %q, want the token among them", cp.Secrets())
	}
	other := call(t, cp, "POST", "/api/tokens", map[string]any{"name": "laptop"}, 201)

	tokens := list(t, cp, "/api/tokens")
	if len(tokens) != 2 {
		t.Fatalf("got %d tokens, want 2", len(tokens))
	}
	wantFields(t, tokens[0], "id name prefix last4 created_at revoked_at")
	want(t, tokens[0], map[string]any{"id": made["id"], "name": "ci", "revoked_at": nil})

	if got := statusWith(t, cp, secret); got != 200 {
		t.Errorf("got status %d with the token, want 200", got)
	}
	call(t, cp, "DELETE", path("tokens", made["id"]), nil, 204)
	if got := statusWith(t, cp, secret); got != 401 {
		t.Errorf("got status %d with the revoked token, want 401", got)
	}
	if got := list(t, cp, "/api/tokens"); len(got) != 1 || got[0]["id"] != other["id"] {
		t.Errorf("got tokens %v, want the other one alone", got)
	}
	wantRefused(t, cp, []refused{
		{"revoke it again", "DELETE", path("tokens", made["id"]), nil, 404, ""},
		{"revoke what isn't there", "DELETE", "/api/tokens/99999", nil, 404, ""},
		{"revoke by name", "DELETE", "/api/tokens/ci", nil, 422, "path token_id"},
		{"no name", "POST", "/api/tokens", map[string]any{}, 422, "body name"},
		{"no body", "POST", "/api/tokens", nil, 422, "body name"},
		{"an empty name", "POST", "/api/tokens", map[string]any{"name": ""}, 422, "body name"},
		{"a name that is a number", "POST", "/api/tokens", map[string]any{"name": 1}, 422, "body name"},
		{"a name that is null", "POST", "/api/tokens", map[string]any{"name": nil}, 422, "body name"},
	})
}

func TestCredential_Listed_LastFourOnly(t *testing.T) {
	cp := anyframetest.Start(t)
	services := []string{"claude", "codex", "github"}
	unset := map[string]any{"set": false, "last4": nil, "updated_at": nil}
	all := call(t, cp, "GET", "/api/credentials", nil, 200)
	wantFields(t, all, "claude codex github")
	want(t, all, map[string]any{"claude": unset, "codex": unset, "github": unset})

	for i, service := range services {
		call(t, cp, "PUT", path("credentials", service), map[string]any{"token": "sk-secret-000" + string(rune('a'+i))}, 204)
	}
	raw := string(callRaw(t, cp, "GET", "/api/credentials", nil, 200))
	if strings.Contains(raw, "secret") {
		t.Errorf("got %s, want it without the tokens", raw)
	}
	all = call(t, cp, "GET", "/api/credentials", nil, 200)
	for i, service := range services {
		part, _ := all[service].(map[string]any)
		want(t, part, map[string]any{"set": true, "last4": "000" + string(rune('a'+i))})
		if _, err := time.Parse(time.RFC3339Nano, part["updated_at"].(string)); err != nil {
			t.Errorf("got updated_at %v, want a time", part["updated_at"])
		}
	}
	call(t, cp, "DELETE", "/api/credentials/codex", nil, 204)
	call(t, cp, "DELETE", "/api/credentials/codex", nil, 204)
	all = call(t, cp, "GET", "/api/credentials", nil, 200)
	want(t, all, map[string]any{"codex": unset})
	want(t, all["claude"].(map[string]any), map[string]any{"set": true})

	call(t, cp, "PUT", "/api/credentials/github", map[string]any{"token": "abc"}, 204)
	all = call(t, cp, "GET", "/api/credentials", nil, 200)
	want(t, all["github"].(map[string]any), map[string]any{"last4": "abc"})
	wantRefused(t, cp, []refused{
		{"no token", "PUT", "/api/credentials/claude", map[string]any{}, 422, "body token"},
		{"an empty token", "PUT", "/api/credentials/claude", map[string]any{"token": ""}, 422, "body token"},
		{"set another service", "PUT", "/api/credentials/gitlab", map[string]any{"token": "x"}, 404, ""},
		{"clear another service", "DELETE", "/api/credentials/gitlab", nil, 404, ""},
	})
}
