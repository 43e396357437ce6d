package relay_test

import (
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
)

// operations returns all operations under /v1 in docs/openapi.yaml, as METHOD path.
func operations() []string {
	var all []string
	for template := range documented().at("paths") {
		for method := range documented().at("paths", template) {
			if strings.HasPrefix(template, "/v1/") {
				all = append(all, strings.ToUpper(method)+" "+template)
			}
		}
	}
	slices.Sort(all)
	return all
}

// TestOpenAPI_EveryOperation_RefusalsDocumented also verifies that docs/openapi.yaml
// lists the refusals of each operation.
func TestOpenAPI_EveryOperation_RefusalsDocumented(t *testing.T) {
	t.Parallel()
	stranger := "Bearer " + strings.Repeat("x", 43)
	for name, tt := range map[string]struct {
		config  func(*relay.Config)
		headers []string
		status  int
		code    string
		but     string // operation that succeeds
	}{
		"asked too often":   {func(c *relay.Config) { c.RateIP = relay.Rates{{Limit: 1, Window: time.Hour}} }, nil, 429, "rate_limited", ""},
		"from another site": {nil, []string{"Origin", "https://evil.example"}, 403, "origin_not_allowed", ""},
		"by a stranger":     {nil, []string{"Authorization", stranger}, 401, "visitor_unknown", "POST /v1/visitor"},
		"the store is away": {func(c *relay.Config) { c.Store = "redis://127.0.0.1:1" }, []string{"Authorization", stranger}, 503, "at_capacity", ""},
		"by another name":   {func(c *relay.Config) { c.Loopback = true }, nil, 421, "misdirected", ""},
		"half a body":       {nil, nil, 400, "bad_json", "GET DELETE"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if len(operations()) < 9 {
				t.Fatalf("got %q, want all", operations())
			}
			d := newOffline(t, tt.config)
			if tt.status == 429 {
				d.ask("GET", "/v1/session", "")
			}
			headers := tt.headers
			if tt.code == "bad_json" {
				headers = []string{"Authorization", "Bearer " + d.mint()}
			}
			for _, op := range operations() {
				method, path, _ := strings.Cut(op, " ")
				if op == tt.but || tt.code == "bad_json" && (method != "POST" || strings.HasSuffix(path, "/stop")) { // needs no body
					continue
				}
				body := ""
				if method == "POST" {
					body = "{}"
				}
				if tt.code == "bad_json" {
					body = "{"
				}
				a := d.ask(method, path, body, headers...)
				refused(t, op, a, tt.status, tt.code)
				if a.header.Get("Cache-Control") != "no-store" || a.header.Get("X-Content-Type-Options") != "nosniff" {
					t.Errorf("%s: got the headers %v, want no-store and nosniff", op, a.header)
				}
			}
		})
	}
}

// The order of refusals: origin, requests of the address, token, the rest.
func TestRefusals_TheTokenComesFirst(t *testing.T) {
	t.Parallel()
	stranger := []string{"Authorization", "Bearer " + strings.Repeat("x", 43)}
	once := func(c *relay.Config) { c.RateIP = relay.Rates{{Limit: 1, Window: time.Hour}} }
	for name, tt := range map[string]struct {
		query, body string
		headers     []string
	}{
		"no body":                {},
		"half a body":            {body: "{"},
		"an unknown member":      {body: `{"more":1}`},
		"not JSON":               {body: "{}", headers: []string{"Content-Type", "text/plain"}},
		"a body that is encoded": {body: "{}", headers: []string{"Content-Encoding", "gzip"}},
		"a body too large":       {body: `{"text":"` + strings.Repeat("x", 64<<20) + `"}`},
		"a query that is wrong":  {query: "?since=x&limit=0&last_event_id=x"},
		"a key that is wrong":    {body: "{}", headers: []string{"Idempotency-Key", "no key"}},
		"a turn on its own":      {body: `{"text":"hi"}`},
		"a decision":             {body: `{"id":"x","decision":"approve"}`},
		"a bad last event id":    {headers: []string{"Last-Event-ID", strings.Repeat("x", 100)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, limited, draining := newOffline(t, nil), newOffline(t, once), newOffline(t, nil)
			limited.ask("GET", "/v1/session", "")
			draining.srv.CloseHub()
			for _, op := range operations() {
				method, path, _ := strings.Cut(op, " ")
				if op == "POST /v1/visitor" { // needs none
					continue
				}
				path += tt.query
				headers := append(slices.Clone(stranger), tt.headers...)
				refused(t, op, d.ask(method, path, tt.body, headers...), 401, "visitor_unknown")
				refused(t, op+", without any token", d.ask(method, path, tt.body, tt.headers...), 401, "visitor_unknown")
				refused(t, op+", at a relay that ends", draining.ask(method, path, tt.body, headers...), 401, "visitor_unknown")
				refused(t, op+", too often", limited.ask(method, path, tt.body, headers...), 429, "rate_limited")
				headers = append(headers, "Origin", "https://evil.example")
				refused(t, op+", too often from another site", limited.ask(method, path, tt.body, headers...), 403, "origin_not_allowed")
			}
		})
	}
}

