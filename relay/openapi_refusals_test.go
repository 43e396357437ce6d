package relay_test

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
)

// operations are all that docs/openapi.yaml describes under /v1, as METHOD path.
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

// TestOpenAPI_EveryOperation_RefusalsDocumented also stands for docs/openapi.yaml, which says
// so of each.
func TestOpenAPI_EveryOperation_RefusalsDocumented(t *testing.T) {
	t.Parallel()
	stranger := "Bearer " + strings.Repeat("x", 43)
	for name, tt := range map[string]struct {
		config  func(*relay.Config)
		headers []string
		status  int
		code    string
		but     string // operation that is answered
	}{
		"asked too often":   {func(c *relay.Config) { c.RateIP = relay.Rate{Limit: 1, Window: time.Hour} }, nil, 429, "rate_limited", ""},
		"from another site": {nil, []string{"Origin", "https://evil.example"}, 403, "origin_not_allowed", ""},
		"by a stranger":     {nil, []string{"Authorization", stranger}, 401, "visitor_unknown", "POST /v1/visitor"},
		"the store is away": {func(c *relay.Config) { c.Store = "redis://127.0.0.1:1" }, []string{"Authorization", stranger}, 503, "at_capacity", ""},
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
				if op == tt.but || tt.code == "bad_json" && method != "POST" {
					continue
				}
				body := ""
				if method == "POST" {
					body = "{}"
				}
				if tt.code == "bad_json" {
					body = "{"
				}
				refused(t, op, d.ask(method, path, body, headers...), tt.status, tt.code)
			}
		})
	}
}

func TestOpenAPI_Draining_SessionOperationsRefused(t *testing.T) {
	t.Parallel()
	d := newOffline(t, nil)
	token := d.mint()
	d.srv.CloseHub()
	for _, op := range []string{"GET /v1/session", "POST /v1/session", "DELETE /v1/session", "POST /v1/messages", "POST /v1/responses", "GET /v1/events", "GET /v1/transcript"} {
		method, path, _ := strings.Cut(op, " ")
		refused(t, op, d.ask(method, path, "", bearer(token)...), 503, "draining")
	}
}

func TestOpenAPI_AgentUnknown_RefusedAtOnce(t *testing.T) {
	t.Parallel()
	r := newHarness(t, sqliteFile(t), anyframetest.WithAgent(1, speak))
	v, _ := r.begin("hello")
	r.restart() // so that AnyFrame must be asked whether it runs
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

func TestOpenAPI_TranscriptTimesOut_GatewayTimeout(t *testing.T) {
	t.Parallel()
	r := newHarness(t, func(c *relay.Config) { c.UpstreamTimeout = time.Second }, anyframetest.WithAgent(1, speak))
	v := r.visitor()
	x := v.open("")
	v.say("hello", "k1")
	x.turnEnds(1)
	r.plane.Inject(anyframetest.Fault{Kind: anyframetest.Hang, Op: anyframetest.OpTranscript})
	refused(t, "GET /v1/transcript", v.do("GET", "/v1/transcript", ""), 504, "upstream_timeout")
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
