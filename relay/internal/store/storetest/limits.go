package storetest

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/store"
)

// long is a window so much longer than a test that usage still counts, even if the next
// window begins during the test.
const long = 24 * time.Hour

// take takes n of key and returns how long to wait; 0 means that it was taken.
func take(t *testing.T, s store.Store, key string, n, limit int, window time.Duration) time.Duration {
	t.Helper()
	wait, err := s.Take(t.Context(), key, n, limit, window)
	must(t, err)
	return wait
}

func quotaHasItsLimit(t *testing.T, s store.Store) {
	for i := range 3 {
		if wait := take(t, s, "a", 1, 3, long); wait != 0 {
			t.Errorf("take %d of 3: got a wait of %v, want none", i+1, wait)
		}
	}
	for range 2 { // a refused take is not counted
		if wait := take(t, s, "a", 1, 3, long); wait <= 0 || wait > 2*long {
			t.Errorf("a fourth: got a wait of %v, want one of two windows at most", wait)
		}
	}
	if wait := take(t, s, "b", 2, 3, long); wait != 0 {
		t.Errorf("another key: got a wait of %v, want none", wait)
	}
	if wait := take(t, s, "b", 2, 3, long); wait == 0 {
		t.Error("two where one is left: got them, want a wait")
	}
	if wait := take(t, s, "b", 1, 3, long); wait != 0 {
		t.Errorf("the one that is left: got a wait of %v, want none", wait)
	}
	if wait := take(t, s, "a", 1, 5, long); wait != 0 {
		t.Errorf("a limit that was raised: got a wait of %v, want none", wait)
	}
}

func quotaIsLookedAtForNothing(t *testing.T, s store.Store) {
	look := func(want bool) {
		t.Helper()
		wait, err := s.Look(t.Context(), "a", 1, 2, long)
		must(t, err)
		if (wait == 0) != want {
			t.Errorf("got a wait of %v, want room %v", wait, want)
		}
	}
	for range 5 {
		look(true)
	}
	take(t, s, "a", 1, 2, long)
	look(true)
	take(t, s, "a", 1, 2, long)
	look(false)
}

func quotaIsGivenBack(t *testing.T, s store.Store) {
	must(t, s.GiveBack(t.Context(), "a", 1, long)) // more than was taken
	for range 2 {
		take(t, s, "a", 1, 2, long)
	}
	must(t, s.GiveBack(t.Context(), "a", 1, long))
	if wait := take(t, s, "a", 1, 2, long); wait != 0 {
		t.Errorf("the one given back: got a wait of %v, want none", wait)
	}
	if wait := take(t, s, "a", 1, 2, long); wait == 0 {
		t.Error("got one more than was given back, want a wait")
	}
}

func quotaHasRoomWhenItSaid(t *testing.T, s store.Store) {
	const window = 400 * time.Millisecond
	for range 4 { // at different points in the window
		take(t, s, "a", 3, 3, window)
		wait, err := s.Look(t.Context(), "a", 1, 3, window)
		must(t, err)
		if wait > 2*window {
			t.Fatalf("got a wait of %v, want two windows at most", wait)
		}
		gone(t, time.Now().Add(wait))
		if wait := take(t, s, "a", 1, 3, window); wait != 0 {
			t.Errorf("after the wait: got another of %v, want none", wait)
		}
	}
}

func quotaRaceKeepsTheLimit(t *testing.T, s store.Store) {
	var got atomic.Int32
	race(func(int) {
		if wait, err := s.Take(t.Context(), "a", 1, 7, long); err != nil {
			t.Errorf("got error %v, want none", err)
		} else if wait == 0 {
			got.Add(1)
		}
	})
	if got.Load() != 7 {
		t.Errorf("got %d taken, want 7", got.Load())
	}
}

// admit admits the visitor's sandbox and fails the test unless the result is as
// wanted.
func admit(t *testing.T, s store.Store, visitor string, rank int64, limit int, want bool) int64 {
	t.Helper()
	ticket, ok, err := s.Admit(t.Context(), visitor, rank, limit, time.Hour)
	must(t, err)
	if ok != want || (ticket > 0) != want {
		t.Fatalf("%s: got ticket %d ok %v, want ok %v", visitor, ticket, ok, want)
	}
	return ticket
}

func wantAwake(t *testing.T, s store.Store, below int64, n int, want ...string) {
	t.Helper()
	all, err := s.Idlest(t.Context(), below, n)
	must(t, err)
	got := make([]string, len(all))
	for i, a := range all {
		got[i] = a.Visitor
	}
	if !slices.Equal(got, want) {
		t.Errorf("below %d: got %q, want %q", below, got, want)
	}
}

func wantCount(t *testing.T, s store.Store, want int) {
	t.Helper()
	if n, err := s.CountAwake(t.Context()); err != nil || n != want {
		t.Errorf("got %d awake, error %v, want %d", n, err, want)
	}
}

func noMoreAreAwakeThanMayBe(t *testing.T, s store.Store) {
	first := admit(t, s, "v1", 1, 2, true)
	second := admit(t, s, "v2", 1, 2, true)
	admit(t, s, "v3", 1, 2, false)
	if again := admit(t, s, "v1", 1, 2, true); again != first {
		t.Errorf("renewed: got ticket %d, want %d kept", again, first)
	}
	wantCount(t, s, 2)
	must(t, s.Leave(t.Context(), "v1", first))
	wantCount(t, s, 1)
	third := admit(t, s, "v3", 1, 2, true)
	if third <= second {
		t.Errorf("got ticket %d after %d, want a higher one", third, second)
	}
	admit(t, s, "v1", 1, 2, false)
	admit(t, s, "v1", 1, 0, true)
	wantCount(t, s, 3)
	admit(t, s, "v2", 1, 2, true) // a counted sandbox stays counted
}

