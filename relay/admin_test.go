package relay_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/anyframe-relay/relay/relay"
)

const adminToken = "0123456789abcdef"

func withTokens(c *relay.Config) {
	c.AdminTokens = []relay.AdminToken{{Name: "ann", Secret: adminToken}, {Name: "bob", Secret: "fedcba9876543210"}}
	c.AdminHosts = []string{"relay.internal"}
}

func TestAdmin_EveryRequest_NeedsATokenOfAnOperator(t *testing.T) {
	t.Parallel()
	d := newOffline(t, withTokens)
	good := "Bearer " + adminToken
	for name, tt := range map[string]struct {
		path    string
		headers []string
		want    int
	}{
		"the token":                {"/api/pause", []string{"Authorization", good}, 200},
		"another operator's":       {"/api/pause", []string{"Authorization", "bearer fedcba9876543210"}, 200},
		"from the console":         {"/api/pause", []string{"Authorization", good, "Sec-Fetch-Site", "same-origin"}, 200},
		"by a name that is meant":  {"/api/pause", []string{"Authorization", good, "Host", "relay.internal:9091"}, 200},
		"no token":                 {"/api/pause", nil, 401},
		"a wrong token":            {"/api/pause", []string{"Authorization", "Bearer 0123456789abcdeX"}, 401},
		"the beginning of a token": {"/api/pause", []string{"Authorization", "Bearer 0123456789abcde"}, 401},
		"an empty token":           {"/api/pause", []string{"Authorization", "Bearer "}, 401},
		"the name with it":         {"/api/pause", []string{"Authorization", "Bearer ann:" + adminToken}, 401},
		"as a password":            {"/api/pause", []string{"Authorization", "Basic " + adminToken}, 401},
		"nothing there, no token":  {"/api/nothing", nil, 401},
		"nothing there":            {"/api/nothing", []string{"Authorization", good}, 404},
		"profiles, no token":       {"/debug/pprof/", nil, 401},
		"profiles":                 {"/debug/pprof/", []string{"Authorization", good}, 200},
		"metrics":                  {"/metrics", nil, 200},
		"a page of another site":   {"/api/pause", []string{"Authorization", good, "Sec-Fetch-Site", "cross-site"}, 403},
		"a sibling's page":         {"/api/pause", []string{"Authorization", good, "Sec-Fetch-Site", "same-site"}, 403},
		"a name made to mean us":   {"/api/pause", []string{"Authorization", good, "Host", "evil.example"}, 421},
		"metrics by such a name":   {"/metrics", []string{"Host", "evil.example"}, 421},
	} {
		a := d.admin("GET", tt.path, "", tt.headers...)
		if a.status != tt.want {
			t.Errorf("%s: got %d %s, want %d", name, a.status, a.body, tt.want)
		}
		if a.status == http.StatusUnauthorized && (a.code() != "admin_unauthorized" || a.header.Get("WWW-Authenticate") != "Bearer") {
			t.Errorf("%s: got %s with %v, want admin_unauthorized and how to do better", name, a.body, a.header)
		}
		if strings.HasPrefix(tt.path, "/api") && a.status == http.StatusOK && a.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: got %v, want nothing kept", name, a.header)
		}
	}
}

func TestAdmin_WithoutTokens_WebsitesStillKeptOut(t *testing.T) {
	t.Parallel()
	d := newOffline(t, nil)
	for name, tt := range map[string]struct {
		method  string
		headers []string
		want    int
	}{
		"a program":                {"PUT", nil, 200},
		"the console":              {"PUT", []string{"Sec-Fetch-Site", "same-origin", "Origin", "http://localhost"}, 200},
		"a page that puts":         {"PUT", []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"}, 403},
		"an old browser's page":    {"PUT", []string{"Origin", "https://evil.example"}, 403},
		"a page that posts a form": {"PUT", []string{"Content-Type", "text/plain"}, 415},
		"DNS rebinding":            {"PUT", []string{"Host", "evil.example", "Sec-Fetch-Site", "same-origin", "Origin", "http://evil.example"}, 421},
	} {
		if a := d.admin(tt.method, "/api/banner", `{"text":"hi"}`, tt.headers...); a.status != tt.want {
			t.Errorf("%s: got %d %s, want %d", name, a.status, a.body, tt.want)
		}
	}
}

func TestAdmin_BadInput_Refused(t *testing.T) {
	t.Parallel()
	d := newOffline(t, nil)
	long := strings.Repeat("é", 501)
	for _, tt := range []struct {
		method, path, body string
		status             int
		code               string
	}{
		{"PUT", "/api/pause", `{"text":""}`, 400, "bad_request"},
		{"PUT", "/api/pause", `{"text":"` + long + `"}`, 400, "bad_request"},
		{"PUT", "/api/pause", `{"text":"two\nlines"}`, 400, "bad_request"},
		{"PUT", "/api/pause", `{"more":1}`, 400, "bad_request"},
		{"PUT", "/api/pause", `{"stop":"yes"}`, 400, "bad_request"},
		{"PUT", "/api/pause", `{`, 400, "bad_json"},
		{"PUT", "/api/pause", `{} {}`, 400, "bad_json"},
		{"PUT", "/api/pause", `{"text":"` + strings.Repeat("x", 20000) + `"}`, 413, "message_too_large"},
		{"PUT", "/api/banner", ``, 400, "bad_request"},
		{"PUT", "/api/banner", `{"text":"` + long + `"}`, 400, "bad_request"},
		{"PUT", "/api/blocks/nobody", ``, 400, "bad_request"},
		{"PUT", "/api/blocks/10.0.0.0%2F33", ``, 400, "bad_request"},
		{"PUT", "/api/blocks/192.0.2.1", `{"for":"soon"}`, 400, "bad_request"},
		{"PUT", "/api/blocks/192.0.2.1", `{"for":"-1h"}`, 400, "bad_request"},
		{"GET", "/api/blocks/192.0.2.1", ``, 404, "not_found"},
		{"DELETE", "/api/blocks/192.0.2.1", ``, 404, "not_found"},
		{"POST", "/api/pause", ``, 405, "method_not_allowed"},
	} {
		refused(t, tt.method+" "+tt.path+" "+tt.body, d.admin(tt.method, tt.path, tt.body), tt.status, tt.code)
	}
}

func TestAdmin_WhatChangesSomething_IsLoggedWithWho(t *testing.T) {
	t.Parallel()
	r := newHarness(t, withTokens)
	for _, op := range []string{"PUT /api/pause", "DELETE /api/pause", "PUT /api/blocks/192.0.2.7"} {
		method, path, _ := strings.Cut(op, " ")
		if a := r.admin(method, path, "", "Authorization", "Bearer "+adminToken); a.status/100 != 2 {
			t.Fatalf("%s: got %d %s", op, a.status, a.body)
		}
	}
	var got []string
	for _, line := range r.logged("audit") {
		got = append(got, line["operator"].(string)+" "+line["action"].(string))
	}
	if want := "ann pause, ann unpause, ann block"; strings.Join(got, ", ") != want {
		t.Errorf("audit lines: got %q, want %s", got, want)
	}
	if strings.Contains(r.logs.String(), adminToken) {
		t.Error("the log has an operator's token")
	}
}
