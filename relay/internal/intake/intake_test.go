package intake_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay/internal/conversation"
	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/eventlog"
	"github.com/anyframe-relay/relay/relay/internal/intake"
	"github.com/anyframe-relay/relay/relay/internal/ledger"
	"github.com/anyframe-relay/relay/relay/internal/redact"
	"github.com/anyframe-relay/relay/relay/internal/store/memory"
	"github.com/anyframe-relay/relay/relay/internal/telemetry"
)

// desk is an intake that reads the scripted control plane's events into a conversation.
type desk struct {
	*intake.Intake
	t      *testing.T
	plane  *anyframetest.Server
	client *anyframe.Client
	id     string
	c      *conversation.Conversation
	slots  atomic.Int32 // taken and not released
	poison atomic.Bool  // the next event causes a panic

	mu    sync.Mutex
	ended []int64 // seqs with which turns ended
}

func newDesk(t *testing.T, opts ...anyframetest.Option) *desk {
	t.Helper()
	d := &desk{t: t, plane: anyframetest.Start(t, opts...)}
	var err error
	d.client, err = anyframe.New(
		anyframe.WithAPIKey(d.plane.Key()), anyframe.WithBaseURL(d.plane.URL()), anyframe.WithDotEnv(""), anyframe.WithTimeout(5*time.Second),
	)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.client.CloseIdleConnections)
	up, err := d.client.Sessions.Create(t.Context(), anyframe.CreateSessionParams{AgentID: d.plane.AgentID()})
	if err != nil {
		t.Fatal(err)
	}
	d.id = up.ID
	if _, err := d.client.Sessions.WaitUntilRunning(t.Context(), d.id, anyframe.WaitOptions{}); err != nil {
		t.Fatal(err)
	}
	d.c = d.converse(0)
	d.Intake = &intake.Intake{
		Options: &intake.Options{Client: d.client, Metrics: telemetry.NewMetrics(prometheus.NewRegistry())},
		Log:     func() *slog.Logger { return slog.New(slog.DiscardHandler) },
		Guard: func(do func()) (ended bool) {
			defer func() { _ = recover() }()
			if d.poison.CompareAndSwap(true, false) {
				panic("a fault of our own")
			}
			do()
			return true
		},
		Slot: func(context.Context) (func(), error) {
			d.slots.Add(1)
			return func() { d.slots.Add(-1) }, nil
		},
		Learned: func(_ *conversation.Conversation, e conversation.Effect) {
			d.mu.Lock()
			defer d.mu.Unlock()
			if e.Ended {
				d.ended = append(d.ended, e.Seq)
			}
		},
	}
	return d
}

// converse returns a process's conversation with the sandbox, whose log begins after
// base.
func (d *desk) converse(base int64) *conversation.Conversation {
	l := ledger.New(ledger.Options{Notes: memory.New(), TTL: time.Hour}, "v", 1, base, slog.New(slog.DiscardHandler))
	o := conversation.Options{
		Visibility: event.VisibilityChat, Patterns: redact.KeyPatterns("afm_key_of_nobody"),
		Limits: eventlog.Limits{Events: 1000, Bytes: 1 << 20, Compact: event.CompactDeltas},
	}
	return conversation.New(&o, 1, d.id, base, l, func() {}, &telemetry.AnswerSpan{})
}

// follow reads the stream until stop is called.
func (d *desk) follow() (stop func()) {
	d.t.Helper()
	ctx, cancel := context.WithCancel(d.t.Context())
	connected := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		f := d.Follow(ctx, d.c, func() { close(connected) }, func(error) bool { return false })
		defer f.Close()
		woken := make(chan struct{}, 1)
		for f.Run(func() { woken <- struct{}{} }) {
			select {
			case <-woken:
			case <-ctx.Done():
				return
			}
		}
	})
	<-connected
	return func() {
		cancel()
		wg.Wait()
		if n := d.slots.Load(); n != 0 {
			d.t.Errorf("got %d slots that were not given back, want none", n)
		}
	}
}

// turn has the agent answer a message, and returns when it is done.
func (d *desk) turn(text string) {
	d.t.Helper()
	d.plane.UserMessage(d.id, text)
	d.plane.WaitFor(d.t, func() bool { info, _ := d.plane.Session(d.id); return !info.Busy })
}

// head returns the last seq of AnyFrame's log.
func (d *desk) head() int64 {
	log := d.plane.Log(d.id)
	if len(log) == 0 {
		return 0
	}
	return log[len(log)-1].Seq
}

// reads waits until the conversation has everything in AnyFrame's log, and fails the test
// unless it has each numbered event once.
func (d *desk) reads(want ...string) {
	d.t.Helper()
	d.plane.WaitFor(d.t, func() bool { return d.c.Log().Head() == d.head() })
	if got := texts(d.t, d.c); !slices.Equal(got, want) {
		d.t.Errorf("got %q, want %q", got, want)
	}
}

// texts returns the agent's whole blocks of text in a conversation's log.
func texts(t *testing.T, c *conversation.Conversation) (all []string) {
	t.Helper()
	entries := make([]eventlog.Entry, 1000)
	n, _, err := c.Log().Read(0, entries)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries[:n] {
		kind, data, _ := strings.Cut(string(e.Frame), "\ndata: ")
		data, _, _ = strings.Cut(data, "\n")
		var text event.TextData
		if kind == "event: text" && json.Unmarshal([]byte(data), &text) == nil && !text.Delta {
			all = append(all, text.Text)
		}
	}
	return all
}

