package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/store"
)

// acquire fails the test unless owner's hold on the lease is as wanted.
func acquire(t *testing.T, s store.Store, name, owner string, want bool) int64 {
	t.Helper()
	fence, ok, err := s.Acquire(t.Context(), name, owner, time.Hour)
	must(t, err)
	if ok != want || (fence > 0) != want {
		t.Fatalf("%s by %s: got fence %d ok %v, want ok %v", name, owner, fence, ok, want)
	}
	return fence
}

func leaseHasOneOwner(t *testing.T, s store.Store) {
	first := acquire(t, s, "boot/v1", "a", true)
	acquire(t, s, "boot/v1", "b", false)
	if renewed := acquire(t, s, "boot/v1", "a", true); renewed != first {
		t.Errorf("got fence %d renewed, want %d kept", renewed, first)
	}
	acquire(t, s, "boot/v2", "b", true)
}

func leaseIsTakenOverWhenItRanOut(t *testing.T, s store.Store) {
	var old int64
	for owner, next := range map[string]string{"a": "b", "c": "c"} {
		name := "boot/" + owner
		writeBrief(t, func(e time.Time) error {
			fence, ok, err := s.Acquire(t.Context(), name, owner, time.Until(e))
			if err == nil && !ok {
				t.Errorf("got %s refused, want it held", name)
			}
			old = fence
			return err
		})
		if fence := acquire(t, s, name, next, true); fence <= old {
			t.Errorf("got fence %d after %d, want a higher one", fence, old)
		}
		acquire(t, s, name, "d", false)
	}
}

func leaseIsReleasedByItsOwnerOnly(t *testing.T, s store.Store) {
	old := acquire(t, s, "boot/v1", "a", true)
	must(t, s.Release(t.Context(), "boot/v1", "b"))
	must(t, s.Release(t.Context(), "boot/none", "a"))
	acquire(t, s, "boot/v1", "b", false)
	must(t, s.Release(t.Context(), "boot/v1", "a"))
	must(t, s.Release(t.Context(), "boot/v1", "a"))
	if fence := acquire(t, s, "boot/v1", "b", true); fence <= old {
		t.Errorf("got fence %d after %d, want a higher one", fence, old)
	}
}

func leaseFencesRiseOverAllLeases(t *testing.T, s store.Store) {
	var last int64
	for i := range 10 {
		name := fmt.Sprint("boot/v", i%3)
		owner := fmt.Sprint("o", i)
		fence := acquire(t, s, name, owner, true)
		if fence <= last {
			t.Errorf("got fence %d after %d, want a higher one", fence, last)
		}
		last = fence
		must(t, s.Release(t.Context(), name, owner))
	}
}

func leaseRaceHasOneWinner(t *testing.T, s store.Store) {
	won := make(chan string, racers)
	race(func(i int) {
		owner := fmt.Sprint(i)
		_, ok, err := s.Acquire(t.Context(), "boot/v1", owner, time.Hour)
		if err != nil {
			t.Errorf("got error %v, want none", err)
		}
		if ok {
			won <- owner
		}
	})
	if len(won) != 1 {
		t.Fatalf("got %d owners, want 1", len(won))
	}
	acquire(t, s, "boot/v1", <-won, true)
}
