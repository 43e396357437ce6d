package stream

import (
	"strings"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/eventlog"
)

// A heartbeat needs no step, so the wheel's own goroutine writes it.
func TestWheel_QuietStreams_GetHeartbeats(t *testing.T) {
	_, all, browsers := newIdleStreams(t, 50)
	for _, st := range all {
		st.mu.Lock()
		st.silence = 3 * tick
		st.due = st.ends.Add(-time.Minute) // a step would set it back to ends
		st.server.wheel.put(st, st.nextDue())
		st.mu.Unlock()
	}
	for _, browser := range browsers {
		receives(t, "each stream", browser, strings.Repeat(string(heartbeat), 3))
	}
	for _, st := range all {
		st.mu.Lock()
		if st.due.Equal(st.ends) {
			t.Error("a step was begun for a heartbeat")
		}
		st.mu.Unlock()
	}
}

func TestWheel_JustWritten_GetsNoHeartbeat(t *testing.T) {
	src, all, browsers := newIdleStreams(t, 1)
	all[0].onTick(time.Now(), false)
	const frame = "data: x\n\n"
	src.log.Append(eventlog.Entry{Seq: 1, Frame: []byte(frame)})
	receives(t, "the stream", browsers[0], frame)
}

func TestWheel_SeveralTimes_KeepsTheEarliest(t *testing.T) {
	_, all, _ := newIdleStreams(t, 3)
	w := &all[0].server.wheel
	at := func(st *stream) time.Duration {
		w.mu.Lock()
		defer w.mu.Unlock()
		return time.Duration(st.slot-w.passed) * tick
	}
	now := time.Now()
	w.put(all[0], now.Add(8*time.Second))
	w.put(all[1], now.Add(8*time.Second))
	w.put(all[0], now.Add(6*time.Second)) // the last one of its slot takes its place
	w.put(all[1], now.Add(10*time.Second))
	w.put(all[2], now.Add(-time.Minute))
	first, second, third := at(all[0]), at(all[1]), at(all[2])
	if first > 6*time.Second+tick || second > 8*time.Second+tick || second <= first || third > tick {
		t.Errorf("got %v, %v and %v, want 6s, 8s and the next tick", first, second, third)
	}
	for _, st := range all {
		w.remove(st)
		w.remove(st) // does no harm
	}
	if w.mu.Lock(); w.count != 0 {
		t.Errorf("got %d in the wheel, want none", w.count)
	}
	w.mu.Unlock()
	soon(t, "the wheel stops while no stream waits", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return !w.running
	})
	for _, st := range all { // otherwise Close could not reach them
		w.put(st, now)
	}
}
