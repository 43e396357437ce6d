package deploy_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
)

func TestProxy_Events_ArriveOneByOne(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, start starter, base string) {
		words := make(chan string)
		r := newHarness(t, start, base, func(c *anyframetest.Chat) {
			for {
				select {
				case word := <-words:
					if word == "" {
						return
					}
					c.Say(word)
				case <-c.Context().Done():
					return
				}
			}
		})
		// nginx with buffering delays a stream over HTTP/1.1, but not over HTTP/2.
		older := r.proxy.Transport(visitor)
		older.ForceAttemptHTTP2 = false
		t.Cleanup(older.CloseIdleConnections)
		for version, over := range map[int]http.RoundTripper{1: older, 2: r.direct} {
			who := r.mint()
			x := r.openOver(over, version, who, "")
			r.say(who, "hello")
			x.until("user")
			for _, word := range []string{"one", "two", "three"} {
				words <- word // the agent continues only after this has arrived
				if e := x.next(); !strings.Contains(e.data, `"`+word+`"`) {
					t.Errorf("over HTTP/%d: got %q, want %s", version, e.data, word)
				}
				x.next() // the whole block
			}
			words <- ""
			x.until("turn_end")
			x.close()
		}
	})
}

func TestProxy_ResumeAcrossReplicas_Exact(t *testing.T) {
	t.Parallel()
	const words = 60
	everywhere(t, func(t *testing.T, start starter, base string) {
		r := newHarness(t, start, base, func(c *anyframetest.Chat) { c.Say(strings.Repeat("word ", words)) })
		who := r.mint()
		r.say(who, "hello")
		var got []event
		var last event
		for last.kind != "turn_end" { // a few events of each stream, each at the other relay
			x := r.open(who, last.id)
			for n := 0; n < 9 && last.kind != "turn_end"; {
				if e := x.next(); e.id != "" {
					last = e
					got = append(got, e)
					n++
				} else if e.kind == "reset" || e.kind == "problem" {
					t.Fatalf("got %s %s after %s, want to go on", e.kind, e.data, last.id)
				}
			}
			x.close()
		}
		log := r.plane.Log(r.plane.Sessions()[0].ID)
		if len(got) != len(log) {
			t.Fatalf("got %d events, want the %d of AnyFrame's log", len(got), len(log))
		}
		for i, row := range log {
			if want := fmt.Sprintf("1-%d", row.Seq); got[i].id != want {
				t.Errorf("event %d: got id %s, want %s", i, got[i].id, want)
			}
		}
		for i, p := range r.replicas {
			if !strings.Contains(p.said(), `"route":"GET /v1/events"`) {
				t.Errorf("relay %d served no stream: the proxy does not spread them", i+1)
			}
		}
	})
}

func TestProxy_RateLimit_ByVisitorAddress(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, start starter, base string) {
		r := newHarness(t, start, base, nil, "RELAY_RATE_IP=4/h")
		limited := 0
		for i := range 12 { // each relay admits four
			a := r.do(r.direct, "POST", "/v1/visitor", `{}`, "X-Forwarded-For", fmt.Sprintf("198.51.100.%d", i), "X-Real-IP", "198.51.100.1",
				"Forwarded", "for=198.51.100.1", "True-Client-IP", "198.51.100.1")
			if a.StatusCode == http.StatusTooManyRequests {
				limited++
			}
		}
		if limited != 4 {
			t.Errorf("got %d of 12 requests of one address refused, want 4: what it says of itself must not count", limited)
		}
		if a := r.do(r.from(neighbour), "POST", "/v1/visitor", `{}`); a.StatusCode != http.StatusOK {
			t.Errorf("another address: got %d %s, want 200", a.StatusCode, a.text)
		}
	})
}

