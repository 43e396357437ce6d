package pump_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/anyframe-relay/relay/relay/internal/admission"
	"github.com/anyframe-relay/relay/relay/internal/group"
	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/pump"
)

func at(addr string) admission.Claim { return admission.Claim{Addr: addr} }

// bench is a reader whose session consists of channels: a wake waits for its result, and
// a stream lasts until the sandbox sleeps.
type bench struct {
	*pump.Reader
	members group.Group
	cancel  context.CancelFunc

	woken   chan error    // the result of each wake
	asleep  chan struct{} // ends a stream
	running atomic.Bool
	faults  atomic.Int32 // how many wakes panic first
	wakes   atomic.Int32
	streams atomic.Int32 // number of opened streams
	left    atomic.Int32

	parks   atomic.Bool
	wake    atomic.Pointer[func()]
	resumed chan string // the result of each Resume
	runs    atomic.Int32
	closed  atomic.Int32
}

// following is a stream. With parks, it is silent after its data, instead of waiting.
type following struct {
	*bench
	ctx    context.Context
	opened func()
	open   bool
}

func (f *following) Run(wake func()) (parked bool) {
	f.runs.Add(1)
	if !f.open {
		f.open = true
		f.streams.Add(1)
		f.opened()
	}
	if f.parks.Load() && f.ctx.Err() == nil {
		f.wake.Store(&wake)
		return true
	}
	select {
	case <-f.asleep:
		f.running.Store(false)
	case <-f.ctx.Done():
	}
	return false
}

func (f *following) Resume(wake func()) (parked bool) {
	switch do := <-f.resumed; do {
	case "park":
		f.wake.Store(&wake)
		return true
	case "panic":
		panic("a fault of our own")
	}
	return false
}

func (f *following) Close() { f.closed.Add(1) }

// onBench runs a test with a reader in a bubble of its own.
func onBench(t *testing.T, test func(t *testing.T, b *bench)) {
	synctest.Test(t, func(t *testing.T) {
		b := &bench{woken: make(chan error), asleep: make(chan struct{}), resumed: make(chan string, 1)}
		var ctx context.Context
		ctx, b.cancel = context.WithCancel(t.Context())
		b.Reader = pump.NewReader(pump.Hooks{
			Join:    b.members.Add,
			Leave:   b.members.Done,
			Context: func() context.Context { return ctx },
			Running: b.running.Load,
			Guard: func(do func()) (ended bool) {
				defer func() { _ = recover() }()
				do()
				return true
			},
			Wake: func(ctx context.Context, _ *pump.Call) error {
				b.wakes.Add(1)
				if b.faults.Add(-1) >= 0 {
					panic("a fault of our own")
				}
				select {
				case err := <-b.woken:
					b.running.Store(err == nil)
					return err
				case <-ctx.Done():
					return ctx.Err()
				}
			},
			Follow: func(ctx context.Context, opened func()) pump.Follower {
				return &following{bench: b, ctx: ctx, opened: opened}
			},
			Left: func(context.Context) { b.left.Add(1) },
		})
		test(t, b)
		b.cancel()
		b.members.Close()
		if b.Busy() || b.Waking() {
			t.Errorf("got busy %v, waking %v in the end, want neither", b.Busy(), b.Waking())
		}
	})
}

func TestWake_ManyAtOnce_OneCall(t *testing.T) {
	onBench(t, func(t *testing.T, b *bench) {
		first := b.Wake(at("192.0.2.1"))
		for range 10 {
			if b.Wake(at("192.0.2.2")) != first {
				t.Fatal("got another call, want the one that is under way")
			}
		}
		b.woken <- nil
		<-first.Done()
		synctest.Wait()
		if first.Err() != nil || b.wakes.Load() != 1 || b.streams.Load() != 1 {
			t.Errorf("got %v, %d wakes, %d streams, want one of each", first.Err(), b.wakes.Load(), b.streams.Load())
		}
		select {
		case <-b.Connected():
		default:
			t.Error("got a stream that is not open, want it open")
		}
	})
}

func TestWake_Fails_PumpEndsAndNextTryIsAnother(t *testing.T) {
	onBench(t, func(t *testing.T, b *bench) {
		first := b.Wake(at("a"))
		b.woken <- problem.Capacity
		<-first.Done()
		synctest.Wait()
		if !errors.Is(first.Err(), problem.Capacity) || b.Busy() || b.left.Load() != 1 {
			t.Errorf("got %v, busy %v, left %d times, want a pump that has ended", first.Err(), b.Busy(), b.left.Load())
		}
		if second := b.Wake(at("a")); second == first {
			t.Error("got the call that has failed, want another")
		}
		b.woken <- nil
	})
}

