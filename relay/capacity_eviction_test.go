package relay_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
	"github.com/anyframe-relay/relay/relay/internal/capacity"
	"github.com/anyframe-relay/relay/relay/internal/session"
	"github.com/anyframe-relay/relay/relay/internal/store"
	"github.com/anyframe-relay/relay/relay/internal/store/stores"
)

// The agent was found to be idle, and its visitor's next turn comes before the sandbox is
// down.
func TestCapacity_TurnDuringEviction_SentAfterwards(t *testing.T) {
	t.Parallel()
	r := newHarness(t, func(c *relay.Config) { c.MaxSessions, c.SendWait = 1, patience }, anyframetest.WithAgent(1, atWork))
	v, id := r.begin("hi")
	r.idle(id)
	r.plane.Inject(anyframetest.Fault{Kind: anyframetest.Late, Op: anyframetest.OpTranscript, Session: id, Delay: time.Second, Times: 1})
	other, asked := r.visitor(), r.plane.Count(anyframetest.OpTranscript)
	var wg sync.WaitGroup
	wg.Go(func() {
		if a, err := other.try(t.Context(), "hi", "k1"); err != nil || a.status != http.StatusAccepted {
			t.Errorf("for whom room is made: got %d %s, %v, want 202", a.status, a.body, err)
		}
	})
	r.plane.WaitFor(t, func() bool { return r.plane.Count(anyframetest.OpTranscript) > asked })
	v.insist("work", "k2")
	wg.Wait()
	var calls []anyframetest.Op
	for _, req := range r.plane.Requests() {
		if strings.Contains(req.Path, id) && (req.Op == anyframetest.OpMessage || req.Op == anyframetest.OpTerminate) {
			calls = append(calls, req.Op)
		}
	}
	if want := []anyframetest.Op{anyframetest.OpMessage, anyframetest.OpTerminate, anyframetest.OpMessage}; !slices.Equal(calls, want) {
		t.Errorf("got %q, want %q", calls, want)
	}
	r.atMost(1)
}

func TestCapacity_EvictedVisitor_ContinuesWithNextTurn(t *testing.T) {
	t.Parallel()
	r := newHarness(t, func(c *relay.Config) { c.MaxSessions = 1 }, anyframetest.WithAgent(1, talk))
	a, b := r.visitor(), r.visitor()
	x, y := a.open(""), b.open("")
	for i := range 3 {
		for _, v := range []*browser{a, b} {
			v.insist(fmt.Sprint("turn ", i), fmt.Sprint("k", i))
			map[*browser]*stream{a: x, b: y}[v].turnEnds(i + 1)
		}
	}
	all := r.plane.Sessions()
	if len(all) != 2 {
		t.Fatalf("got %d sessions, want one for each visitor", len(all))
	}
	for _, v := range []*browser{a, b} {
		_, epoch := v.session()
		if epoch != 1 {
			t.Errorf("got epoch %d, want the conversation to go on", epoch)
		}
	}
	x.matches("the first visitor's", r.oracle(1, all[0].ID))
	y.matches("the second visitor's", r.oracle(1, all[1].ID))
	r.atMost(1)
}

