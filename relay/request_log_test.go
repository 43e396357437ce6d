package relay_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
)

// spiked adds fields before the data of every event that passes.
type spiked struct {
	io.Closer

	lines *bufio.Reader
	with  string
	rest  []byte
}

func (s *spiked) Read(p []byte) (n int, err error) {
	if len(s.rest) == 0 {
		line, err := s.lines.ReadString('\n')
		if err != nil {
			return 0, err
		}
		if strings.HasPrefix(line, "data:") {
			line = s.with + line
		}
		s.rest = []byte(line)
	}
	n = copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// TestRequestLog_ClientInput_NotLogged sends, in every part of a request, text that would
// forge a log line or fill the disk.
func TestRequestLog_ClientInput_NotLogged(t *testing.T) {
	d := newOffline(t, nil)
	token := d.mint()
	const evil = "xyzzy\x1b[31m\u202e"
	long := strings.Repeat("xyzzy", 3000)
	for _, bad := range []string{evil, long} {
		inURL := strings.Map(func(r rune) rune {
			if r < ' ' || r > '~' {
				return -1
			}
			return r
		}, bad)
		headers := append(bearer(token), "User-Agent", bad, "Referer", bad, "X-Request-Id", bad, "Idempotency-Key", bad, "Last-Event-ID", bad, "X-Forwarded-For", bad, "Cookie", bad, "Origin", "")
		for _, call := range []struct{ method, target, body string }{
			{"GET", "/v1/session?" + inURL, ""},
			{"GET", "/" + inURL, ""},
			{"GET", "/assets/" + inURL, ""},
			{"POST", "/v1/messages", `{"text":` + quote(bad) + `,"` + inURL + `":1}`},
			{"POST", "/v1/visitor", `{"identity":` + quote(bad) + `}`},
			{"POST", "/v1/visitor", `{"carrier":` + quote(bad) + `}`},
			{"POST", "/v1/responses", `{"id":` + quote(bad) + `,"answer":` + quote(bad) + `}`},
			{"XYZZY", "/v1/session", ""},
			{"GET", "/v1/transcript?since=" + inURL, ""},
		} {
			d.ask(call.method, call.target, call.body, headers...)
		}
		d.ask("GET", "/v1/session", "", "Origin", "https://xyzzy.example")
		d.ask("GET", "/v1/session", "", "Authorization", "Bearer "+bad)
	}
	if strings.Contains(strings.ToLower(d.logs.String()), "xyzzy") {
		t.Errorf("the log repeats what was sent: %s", d.logs.tail(5))
	}
	n := 0
	for line := range strings.Lines(d.logs.String()) {
		if n++; !json.Valid([]byte(line)) || len(line) > 2000 {
			t.Errorf("got the line %.300q, want short JSON", line)
		}
	}
	if n < 20 {
		t.Errorf("got %d lines, want one for every request", n)
	}
}

// logged returns the log lines with a message so far.
func (r *harness) logged(msg string) (found []map[string]any) {
	r.t.Helper()
	for line := range strings.Lines(r.logs.String()) {
		var l map[string]any
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			r.t.Fatalf("got log line %q, want JSON", line)
		}
		if l["msg"] == msg {
			found = append(found, l)
		}
	}
	return found
}

func TestRequestLog_EveryRequestAndStep_OneLineWithoutNames(t *testing.T) {
	t.Parallel()
	r := newHarness(t, nil, anyframetest.WithAgent(1, talk))
	v := r.visitor()
	x := v.open("")
	a := v.say("hello", "k1")
	x.turnEnds(1)
	v.do("POST", "/v1/messages", `{"text":""}`)
	x.close()
	eventually(t, "the stream's line is written", func() bool { return len(r.logged("request")) == 4 })

	lines := map[string]map[string]any{} // by route and status
	for _, l := range r.logged("request") {
		lines[fmt.Sprint(l["route"], " ", l["status"])] = l
	}
	turn := lines["POST /v1/messages 202"]
	for _, name := range []string{"visitor", "session"} {
		hash, _ := turn[name].(string)
		if len(hash) != 8 {
			t.Errorf("%s: got %v, want a short hash in %v", name, turn[name], turn)
		}
		for _, other := range []map[string]any{lines["GET /v1/events 200"], lines["POST /v1/messages 400"], r.logged("session created")[0], r.logged("turn accepted")[0], r.logged("turn ended")[0]} {
			if other[name] != hash && (name == "visitor" || other["code"] == nil) {
				t.Errorf("%s: got %v in %v, want %s as in the turn's", name, other[name], other, hash)
			}
		}
	}
	if id := a.header.Get("X-Request-Id"); turn["request"] != id || r.logged("turn accepted")[0]["request"] != id {
		t.Errorf("got request %v and of the turn %v, want %s in both", turn["request"], r.logged("turn accepted")[0]["request"], id)
	}
	if got := lines["POST /v1/messages 400"]["code"]; got != "empty_message" {
		t.Errorf("code of a refusal: got %v, want empty_message", got)
	}
	if got := lines["GET /v1/events 200"]["ended"]; got != "gone" {
		t.Errorf("end of a stream: got %v, want gone", got)
	}
	if l := r.logged("turn ended")[0]; l["reason"] != "done" || l["ms"] == nil {
		t.Errorf("turn ended: got %v, want how and after how long", l)
	}
	for _, secret := range []string{"hello", v.token, r.upstream(), r.plane.Key()} {
		if strings.Contains(r.logs.String(), secret) {
			t.Errorf("the log tells %q", secret)
		}
	}
}

func TestRequestLog_WaitForSandbox_NoWarning(t *testing.T) {
	t.Parallel()
	r := newHarness(t, func(c *relay.Config) { c.SendWait = time.Second }, anyframetest.WithBootDelay(time.Hour))
	v := r.visitor()
	if a := v.do("POST", "/v1/messages", `{"text":"hello"}`); a.status != http.StatusServiceUnavailable || a.code() != "session_booting" {
		t.Fatalf("got %d %s, want session_booting", a.status, a.body)
	}
	if got := r.logged("request failed"); len(got) != 0 {
		t.Errorf("got %v, want no warning", got)
	}
	if !slices.ContainsFunc(r.logged("request"), func(l map[string]any) bool { return l["code"] == "session_booting" }) {
		t.Error("the request's line does not say why it was refused")
	}
}

// A request that is refused before it reaches its route has the route's name, with and
// without a base path; a path without a route has none.
func TestRequestLog_RefusedByHost_NamesTheRoute(t *testing.T) {
	for _, base := range []string{"", "/chat"} {
		d := newOffline(t, func(c *relay.Config) { c.BasePath, c.Loopback = base, true })
		for path, want := range map[string]string{
			"/v1/session": "GET /v1/session", "/": "GET /", "/widget.js": "GET /widget.js", "/assets/x.js": "GET /assets/{file}", "/v1/x": "other", "/x": "other",
		} {
			before := metric(t, d.reg, "relay_requests_total", "route", want)
			refused(t, path, d.ask("GET", base+path, "", "Host", "evil.example"), http.StatusMisdirectedRequest, "misdirected")
			if got := metric(t, d.reg, "relay_requests_total", "route", want) - before; got != 1 {
				t.Errorf("base path %q, %s: counted %v under the route %q, want 1", base, path, got, want)
			}
		}
	}
}
