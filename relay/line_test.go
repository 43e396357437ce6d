package relay

import (
	"bufio"
	"bytes"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/eventlog"
	"github.com/anyframe-relay/relay/relay/internal/telemetry"
	"github.com/anyframe-relay/relay/relay/internal/upstream"
	"github.com/anyframe-relay/relay/relay/store"
)

// crowd is a session with so many streams that wait, and the other ends of
// their connections.
func crowd(tb testing.TB, streams int) (*session, []net.Conn) {
	tb.Helper()
	c := DefaultConfig()
	c.APIKey, c.AgentID, c.Store = "afm_test", 1, "memory:"
	srv, err := New(tb.Context(), c, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = srv.Close() })
	sess := newSession(srv.hub, "v")
	if err := sess.adopt(tb.Context(), store.Session{Visitor: "v", Epoch: 1}, event.StatusRunning, false); err != nil {
		tb.Fatal(err)
	}
	sess.busy = true
	l, err := new(net.ListenConfig).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	var ends []net.Conn
	for range streams {
		theirs, err := new(net.Dialer).DialContext(tb.Context(), "tcp", l.Addr().String())
		if err != nil {
			tb.Fatal(err)
		}
		ours, err := l.Accept()
		if err != nil {
			tb.Fatal(err)
		}
		raw, err := ours.(*net.TCPConn).SyscallConn()
		if err != nil {
			tb.Fatal(err)
		}
		sub := &subscriber{server: srv, sess: sess, pos: 0, trail: &telemetry.RequestInfo{}, leave: func() {}, line: &line{conn: ours, raw: raw, wrote: time.Now(), silence: time.Hour, ends: time.Now().Add(time.Hour)}}
		sub.view = sub.look()
		sub.told = sub.view
		sess.park(sub)
		srv.hub.join()
		sub.over = srv.hub.wg.Done
		if !sub.settle(parked, sub.line.ends) {
			tb.Fatal("a new line does not wait")
		}
		tb.Cleanup(func() { ours.Close(); theirs.Close() })
		ends = append(ends, theirs)
	}
	return sess, ends
}

// fed is one numbered delta, as it comes from AnyFrame.
func fed(seq int64) anyframe.Event {
	return anyframe.Event{Seq: seq, Data: []byte(`{"type":"assistant","delta":true,"message":{"content":[{"type":"text","text":"the quick brown fox"}]}}`)}
}

func drainAll(ends []net.Conn) {
	for _, c := range ends {
		go func() { _, _ = io.Copy(io.Discard, c) }()
	}
}

// underRace: the race detector makes pools lose some of what they are given.
var underRace bool

// What an event costs must not grow with the tabs that see it.
func TestAnEventAllocatesNothingForATab(t *testing.T) {
	most, more := 2.0, 1.0 // what an event leaves behind: its text, its frame, the log's share; a pool may be emptied by the collector
	if underRace {
		most, more = 2*most, 3*20
	}
	perEvent := func(tabs int) float64 {
		sess, ends := crowd(t, tabs)
		drainAll(ends)
		ev := fed(0)
		return testing.AllocsPerRun(500, func() {
			ev.Seq++
			sess.feed(sess.log, upstream.Decode(ev))
		})
	}
	one, many := perEvent(1), perEvent(20)
	if one > most {
		t.Errorf("one tab: got %v allocations an event, want %v at most", one, most)
	}
	if many > one+more {
		t.Errorf("20 tabs: got %v allocations an event, want %v as for one", many, one)
	}
}

func TestAWaitingStreamIsWrittenToByWhoeverAppends(t *testing.T) {
	sess, ends := crowd(t, 2)
	sess.feed(sess.log, upstream.Decode(fed(1)))
	want := "id: 1-1\nevent: text\ndata: {\"text\":\"the quick brown fox\",\"delta\":true}\n\n"
	for _, c := range ends {
		_ = c.SetReadDeadline(time.Now().Add(time.Minute))
		got := make([]byte, len(want))
		if _, err := io.ReadFull(httputil.NewChunkedReader(c), got); err != nil || string(got) != want {
			t.Errorf("got %q and %v, want %q", got, err, want)
		}
	}
	for _, sub := range sess.tabs {
		if !sub.waits() {
			t.Error("a step was begun for what could be written at once")
		}
	}
}