// If a sandbox turns out to be asleep, another pump wakes it; the one that read its
// stream ends.
func TestWake_WhileStreamIsRead_ReadAnew(t *testing.T) {
	onBench(t, func(t *testing.T, b *bench) {
		b.Wake(at("a"))
		b.woken <- nil
		synctest.Wait()
		old, _ := b.Current()
		call := b.Wake(at("a"))
		<-old.Done()
		b.woken <- nil
		<-call.Done()
		synctest.Wait()
		if now, _ := b.Current(); now == old || b.streams.Load() != 2 {
			t.Errorf("got the same pump %v, %d streams, want another pump and stream", now == old, b.streams.Load())
		}
	})
}

func TestFollow_SandboxSleeps_PumpEnds(t *testing.T) {
	onBench(t, func(t *testing.T, b *bench) {
		b.running.Store(true)
		b.Follow()
		b.Follow()
		synctest.Wait()
		b.asleep <- struct{}{}
		synctest.Wait()
		if b.Busy() || b.streams.Load() != 1 || b.wakes.Load() != 0 {
			t.Errorf("got busy %v, %d streams, %d wakes, want one stream and no pump", b.Busy(), b.streams.Load(), b.wakes.Load())
		}
	})
}

// A caller that only waits for a sandbox that is booting anyway wants no new one; a
// caller that joins may.
func TestDecide_NobodyWantsNewSandbox_CallGivesUp(t *testing.T) {
	onBench(t, func(t *testing.T, b *bench) {
		call := b.Wake(at(""))
		synctest.Wait() // the pump makes the call, and asks
		if b.Join(at("")) != call {
			t.Fatal("got no call under way, want it")
		}
		if addr := b.Decide(call).Addr; addr != "" {
			t.Errorf("got %q, want no caller", addr)
		}
		if b.Join(at("late")) != nil {
			t.Error("joined a call that has given up")
		}
		b.woken <- problem.Booting
		<-call.Done()
		synctest.Wait()
		call = b.Wake(at(""))
		synctest.Wait()
		b.Join(at("192.0.2.1"))
		if addr := b.Decide(call).Addr; addr != "192.0.2.1" {
			t.Errorf("got %q, want who joined", addr)
		}
		b.woken <- nil
	})
}

func TestTakeAway_WhileWaking_Refused(t *testing.T) {
	onBench(t, func(t *testing.T, b *bench) {
		b.Wake(at("a"))
		if p, ok := b.TakeAway(true); ok || p != nil {
			t.Errorf("got %v, %v, want it refused", p, ok)
		}
		b.woken <- nil
		synctest.Wait()
		p, ok := b.TakeAway(true)
		if !ok || p == nil || b.Busy() {
			t.Fatalf("got %v, %v, busy %v, want the pump taken out", p, ok, b.Busy())
		}
		p.Stop()
	})
}

// A caller that waits for a call gets an error if no pump will make it.
func TestWake_OwnerCloses_CallEnds(t *testing.T) {
	onBench(t, func(t *testing.T, b *bench) {
		call := b.Wake(at("a"))
		b.cancel()
		<-call.Done()
		if call.Err() == nil {
			t.Error("got no error from a call that was given up, want one")
		}
		b.members.Close()
		late := b.Wake(at("a"))
		<-late.Done()
		if !errors.Is(late.Err(), problem.Draining) {
			t.Errorf("after the end: got %v, want %v", late.Err(), problem.Draining)
		}
	})
}

func TestPump_FaultOfOurOwn_BeginsAgain(t *testing.T) {
	onBench(t, func(t *testing.T, b *bench) {
		b.faults.Store(2)
		call := b.Wake(at("a"))
		b.woken <- nil
		<-call.Done()
		if call.Err() != nil || b.wakes.Load() != 3 {
			t.Errorf("got %v after %d wakes, want success at the third", call.Err(), b.wakes.Load())
		}
	})
}

// A silent stream has no goroutine. The goroutine that delivers its bytes does what does
// not block, and the rest gets a goroutine of its own.
func TestPump_SilentStream_IsParkedAndGoesOn(t *testing.T) {
	onBench(t, func(t *testing.T, b *bench) {
		b.running.Store(true)
		b.parks.Store(true)
		b.Follow()
		synctest.Wait()
		for i, what := range []string{"park", "more", "park", "panic"} {
			b.resumed <- what
			(*b.wake.Load())()
			synctest.Wait()
			if !b.Busy() || b.streams.Load() != 1 || b.closed.Load() != 0 || b.left.Load() != 0 {
				t.Fatalf("%d: got busy %v, %d streams, closed %d times, want the one stream still", i, b.Busy(), b.streams.Load(), b.closed.Load())
			}
		}
		if n := b.runs.Load(); n != 3 { // the first, and after more and panic
			t.Errorf("got %d runs, want 3", n)
		}
		b.parks.Store(false)
		b.resumed <- "more"
		(*b.wake.Load())()
		b.asleep <- struct{}{}
		synctest.Wait()
		if b.Busy() || b.closed.Load() != 1 || b.left.Load() != 1 {
			t.Errorf("got busy %v, closed %d times, left %d times, want it over", b.Busy(), b.closed.Load(), b.left.Load())
		}
	})
}