func TestProxy_Cookies_FitHTTPSAndPath(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, start starter, base string) {
		r := newHarness(t, start, base, nil)
		// A browser that sends no Sec-Fetch-Site: the proxy must pass on the right host
		// and scheme.
		origin := strings.TrimSuffix(r.proxy.URL, base)
		a := r.do(r.direct, "POST", "/v1/visitor", `{}`, "Origin", origin)
		if a.StatusCode != http.StatusOK || len(a.Cookies()) != 1 {
			t.Fatalf("got %d %s with %d cookies, want 200 with 1", a.StatusCode, a.text, len(a.Cookies()))
		}
		c, name, path := a.Cookies()[0], "__Host-relay_visitor", "/"
		if u, err := url.Parse(origin); err == nil && u.Port() != "" {
			name += "_" + u.Port()
		}
		if base != "" {
			sum := sha256.Sum256([]byte(base))
			name += "_" + hex.EncodeToString(sum[:4])
		}
		if c.Name != name || c.Path != path || c.Domain != "" || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode {
			t.Errorf("got %s, want %s, Secure, HttpOnly, Lax, for %s", c, name, path)
		}
		if b := r.do(r.direct, "GET", "/v1/session", "", "Origin", origin, "Cookie", c.Name+"="+c.Value); b.StatusCode != http.StatusOK {
			t.Errorf("with the cookie: got %d %s, want 200", b.StatusCode, b.text)
		}
		for _, foreign := range []string{"https://evil.example", strings.Replace(origin, "https:", "http:", 1)} {
			if b := r.do(r.direct, "GET", "/v1/session", "", "Origin", foreign, "Cookie", c.Name+"="+c.Value); b.StatusCode != http.StatusForbidden {
				t.Errorf("origin %s: got %d %s, want 403", foreign, b.StatusCode, b.text)
			}
		}
	})
}

func TestProxy_BrowserLeaves_RelayNotices(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, start starter, base string) {
		r := newHarness(t, start, base, nil)
		x := r.open(r.mint(), "")
		x.until("session")
		open := func() string { return r.replicas[0].streams(t) + "+" + r.replicas[1].streams(t) }
		if got := open(); got != "0+1" && got != "1+0" {
			t.Fatalf("got %s streams, want one", got)
		}
		x.close()
		for deadline := time.Now().Add(patience); open() != "0+0"; {
			if time.Now().After(deadline) {
				t.Fatalf("got %s streams after the browser left, want none", open())
			}
		}
	})
}

func TestProxy_OneRelayDown_OtherServes(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, start starter, base string) {
		r := newHarness(t, start, base, func(c *anyframetest.Chat) { c.Say("hello") })
		who := r.mint()
		r.replicas[0].kill()
		for range 6 {
			if a := r.do(r.direct, "GET", "/v1/session", "", who...); a.StatusCode != http.StatusOK {
				t.Errorf("got %d %s, want 200 from the other relay", a.StatusCode, a.text)
			}
		}
		// Requests that reach the stopped relay before the proxy has noticed may get a
		// 502, which browsers retry.
		deadline := time.Now().Add(patience)
		for a := r.post(who, "hello"); a.StatusCode != http.StatusAccepted; a = r.post(who, "hello") {
			if a.StatusCode != http.StatusBadGateway || time.Now().After(deadline) {
				t.Fatalf("POST /v1/messages: got %d %s, want 202", a.StatusCode, a.text)
			}
		}
		r.open(who, "").until("turn_end")
	})
}

// An EventSource does not reconnect after a restarting relay has refused it.
func TestProxy_OneRelayDrains_StreamsGoToTheOther(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, start starter, base string) {
		r := newHarness(t, start, base, nil, "RELAY_RATE_IP=off", "RELAY_STREAMS_PER_IP=1000", "RELAY_STREAMS_PER_VISITOR=1000")
		who := r.mint()
		for range 24 { // the relay drains for as long as it has streams, at most 5 s
			r.open(who, "")
		}
		if err := r.replicas[0].cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		for ended := false; !ended; {
			r.open(who, "").close() // fails the test unless the status is 200
			select {
			case <-r.replicas[0].done:
				ended = true
			default:
			}
		}
		if !refusedStream.MatchString(r.replicas[0].said()) {
			t.Error("the relay that drains was never asked for a stream")
		}
	})
}

var refusedStream = regexp.MustCompile(`(?m)^.*"route":"GET /v1/events".*"status":503.*$|^.*"status":503.*"route":"GET /v1/events".*$`)

