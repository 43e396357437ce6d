package relay_test

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
	"github.com/anyframe-relay/relay/relay/internal/session"
	"github.com/anyframe-relay/relay/relay/internal/store"
)

// callSpy counts the calls to a store by name, and the marks that were compared.
type callSpy struct {
	store.Store
	mu    sync.Mutex
	calls map[string]int
	marks int
}

func newCallSpy(s store.Store) *callSpy {
	spy := &callSpy{calls: map[string]int{}}
	spy.Store = store.Observe(s, func(op string, _ time.Duration, _ error) {
		spy.mu.Lock()
		defer spy.mu.Unlock()
		spy.calls[op]++
	})
	return spy
}

func (s *callSpy) Changed(ctx context.Context, marks []store.Mark) ([]int, error) {
	s.mu.Lock()
	s.marks += len(marks)
	s.mu.Unlock()
	return s.Store.Changed(ctx, marks)
}

func (s *callSpy) seen() (calls map[string]int, marks int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.calls), s.marks
}

// after waits for so many more rounds over all sessions, and returns the counts at that
// time.
func (s *callSpy) after(t *testing.T, rounds int) (calls map[string]int, marks int) {
	t.Helper()
	begun, _ := s.seen()
	eventually(t, "some rounds go by", func() bool {
		calls, marks = s.seen()
		return calls["generation"] >= begun["generation"]+10*rounds
	})
	return calls, marks
}

// Idle streams cost AnyFrame nothing, and the store no call each, only one for many
// streams, and almost none if the backend can tell that no other process has written.
func TestIdle_ManyStreams_StoreAskedAboutAllAtOnce(t *testing.T) {
	t.Parallel()
	const visitors, rounds, every = 40, 6, 200 * time.Millisecond
	const parts, wholeEvery = 10, 6     // as in package resync
	const renewAfter = 30 * time.Second // as in package capacity, after a turn
	for name, tt := range map[string]struct {
		share sharing
		knows bool // detects writes of other processes
	}{
		"memory": {func(*testing.T) func(*relay.Config) { return func(*relay.Config) {} }, true},
		"sqlite": {sqliteFile, true},
		"redis":  {inRedis, false},
	} {
		for state, talked := range map[string]bool{"sandbox awake": true, "no sandbox": false} {
			t.Run(name+", "+state, func(t *testing.T) {
				t.Parallel()
				share := tt.share(t)
				var spy *callSpy
				start := time.Now()
				r := newHarness(t, func(c *relay.Config) {
					share(c)
					c.MaxSessions = 10 * visitors
					c.Tune(relay.Tuning{
						Session: session.Tuning{Resync: every, Linger: 10 * time.Millisecond, ProbeAfter: every},
						Store:   func(s store.Store) session.Store { spy = newCallSpy(s); return spy },
					})
				}, anyframetest.WithAgent(1, speak))
				parallel(visitors, func(i int) {
					v := r.visitor()
					x := v.open("")
					if talked {
						v.say("hi", fmt.Sprint("k", i))
						x.turnEnds(1)
					}
				})
				before, marks := spy.after(t, 1)
				for quiet := false; !quiet; { // what began with the turns is stored eventually
					was := before
					before, marks = spy.after(t, 2)
					quiet = onlyLooked(was, before) == nil
				}
				begun, asked := time.Now(), r.plane.Count(anyframetest.OpAny)
				now, seen := spy.after(t, rounds)
				if got := r.plane.Count(anyframetest.OpAny) - asked; got != 0 {
					t.Errorf("AnyFrame: got %d requests for %d quiet visitors, want none", got, visitors)
				}
				whole := parts * (int(time.Since(begun)/(wholeEvery*every)) + 1) // of rounds in which all marks are compared
				for op, n := range onlyLooked(before, now) {
					if op == "admit_all" && time.Since(start) > renewAfter {
						continue // a busy machine took so long that sandboxes had to be counted again
					}
					t.Errorf("%s: got %d calls for %d quiet visitors in %d rounds, want none", op, n, visitors, rounds)
				}
				looks := now["generation"] - before["generation"]
				if got := now["changed"] - before["changed"]; got > looks+1 || tt.knows && got > whole {
					t.Errorf("got marks compared %d times in %d looks, want once a look at most, and %d times where the store knows", got, looks, whole)
				}
				if got, most := seen-marks, (looks/parts+2)*visitors; got > most {
					t.Errorf("got %d marks compared, want %d at most", got, most)
				}
			})
		}
	}
}

// onlyLooked returns the calls in between, except for those that look for changes.
func onlyLooked(before, now map[string]int) map[string]int {
	var more map[string]int
	for op, n := range now {
		if op != "generation" && op != "changed" && n > before[op] {
			if more == nil {
				more = map[string]int{}
			}
			more[op] = n - before[op]
		}
	}
	return more
}
