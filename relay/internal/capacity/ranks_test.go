package capacity

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
	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/store"
	"github.com/anyframe-relay/relay/relay/internal/store/memory"
	"github.com/anyframe-relay/relay/relay/internal/telemetry"
)

// slowStore is an in-memory store whose calls of AdmitAll, and of Admit for one visitor,
// wait until the test releases them.
type slowStore struct {
	*memory.Store
	all, one chan struct{} // closed to release the calls; nil does not delay them
	visitor  string
	renewals atomic.Int64 // calls of AdmitAll
}

func (s *slowStore) Admit(ctx context.Context, visitor string, rank int64, limit int, ttl time.Duration) (int64, bool, error) {
	if s.one != nil && visitor == s.visitor {
		<-s.one
	}
	return s.Store.Admit(ctx, visitor, rank, limit, ttl)
}

func (s *slowStore) AdmitAll(ctx context.Context, all []store.Awake, ttl time.Duration) ([]int64, error) {
	s.renewals.Add(1)
	if s.all != nil {
		<-s.all
	}
	return s.Store.AdmitAll(ctx, all, ttl)
}

// ranked is a seat whose sandbox's status and rank the test sets.
type ranked struct {
	*Seat
	rank atomic.Int64
}

// withSlowStore runs a test with a gate whose store can be slow.
func withSlowStore(t *testing.T, test func(t *testing.T, st *slowStore, gate *Gate)) {
	synctest.Test(t, func(t *testing.T) {
		var g group.Group
		ctx, cancel := context.WithCancel(t.Context())
		defer g.Close()
		defer cancel()
		st := &slowStore{Store: memory.New()}
		defer st.Close()
		test(t, st, New(ctx, &g, Options{
			Store: st, Max: 10, CountFor: time.Hour, Metrics: telemetry.NewMetrics(prometheus.NewRegistry()), Log: slog.New(slog.DiscardHandler),
		}))
	})
}

// awake returns a seat whose sandbox is counted with a rank.
func awake(t *testing.T, gate *Gate, visitor string, rank int64) *ranked {
	t.Helper()
	r := &ranked{}
	r.rank.Store(rank)
	r.Seat = gate.Seat(visitor, r.rank.Load, func() bool { return true })
	if err := r.Count(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

// wantRank fails the test unless the store has the visitor's rank.
func wantRank(t *testing.T, st *slowStore, visitor string, want int64) {
	t.Helper()
	all, err := st.Idlest(t.Context(), 1<<62, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if a.Visitor == visitor {
			if a.Rank != want {
				t.Errorf("%s: got rank %d, want %d", visitor, a.Rank, want)
			}
			return
		}
	}
	t.Errorf("%s: not counted", visitor)
}

// A process that crashes while an agent works leaves its sandbox counted for as long as it
// may then stay awake. Idle sandboxes are renewed less often.
func TestGate_RenewDue_BusyOftenIdleInTime(t *testing.T) {
	for name, tt := range map[string]struct {
		rank     int64
		fresh    bool // its agent has just finished
		countFor time.Duration
		want     int64 // renewals in almost an hour
	}{
		"busy":                      {Busy + 1, false, time.Hour, 119},
		"idle":                      {1, false, time.Hour, 29},
		"idle with an open stream":  {Listening + 1, false, time.Hour, 29},
		"idle, not counted as long": {1, false, renewIdle, 39},
		"just idle":                 {Listening, true, time.Hour, 1 + 29},
	} {
		t.Run(name, func(t *testing.T) {
			withSlowStore(t, func(t *testing.T, st *slowStore, gate *Gate) {
				gate.CountFor = tt.countFor
				if tt.fresh {
					tt.rank += time.Now().UnixMilli()
				}
				seat := awake(t, gate, "v", tt.rank)
				const rounds, round = 715, 5 * time.Second
				for range rounds {
					time.Sleep(round)
					gate.RenewDue(1, func(int) *Seat { return seat.Seat })
					if n, err := st.CountAwake(t.Context()); n != 1 || err != nil {
						t.Fatalf("got %d counted, %v, want 1", n, err)
					}
				}
				if got := st.renewals.Load(); got != tt.want {
					t.Errorf("renewals in %v: got %d, want %d", rounds*round, got, tt.want)
				}
			})
		})
	}
}

// A turn begins while the store is being updated that its sandbox is idle.
func TestSeat_BusyWhileToldIdle_StoreKnowsBusy(t *testing.T) {
	withSlowStore(t, func(t *testing.T, st *slowStore, gate *Gate) {
		seat := awake(t, gate, "v", 1)
		st.all = make(chan struct{})
		seat.rank.Store(2)
		seat.RankLater()
		var wg sync.WaitGroup
		wg.Go(gate.RankNow)
		synctest.Wait()
		seat.rank.Store(Busy + 1)
		wg.Go(func() { seat.Renew(t.Context()) })
		synctest.Wait()
		close(st.all)
		wg.Wait()
		wantRank(t, st, "v", Busy+1)
	})
}

// A store call about one sandbox is slow; the others are written in the meantime, and
// that one again afterwards.
func TestGate_StoreSlowForOneSandbox_OthersTold(t *testing.T) {
	withSlowStore(t, func(t *testing.T, st *slowStore, gate *Gate) {
		slow, other := awake(t, gate, "slow", 1), awake(t, gate, "other", 1)
		st.visitor, st.one = "slow", make(chan struct{})
		slow.rank.Store(2)
		var wg sync.WaitGroup
		wg.Go(func() { slow.Renew(t.Context()) })
		synctest.Wait()
		slow.rank.Store(Listening + 3)
		other.rank.Store(Listening + 4)
		slow.RankLater()
		other.RankLater()
		wg.Go(gate.RankNow)
		synctest.Wait()
		wantRank(t, st, "slow", 1)
		wantRank(t, st, "other", Listening+4)
		close(st.one)
		wg.Wait()
		wantRank(t, st, "slow", Listening+3)
	})
}

// A process that has not yet seen that a sandbox is down renews its count. That is no
// room to wake it in.
func TestSeat_CountedWithoutRoom_RoomMadeOrRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		max, own int
		idle     bool
	}{
		"another is idle": {max: 1, idle: true}, "none is idle": {max: 1},
		"another of the site is idle": {max: 9, own: 1, idle: true}, "none of the site is idle": {max: 9, own: 1},
	} {
		t.Run(name, func(t *testing.T) {
			withSlowStore(t, func(t *testing.T, st *slowStore, gate *Gate) {
				gate.Max = tt.max
				gate.SetOwn(tt.own)
				slept := 0
				gate.Sleep = func(ctx context.Context, a store.Awake) (bool, error) {
					if tt.idle {
						slept++
						return true, st.Leave(ctx, a.Visitor, a.Ticket)
					}
					return false, nil
				}
				awake(t, gate, "other", 1)
				asleep := awake(t, gate, "asleep", 2) // as Count and Renew do, whatever the limit
				err := asleep.Acquire(t.Context(), "192.0.2.1")
				if tt.idle && (err != nil || slept != 1) || !tt.idle && !errors.Is(err, problem.Capacity) {
					t.Errorf("got %v and %d put to sleep, want room made or the refusal", err, slept)
				}
			})
		})
	}
}