func TestProxy_EveryRelayRefusesStreams_TellsWhyAndServesTheRest(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, start starter, base string) {
		r := newHarness(t, start, base, nil, "RELAY_MAX_STREAMS=1")
		who := r.mint()
		r.open(who, "")
		r.open(who, "")
		for range 4 {
			if a := r.do(r.direct, "GET", "/v1/events", "", who...); a.StatusCode != http.StatusServiceUnavailable || !strings.Contains(a.text, `"at_capacity"`) {
				t.Errorf("a stream too many: got %d %.200s, want the relay's own 503", a.StatusCode, a.text)
			}
			for range 2 { // one at each relay
				if a := r.do(r.direct, "GET", "/v1/session", "", who...); a.StatusCode != http.StatusOK {
					t.Errorf("after it: got %d %.200s, want 200", a.StatusCode, a.text)
				}
			}
		}
	})
}

func TestProxy_LargestMessage_Passes(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, start starter, base string) {
		if base != "" {
			return // the limit is the same, and the message takes a while
		}
		r := newHarness(t, start, base, nil)
		data := strings.Repeat("YWFh", (4<<20)/3) // 4 MiB of "a"
		file := `{"name":"a.txt","mime":"text/plain","data":"` + data + `"}`
		body := `{"text":"read","attachments":[` + strings.Join([]string{file, file, file, file}, ",") + `]}`
		if a := r.do(r.direct, "POST", "/v1/messages", body, r.mint()...); a.StatusCode != http.StatusAccepted {
			t.Errorf("got %d %.200s, want 202", a.StatusCode, a.text)
		}
		a := r.do(r.direct, "POST", "/v1/messages", `{"text":"`+strings.Repeat("a", 17<<10)+`"}`, r.mint()...)
		if a.StatusCode != http.StatusRequestEntityTooLarge || !strings.Contains(a.text, `"message_too_large"`) {
			t.Errorf("too large a text: got %d %.200s, want the relay's own 413", a.StatusCode, a.text)
		}
	})
}

func TestProxy_HTTPS_OneOrigin(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, start starter, base string) {
		r := newHarness(t, start, base, nil)
		for path, want := range map[string]string{"/": "<!doctype html>", "/widget.js": "relay-chat", "/healthz": "ok\n"} {
			a := r.do(r.direct, "GET", path, "")
			if a.StatusCode != http.StatusOK || !strings.Contains(a.text, want) || a.ProtoMajor != 2 {
				t.Errorf("%s: got %d %.80q over %s, want 200 with %q over HTTP/2", path, a.StatusCode, a.text, a.Proto, want)
			}
		}
		res := r.send(t.Context(), r.direct, "GET", r.proxy.Plain+"/widget.js?a=b", "")
		res.Body.Close()
		want := "https://" + res.Request.URL.Hostname() + base + "/widget.js?a=b" // the port is the test's own
		to, err := res.Location()
		if err != nil {
			t.Fatalf("http: got %d, %v, want a redirect", res.StatusCode, err)
		}
		if to.Host = to.Hostname(); res.StatusCode != http.StatusPermanentRedirect || to.String() != want {
			t.Errorf("http: got %d to %v, want 308 to %s", res.StatusCode, to, want)
		}
		if base == "" {
			return
		}
		site := strings.TrimSuffix(r.proxy.URL, base)
		for path, want := range map[string]int{"/": http.StatusOK, "/chatter": http.StatusNotFound} {
			res := r.send(t.Context(), r.direct, "GET", site+path, "")
			res.Body.Close()
			if res.StatusCode != want || res.Header.Get("X-Request-Id") != "" {
				t.Errorf("%s: got %d, request %q, want %d from the site", path, res.StatusCode, res.Header.Get("X-Request-Id"), want)
			}
		}
		res = r.send(t.Context(), r.direct, "GET", site+base, "")
		res.Body.Close()
		if to, err := res.Location(); err != nil || res.StatusCode/100 != 3 || to.String() != r.proxy.URL+"/" {
			t.Errorf("%s: got %d to %v, %v, want a redirect to %s/", base, res.StatusCode, to, err, r.proxy.URL)
		}
	})
}
