package relay_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
)

func rate(n int, per time.Duration) relay.Rates { return relay.Rates{{Limit: n, Window: per}} }

func trusting(header string, prefixes ...string) func(*relay.Config) {
	return func(c *relay.Config) {
		c.TrustedProxies.Header = header
		for _, p := range prefixes {
			c.TrustedProxies.Prefixes = append(c.TrustedProxies.Prefixes, netip.MustParsePrefix(p))
		}
	}
}

func TestLimits_MessagesAndAnswers_CountedByVisitor(t *testing.T) {
	r := newHarness(t, func(c *relay.Config) { c.RateMessages = rate(3, time.Hour) })
	v := r.visitor()
	for range 5 { // a request that is refused anyway costs nothing
		refused(t, "no message", v.do("POST", "/v1/messages", `{"text":""}`), 400, "empty_message")
		refused(t, "no answer", v.do("POST", "/v1/responses", `{"id":"p1-1"}`), 400, "bad_request")
	}
	v.say("one", "k1")
	v.say("two", "k2")
	refused(t, "an answer", v.do("POST", "/v1/responses", `{"id":"p1-1","answer":"x"}`), 404, "prompt_unknown")
	for range 3 {
		refused(t, "a fourth", v.do("POST", "/v1/messages", `{"text":"three"}`), 429, "rate_limited")
		refused(t, "a fourth, to a question", v.do("POST", "/v1/responses", `{"id":"p1-1","answer":"x"}`), 429, "rate_limited")
	}
	if n := r.plane.Count(anyframetest.OpMessage); n != 2 {
		t.Errorf("messages at AnyFrame: got %d, want 2", n)
	}
	if a := v.do("GET", "/v1/session", ""); a.status != http.StatusOK {
		t.Errorf("reading: got %d, want 200", a.status)
	}
	r.visitor().say("one", "k1") // another visitor, from the same address
}

func TestLimits_Requests_CountedByAddress(t *testing.T) {
	d := newOffline(t, func(c *relay.Config) { c.RateIP = rate(5, time.Hour) })
	token := d.mint()
	for range 4 {
		if a := d.ask("GET", "/v1/session", "", bearer(token)...); a.status != http.StatusOK {
			t.Errorf("within the limit: got %d, want 200", a.status)
		}
	}
	for _, path := range []string{"/v1/session", "/v1/events", "/v1/transcript", "/v1/nothing"} {
		a := d.ask("GET", path, "", bearer(token)...)
		refused(t, path, a, 429, "rate_limited")
	}
	refused(t, "another visitor", d.ask("POST", "/v1/visitor", `{}`), 429, "rate_limited")
	for _, path := range []string{"/", "/widget.js", "/healthz", "/readyz"} {
		if a := d.ask("GET", path, ""); a.status != http.StatusOK {
			t.Errorf("%s: got %d, want 200 however many ask", path, a.status)
		}
	}
	if a := d.ask("OPTIONS", "/v1/session", ""); a.status != http.StatusNoContent {
		t.Errorf("a preflight: got %d, want 204", a.status)
	}
	d.addr = "192.0.2.2:1"
	if a := d.ask("GET", "/v1/session", "", bearer(token)...); a.status != http.StatusOK {
		t.Errorf("another address: got %d, want 200", a.status)
	}

	off := newOffline(t, nil)
	for i := range 500 {
		if a := off.ask("GET", "/v1/nothing", ""); a.status != http.StatusNotFound {
			t.Fatalf("request %d without a limit: got %d, want 404", i, a.status)
		}
	}
}

// A request sent when Retry-After says so is accepted.
func TestLimits_RetryAfter_IsWhenNextIsAccepted(t *testing.T) {
	for _, limit := range []relay.Rates{rate(1, time.Second), rate(1, time.Minute), rate(5, time.Minute), rate(120, time.Minute), rate(6, time.Hour)} {
		only := limit[0]
		t.Run(fmt.Sprintf("%d per %v", only.Limit, only.Window), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newOffline(t, func(c *relay.Config) { c.RateIP = limit })
				passed, first := 0, time.Now()
				// Bursts and single requests, spread unevenly over the windows.
				for i := range 60 {
					a := d.ask("GET", "/v1/nothing", "")
					if a.status == http.StatusNotFound {
						passed++
						if i%7 == 3 {
							time.Sleep(only.Window / time.Duration(2*i))
						}
						continue
					}
					refused(t, "too many", a, 429, "rate_limited")
					seconds, _ := strconv.Atoi(a.header.Get("Retry-After"))
					wait := time.Duration(seconds) * time.Second
					if wait > 2*only.Window {
						t.Fatalf("got Retry-After %v, want two windows at most", wait)
					}
					if early := wait - 1100*time.Millisecond; early > 0 { // Retry-After is in whole seconds
						time.Sleep(early)
						refused(t, "before that", d.ask("GET", "/v1/nothing", ""), 429, "rate_limited")
						wait -= early
					}
					time.Sleep(wait)
					if a := d.ask("GET", "/v1/nothing", ""); a.status != http.StatusNotFound {
						t.Fatalf("after %s s: got %d, want it let through", a.header.Get("Retry-After"), a.status)
					}
					passed++
				}
				windows := float64(time.Since(first))/float64(only.Window) + 1
				if most := windows * float64(only.Limit) * 1.5; float64(passed) > most {
					t.Errorf("passed in %.1f windows: got %d, want %.0f at most", windows, passed, most)
				}
			})
		})
	}
}

func TestLimits_LargeMessageOverRate_RefusedUnread(t *testing.T) {
	t.Parallel()
	r := newHarness(t, func(c *relay.Config) { c.RateMessages = rate(1, time.Hour) })
	v := r.visitor()
	v.say("hi", "k1")
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(r.web.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	// The body never arrives, and the relay does not wait for it.
	_, err = fmt.Fprintf(conn, "POST /v1/messages HTTP/1.1\r\nHost: relay.test\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\n"+
		"Idempotency-Key: k2\r\nContent-Length: 1000000\r\nConnection: close\r\n\r\n", v.token)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	if res.StatusCode != http.StatusTooManyRequests {
		t.Errorf("another message: got %s, want 429", res.Status)
	}
	a := v.do("POST", "/v1/messages", `{"text":"hi"}`+strings.Repeat(" ", 100_000), "Idempotency-Key", "k1")
	if a.status != http.StatusAccepted {
		t.Errorf("the same again: got %d %s, want 202", a.status, a.body)
	}
}

func TestLimits_RepeatedTurn_NotCounted(t *testing.T) {
	r := newHarness(t, func(c *relay.Config) { c.RateMessages = relay.Rates{{Limit: 2, Window: time.Hour}} }, anyframetest.WithAgent(1, talk))
	v := r.visitor()
	want := v.say("one", "a").body
	v.say("two", "b")
	if a := v.do("POST", "/v1/messages", `{"text":"three"}`, "Idempotency-Key", "c"); a.status != 429 || a.code() != "rate_limited" {
		t.Fatalf("the third turn: got %d %s, want 429 rate_limited", a.status, a.body)
	}
	for range 3 {
		if got := v.say("one", "a").body; got != want {
			t.Errorf("a repeated turn: got %s, want %s", got, want)
		}
	}
}
