package storetest

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/store"
)

func wantCounted(t *testing.T, s store.Store, key string, n, limit, want int, wantOK bool) {
	t.Helper()
	total, ok, err := s.Count(t.Context(), key, n, limit, soon())
	must(t, err)
	if total != want || ok != wantOK {
		t.Errorf("%s: %d more of %d: got a total of %d, added %v, want %d, %v", key, n, limit, total, ok, want, wantOK)
	}
}

func counterHasItsLimit(t *testing.T, s store.Store) {
	wantCounted(t, s, "a", 0, 3, 0, true)
	wantCounted(t, s, "a", 1, 3, 1, true)
	wantCounted(t, s, "a", 2, 3, 3, true)
	wantCounted(t, s, "a", 1, 3, 3, false)
	wantCounted(t, s, "a", 0, 2, 3, true) // reading is never refused
	wantCounted(t, s, "a", 1, 2, 3, false)
	wantCounted(t, s, "b", 4, 3, 0, false)
	wantCounted(t, s, "b", 4, 0, 4, true)
	wantCounted(t, s, "a", -1, 3, 2, true)
	wantCounted(t, s, "a", 1, 3, 3, true)
	wantCounted(t, s, "a", -9, 3, 0, true) // never below zero
	wantCounted(t, s, "a", 3, 3, 3, true)
	for _, until := range []time.Time{{}, time.Now().Add(-time.Second)} {
		_, _, err := s.Count(t.Context(), "a", 1, 0, until)
		wantErr(t, "a counter without a future", err, store.ErrExpired)
	}
}

func counterStartsAgainWhenItExpired(t *testing.T, s store.Store) {
	writeBrief(t, func(expiry time.Time) error {
		_, _, err := s.Count(t.Context(), "a", 1, 0, expiry)
		return err
	})
	wantCounted(t, s, "a", 0, 1, 0, true)
	wantCounted(t, s, "a", 1, 1, 1, true)
}

func counterRaceKeepsTheLimit(t *testing.T, s store.Store) {
	var got atomic.Int32
	race(func(int) {
		if _, ok, err := s.Count(t.Context(), "a", 1, 7, soon()); err != nil {
			t.Errorf("got error %v, want none", err)
		} else if ok {
			got.Add(1)
		}
	})
	if got.Load() != 7 {
		t.Errorf("got %d counted, want 7", got.Load())
	}
	wantCounted(t, s, "a", 0, 7, 7, true)
}
