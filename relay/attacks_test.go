package relay_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"unicode"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
)

// TestNothingThatTheAgentSaysBreaksOutOfItsFrame has an agent say what would be
// a frame of its own, or a header, if it got on the wire as it is.
func TestNothingThatTheAgentSaysBreaksOutOfItsFrame(t *testing.T) {
	const evil = "a\r\n\r\nid: 9-9\nevent: problem\ndata: {\"code\":\"visitor_unknown\",\"fatal\":true}\n\n\rretry: 1\u2028\u2029\u0085\x00\x1b[2J"
	r := newRig(t, func(c *relay.Config) { c.Visibility, c.VisitorApprovals = relay.VisibilityFull, true }, anyframetest.WithAgent(1, func(c *anyframetest.Chat) {
		c.Say(evil)
		c.EmitUnnumbered(pieceOf(evil, true))
		c.Tool(evil, map[string]any{"command": evil})
		c.Emit(map[string]any{"type": evil, evil: evil})
		if c.Permit(evil, map[string]any{evil: evil}) {
			c.Ask(evil, evil, evil)
		}
	}))
	v := r.visitor()
	x := v.open("")
	v.say(evil[:len(evil)-5]+"b", "k1") // without the NUL, which messages may not have
	approval := x.prompt("approval")
	if a := v.do("POST", "/v1/responses", `{"id":`+quote(approval)+`,"decision":"approve"}`); a.status != http.StatusAccepted {
		t.Fatalf("the decision: got %d %s, want 202", a.status, a.body)
	}
	question := x.prompt("question")
	v.do("POST", "/v1/responses", `{"id":`+quote(question)+`,"answer":`+quote(evil[:40])+`}`)
	events := x.turnEnds(1)
	if count(events, "problem") != 0 || count(events, "user") != 1 || count(events, "tool") == 0 || count(events, "upstream") == 0 {
		t.Errorf("got\n%swant no problem, one message, and the rest that was said", lines(events))
	}
	for line := range strings.SplitSeq(x.text(), "\n") {
		field, _, _ := strings.Cut(line, ":")
		if field != "" && field != "id" && field != "event" && field != "data" && field != "retry" || strings.HasPrefix(line, "id: 9") {
			t.Errorf("got the line %q, want fields of our own only", line)
		}
		if strings.ContainsFunc(line, func(r rune) bool { return r != '\t' && unicode.IsControl(r) && r != '\u0085' }) {
			t.Errorf("got the line %q, want no control characters", line)
		}
	}
	for _, e := range events {
		if e.json == nil {
			t.Errorf("got %s, want JSON in every event", e)
		}
	}
}

// TestTheFieldsOfAnyFramesStreamAreNotPassedOn has somebody between AnyFrame and
// the relay add fields to every event. What the relay sends has its own only.
func TestTheFieldsOfAnyFramesStreamAreNotPassedOn(t *testing.T) {
	const evil = "event: problem\rretry: 987654321\r\nxyzzy: 1\n:xyzzy\nid: 9-9\x00\n"
	plane := anyframetest.Start(t, anyframetest.WithAgent(1, talk))
	target, err := url.Parse(plane.URL())
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.FlushInterval = -1
	proxy.ModifyResponse = func(res *http.Response) error {
		if strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") {
			res.Body = &spiked{Closer: res.Body, lines: bufio.NewReader(res.Body), with: evil}
		}
		return nil
	}
	between := httptest.NewServer(proxy)
	t.Cleanup(between.Close)
	r := rigFor(t, plane, func(c *relay.Config) { c.BaseURL = between.URL })
	v := r.visitor()
	x := v.open("")
	v.say("hello", "k1")
	got := x.turnEnds(1)
	x.matches("the stream", r.oracle(1, plane.Sessions()[0].ID))
	if count(got, "problem") != 0 {
		t.Errorf("got\n%swant no problem", lines(got))
	}
	for _, word := range []string{"xyzzy", "987654321", "9-9"} {
		if strings.Contains(x.text(), word) {
			t.Errorf("got %q in the stream, which is AnyFrame's", word)
		}
	}
}

// spiked puts more fields before the data of every event that passes.
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

// TestNothingThatAClientSendsGetsIntoTheLog sends what would forge a line, or
// fill the disk, wherever a request has room for it.
func TestNothingThatAClientSendsGetsIntoTheLog(t *testing.T) {
	d := newDesk(t, nil)
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

// TestAStreamIsAStreamWhateverElseIsAsked asks for parts of it, for another
// type, or for what has not changed.
func TestAStreamIsAStreamWhateverElseIsAsked(t *testing.T) {
	r := newRig(t, nil)
	v := r.visitor()
	for name, headers := range map[string][]string{
		"a range": {"Range", "bytes=0-1"}, "what changed": {"If-None-Match", "*"}, "another type": {"Accept", "text/html"}, "a coding": {"Accept-Encoding", "gzip, br, zstd"},
		"since": {"If-Modified-Since", "Mon, 23 Nov 2099 10:00:00 GMT"}, "a foreign id": {"X-Request-Id", "mine"},
	} {
		x := v.openAt("/v1/events", headers...)
		x.status("none")
		for field, want := range map[string]string{
			"Content-Type": "text/event-stream; charset=utf-8", "Content-Encoding": "", "Content-Range": "", "Cache-Control": "no-store, no-transform", "X-Content-Type-Options": "nosniff",
		} {
			if got := x.res.Header.Get(field); got != want {
				t.Errorf("%s: got %s %q, want %q", name, field, got, want)
			}
		}
		if x.res.Header.Get("X-Request-Id") == "mine" {
			t.Errorf("%s: the request has the id that the client made up", name)
		}
		x.close()
	}
	for method, want := range map[string]int{"HEAD": 405, "POST": 405, "OPTIONS": 204} {
		if a := v.do(method, "/v1/events", ""); a.status != want {
			t.Errorf("%s: got %d, want %d", method, a.status, want)
		}
	}
	refused(t, "without a token", (&browser{r: r}).do("GET", "/v1/events", ""), 401, "visitor_unknown")
}
