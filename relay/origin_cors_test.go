package relay_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
)

func TestOrigin_ListedPage_GetsNeededHeadersOnly(t *testing.T) {
	const shop = "https://shop.example"
	r := newHarness(t, func(c *relay.Config) { origins(shop)(c); c.RateMessages = relay.Rates{{Limit: 1, Window: 3600e9}} }, anyframetest.WithAgent(1, talk))
	v := r.visitor()
	check := func(what string, a answer, vary string) {
		t.Helper()
		for name, want := range map[string]string{
			"Access-Control-Allow-Origin": shop, "Access-Control-Expose-Headers": "Retry-After, Content-Disposition", "Access-Control-Allow-Credentials": "", "Vary": vary,
		} {
			if got := strings.Join(a.header.Values(name), "|"); got != want {
				t.Errorf("%s: got %s %q, want %q", what, name, got, want)
			}
		}
	}
	check("introduced", v.do("POST", "/v1/visitor", `{}`, "Origin", shop), "Origin")
	check("a message", v.do("POST", "/v1/messages", `{"text":"hi"}`, "Origin", shop), "Origin")
	limited := v.do("POST", "/v1/messages", `{"text":"hi"}`, "Origin", shop)
	refused(t, "a message too many", limited, 429, "rate_limited")
	check("a message too many", limited, "Origin")
	check("bad JSON", v.do("POST", "/v1/messages", `{`, "Origin", shop), "Origin")
	check("nothing there", v.do("GET", "/v1/nothing", "", "Origin", shop), "Origin")
	check("no such method", v.do("PUT", "/v1/session", "", "Origin", shop), "Origin")
	check("nobody known", (&browser{r: r}).do("GET", "/v1/session", "", "Origin", shop), "Origin")
	x := v.openAt("/v1/events", "Origin", shop)
	x.turnEnds(1)
	check("the stream", answer{header: x.res.Header}, "Origin|*")

	plain := v.do("GET", "/v1/session", "")
	if plain.header.Get("Access-Control-Allow-Origin") != "" || plain.header.Get("Vary") != "Origin" {
		t.Errorf("without an origin: got %v, want Vary and nothing of CORS", plain.header)
	}
}

func TestOrigin_Preflight_NamesAllowedMethodsAndHeaders(t *testing.T) {
	r := newHarness(t, origins("https://shop.example"))
	b := &browser{r: r}
	for _, path := range []string{"/v1/visitor", "/v1/messages", "/v1/events", "/v1/session"} {
		a := b.do("OPTIONS", path, "", "Origin", "https://shop.example", "Access-Control-Request-Method", "POST",
			"Access-Control-Request-Headers", "authorization,content-type,idempotency-key,last-event-id,traceparent")
		if a.status != http.StatusNoContent || a.body != "" {
			t.Errorf("%s: got %d %s, want 204", path, a.status, a.body)
		}
		for name, want := range map[string]string{
			"Access-Control-Allow-Origin": "https://shop.example",
			"Access-Control-Allow-Headers": "authorization, content-type, idempotency-key, last-event-id, relay-challenge, " +
				"traceparent, tracestate, baggage, sentry-trace, newrelic, " +
				"x-datadog-origin, x-datadog-parent-id, x-datadog-sampling-priority, x-datadog-tags, x-datadog-trace-id",
			"Access-Control-Allow-Methods":     "GET, POST, DELETE",
			"Access-Control-Max-Age":           "7200",
			"Access-Control-Allow-Credentials": "",
			"Vary":                             "Origin",
		} {
			if got := a.header.Get(name); got != want {
				t.Errorf("%s: got %s %q, want %q", path, name, got, want)
			}
		}
	}
}

func TestOrigin_ListedPage_CookieIgnored(t *testing.T) {
	d := newOffline(t, origins("https://shop.example"))
	token := d.mint()
	cookie := []string{"Origin", "https://shop.example", "Cookie", "relay_visitor=" + token}
	refused(t, "GET", d.ask("GET", "/v1/session", "", cookie...), 401, "visitor_unknown")
	refused(t, "DELETE", d.ask("DELETE", "/v1/visitor", "", cookie...), 401, "visitor_unknown")
	refused(t, "POST", d.ask("POST", "/v1/messages", `{"text":"forged"}`, cookie...), 401, "visitor_unknown")
	if a := d.ask("POST", "/v1/visitor", `{}`, cookie...); a.token() == token || len(a.token()) != 43 || len(a.cookies()) != 0 {
		t.Errorf("introduced: got %s, want another visitor, without a cookie", a.body)
	}
	if a := d.ask("GET", "/v1/session", "", append(cookie, bearer(token)...)...); a.status != http.StatusOK {
		t.Errorf("with the bearer token: got %d, want 200", a.status)
	}
}

func TestOrigin_ListedPageBodyRefused_ProblemReadable(t *testing.T) {
	for want, length := range map[string]string{"408 request_timeout": "100", "413 message_too_large": "1000000"} {
		for _, target := range []string{"DELETE /v1/session", "DELETE /v1/visitor", "POST /v1/messages", "GET /v1/session"} {
			synctest.Test(t, func(t *testing.T) {
				d := newOffline(t, origins("https://shop.example"))
				a, _, kept := overPipes(t, d.srv.Handler(), time.Second, target+" HTTP/1.1\r\nHost: relay.test\r\nOrigin: https://shop.example\r\n"+
					"Content-Type: application/json\r\nContent-Length: "+length+"\r\nAuthorization: Bearer "+d.mint()+"\r\n\r\n", strings.Repeat(" ", 99))
				if length == "1000000" && strings.HasPrefix(target, "POST /v1/messages") {
					return // which messages may have
				}
				if got := fmt.Sprint(a.status, " ", a.code()); got != want || a.header.Get("Access-Control-Allow-Origin") != "https://shop.example" || kept {
					t.Errorf("%s: got %s %v, kept open: %v, want %s that the page may read, and the end of the connection", target, got, a.header, kept, want)
				}
			})
		}
	}
}
