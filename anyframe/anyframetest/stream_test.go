package anyframetest_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
)

// noted returns a running session with n notes in its log, numbered from 1.
func noted(t *testing.T, cp *anyframetest.Server, n int) string {
	t.Helper()
	id := running(t, cp)
	note(cp, id, n)
	return id
}

func note(cp *anyframetest.Server, id string, n int) {
	for range n {
		cp.Post(id, map[string]any{"type": "note", "n": len(cp.Log(id)) + 1})
	}
}

func upTo(from, to int64) []int64 {
	var out []int64
	for n := from; n <= to; n++ {
		out = append(out, n)
	}
	return out
}

func wantSeqs(t *testing.T, frames []frame, want []int64) {
	t.Helper()
	if got := seqs(frames); !slices.Equal(got, want) {
		t.Errorf("got seqs %v, want %v", got, want)
	}
}

func TestStream_LastEventID_ReplayStartsAfter(t *testing.T) {
	cp := anyframetest.Start(t, anyframetest.WithSeqStep(2))
	id := noted(t, cp, 4) // 1, 3, 5, 7
	cp.PostUnnumbered(id, map[string]any{"type": "whisper"})
	cp.Sleep(id)
	for _, c := range []struct {
		last string
		want []int64
	}{
		{"", []int64{1, 3, 5, 7}},
		{"0", []int64{1, 3, 5, 7}},
		{"nonsense", []int64{1, 3, 5, 7}},
		{"1", []int64{3, 5, 7}},
		{"4", []int64{5, 7}},
		{"7", nil},
		{"99", nil},
	} {
		l := listen(t, cp, id, c.last)
		if got := l.res.Header.Get("Content-Type"); got != "text/event-stream" {
			t.Errorf("got content type %q, want text/event-stream", got)
		}
		wantSeqs(t, l.wantEnd(), c.want)
	}
}

func TestStream_ReplayToLive_AcrossTurns(t *testing.T) {
	cp := anyframetest.Start(t)
	id := running(t, cp)
	say(t, cp, id, "one")
	l := listen(t, cp, id, "1")
	done := int64(len(cp.Log(id)))
	wantSeqs(t, l.take(int(done-1)), upTo(2, done))
	for range 2 {
		say(t, cp, id, "again")
		next := int64(len(cp.Log(id)))
		wantSeqs(t, l.take(int(next-done)), upTo(done+1, next))
		done = next
	}
	for i, e := range cp.Log(id) {
		if e.Seq != int64(i+1) || e.CreatedAt.IsZero() {
			t.Errorf("got event %d numbered %d at %v, want %d at some time", i, e.Seq, e.CreatedAt, i+1)
		}
	}
}

func TestStream_SessionStops_Ends(t *testing.T) {
	for _, c := range []struct {
		name string
		stop func(cp *anyframetest.Server, id string)
	}{
		{"sleep", func(cp *anyframetest.Server, id string) { cp.Sleep(id) }},
		{"delete", func(cp *anyframetest.Server, id string) { cp.Delete(id) }},
		{"error", func(cp *anyframetest.Server, id string) { cp.SetStatus(id, "error") }},
		{"paused", func(cp *anyframetest.Server, id string) { cp.SetStatus(id, "paused") }},
		{"snapshotting", func(cp *anyframetest.Server, id string) { cp.SetStatus(id, "snapshotting") }},
		{"close", func(cp *anyframetest.Server, _ string) { cp.Close() }},
		{"ended by the server", func(cp *anyframetest.Server, _ string) { cp.EndStreams() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			cp := anyframetest.Start(t)
			id := noted(t, cp, 1)
			one, two := listen(t, cp, id, ""), listen(t, cp, id, "1")
			wantSeqs(t, one.take(1), []int64{1})
			if got := cp.OpenStreams(id); got != 2 || cp.OpenStreams("") != 2 {
				t.Errorf("got %d streams open, want 2", got)
			}
			c.stop(cp, id)
			wantSeqs(t, one.wantEnd(), nil)
			wantSeqs(t, two.wantEnd(), nil)
			cp.WaitFor(t, func() bool { return cp.OpenStreams("") == 0 })
		})
	}
}

