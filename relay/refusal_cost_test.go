package relay_test

import (
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
)

// refusals are requests that are refused, ordered by the cost of the refusal.
var refusals = []struct {
	name   string
	change func(*relay.Config)
	before func(r *harness) // prepares the refusal
	method string
	path   string
	header []string
	body   string
	known  bool   // the visitor is known
	said   string // the key of a message that the visitor sent before
	status int
	code   string
	store  int // maximum number of calls to the store
}{
	{
		name: "requests of an address", change: func(c *relay.Config) { c.RateIP = rate(3, time.Hour) },
		before: func(r *harness) {
			for range 3 { // those that are let through
				(&browser{r: r}).do("GET", "/v1/nothing", "", "X-Forwarded-For", "192.0.2.1")
			}
		},
		method: "GET", path: "/v1/session", known: true, status: 429, code: "rate_limited",
	},
	{name: "another site", method: "POST", path: "/v1/messages", header: []string{"Origin", "https://evil.example"}, known: true, status: 403, code: "origin_not_allowed"},
	{
		name: "a blocked address", before: func(r *harness) { r.operates("PUT", "/api/blocks/192.0.2.1", "") },
		method: "GET", path: "/v1/events", known: true, status: 403, code: "blocked",
	},
	{
		name: "paused", before: func(r *harness) { r.operates("PUT", "/api/pause", "") },
		method: "POST", path: "/v1/messages", body: `{"text":"hi"}`, known: true, status: 503, code: "paused", store: 3,
	},
	{name: "no such place", method: "GET", path: "/v1/nothing", known: true, status: 404, code: "not_found"},
	{name: "no such method", method: "DELETE", path: "/v1/messages", known: true, status: 405, code: "method_not_allowed"},
	{name: "no token", method: "GET", path: "/v1/events", status: 401, code: "visitor_unknown"},
	{name: "what is no token", method: "GET", path: "/v1/events", header: []string{"Authorization", "Bearer x"}, status: 401, code: "visitor_unknown"},
	{name: "an unknown token", method: "GET", path: "/v1/events", header: []string{"Authorization", "Bearer " + strings.Repeat("x", 43)}, status: 401, code: "visitor_unknown", store: 1},
	{
		name: "streams in all", change: func(c *relay.Config) { c.MaxStreams = 1 },
		before: func(r *harness) { r.visitor().open("") },
		method: "GET", path: "/v1/events", known: true, status: 503, code: "at_capacity", store: 1,
	},
	{
		name: "streams of an address", change: func(c *relay.Config) { c.StreamsPerIP = 1 },
		before: func(r *harness) { r.visitor().openAt("/v1/events", "X-Forwarded-For", "192.0.2.1") },
		method: "GET", path: "/v1/events", known: true, status: 429, code: "too_many_streams", store: 1,
	},
	{name: "not JSON", method: "POST", path: "/v1/messages", header: []string{"Content-Type", "text/plain"}, body: "hi", known: true, status: 415, code: "unsupported_media_type", store: 1},
	{name: "bad JSON", method: "POST", path: "/v1/messages", body: "{", known: true, status: 400, code: "bad_json", store: 1},
	{name: "a long message", method: "POST", path: "/v1/messages", body: `{"text":"` + strings.Repeat("x", 17<<10) + `"}`, known: true, status: 413, code: "message_too_large", store: 1},
	{name: "a far too long message", method: "POST", path: "/v1/messages", body: strings.Repeat(" ", 30<<20), known: true, status: 413, code: "message_too_large", store: 1},
	{name: "an attachment of another type", method: "POST", path: "/v1/messages", body: withAttachments(attachment("a.svg", "image/svg+xml", []byte("<svg/>"))), known: true, status: 415, code: "attachment_type", store: 1},
	{
		name: "a challenge", change: func(c *relay.Config) { c.Challenge = relay.ChallengeAlways },
		method: "POST", path: "/v1/messages", body: `{"text":"hi"}`, known: true, status: 428, code: "challenge_required", store: 3,
	},
	{
		name: "no solution", change: func(c *relay.Config) { c.Challenge = relay.ChallengeAlways },
		method: "POST", path: "/v1/messages", body: `{"text":"hi"}`, header: []string{"Relay-Challenge", "e30="}, known: true, status: 428, code: "challenge_required", store: 3,
	},
	{
		name: "a challenge of a busy address", change: func(c *relay.Config) { c.Challenge, c.RateSessions = relay.ChallengeAuto, rate(1, time.Hour) },
		before: func(r *harness) { r.visitor().from("192.0.2.1", "hi") },
		method: "POST", path: "/v1/messages", body: `{"text":"hi"}`, known: true, status: 428, code: "challenge_required", store: 3,
	},
	{
		name: "new sessions of an address", change: func(c *relay.Config) { c.RateSessions = rate(1, time.Hour) },
		before: func(r *harness) { r.visitor().from("192.0.2.1", "hi") },
		method: "POST", path: "/v1/messages", body: `{"text":"hi"}`, known: true, status: 429, code: "session_quota", store: 3,
	},
	{
		name: "new sessions of the day", change: func(c *relay.Config) { c.SessionsPerDay = 1 },
		before: func(r *harness) { r.visitor().from("192.0.2.1", "hi") },
		method: "POST", path: "/v1/messages", body: `{"text":"hi"}`, known: true, status: 503, code: "at_capacity", store: 3,
	},
	{
		name: "sandboxes awake", change: func(c *relay.Config) { c.MaxSessions = 1 },
		before: func(r *harness) { r.visitor().from("192.0.2.1", "work") },
		method: "POST", path: "/v1/messages", body: `{"text":"hi"}`, known: true, status: 503, code: "at_capacity", store: 5,
	},
	{
		name: "messages of a visitor", change: func(c *relay.Config) { c.RateMessages = rate(1, time.Hour) },
		method: "POST", path: "/v1/messages", body: `{"text":"hi"}`, known: true, said: "k1", status: 429, code: "rate_limited", store: 3,
	},
}