// A replica asks whether the sandbox is down, and the response is delayed until another
// replica has woken it.
func TestCapacity_WokenWhileSeenDown_Counts(t *testing.T) {
	overStores(t, func(t *testing.T, share sharing) {
		t.Parallel()
		a, b := replicas(t, overHTTP1, share, func(c *relay.Config) { c.MaxSessions = 1 }, anyframetest.WithAgent(1, atWork))
		there, id := b.begin("hi")
		b.idle(id)
		tab := there.open("")
		defer tab.close()
		tab.turnEnds(1)
		tab.status("running")
		const before = 1 // the end of the stream is checked first
		asked := b.plane.Count(anyframetest.OpGet)
		b.plane.Inject(anyframetest.Fault{Kind: anyframetest.Late, Op: anyframetest.OpGet, Session: id, Delay: 500 * time.Millisecond, After: before, Times: 1})
		b.plane.Sleep(id)
		b.plane.WaitFor(t, func() bool { return b.plane.Count(anyframetest.OpGet) > asked+before })
		var wg sync.WaitGroup
		wg.Go(func() { there.at(a).insist("hi", "k2") })
		for range 20 { // the response arrives in the meantime
			if got, err := b.visitor().try(t.Context(), "hi", "k1"); err != nil || got.status != http.StatusAccepted && got.code() != "at_capacity" {
				t.Errorf("others: got %d %s, %v, want it accepted or at_capacity", got.status, got.body, err)
			}
			time.Sleep(50 * time.Millisecond)
		}
		wg.Wait()
		a.atMost(1)
	})
}

// The sandbox of an ended conversation goes down when that of the next one is already up:
// the visitor's count belongs to the next one.
func TestCapacity_NextConversationBegunWhileLastIsStored_Counts(t *testing.T) {
	overStores(t, func(t *testing.T, share sharing) {
		t.Parallel()
		a, b := replicas(t, overHTTP1, share, func(c *relay.Config) { c.MaxSessions, c.RateSessions = 1, nil },
			anyframetest.WithSnapshotDelay(100*time.Millisecond), anyframetest.WithAgent(1, atWork))
		here, id := a.begin("hi")
		a.idle(id)
		here.do("DELETE", "/v1/session", "")
		here.at(b).insist("work", "k2")
		for range 20 {
			for _, r := range []*harness{a, b} {
				r.visitor().refused("hi", "k1", http.StatusServiceUnavailable, "at_capacity")
			}
			time.Sleep(20 * time.Millisecond)
		}
		a.atMost(1)
	})
}

// A replica that waits for a sandbox that another replica wakes needs no room for it.
func TestCapacity_NoRoomWhereAnotherWakes_ShownRunning(t *testing.T) {
	overStores(t, func(t *testing.T, share sharing) {
		t.Parallel()
		a, b := replicas(t, overHTTP1, share, func(c *relay.Config) { c.MaxSessions = 1 },
			anyframetest.WithBootDelay(500*time.Millisecond), anyframetest.WithAgent(1, atWork))
		here := b.visitor()
		var wg sync.WaitGroup
		wg.Go(func() { here.insist("work", "k1") })
		b.plane.WaitFor(t, func() bool { return b.plane.Count(anyframetest.OpCreate) == 1 })
		st, err := stores.Open(t.Context(), a.conf.Store)
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		if _, _, err := st.Admit(t.Context(), "counted by a process that does not know that it is down", capacity.Busy, 0, time.Hour); err != nil {
			t.Fatal(err)
		}
		tab := here.at(a).open("")
		wg.Wait()
		tab.stands("running")
		if all := statuses(tab.all()); slices.Contains(all, "1 failed") {
			t.Errorf("got %q, want it never failed", all)
		}
	})
}

// refusing is a store that refuses to count one sandbox about to be woken.
type refusing struct {
	store.Store
	next atomic.Bool
}

func (s *refusing) Admit(ctx context.Context, visitor string, rank int64, limit int, ttl time.Duration) (int64, bool, error) {
	if limit > 0 && s.next.CompareAndSwap(true, false) {
		return 0, false, errors.New("the store is away")
	}
	return s.Store.Admit(ctx, visitor, rank, limit, ttl)
}

// The operator wakes a sandbox, and the relay's wait for it fails.
func TestCapacity_WaitForBootFails_ShownRunningAllTheSame(t *testing.T) {
	t.Parallel()
	disk := sqliteFile(t)
	spy := new(refusing)
	r := newHarness(t, func(c *relay.Config) {
		disk(c)
		c.Tune(relay.Tuning{
			Session: session.Tuning{Resync: 100 * time.Millisecond},
			Store:   func(s store.Store) session.Store { spy.Store = s; return spy },
		})
	}, anyframetest.WithBootDelay(2*time.Second), anyframetest.WithAgent(1, speak))
	v, id := r.begin("hi")
	r.idle(id)
	r.plane.Sleep(id)
	r.restart()
	spy.next.Store(true)
	r.plane.Wake(id)
	tab := v.open("")
	eventually(t, "the store refuses", func() bool { return !spy.next.Load() })
	tab.stands("running")
}

