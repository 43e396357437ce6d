package stop_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/anyframe-relay/relay/relay/internal/group"
	"github.com/anyframe-relay/relay/relay/internal/lease"
	"github.com/anyframe-relay/relay/relay/internal/stop"
	"github.com/anyframe-relay/relay/relay/internal/store/memory"
)

// process is one process's desk.
type process struct {
	*stop.Desk
	members group.Group
	cancel  context.CancelFunc
	failed  prometheus.Counter

	mu    sync.Mutex
	fails int         // how many attempts fail first
	done  []stop.Wish // those that were attempted
	hang  bool        // an attempt blocks until the process ends
}

func newProcess(t *testing.T, st *memory.Store, owner string) *process {
	p := &process{}
	var ctx context.Context
	ctx, p.cancel = context.WithCancel(t.Context())
	log := slog.New(slog.DiscardHandler)
	leases := lease.Holder{Store: st, Owner: owner, TTL: 15 * time.Second, Log: log}
	p.failed = prometheus.NewCounter(prometheus.CounterOpts{Name: "failed"})
	p.Desk = &stop.Desk{
		Store: st, Go: p.members.Go, Context: ctx, Log: log, Failed: p.failed,
		Seconds: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "seconds"}),
		Hold: func(ctx context.Context, visitor string) (func(), bool, error) {
			return leases.Try(ctx, "stop:"+visitor)
		},
		Fulfil: func(ctx context.Context, w stop.Wish) error {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.done = append(p.done, w)
			if p.hang {
				<-ctx.Done()
				return ctx.Err()
			}
			if p.fails--; p.fails >= 0 {
				return errors.New("AnyFrame is in trouble")
			}
			return nil
		},
	}
	return p
}

func (p *process) end() {
	p.cancel()
	p.members.Close()
}

func (p *process) request(t *testing.T, w stop.Wish) {
	t.Helper()
	if err := p.Request(t.Context(), w); err != nil {
		t.Fatal(err)
	}
}

// left returns how many wishes the store has.
func left(t *testing.T, st *memory.Store) int {
	t.Helper()
	n, err := st.CountRecords(t.Context(), "stop", time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestRequest_Fails_TriedAgainUntilDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory.New()
		p := newProcess(t, st, "a")
		defer p.end()
		p.fails = 3
		p.request(t, stop.Wish{Visitor: "v", Epoch: 2})
		synctest.Wait()
		if n := left(t, st); n != 1 {
			t.Errorf("got %d wishes in the store while it is tried, want it kept", n)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(p.done) != 4 || p.done[3].Visitor != "v" || p.done[3].Epoch != 2 || left(t, st) != 0 {
			t.Errorf("got %+v tried, %d left, want it done at the fourth try", p.done, left(t, st))
		}
	})
}

// A process crashes with a wish; another fulfills it, without a request.
func TestRun_ProcessDied_OtherSeesItThrough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory.New()
		a, b := newProcess(t, st, "a"), newProcess(t, st, "b")
		defer b.end()
		a.hang = true
		a.request(t, stop.Wish{Visitor: "v", Epoch: 1})
		synctest.Wait() // it is working on it
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { b.Run(ctx) })
		time.Sleep(time.Minute)
		if len(b.done) != 0 {
			t.Errorf("got %+v tried by the other, want it left to the process that is at it", b.done)
		}
		a.end()
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if len(b.done) != 1 || left(t, st) != 0 {
			t.Errorf("got %+v, %d left, want it done by the other", b.done, left(t, st))
		}
		cancel()
		running.Wait()
	})
}

// A process is paused during an attempt for longer than its lease, and another takes the
// wish. From the next attempt on, one process at a time works on it.
func TestFulfil_LeaseLost_OneProcessGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory.New()
		a, b := newProcess(t, st, "a"), newProcess(t, st, "b")
		defer a.end()
		defer b.end()
		var working, together, attempts atomic.Int64
		fulfil := func(context.Context, stop.Wish) error {
			attempts.Add(1)
			if working.Add(1) > 1 {
				together.Add(1)
			}
			time.Sleep(20 * time.Second) // longer than any wait between attempts
			working.Add(-1)
			return errors.New("AnyFrame is in trouble")
		}
		a.Fulfil, b.Fulfil = fulfil, fulfil
		a.request(t, stop.Wish{Visitor: "v", Epoch: 1})
		time.Sleep(time.Second)
		if err := st.Release(t.Context(), "stop:v", "a"); err != nil { // as if it had expired
			t.Fatal(err)
		}
		b.Try("v")
		time.Sleep(time.Minute)
		if together.Load() != 1 {
			t.Fatalf("got %d attempts at the same time as another, want that of the other process", together.Load())
		}
		attempts.Store(0)
		time.Sleep(10 * time.Minute)
		if together.Load() != 1 || attempts.Load() < 10 {
			t.Errorf("got %d attempts, and %d at the same time as another, want no more of these", attempts.Load(), together.Load()-1)
		}
	})
}

// Repeated requests for one conversation are one wish.
func TestRequest_Repeated_OneWish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory.New()
		p := newProcess(t, st, "a")
		defer p.end()
		p.fails = 1
		p.request(t, stop.Wish{Visitor: "v", Epoch: 1, All: true})
		synctest.Wait()
		p.request(t, stop.Wish{Visitor: "v", Epoch: 1})
		time.Sleep(time.Minute)
		synctest.Wait()
		if last := p.done[len(p.done)-1]; !last.All || left(t, st) != 0 {
			t.Errorf("got %+v, %d left, want all of the epoch stopped", last, left(t, st))
		}
	})
}

// Of a visitor's wishes, the one for the newest conversation is kept.
func TestRequest_ForEarlierConversation_LaterOneFulfilled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory.New()
		p := newProcess(t, st, "a")
		defer p.end()
		p.fails = 1
		p.request(t, stop.Wish{Visitor: "v", Epoch: 2})
		synctest.Wait()
		p.request(t, stop.Wish{Visitor: "v", Epoch: 1, All: true})
		time.Sleep(time.Minute)
		synctest.Wait()
		p.mu.Lock()
		defer p.mu.Unlock()
		if n := len(p.done); n != 2 || p.done[1].Epoch != 2 || p.done[1].All || left(t, st) != 0 {
			t.Errorf("got %+v and %d left, want two attempts for epoch 2", p.done, left(t, st))
		}
	})
}

func TestWaiting_Stop_EndsEachRequestOfTheTurn(t *testing.T) {
	var w stop.Waiting
	stopped := map[string]int{}
	add := func(key, who string) func() { return w.Add(key, func() { stopped[who]++ }) }
	leaveA, leaveB, leaveC := add("k", "a"), add("k", "b"), add("other", "c")
	leaveA()
	w.Stop("k")
	leaveB()
	w.Stop("k")
	leaveC()
	w.Stop("other")
	if len(stopped) != 1 || stopped["b"] != 1 {
		t.Errorf("got %v stopped, want the one that waited", stopped)
	}
}