// Every refusal is the right problem, has a retry time where that helps, is counted, and
// comes before anything expensive: no request to AnyFrame, and few to the store.
func TestRefusal_EveryKind_BoundedStoreAndUpstreamCalls(t *testing.T) {
	for _, tt := range refusals {
		t.Run(tt.name, func(t *testing.T) {
			r := newHarness(t, func(c *relay.Config) {
				trusting("", "127.0.0.0/8", "::1/128")(c)
				if tt.change != nil {
					tt.change(c)
				}
			}, anyframetest.WithAgent(1, atWork))
			header := append([]string{"X-Forwarded-For", "192.0.2.1"}, tt.header...)
			if tt.known {
				v := r.visitor()
				header = append(header, bearer(v.token)...)
				if tt.said != "" {
					v.say("hi", tt.said)
				}
			}
			if tt.before != nil {
				tt.before(r)
			}
			handler := r.srv.Handler()
			ask := func() answer {
				return ask(t, handler, "127.0.0.1:1", false, tt.method, tt.path, tt.body, header...)
			}
			a := ask()
			refused(t, tt.name, a, tt.status, tt.code)
			route := tt.method + " " + tt.path
			if tt.status == http.StatusNotFound || tt.status == http.StatusMethodNotAllowed {
				route = "other"
			}
			if metric(t, r.reg, "relay_requests_total", "route", route) == 0 {
				t.Errorf("the metrics do not count the refusal under the route %q", route)
			}
			if !slices.ContainsFunc(r.logged("request"), func(l map[string]any) bool { return l["route"] == route && l["code"] == tt.code }) && route != "other" {
				t.Errorf("the log has no line of the refusal by %q: %s", route, r.logs.tail(3))
			}
			if (tt.status == 429 || tt.status == 503 || tt.code == "blocked") != (a.header.Get("Retry-After") != "") {
				t.Errorf("got Retry-After %q with %d", a.header.Get("Retry-After"), tt.status)
			}
			const times = 20
			upstream, asked := r.plane.Count(anyframetest.OpAny), r.storeCalls()
			counted := metric(t, r.reg, "relay_refusals_total", "code", tt.code)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			for range times {
				req := httptest.NewRequestWithContext(t.Context(), tt.method, "http://relay.test"+tt.path, strings.NewReader(tt.body))
				req.RemoteAddr = "127.0.0.1:1"
				req.Header.Set("Content-Type", "application/json")
				for i := 0; i < len(header); i += 2 {
					req.Header.Set(header[i], header[i+1])
				}
				w := httptest.NewRecorder()
				if handler.ServeHTTP(w, req); w.Code != tt.status {
					t.Fatalf("got %d %s, want %d", w.Code, w.Body, tt.status)
				}
			}
			took := time.Since(start)
			runtime.ReadMemStats(&after)
			calls := float64(r.storeCalls()-asked) / times
			t.Logf("%d %s: %v, %d bytes, %.1f calls to the store", tt.status, tt.code, took/times, (after.TotalAlloc-before.TotalAlloc)/times, calls)
			if got := metric(t, r.reg, "relay_refusals_total", "code", tt.code) - counted; got != times {
				t.Errorf("counted: got %v, want %d", got, times)
			}
			if got := r.plane.Count(anyframetest.OpAny) - upstream; got != 0 {
				t.Errorf("requests to AnyFrame: got %d, want none", got)
			}
			if n := len(r.logged("request failed")); n != 0 {
				t.Errorf("lines of the log besides the request's own: got %d, want none", n)
			}
			if calls > float64(tt.store)+0.5 { // an open session is looked at periodically
				t.Errorf("calls to the store: got %.1f for each, want %d at most", calls, tt.store)
			}
		})
	}
}

// storeCalls returns the number of calls to the store.
func (r *harness) storeCalls() (n int) {
	r.t.Helper()
	families, err := r.reg.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "relay_store_seconds" {
			continue
		}
		for _, m := range f.GetMetric() {
			n += int(m.GetHistogram().GetSampleCount())
		}
	}
	return n
}