func say(c *anyframetest.Chat) { c.Say("You said " + c.Prompt() + ".") }

// However the stream misbehaves, each event is read once and in order.
func TestFollow_StreamFaulty_EachEventOnceInOrder(t *testing.T) {
	for name, f := range map[string]anyframetest.Fault{
		"cut in a frame":     {Kind: anyframetest.CutAfterBytes, N: 150},
		"one left out":       {Kind: anyframetest.Drop, N: 2},
		"two exchanged":      {Kind: anyframetest.Swap, N: 2},
		"one garbled":        {Kind: anyframetest.Garble, N: 2},
		"all again":          {Kind: anyframetest.ReplayAll, Times: 3},
		"ends early":         {Kind: anyframetest.EndAfterEvents, N: 2},
		"not a stream first": {Kind: anyframetest.Respond, Status: 503},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, anyframetest.WithAgent(1, say))
			d.turn("one")
			f.Op, f.Times = anyframetest.OpEvents, max(f.Times, 1)
			d.plane.Inject(f)
			defer d.follow()()
			d.turn("two")
			d.plane.CutStreams()
			d.turn("three")
			d.reads("You said one.", "You said two.", "You said three.")
			if n := d.plane.FaultsHit(); n == 0 {
				t.Error("the fault did not happen")
			}
		})
	}
}

// An event at which the relay's own code panics is requested again.
func TestFollow_FaultOfOurOwn_EventReadAgain(t *testing.T) {
	t.Parallel()
	d := newDesk(t, anyframetest.WithAgent(1, say))
	defer d.follow()()
	d.poison.Store(true)
	d.turn("one")
	d.reads("You said one.")
	if d.poison.Load() {
		t.Error("the fault did not happen")
	}
}

func TestFollow_TurnEnds_Learned(t *testing.T) {
	t.Parallel()
	d := newDesk(t, anyframetest.WithAgent(1, say))
	stop := d.follow()
	d.turn("one")
	d.reads("You said one.")
	stop()
	if want := []int64{d.head()}; !slices.Equal(d.ended, want) {
		t.Errorf("got turns ended with %v, want %v", d.ended, want)
	}
}

// If the sandbox sleeps, the transcript has what the log lacks.
func TestSync_SandboxSleeps_RestRead(t *testing.T) {
	t.Parallel()
	d := newDesk(t, anyframetest.WithAgent(1, say))
	stop := d.follow()
	d.turn("one")
	d.reads("You said one.")
	stop()
	d.turn("two")
	d.plane.Sleep(d.id)
	if err := d.Sync(t.Context(), d.c); err != nil {
		t.Fatal(err)
	}
	d.reads("You said one.", "You said two.")
}

func TestTail_AgentAtWork_NotIdle(t *testing.T) {
	t.Parallel()
	gate := make(chan struct{})
	d := newDesk(t, anyframetest.WithAgent(1, func(c *anyframetest.Chat) {
		c.Say("Working.")
		select {
		case <-gate:
		case <-c.Context().Done():
		}
	}))
	if tail, idle, err := d.Tail(t.Context(), d.c, 0); tail != 0 || !idle || err != nil {
		t.Errorf("before the first turn: got %d, idle %v, %v", tail, idle, err)
	}
	d.plane.UserMessage(d.id, "go")
	d.plane.WaitFor(t, func() bool { return len(d.plane.Log(d.id)) > 1 })
	if tail, idle, err := d.Tail(t.Context(), d.c, 0); tail == 0 || idle || err != nil {
		t.Errorf("at work: got %d, idle %v, %v, want it not idle", tail, idle, err)
	}
	close(gate)
	d.plane.WaitFor(t, func() bool { info, _ := d.plane.Session(d.id); return !info.Busy })
	if tail, idle, err := d.Tail(t.Context(), d.c, 0); tail != d.head() || !idle || err != nil {
		t.Errorf("when it is done: got %d, idle %v, %v, want %d and idle", tail, idle, err, d.head())
	}
}

// Numbers from visitors are compared with the end of AnyFrame's log, and not sent to
// AnyFrame.
func TestReach_NumbersFromVisitors_OnlyEndIsAskedFor(t *testing.T) {
	t.Parallel()
	d := newDesk(t, anyframetest.WithAgent(1, say))
	d.turn("one")
	r := intake.NewReach(d.Rows)
	for seq, want := range map[int64]bool{1: true, d.head(): true} {
		if known, err := r.Known(t.Context(), d.c, seq); known != want || err != nil {
			t.Errorf("seq %d: got known %v, %v, want %v", seq, known, err, want)
		}
	}
	if n := d.plane.Count(anyframetest.OpTranscript); n != 1 {
		t.Errorf("got %d reads, want one for all numbers that are known", n)
	}
	if known, err := r.Known(t.Context(), d.c, 1<<40); known || err != nil {
		t.Errorf("beyond the end: got known %v, %v, want it unknown", known, err)
	}
	for _, req := range d.plane.Requests() {
		if strings.Contains(req.Path+req.Query.Encode(), "1099511627776") {
			t.Errorf("got %s %v at AnyFrame, want no number that a visitor chose", req.Path, req.Query)
		}
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Known(over, d.c, 1<<41); err == nil {
		t.Error("got an answer for who has left, want the context's error")
	}
}