func TestStream_SessionBoots_Opens(t *testing.T) {
	cp := anyframetest.Start(t, anyframetest.WithBootDelay(time.Hour))
	id := create(t, cp)
	l := listen(t, cp, id, "")
	cp.SetStatus(id, "running")
	cp.SetStatus(id, "defragmenting") // an unknown status
	note(cp, id, 1)
	wantSeqs(t, l.take(1), []int64{1})
}

func TestStream_Quiet_Comments(t *testing.T) {
	cp := anyframetest.Start(t, anyframetest.WithKeepalive(time.Millisecond))
	id := running(t, cp)
	l := listen(t, cp, id, "")
	for _, f := range l.take(3) {
		if f.comment != ": keepalive" {
			t.Errorf("got %+v, want a comment", f)
		}
	}
}

func TestStream_ClientLeaves_Forgotten(t *testing.T) {
	cp := anyframetest.Start(t)
	id := running(t, cp)
	l := listen(t, cp, id, "")
	cp.WaitFor(t, func() bool { return cp.OpenStreams(id) == 1 })
	if err := l.res.Body.Close(); err != nil {
		t.Fatal(err)
	}
	cp.WaitFor(t, func() bool { return cp.OpenStreams(id) == 0 })
}

func TestStream_CutStreams_Reset(t *testing.T) {
	cp := anyframetest.Start(t)
	id := noted(t, cp, 2)
	l := listen(t, cp, id, "")
	l.take(2)
	cp.CutStreams()
	l.wantCut()
	note(cp, id, 1)
	wantSeqs(t, listen(t, cp, id, "2").take(1), []int64{3})
}

func TestStream_NotRead_OthersUnaffected(t *testing.T) {
	cp := anyframetest.Start(t)
	id := running(t, cp)
	listen(t, cp, id, "") // and never reads
	other := listen(t, cp, id, "")
	big := make([]byte, 1<<20)
	for i := range big {
		big[i] = 'x'
	}
	for n := range int64(16) {
		cp.Post(id, map[string]any{"type": "note", "text": string(big)})
		wantSeqs(t, other.take(1), []int64{n + 1})
	}
	cp.CutStreams()
	cp.WaitFor(t, func() bool { return cp.OpenStreams(id) == 0 })
}

func TestStream_Faults(t *testing.T) {
	const n = 6 // events in the log
	for _, c := range []struct {
		name  string
		fault anyframetest.Fault
		last  string
		want  []int64
		cut   bool
	}{
		{"cut at once", anyframetest.Fault{Kind: anyframetest.CutAfterEvents}, "", nil, true},
		{"cut after two events", anyframetest.Fault{Kind: anyframetest.CutAfterEvents, N: 2}, "1", []int64{2, 3}, true},
		{"end at once", anyframetest.Fault{Kind: anyframetest.EndAfterEvents}, "", nil, false},
		{"end after two events", anyframetest.Fault{Kind: anyframetest.EndAfterEvents, N: 2}, "", []int64{1, 2}, false},
		{"repeat two", anyframetest.Fault{Kind: anyframetest.RepeatLast, N: 2}, "4", []int64{3, 4, 5, 6}, false},
		{"repeat more than there is", anyframetest.Fault{Kind: anyframetest.RepeatLast, N: 99}, "2", upTo(1, n), false},
		{"replay all", anyframetest.Fault{Kind: anyframetest.ReplayAll}, "5", upTo(1, n), false},
		{"drop", anyframetest.Fault{Kind: anyframetest.Drop, N: 2}, "2", []int64{3, 5, 6}, false},
		{"swap", anyframetest.Fault{Kind: anyframetest.Swap, N: 2}, "", []int64{1, 3, 2, 4, 5, 6}, false},
		{"swap the last", anyframetest.Fault{Kind: anyframetest.Swap, N: n}, "", upTo(1, n), false},
		{"garble", anyframetest.Fault{Kind: anyframetest.Garble, N: 2}, "", upTo(1, n), false},
		{"insert garbage", anyframetest.Fault{Kind: anyframetest.InsertGarbage, N: 2}, "", []int64{1, 2, 0, 3, 4, 5, 6}, false},
		{"insert an unknown type", anyframetest.Fault{Kind: anyframetest.InsertUnknown}, "", []int64{0, 1, 2, 3, 4, 5, 6}, false},
		{"insert an unnumbered event", anyframetest.Fault{Kind: anyframetest.InsertUnnumbered, N: n}, "", []int64{1, 2, 3, 4, 5, 6, 0}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			cp := anyframetest.Start(t)
			id := noted(t, cp, n)
			cp.Sleep(id)
			c.fault.Times = 1
			cp.Inject(c.fault)
			l := listen(t, cp, id, c.last)
			var frames []frame
			if c.cut {
				frames = l.wantCut()
			} else {
				frames = l.wantEnd()
			}
			wantSeqs(t, frames, c.want)
			if got := cp.FaultsHit(); got != 1 {
				t.Errorf("got %d faults hit, want 1", got)
			}
			wantSeqs(t, listen(t, cp, id, "").wantEnd(), upTo(1, n))
		})
	}
}

