package stream

import (
	"bufio"
	"bytes"
	"io"
	"net/http/httputil"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/eventlog"
	"github.com/anyframe-relay/relay/relay/internal/poll"
	"github.com/anyframe-relay/relay/relay/internal/telemetry"
)

// underRace: the race detector makes pools drop some of their items.
var underRace bool

// The cost of an event per stream must not include allocations.
func TestIdle_EventForTab_AllocatesNothing(t *testing.T) {
	frame := []byte("event: text\ndata: {}\n\n")
	perEvent := func(streams int) float64 {
		src, _, browsers := newIdleStreams(t, streams)
		discardAll(browsers)
		seq := int64(0)
		return testing.AllocsPerRun(500, func() {
			seq++
			src.log.Append(eventlog.Entry{Seq: seq, Frame: frame})
		})
	}
	most := 1.0 // the garbage collector may empty a pool
	if underRace {
		most = 3 * 20
	}
	if got := perEvent(20); got > most {
		t.Errorf("20 streams: got %v allocations an event, want %v at most", got, most)
	}
}

func TestIdle_Append_IsWrittenByWhoeverAppends(t *testing.T) {
	src, all, browsers := newIdleStreams(t, 2)
	const frame = "event: text\ndata: {}\nid: 1-1\n\n"
	src.log.Append(eventlog.Entry{Seq: 1, Frame: []byte(frame)})
	for i, browser := range browsers {
		if !all[i].isIdle() {
			t.Error("a step was begun for what could be written at once")
		}
		receives(t, "each stream", browser, frame)
	}
}

// A browser that reads nothing must not block the goroutine that appends. If its
// connection accepted only a part of an event, writing continues from there.
func TestIdle_FullConnection_BlocksNobody(t *testing.T) {
	src, all, browsers := newIdleStreams(t, 1)
	total := 0
	for seq := int64(1); all[0].isIdle(); seq++ {
		frame := bytes.Repeat([]byte("x"), 1<<20)
		total += len(frame)
		src.log.Append(eventlog.Entry{Seq: seq, Frame: frame})
		if seq > 100 {
			t.Fatal("the connection takes 100 MiB and is never full")
		}
	}
	if n, err := io.CopyN(io.Discard, httputil.NewChunkedReader(browsers[0]), int64(total)); err != nil {
		t.Errorf("got %d bytes and %v, want %d", n, err, total)
	}
	soon(t, "the stream waits again", func() bool { return all[0].isIdle() })
}

func TestSealChunk_IsOneChunk(t *testing.T) {
	for _, n := range []int{1, 15, 16, 255, 70_000} {
		var s scratch
		s.add(bytes.Repeat([]byte("y"), n))
		got, err := io.ReadAll(httputil.NewChunkedReader(bufio.NewReader(io.MultiReader(bytes.NewReader(sealChunk(&s.out)), strings.NewReader("0\r\n\r\n")))))
		if err != nil || len(got) != n {
			t.Errorf("%d bytes: got %d and %v", n, len(got), err)
		}
	}
}

func TestIdle_Drain_SetsTheEnd(t *testing.T) {
	_, all, _ := newIdleStreams(t, 1)
	st := all[0]
	st.server.Drain()
	soon(t, "the stream waits for its end", func() bool {
		st.mu.Lock()
		defer st.mu.Unlock()
		return st.state == idle && !st.drained.IsZero() && st.due.Equal(st.drained)
	})
}

// The wheel has removed the stream and not called it yet when the server drains.
func TestIdle_DrainBetweenTickAndCall_SetsTheEnd(t *testing.T) {
	for name, silence := range map[string]time.Duration{"nothing is due": time.Hour, "a heartbeat is due": tick / 2} {
		_, all, _ := newIdleStreams(t, 1)
		st := all[0]
		st.mu.Lock()
		st.silence = silence
		st.mu.Unlock()
		st.server.wheel.takeUntil(nil, true)
		st.server.Drain()
		st.onTick(time.Now(), false)
		soon(t, name+": the stream knows its end", func() bool {
			st.mu.Lock()
			defer st.mu.Unlock()
			return st.state == idle && !st.drained.IsZero()
		})
	}
}

// broken is a connection on which every attempt to read or write panics.
type broken struct{ syscall.RawConn }

func (broken) Write(func(uintptr) bool) error { panic("write") }
func (broken) Read(func(uintptr) bool) error  { panic("read") }

// A panic in work that others do for a stream ends only this stream.
func TestIdle_Panic_EndsItAlone(t *testing.T) {
	for name, touch := range map[string]func(*fakeSource, *stream){
		"in the wheel": func(_ *fakeSource, st *stream) { st.onTick(time.Now().Add(time.Minute), false) },
		"in whoever appends": func(src *fakeSource, _ *stream) {
			src.log.Append(eventlog.Entry{Seq: 1, Frame: []byte("data: x\n\n")})
		},
		"in the poller":            func(_ *fakeSource, st *stream) { st.Ready() },
		"as it ends in the poller": func(_ *fakeSource, st *stream) { st.conn.net.Close(); st.Ready() },
	} {
		t.Run(name, func(t *testing.T) {
			if !poll.Supported && strings.HasSuffix(name, "poller") {
				return // there is none
			}
			src, all, browsers := newIdleStreams(t, 2)
			bad := all[0]
			over := make(chan string, 1)
			bad.mu.Lock()
			bad.done = func(reason string) { over <- reason }
			bad.conn.raw, bad.silence = broken{}, tick
			if poll.Supported {
				w, err := poll.Of(bad.conn.net, bad)
				if err != nil {
					t.Fatal(err)
				}
				bad.conn.watch = w
			}
			bad.mu.Unlock()
			touch(src, bad)
			if got := <-over; got != telemetry.EndGone || bad.info.Ended != got {
				t.Errorf("the stream ended as %q, noted as %q, want %q", got, bad.info.Ended, telemetry.EndGone)
			}
			const after = "data: after\n\n"
			if src.log.Head() == 1 {
				receives(t, "the other stream", browsers[1], "data: x\n\n")
			}
			src.log.Append(eventlog.Entry{Seq: 2, Frame: []byte(after)})
			receives(t, "the other stream", browsers[1], after)
			if !all[1].isIdle() {
				t.Error("the other stream does not wait any more")
			}
		})
	}
}

// What changes during a step may have changed after the step looked.
func TestStep_ChangedMeanwhile_LooksAgain(t *testing.T) {
	src, all, _ := newIdleStreams(t, 1)
	st := all[0]
	enter := func(s state) {
		st.mu.Lock()
		defer st.mu.Unlock()
		st.state, st.changed = s, false
	}
	for name, change := range map[string]func(){
		"the session": src.watchers.Notify, "the connection": func() { st.gone = true },
	} {
		enter(running)
		change()
		if st.suspend(idle, st.ends) {
			t.Errorf("%s has changed: the stream waits", name)
		}
		st.gone = false
	}
	enter(backingOff)
	src.watchers.Notify()
	if st.mu.Lock(); st.state != backingOff || !st.changed {
		t.Error("a stream that backs off reads the history again because the session changed")
	}
	st.mu.Unlock()
	enter(running)
	st.server.Drain() // by now no wheel can reach the stream
	if st.suspend(idle, st.ends) {
		t.Error("the server drains: the stream waits for its lifetime")
	}
	st.drained = time.Now().Add(time.Minute)
	if !st.suspend(idle, st.ends) {
		t.Error("the stream knows its end, and does not wait for it")
	}
}