// A page of any website can make its name resolve to this machine.
func TestHost_OnLoopback_OtherNamesAreRefused(t *testing.T) {
	t.Parallel()
	loopback := func(c *relay.Config) { c.Loopback = true }
	for name, tt := range map[string]struct {
		change func(*relay.Config)
		host   string
		want   int
	}{
		"localhost":                    {loopback, "localhost:8080", 200},
		"localhost, upper case":        {loopback, "LOCALHOST", 200},
		"an address":                   {loopback, "127.0.0.1:8080", 200},
		"another address":              {loopback, "192.0.2.9", 200},
		"an address of IPv6":           {loopback, "[::1]:8080", 200},
		"an address of IPv6, no port":  {loopback, "[::1]", 200},
		"a name":                       {loopback, "evil.example", 421},
		"a name and a port":            {loopback, "evil.example:8080", 421},
		"a name like localhost":        {loopback, "localhost.evil.example", 421},
		"a name like an address":       {loopback, "127.0.0.1.evil.example", 421},
		"not on loopback":              {nil, "evil.example", 200},
		"with a public URL":            {func(c *relay.Config) { c.Loopback, c.PublicURL = true, "https://chat.example" }, "evil.example", 200},
		"of a trusted proxy":           {func(c *relay.Config) { loopback(c); trust("192.0.2.0/24")(c) }, "evil.example", 200},
		"of a proxy that is another's": {func(c *relay.Config) { loopback(c); trust("198.51.100.0/24")(c) }, "evil.example", 421},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newOffline(t, tt.change)
			for _, op := range []string{"POST /v1/visitor", "GET /", "GET /playground", "GET /widget.js", "GET /assets/panel.js", "GET /healthz", "GET /readyz", "GET /nothing"} {
				method, path, _ := strings.Cut(op, " ")
				body := map[string]string{"POST": "{}"}[method]
				a := d.ask(method, path, body, "Host", tt.host)
				switch {
				case tt.want == 421:
					refused(t, op, a, 421, "misdirected")
				case a.status == 421:
					t.Errorf("%s: got %d, want it answered", op, a.status)
				}
			}
		})
	}
}

func trust(prefix string) func(*relay.Config) {
	return func(c *relay.Config) { c.TrustedProxies.Prefixes = []netip.Prefix{netip.MustParsePrefix(prefix)} }
}

func TestOpenAPI_Draining_SessionOperationsRefused(t *testing.T) {
	t.Parallel()
	d := newOffline(t, takesFeedback)
	token := d.mint()
	d.srv.CloseHub()
	for _, op := range []string{
		"GET /v1/session", "POST /v1/session", "DELETE /v1/session", "POST /v1/messages", "POST /v1/responses", "GET /v1/events", "GET /v1/transcript",
		"GET /v1/conversations", "GET /v1/export", "POST /v1/feedback", "POST /v1/turns/k1/stop",
	} {
		method, path, _ := strings.Cut(op, " ")
		body := map[string]string{"POST /v1/feedback": `{"turn":"k1","rating":"up"}`}[op]
		refused(t, op, d.ask(method, path, body, bearer(token)...), 503, "draining")
	}
}

