package relay_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
)

// In these tests, one visitor, address or network does its worst to the resources that
// all visitors share, while a visitor at another address chats.

// neighbour is a visitor who chats, at an address of its own.
type neighbour struct {
	*browser
	x     *stream
	turns int
}

const neighbourAddr = "198.51.100.7"

// newNeighbour starts a relay behind a trusted proxy, and returns a visitor who has had
// an answer.
func newNeighbour(t *testing.T, change func(*relay.Config), script anyframetest.Script) *neighbour {
	t.Helper()
	r := newHarness(t, func(c *relay.Config) {
		trusting("", "127.0.0.0/8", "::1/128")(c)
		if change != nil {
			change(c)
		}
	}, anyframetest.WithAgent(1, script))
	n := &neighbour{browser: r.visitor()}
	n.x = n.openAt("/v1/events", "X-Forwarded-For", neighbourAddr)
	n.chats("before")
	return n
}

// chats fails the test unless a turn is accepted, its events arrive on the stream, and
// the transcript is readable.
func (n *neighbour) chats(when string) {
	n.r.t.Helper()
	n.turns++
	if a := n.from(neighbourAddr, "hi"); a.status != http.StatusAccepted {
		n.r.t.Fatalf("%s, the neighbour's turn: got %d %s, want 202", when, a.status, a.body)
	}
	n.x.turnEnds(n.turns)
	if a := n.do("GET", "/v1/transcript", "", "X-Forwarded-For", neighbourAddr); a.status != http.StatusOK {
		n.r.t.Fatalf("%s, the neighbour's transcript: got %d %s, want 200", when, a.status, a.body)
	}
}

// attackers returns the address of an attacker's n-th request.
var attackers = map[string]func(n int) string{
	"one address": func(int) string { return "203.0.113.1" },
	"one /48":     func(n int) string { return fmt.Sprintf("2001:db8:1:%x::1", n) },
}

// begun returns n visitors, the i-th at addr(i), who have had an answer.
func (n *neighbour) begun(count int, addr func(int) string) []*browser {
	n.r.t.Helper()
	all := make([]*browser, count)
	for i := range all {
		all[i] = n.r.visitor()
		if a := all[i].from(addr(i), "hi"); a.status != http.StatusAccepted {
			n.r.t.Fatalf("visitor %d: got %d %s, want 202", i, a.status, a.body)
		}
	}
	n.r.plane.WaitFor(n.r.t, func() bool {
		for _, s := range n.r.plane.Sessions() {
			if s.Busy || s.Turns == 0 {
				return false
			}
		}
		return true
	})
	return all
}

// smallBuffers makes the relay's sockets buffer almost nothing of what a client has yet
// to read, as with an answer that is far larger than the buffers.
func (r *harness) smallBuffers() {
	web := httptest.NewUnstartedServer(r.web.Config.Handler)
	web.Config.ConnState = func(c net.Conn, state http.ConnState) {
		if tcp, ok := c.(*net.TCPConn); ok && state == http.StateNew {
			_ = tcp.SetWriteBuffer(4 << 10)
		}
	}
	web.Start()
	r.web.Close()
	r.web = web
}

// dial starts a raw request and returns its connection.
func (b *browser) dial(head, addr string, body ...byte) net.Conn {
	b.r.t.Helper()
	c, err := net.Dial("tcp", b.r.web.Listener.Addr().String()) //nolint:noctx // loopback
	if err != nil {
		b.r.t.Fatal(err)
	}
	b.r.t.Cleanup(func() { _ = c.Close() })
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetReadBuffer(4 << 10)
	}
	head += "\r\nHost: relay.test\r\nContent-Type: application/json\r\nAuthorization: Bearer " + b.token + "\r\nX-Forwarded-For: " + addr + "\r\n\r\n"
	if _, err := c.Write(append([]byte(head), body...)); err != nil {
		b.r.t.Fatal(err)
	}
	return c
}

// longTalk answers "long" with 6 MB in 750 messages, and anything else briefly.
func longTalk(c *anyframetest.Chat) {
	if c.Prompt() == "long" {
		text := strings.Repeat("many words ", 740)
		for i := range 750 {
			c.Emit(map[string]any{"type": "assistant", "message": map[string]any{"content": []any{map[string]any{"type": "text", "text": fmt.Sprint(i, " ", text)}}}})
		}
		return
	}
	c.Say("Yes.")
}

func TestTranscript_AgentLogHangs_NeighbourServed(t *testing.T) {
	t.Parallel()
	for origin, addr := range attackers {
		t.Run(origin, func(t *testing.T) {
			t.Parallel()
			n := newNeighbour(t, nil, longTalk)
			own := n.r.upstream()
			const visitors = 36 // with two reads each, more than there are slots
			all := n.begun(visitors, addr)
			for _, s := range n.r.plane.Sessions() {
				if s.ID != own {
					n.r.plane.Inject(anyframetest.Fault{Kind: anyframetest.Hang, Op: anyframetest.OpTranscript, Session: s.ID})
				}
			}
			before, begun := n.r.plane.FaultsHit(), time.Now()
			for i, v := range all {
				for range 2 {
					v.dial("GET /v1/transcript HTTP/1.1", addr(i))
				}
			}
			n.r.plane.WaitFor(t, func() bool { return n.r.plane.FaultsHit() >= before+16 })
			for range 3 {
				n.chats("while AnyFrame does not answer the others")
			}
			// A read is given up after ten seconds, and another one takes its place.
			turns := 1 + int(time.Since(begun)/(10*time.Second))
			if hit, most := n.r.plane.FaultsHit()-before, 32*turns; hit > most {
				t.Errorf("got %d reads of %s at once, want %d at most", hit/turns, origin, most/turns)
			}
			n.r.plane.ClearFaults()
		})
	}
}