func sandboxesAreCountedInOneGo(t *testing.T, s store.Store) {
	admitAll := func(all ...store.Awake) []int64 {
		t.Helper()
		tickets, err := s.AdmitAll(t.Context(), all, time.Hour)
		must(t, err)
		if len(tickets) != len(all) {
			t.Fatalf("got %d tickets, want %d", len(tickets), len(all))
		}
		return tickets
	}
	admitAll()
	wantCount(t, s, 0)
	one := admit(t, s, "v1", 50, 1, true)
	// There is no limit, and the tickets passed in are ignored.
	tickets := admitAll(store.Awake{Visitor: "v2", Rank: 30, Ticket: 9}, store.Awake{Visitor: "v1", Rank: 20, Ticket: 9}, store.Awake{Visitor: "v3", Rank: 10})
	if tickets[0] <= one || tickets[1] != one || tickets[2] <= tickets[0] {
		t.Errorf("got tickets %d after %d, want the second kept and the others higher, each than the one before", tickets, one)
	}
	wantAwake(t, s, 100, 9, "v3", "v1", "v2")
	must(t, s.Leave(t.Context(), "v2", tickets[0]))
	wantAwake(t, s, 100, 9, "v3", "v1")

	many := make([]store.Awake, 300)
	for i := range many {
		many[i] = store.Awake{Visitor: fmt.Sprint("many ", i), Rank: int64(1000 + i)}
	}
	first := admitAll(many...)
	if again := admitAll(many...); !slices.Equal(again, first) {
		t.Error("renewed: got other tickets, want them kept")
	}
	wantCount(t, s, 302)
	all, err := s.Idlest(t.Context(), 2000, 400)
	must(t, err)
	for i, a := range all[2:] {
		if want := (store.Awake{Visitor: many[i].Visitor, Rank: many[i].Rank, Ticket: first[i]}); a != want {
			t.Fatalf("got %+v, want %+v", a, want)
		}
	}
}

func sandboxLeavesWithItsOwnTicketOnly(t *testing.T, s store.Store) {
	old := admit(t, s, "v1", 1, 1, true)
	must(t, s.Leave(t.Context(), "v1", old))
	must(t, s.Leave(t.Context(), "v1", old))
	must(t, s.Leave(t.Context(), "nobody", old))
	now := admit(t, s, "v1", 1, 1, true)
	if now <= old {
		t.Errorf("got ticket %d after %d, want a higher one", now, old)
	}
	must(t, s.Leave(t.Context(), "v1", old))
	wantCount(t, s, 1)
}

func idlestAreOfLowestRank(t *testing.T, s store.Store) {
	wantAwake(t, s, 100, 9)
	for i, rank := range []int64{30, 10, 50, 20, 1 << 50, 40} {
		admit(t, s, fmt.Sprint("v", i), rank, 0, true)
	}
	wantAwake(t, s, 1<<52, 9, "v1", "v3", "v0", "v5", "v2", "v4")
	wantAwake(t, s, 1<<50, 9, "v1", "v3", "v0", "v5", "v2")
	wantAwake(t, s, 30, 9, "v1", "v3")
	wantAwake(t, s, 1<<52, 1, "v1")
	ticket := admit(t, s, "v1", 1<<51, 0, true)
	wantAwake(t, s, 1<<52, 2, "v3", "v0")
	all, err := s.Idlest(t.Context(), 1<<52, 9)
	must(t, err)
	if got, want := all[len(all)-1], (store.Awake{Visitor: "v1", Rank: 1 << 51, Ticket: ticket}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func sandboxIsNotCountedForEver(t *testing.T, s store.Store) {
	admit(t, s, "v0", 200, 0, true) // so that one remains
	var old int64
	writeBrief(t, func(e time.Time) error {
		ticket, ok, err := s.Admit(t.Context(), "v1", 1, 2, time.Until(e))
		if err == nil && !ok {
			t.Error("got v1 refused, want it counted")
		}
		old = ticket
		return err
	})
	wantCount(t, s, 1)
	wantAwake(t, s, 100, 9)
	tickets, err := s.AdmitAll(t.Context(), []store.Awake{{Visitor: "v1", Rank: 1}}, time.Hour)
	must(t, err)
	if tickets[0] <= old {
		t.Errorf("counted with others: got ticket %d after %d, want a higher one", tickets[0], old)
	}
	must(t, s.Leave(t.Context(), "v1", tickets[0]))
	admit(t, s, "v2", 1, 2, true)
	admit(t, s, "v1", 1, 2, false)
	if ticket := admit(t, s, "v1", 1, 3, true); ticket <= old {
		t.Errorf("got ticket %d after %d, want a higher one", ticket, old)
	}
}

func admissionRaceKeepsTheLimit(t *testing.T, s store.Store) {
	tickets := make(chan int64, racers)
	race(func(i int) {
		ticket, ok, err := s.Admit(t.Context(), fmt.Sprint("v", i), int64(i), 7, time.Hour)
		if err != nil {
			t.Errorf("got error %v, want none", err)
		}
		if ok {
			tickets <- ticket
		}
	})
	close(tickets)
	all := map[int64]bool{}
	for ticket := range tickets {
		all[ticket] = true
	}
	if len(all) != 7 {
		t.Errorf("got %d tickets, want 7", len(all))
	}
	wantCount(t, s, 7)
}
