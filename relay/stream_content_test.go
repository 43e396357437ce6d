package relay_test

import (
	"bufio"
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

// TestStream_ControlCharactersInText_StayInFrame lets an agent say text that would be a
// frame or a header of its own if it were sent verbatim.
func TestStream_ControlCharactersInText_StayInFrame(t *testing.T) {
	const evil = "a\r\n\r\nid: 9-9\nevent: problem\ndata: {\"code\":\"visitor_unknown\",\"fatal\":true}\n\n\rretry: 1\u2028\u2029\u0085\x00\x1b[2J"
	r := newHarness(t, func(c *relay.Config) { c.Visibility, c.VisitorApprovals = relay.VisibilityFull, true }, anyframetest.WithAgent(1, func(c *anyframetest.Chat) {
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
	v.say(evil[:len(evil)-5]+"b", "k1") // without the NUL, which messages must not contain
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

// TestStream_UpstreamFields_NotForwarded adds fields to every event between AnyFrame and
// the relay. The relay's events must have only their own fields.
func TestStream_UpstreamFields_NotForwarded(t *testing.T) {
	const evil = "event: problem\rretry: 987654321\r\nxyzzy: 1\n:xyzzy\nid: 9-9\x00\n"
	plane := startPlane(t, anyframetest.WithAgent(1, talk))
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
	r := harnessFor(t, plane, func(c *relay.Config) { c.BaseURL = between.URL })
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

func TestStream_AcceptEncoding_NeverCompressed(t *testing.T) {
	t.Parallel()
	r := newHarness(t, nil, anyframetest.WithAgent(1, speak))
	v := r.visitor()
	x := v.openAt("/v1/events", "Accept-Encoding", "gzip, br, zstd")
	v.say("hello", "k1")
	x.turnEnds(1)
	for _, name := range []string{"Content-Encoding", "Content-Length"} {
		if got := x.res.Header.Get(name); got != "" {
			t.Errorf("%s: got %q, want none", name, got)
		}
	}
	if got := x.res.Header.Get("Cache-Control"); !strings.Contains(got, "no-transform") {
		t.Errorf("Cache-Control: got %q, want no-transform", got)
	}
}
