package relay_test

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
)

func TestProblem_UnknownPathOrMethod_ProblemJSON(t *testing.T) {
	t.Parallel()
	for _, base := range []string{"", "/chat"} {
		r := newHarness(t, func(c *relay.Config) { c.BasePath = base })
		b := r.visitor()
		for _, path := range []string{
			"/v1", "/v1/", "/v1/sessions", "/v1/session/", "/v1/events/x.css", "/v1/messages/1", "/v2/visitor", "/metrics", "/debug/pprof/", "/debug/vars",
			"/.env", "/%2e%2e/etc/passwd", "/..%2f..%2fetc/passwd", "/assets", "/assets/", "/assets/../widget.js", "/assets/%2e%2e%2findex.html", "/index.html",
			"/widget.js.map", "/widget.js/", "//v1/session", "/v1//session", "/assets/..%5cx", "/assets/%00", "/embed", "/favicon.ico",
		} {
			a := b.do("GET", path, "")
			refused(t, base+path, a, 404, "not_found")
		}
		for path, allow := range map[string]string{
			"/v1/visitor": "POST,DELETE", "/v1/session": "GET,POST,DELETE", "/v1/messages": "POST", "/v1/responses": "POST", "/v1/events": "GET",
			"/v1/transcript": "GET", "/": "GET,HEAD", "/widget.js": "GET,HEAD", "/healthz": "GET,HEAD", "/readyz": "GET,HEAD", "/assets/x.js": "GET,HEAD",
		} {
			for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND", "PRI", "get"} {
				if strings.Contains(","+allow+",", ","+method+",") {
					continue
				}
				a := b.do(method, path, "")
				if got := strings.Join(a.header.Values("Allow"), ","); got != allow {
					t.Errorf("%s %s: got Allow %q, want %q", method, path, got, allow)
				}
				if method == "HEAD" { // has no body to check
					if a.status != http.StatusMethodNotAllowed {
						t.Errorf("%s %s: got %d, want 405", method, path, a.status)
					}
					continue
				}
				refused(t, method+" "+base+path, a, 405, "method_not_allowed")
			}
		}
	}
}

// No response of the API may be stored by a cache.
func TestResponse_EveryRoute_NotCacheable(t *testing.T) {
	r := newHarness(t, nil)
	v := r.visitor()
	for _, call := range []struct{ method, path, body string }{
		{"POST", "/v1/visitor", `{}`},
		{"GET", "/v1/session", ""},
		{"POST", "/v1/messages", `{"text":"hi"}`},
		{"POST", "/v1/messages", `{`},
		{"POST", "/v1/session", ""},
		{"POST", "/v1/responses", `{"id":"p","answer":"a"}`},
		{"GET", "/v1/transcript", ""},
		{"GET", "/v1/nothing", ""},
		{"HEAD", "/v1/events", ""},
		{"PUT", "/v1/session", ""},
		{"OPTIONS", "/v1/session", ""},
		{"DELETE", "/v1/session", ""},
		{"DELETE", "/v1/visitor", ""},
		{"GET", "/v1/session", ""},
	} {
		a := v.do(call.method, call.path, call.body)
		if got := a.header.Get("Cache-Control"); got != "no-store" {
			t.Errorf("%s %s (%d): got Cache-Control %q, want no-store", call.method, call.path, a.status, got)
		}
		if got := a.header.Get("X-Content-Type-Options"); got != "nosniff" {
			t.Errorf("%s %s (%d): got X-Content-Type-Options %q, want nosniff", call.method, call.path, a.status, got)
		}
		if a.body != "" && !bytes.HasPrefix([]byte(a.header.Get("Content-Type")), []byte("application/")) {
			t.Errorf("%s %s (%d): got Content-Type %q, want JSON", call.method, call.path, a.status, a.header.Get("Content-Type"))
		}
	}
}

// No text of an AnyFrame error reaches a visitor.
func TestProblem_UpstreamErrorText_NotShown(t *testing.T) {
	t.Parallel()
	const canary = "the-words-of-anyframe"
	for _, status := range []int{400, 402, 404, 409, 410, 418, 422, 429, 500, 502, 503, 504} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			t.Parallel()
			r := newHarness(t, sqliteFile(t), anyframetest.WithAgent(1, talk))
			old, _ := r.begin("hello")
			r.restartWith(func(c *relay.Config) {
				c.SendWait, c.BootTimeout, c.UpstreamTimeout = time.Second, time.Second, impatience
			})
			fresh := r.visitor()
			r.plane.Inject(anyframetest.Fault{
				Kind: anyframetest.Respond, Status: status, RetryAfter: "1",
				Body: `{"detail":"` + canary + `","message":"` + canary + `","error":"` + canary + `"}`,
			})
			for _, v := range []*browser{old, fresh} {
				for _, call := range []struct{ method, path, body string }{
					{"POST", "/v1/visitor", `{"carrier":"bearer"}`},
					{"GET", "/v1/session", ""},
					{"POST", "/v1/messages", `{"text":"again"}`},
					{"GET", "/v1/transcript", ""},
					{"POST", "/v1/session", ""},
					{"DELETE", "/v1/session", ""},
				} {
					a := v.do(call.method, call.path, call.body)
					if strings.Contains(a.body+fmt.Sprint(a.header), canary) {
						t.Errorf("%s %s: got %s, want nothing of AnyFrame's words", call.method, call.path, a.body)
					}
					switch a.status {
					case 200, 202, 204:
					case 502, 503, 504:
						refused(t, call.path, a, a.status, a.code())
					default:
						t.Errorf("%s %s: got %d %s, want 502, 503 or 504", call.method, call.path, a.status, a.body)
					}
				}
			}
		})
	}
}
