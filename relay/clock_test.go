package relay

import (
	"io"
	"net/http/httputil"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/internal/poll"
	"github.com/anyframe-relay/relay/relay/internal/eventlog"
	"github.com/anyframe-relay/relay/relay/internal/telemetry"
)

// broken is a connection that cannot even be tried.
type broken struct{ syscall.RawConn }

func (broken) Write(func(uintptr) bool) error { panic("write") }
func (broken) Read(func(uintptr) bool) error  { panic("read") }

// A fault in what is done for a stream in somebody else's goroutine ends this
// stream and no other.
func TestAPanicWhileAStreamWaitsEndsItAlone(t *testing.T) {
	for name, touch := range map[string]func(*session, *subscriber){
		"in the clock": func(_ *session, sub *subscriber) { sub.strike(time.Now().Add(time.Minute), false) },
		"in who appends": func(sess *session, _ *subscriber) {
			sess.log.Append(eventlog.Entry{Seq: 1, Frame: []byte("data: x\n\n")})
		},
		"in the poller":            func(_ *session, sub *subscriber) { sub.Ready() },
		"as it ends in the poller": func(_ *session, sub *subscriber) { sub.line.conn.Close(); sub.Ready() },
	} {
		if !poll.Supported && strings.HasSuffix(name, " poller") {
			continue // there is none
		}
		sess, ends := crowd(t, 2)
		bad, good := sess.tabs[0], sess.tabs[1]
		over := make(chan struct{})
		done := bad.over
		bad.over = func() { done(); close(over) }
		bad.leave = func() { sess.unpark(bad) }
		bad.line.mu.Lock()
		bad.line.raw, bad.line.silence = broken{}, tick
		bad.line.mu.Unlock()
		if poll.Supported {
			w, err := sess.hub.watch(bad.line.conn, bad)
			if err != nil {
				t.Fatal(err)
			}
			bad.line.watch = w
		}
		touch(sess, bad)
		<-over
		if bad.trail.Ended != telemetry.EndGone {
			t.Errorf("%s: the stream ended as %q, want %q", name, bad.trail.Ended, telemetry.EndGone)
		}
		sess.log.Append(eventlog.Entry{Seq: 2, Frame: []byte("data: after\n\n")})
		_ = ends[1].SetReadDeadline(time.Now().Add(time.Minute))
		var got strings.Builder
		for p := make([]byte, 100); !strings.Contains(got.String(), "after"); {
			n, err := ends[1].Read(p)
			if got.Write(p[:n]); err != nil {
				t.Fatalf("%s: the other stream: got %q and %v", name, got.String(), err)
			}
		}
		if !good.waits() {
			t.Errorf("%s: the other stream does not wait any more", name)
		}
	}
}

// Who is written to needs no heartbeat, and who isn't gets one in time, in the
// clock's own goroutine.
func TestTheClockLooksAfterAllWhoWait(t *testing.T) {
	const streams = 50
	sess, ends := crowd(t, streams)
	for _, sub := range sess.tabs {
		sub.line.mu.Lock()
		sub.line.silence = 3 * tick
		sub.line.due = sub.line.ends.Add(-time.Minute) // a step would set it anew
		sess.hub.clock.put(sub, sub.line.next())
		sub.line.mu.Unlock()
	}
	for i, end := range ends {
		_ = end.SetReadDeadline(time.Now().Add(time.Minute))
		got := make([]byte, 3*len(beat))
		if _, err := io.ReadFull(httputil.NewChunkedReader(end), got); err != nil || string(got) != strings.Repeat(string(beat), 3) {
			t.Fatalf("stream %d: got %q and %v, want heartbeats", i, got, err)
		}
	}
	for _, sub := range sess.tabs {
		sub.line.mu.Lock()
		if sub.line.due.Equal(sub.line.ends) {
			t.Error("a step was begun for a heartbeat")
		}
		sub.line.mu.Unlock()
	}
}

func TestWhoWasWrittenToMeanwhileGetsNoHeartbeat(t *testing.T) {
	sess, ends := crowd(t, 1)
	sub := sess.tabs[0]
	sub.strike(time.Now(), false)
	sess.log.Append(eventlog.Entry{Seq: 1, Frame: []byte("data: x\n\n")})
	_ = ends[0].SetReadDeadline(time.Now().Add(time.Minute))
	got := make([]byte, 4)
	if _, err := io.ReadFull(httputil.NewChunkedReader(ends[0]), got); err != nil || string(got) != "data" {
		t.Errorf("got %q and %v, want the event first", got, err)
	}
}

// What changes while a step is under way it may have looked at before.
func TestAStepLooksAgainAtWhatChangedMeanwhile(t *testing.T) {
	sess, _ := crowd(t, 1)
	sub := sess.tabs[0]
	at := func(state lineState) {
		sub.line.mu.Lock()
		defer sub.line.mu.Unlock()
		sub.line.state, sub.line.poked = state, false
	}
	for name, change := range map[string]func(){"the session": sess.poke, "the hub": sess.rouse, "the connection": func() { sub.line.gone = true }} {
		at(working)
		change()
		if sub.settle(parked, sub.line.ends) {
			t.Errorf("%s has changed: the line waits", name)
		}
		sub.line.gone = false
	}
	at(resting)
	sess.poke()
	if sub.line.mu.Lock(); sub.line.state != resting || !sub.line.poked {
		t.Error("a stream that waits to ask AnyFrame again asks because the session changed")
	}
	sub.line.mu.Unlock()
	at(parked)
}

func TestTheClockKeepsTheEarliestTime(t *testing.T) {
	sess, _ := crowd(t, 3)
	c := &sess.hub.clock
	subs := sess.tabs
	at := func(sub *subscriber) time.Duration {
		c.mu.Lock()
		defer c.mu.Unlock()
		return time.Duration(sub.line.tick-c.passed) * tick
	}
	now := time.Now()
	c.put(subs[0], now.Add(8*time.Second))
	c.put(subs[1], now.Add(8*time.Second))
	c.put(subs[0], now.Add(6*time.Second)) // the last of its slot takes its place
	c.put(subs[1], now.Add(10*time.Second))
	c.put(subs[2], now.Add(-time.Minute))
	first, second, third := at(subs[0]), at(subs[1]), at(subs[2])
	if first > 6*time.Second+tick || second > 8*time.Second+tick || second <= first || third > tick {
		t.Errorf("got %v, %v and %v, want 6s, 8s and the next tick", first, second, third)
	}
	for _, sub := range subs {
		c.forget(sub)
		c.forget(sub) // does no harm
	}
	if c.mu.Lock(); c.count != 0 {
		t.Errorf("got %d who wait, want none", c.count)
	}
	c.mu.Unlock()
	soon(t, "the clock rests while nobody waits", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return !c.going
	})
	for _, sub := range subs { // for the hub waits for them
		c.put(sub, now)
	}
}