// A browser that takes nothing must not hold up whoever appends; what its
// connection took only a part of goes on where it was cut.
func TestAFullConnectionHoldsUpNobody(t *testing.T) {
	sess, ends := crowd(t, 1)
	sub := sess.tabs[0]
	large := strings.Repeat("x", 1<<20)
	total := 0
	for seq := int64(1); sub.waits(); seq++ {
		frame := []byte(large)
		total += len(frame)
		sess.log.Append(eventlog.Entry{Seq: seq, Frame: frame})
		if seq > 100 {
			t.Fatal("the connection takes 100 MiB and is never full")
		}
	}
	if n, err := io.CopyN(io.Discard, httputil.NewChunkedReader(ends[0]), int64(total)); err != nil {
		t.Errorf("got %d bytes and %v, want %d", n, err, total)
	}
	soon(t, "the stream waits again", sub.waits)
}

// waits reports whether the stream's line is parked.
func (sub *subscriber) waits() bool {
	sub.line.mu.Lock()
	defer sub.line.mu.Unlock()
	return sub.line.state == parked
}

// soon waits until cond holds.
func soon(t *testing.T, what string, cond func() bool) {
	t.Helper()
	look := time.NewTicker(2 * time.Millisecond)
	defer look.Stop()
	for deadline := time.Now().Add(time.Minute); !cond(); <-look.C {
		if time.Now().After(deadline) {
			t.Fatal("did not come: " + what)
		}
	}
}

func TestSealedFramesAreOneChunk(t *testing.T) {
	for _, n := range []int{1, 15, 16, 255, 70_000} {
		b := append(make([]byte, room), bytes.Repeat([]byte("y"), n)...)
		got, err := io.ReadAll(httputil.NewChunkedReader(bufio.NewReader(io.MultiReader(bytes.NewReader(seal(&b)), strings.NewReader("0\r\n\r\n")))))
		if err != nil || len(got) != n {
			t.Errorf("%d bytes: got %d and %v", n, len(got), err)
		}
	}
}

// Only what can be taken over is: net/http keeps the rest.
func TestOtherConnectionsStayWhereTheyAre(t *testing.T) {
	for name, change := range map[string]func(*http.Request){
		"HTTP/2":         func(r *http.Request) { r.ProtoMajor, r.ProtoMinor = 2, 0 },
		"HTTP/1.0":       func(r *http.Request) { r.ProtoMinor = 0 },
		"with a body":    func(r *http.Request) { r.ContentLength = 5 },
		"not to be had":  func(*http.Request) {},
		"of some length": func(r *http.Request) { r.ContentLength = -1 },
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/events", nil)
		change(r)
		if l, err := takeLine(httptest.NewRecorder(), r); l != nil || err != nil {
			t.Errorf("%s: got %v and %v, want neither", name, l, err)
		}
	}
}

func TestWaitingStreamsAreWokenToBeDrained(t *testing.T) {
	sess, _ := crowd(t, 1)
	sess.hub.sessions["v"] = sess
	sess.hub.beginDrain()
	delete(sess.hub.sessions, "v") // nobody has opened it
	l := sess.tabs[0].line
	soon(t, "a stream that waits knows its end", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.state == parked && !l.drained.IsZero() && l.due.Equal(l.drained)
	})
}

func TestAnOwnTurnIsShownThoughThoseBeforeItHaveBeen(t *testing.T) {
	book := &notebook{}
	tr := newTestTranslator(VisibilityChat, false, book)
	for seq, key := range []string{"first", "second"} {
		book.setTurn(turnNote{note: store.Note{Key: key, State: turnSent, Seq: int64(10*seq + 2)}, Text: key})
		for next := range int64(3) { // the second of them finds that all is shown
			out := tr.step(upstream.Decode(fed(int64(10*seq+3) + next)))
			if next == 0 && (len(out.items) != 2 || out.items[0].Kind != "user") {
				t.Errorf("%s: got %v, want the turn before the delta", key, out.items)
			}
		}
	}
}