func TestStream_InsertedAndGarbledFrames_Content(t *testing.T) {
	cp := anyframetest.Start(t)
	id := noted(t, cp, 1)
	cp.Sleep(id)
	for _, c := range []struct {
		fault anyframetest.Fault
		at    int
		want  string
	}{
		{anyframetest.Fault{Kind: anyframetest.Garble, N: 1}, 0, `{"n":1,"ty`},
		{anyframetest.Fault{Kind: anyframetest.InsertGarbage, N: 1}, 1, `{"type":"assistant","message":{"content":[{"ty`},
		{anyframetest.Fault{Kind: anyframetest.InsertUnknown, N: 1}, 1, `{"type":"weather_report","sky":"clear"}`},
		{anyframetest.Fault{Kind: anyframetest.InsertUnnumbered, N: 1, Body: `{"type":"own"}`}, 1, `{"type":"own"}`},
	} {
		cp.Inject(c.fault)
		frames := listen(t, cp, id, "").wantEnd()
		cp.ClearFaults()
		if got := frames[c.at].data; got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
}

func TestStream_CutAfterBytes_EveryByte(t *testing.T) {
	cp := anyframetest.Start(t)
	id := noted(t, cp, 2)
	cp.Sleep(id)
	whole := listen(t, cp, id, "")
	whole.wantEnd()
	for n := range whole.bytes + 1 {
		cp.Inject(anyframetest.Fault{Kind: anyframetest.CutAfterBytes, N: n})
		l := listen(t, cp, id, "")
		l.wantCut()
		cp.ClearFaults()
		if l.bytes != n {
			t.Errorf("got %d bytes before the cut, want %d", l.bytes, n)
		}
	}
}

func TestStream_Stalled_SilentUntilEnded(t *testing.T) {
	cp := anyframetest.Start(t, anyframetest.WithKeepalive(time.Millisecond))
	id := noted(t, cp, 3)
	for _, f := range []anyframetest.Fault{
		{Kind: anyframetest.StallAfterEvents, N: 2, Times: 1},
		{Kind: anyframetest.HangAfterHeaders, Op: anyframetest.OpEvents, Times: 1},
	} {
		cp.Inject(f)
		l := listen(t, cp, id, "")
		l.take(f.N)
		note(cp, id, 1)
		healthy := listen(t, cp, id, fmt.Sprint(len(cp.Log(id))))
		healthy.take(5) // five times the keepalive, which the other stream does not get
		cp.EndStreams()
		if frames := l.wantEnd(); len(frames) > 0 {
			t.Errorf("got %v, want nothing", frames)
		}
	}
}
