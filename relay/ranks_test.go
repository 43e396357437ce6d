package relay_test

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay/internal/store"
)

// rankSpy sees what a store is told of sandboxes, before the store does.
type rankSpy struct {
	store.Store
	onAdmit    atomic.Pointer[func(visitor string)]
	onAdmitAll atomic.Pointer[func(all []store.Awake) (after func())]
	onSaveNote atomic.Pointer[func()]
}

func (s *rankSpy) Admit(ctx context.Context, visitor string, rank int64, limit int, ttl time.Duration) (int64, bool, error) {
	if f := s.onAdmit.Load(); f != nil {
		(*f)(visitor)
	}
	return s.Store.Admit(ctx, visitor, rank, limit, ttl)
}

func (s *rankSpy) AdmitAll(ctx context.Context, all []store.Awake, ttl time.Duration) ([]int64, error) {
	if f := s.onAdmitAll.Load(); f != nil {
		defer (*f)(all)()
	}
	return s.Store.AdmitAll(ctx, all, ttl)
}

func (s *rankSpy) SaveNote(ctx context.Context, n store.Note) (store.Note, error) {
	if f := s.onSaveNote.Load(); f != nil {
		(*f)()
	}
	return s.Store.SaveNote(ctx, n)
}

// spied is a harness whose relay tells a spy of its sandboxes.
func spied(t *testing.T) (*harness, *rankSpy) {
	r := newHarness(t, nil, anyframetest.WithAgent(1, atWork))
	r.srv.SetWatch(time.Hour, time.Hour) // else the store would be told again by and by
	spy := &rankSpy{}
	r.srv.WrapStore(func(s store.Store) store.Store {
		spy.Store = s
		return spy
	})
	return r, spy
}

// awake is which sandboxes are counted, lowest rank first.
func (s *rankSpy) awake(t *testing.T) []store.Awake {
	t.Helper()
	all, err := s.Idlest(t.Context(), 1<<62, 1000)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// begin is a visitor who has had an answer, whose sandbox is the nth and counts
// as idle.
func (s *rankSpy) begin(r *harness, n int) *browser {
	r.t.Helper()
	v, _ := r.begin("hi")
	eventually(r.t, "all are counted as idle", func() bool {
		all := s.awake(r.t)
		return len(all) == n && all[n-1].Rank < listening
	})
	return v
}

const listening, busy = 1 << 42, 1 << 43 // what the rank of such sandboxes is above

func TestTheStoreIsToldOfManyStreamsInFewCalls(t *testing.T) {
	t.Parallel()
	r, spy := spied(t)
	const visitors = 16
	awake := make([]*browser, visitors)
	for i := range awake {
		awake[i], _ = r.begin("hi")
	}
	eventually(t, "the store has been told that all turns are over", func() bool {
		all := spy.awake(t)
		return len(all) == visitors && all[visitors-1].Rank < listening
	})
	sleeper, id := r.begin("hi")
	x := sleeper.open("")
	r.plane.Sleep(id)
	x.status("sleeping")
	x.close()
	r.srv.RankNow()
	var mu sync.Mutex
	told, calls := map[string]int{}, 0
	spy.onAdmitAll.Store(new(func(all []store.Awake) func() {
		mu.Lock()
		defer mu.Unlock()
		calls++
		for _, a := range all {
			told[a.Visitor]++
		}
		return func() {}
	}))
	sleeper.open("").status("sleeping") // the store has nothing to know of those who have no sandbox
	r.visitor().open("")
	parallel(visitors, func(i int) { awake[i].open("").turnEnds(1) })
	eventually(t, "all count as listened to", func() bool {
		n := 0
		for _, a := range spy.awake(t) {
			if listening < a.Rank && a.Rank < busy {
				n++
			}
		}
		return n == visitors
	})
	mu.Lock()
	defer mu.Unlock()
	if len(told) != visitors {
		t.Errorf("got %d told of, want the %d whose sandboxes run", len(told), visitors)
	}
	if calls == 0 || calls > visitors/2 {
		t.Errorf("got %d calls, want few for %d sandboxes", calls, visitors)
	}
}

// A turn begins while the store is told that its sandbox is idle.
func TestTheStoreIsToldTheNewestRankLast(t *testing.T) {
	t.Parallel()
	r, spy := spied(t)
	v := spy.begin(r, 1)
	var turn sync.WaitGroup
	var once sync.Once
	kept, admitted := make(chan struct{}, 100), make(chan struct{}, 100)
	told := make(chan struct{})
	spy.onAdmitAll.Store(new(func([]store.Awake) (after func()) {
		after = func() {}
		once.Do(func() {
			spy.onSaveNote.Store(new(func() { kept <- struct{}{} }))
			spy.onAdmit.Store(new(func(string) { admitted <- struct{}{} }))
			turn.Go(func() {
				if a, err := v.try(t.Context(), "work", "k2"); err != nil || a.status != http.StatusAccepted {
					t.Errorf("got %d %s, %v, want it accepted", a.status, a.body, err)
				}
			})
			<-kept // AnyFrame has it; next the store would be told that it is at work
			select {
			case <-admitted: // too early
			case <-time.After(300 * time.Millisecond):
			}
			after = func() { close(told) }
		})
		return after
	}))
	v.open("").turnEnds(1)
	r.srv.RankNow()
	<-told
	turn.Wait()
	if got := spy.awake(t)[0].Rank; got < busy {
		t.Errorf("got rank %d, want one of a sandbox at work, above %d", got, busy)
	}
}

// Of one sandbox the store is told for long; that holds up no other, and it is
// told again afterwards.
func TestWhoeverIsToldOfOneHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	r, spy := spied(t)
	slow := spy.begin(r, 1)
	which := spy.awake(t)[0].Visitor
	other := spy.begin(r, 2)
	entered, release := make(chan string, 100), make(chan struct{})
	told := make(chan []store.Awake, 100)
	spy.onAdmit.Store(new(func(visitor string) {
		if visitor == which {
			entered <- visitor
			<-release
		}
	}))
	var turn sync.WaitGroup
	defer turn.Wait()
	turn.Go(func() { _, _ = slow.try(t.Context(), "work", "k2") })
	<-entered
	spy.onAdmitAll.Store(new(func(all []store.Awake) func() {
		told <- all
		return func() {}
	}))
	slow.open("").turnEnds(1)
	other.open("").turnEnds(1)
	turn.Go(r.srv.RankNow)
	for _, a := range <-told {
		if a.Visitor == which {
			t.Errorf("got told of %q twice at once, want the other alone", a.Visitor)
		}
	}
	close(release)
	<-entered // again
	eventually(t, "one counts as listened to and one as at work", func() bool {
		all := spy.awake(t)
		return listening < all[0].Rank && all[0].Rank < busy && busy < all[1].Rank && all[1].Visitor == which
	})
}