func TestOpenAPI_AgentUnknown_RefusedAtOnce(t *testing.T) {
	t.Parallel()
	r := newHarness(t, sqliteFile(t), anyframetest.WithAgent(1, speak))
	v, _ := r.begin("hello")
	r.restart() // so that AnyFrame must be asked whether the sandbox runs
	r.plane.Inject(anyframetest.Fault{Kind: anyframetest.Respond, Status: 401})
	refused(t, "POST /v1/session", v.do("POST", "/v1/session", ""), 503, "upstream_unavailable")
}

func TestOpenAPI_EndDuringBoot_WaitsThenRefused(t *testing.T) {
	t.Parallel()
	r := newHarness(t, func(c *relay.Config) { c.SendWait, c.BootOnOpen = time.Second, true }, anyframetest.WithBootDelay(time.Hour))
	v := r.visitor()
	if a := v.do("POST", "/v1/session", ""); a.status != http.StatusAccepted {
		t.Fatalf("POST /v1/session: got %d %s, want 202", a.status, a.body)
	}
	refused(t, "DELETE /v1/session", v.do("DELETE", "/v1/session", ""), 503, "session_booting")
}

func TestOpenAPI_AnyFrameFails_ReadersAreToldWhy(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		fault  anyframetest.Fault
		status int
		code   string
	}{
		"it does not answer": {anyframetest.Fault{Kind: anyframetest.Hang}, 504, "upstream_timeout"},
		"it fails":           {anyframetest.Fault{Kind: anyframetest.Respond, Status: 500}, 502, "upstream_failed"},
		"it refuses":         {anyframetest.Fault{Kind: anyframetest.Respond, Status: 403}, 502, "upstream_refused"},
		"the key is no good": {anyframetest.Fault{Kind: anyframetest.Respond, Status: 401}, 503, "upstream_unavailable"},
	} {
		for _, path := range []string{"/v1/transcript", "/v1/export"} {
			t.Run(name+path, func(t *testing.T) {
				t.Parallel()
				r := newHarness(t, func(c *relay.Config) { c.UpstreamTimeout = impatience }, anyframetest.WithAgent(1, speak))
				v, _ := r.begin("hello")
				fault := tt.fault        // shared by the paths
				if fault.Status != 401 { // which it returns for every call
					fault.Op = anyframetest.OpTranscript
				}
				r.plane.Inject(fault)
				if fault.Status == 401 {
					eventually(t, "the key is known to be refused", func() bool { return v.do("POST", "/v1/messages", `{"text":"hi"}`).code() == tt.code })
				}
				a := v.do("GET", path, "")
				refused(t, "GET "+path, a, tt.status, tt.code)
				if a.header.Get("Content-Disposition") != "" {
					t.Error("got a refusal to be kept as a file")
				}
			})
		}
	}
}

func TestOpenAPI_UnknownEventTypes_FullVisibilityOnly(t *testing.T) {
	t.Parallel()
	for visibility, want := range map[relay.Visibility]int{relay.VisibilityFull: 1, relay.VisibilityTools: 0} {
		r := newHarness(t, func(c *relay.Config) { c.Visibility = visibility }, anyframetest.WithAgent(1, func(c *anyframetest.Chat) {
			c.Emit(map[string]any{"type": "weather", "sky": "blue"})
		}))
		v := r.visitor()
		x := v.open("")
		v.say("hello", "k1")
		if got := count(x.turnEnds(1), "upstream"); got != want {
			t.Errorf("%s: got %d upstream events, want %d", visibility, got, want)
		}
	}
}

func TestOpenAPI_Description_IsRead(t *testing.T) {
	t.Parallel()
	d := documented()
	for _, key := range []string{
		"GET /v1/session 200", "POST /v1/messages 503 session_booting", "DELETE /v1/visitor 204", "default internal", "event TurnEnd",
	} {
		if !d.expected[key] {
			t.Errorf("got no %q in %q", key, slices.Sorted(maps.Keys(d.expected)))
		}
	}
}