// Another process holds the waking lease, and the sandbox was counted for a wake that
// never began.
func TestCapacity_WakeNeverBegun_NotCounted(t *testing.T) {
	t.Parallel()
	r := newHarness(t, sqliteFile(t), anyframetest.WithAgent(1, speak))
	v, id := r.begin("hi")
	r.idle(id)
	counted := func(want float64) {
		t.Helper()
		eventually(t, fmt.Sprint(want, " counted"), func() bool { return metric(t, r.reg, "relay_sessions_awake") == want })
	}
	r.plane.Sleep(id)
	counted(0)
	r.restartWith(func(c *relay.Config) { c.BootTimeout, c.SendWait = time.Second, time.Second })
	visitor, err := r.srv.VisitorOf(t.Context(), v.token)
	if err != nil {
		t.Fatal(err)
	}
	st, err := stores.Open(t.Context(), r.conf.Store)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	eventually(t, "the lease is free", func() bool { // the relay holds it while it stops counting the sandbox
		_, ok, err := st.Acquire(t.Context(), "wake:"+visitor, "another process", 10*time.Second)
		return ok && err == nil
	})
	v.refused("hi", "k2", http.StatusServiceUnavailable, "session_booting")
	counted(1)
	counted(0)
}

// Many more visitors than sandboxes, on two processes: sandboxes are constantly put to
// sleep and woken, also by the other process. No turn may be lost or cut short.
func TestCapacity_EvictionUnderLoad_LosesNoTurn(t *testing.T) {
	t.Parallel()
	overStores(t, func(t *testing.T, share sharing) {
		t.Parallel()
		const visitors, turns, limit = 6, 4, 2
		a, b := replicas(t, overHTTP1, share, func(c *relay.Config) { c.MaxSessions, c.SendWait = limit, time.Minute },
			anyframetest.WithSnapshotDelay(5*time.Millisecond), anyframetest.WithBootDelay(5*time.Millisecond), anyframetest.WithAgent(1, speak))
		var wg sync.WaitGroup
		for range visitors {
			here := a.visitor()
			there := here.at(b)
			wg.Go(func() {
				x := here.open("")
				defer x.close()
				for i := range turns {
					v := here
					if i%2 == 1 {
						v = there
					}
					for deadline := time.Now().Add(patience); ; {
						got, err := v.try(t.Context(), fmt.Sprint("turn ", i), fmt.Sprint("k", i))
						if err == nil && got.status == http.StatusAccepted {
							break
						}
						if err != nil || got.status != http.StatusServiceUnavailable || time.Now().After(deadline) {
							t.Errorf("turn %d: got %d %s, %v, want it accepted in the end", i, got.status, got.body, err)
							return
						}
					}
					x.turnEnds(i + 1)
				}
				if n := slices.IndexFunc(x.all(), func(e event) bool { return e.kind == "turn_end" && e.str("reason") != "done" }); n >= 0 {
					t.Errorf("got %v, want every turn done", x.all()[n])
				}
			})
		}
		wg.Wait()
		for _, s := range a.plane.Sessions() {
			if got := a.taken(s.ID); !slices.Equal(got, []string{"turn 0", "turn 1", "turn 2", "turn 3"}) {
				t.Errorf("got turns %q, want each once and in order", got)
			}
		}
		if n := len(a.plane.Sessions()); n != visitors {
			t.Errorf("got %d sessions, want %d", n, visitors)
		}
		a.atMost(limit)
	})
}
