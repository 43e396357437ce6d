package store_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/store"
)

func TestQuota_Wait_Exact(t *testing.T) {
	const window = time.Minute
	for range 20000 {
		limit := 1 + rand.IntN(30)
		n := 1 + rand.IntN(limit)
		start := 1000 * window.Milliseconds()
		q := store.Quota{Start: start, Current: rand.Int64N(int64(2 * limit)), Previous: rand.Int64N(int64(2 * limit))}
		at := time.UnixMilli(start + rand.Int64N(window.Milliseconds()))
		room := func(at time.Time) bool {
			q, gone := q.At(at, window)
			return q.Wait(gone, n, limit) == 0
		}
		now, gone := q.At(at, window)
		wait := now.Wait(gone, n, limit)
		if !room(at.Add(wait)) {
			t.Fatalf("%+v at %v for %d of %d: got none after a wait of %v, want room", q, gone, n, limit, wait)
		}
		if wait > 0 && room(at.Add(wait-time.Millisecond)) {
			t.Fatalf("%+v at %v for %d of %d: got room before %v, want none", q, gone, n, limit, wait)
		}
		// The weighted usage stays within the limit.
		if wait == 0 && window.Milliseconds()*(q.Current+int64(n))+q.Previous*(window.Milliseconds()-gone) > int64(limit)*window.Milliseconds() {
			t.Fatalf("%+v at %v for %d of %d: got room, want none", q, gone, n, limit)
		}
	}
}

func TestQuota_ClockSetBack_UsageKept(t *testing.T) {
	noon := time.UnixMilli(0).Add(12 * time.Hour)
	q := store.Quota{Start: noon.UnixMilli(), Current: 5}
	for _, back := range []time.Duration{time.Second, time.Hour, 30 * time.Hour} {
		at, gone := q.At(noon.Add(-back), time.Hour)
		if at.Wait(gone, 1, 5) == 0 {
			t.Errorf("set back by %v: got room, want none", back)
		}
		if wait := at.Wait(gone, 1, 5); wait > 2*time.Hour {
			t.Errorf("set back by %v: got a wait of %v, want two windows at most", back, wait)
		}
	}
}

func TestQuota_TwoWindowsLater_Empty(t *testing.T) {
	q, gone := store.Quota{Start: time.Hour.Milliseconds(), Current: 5, Previous: 5}.At(time.UnixMilli(0).Add(3*time.Hour), time.Hour)
	if q.Current != 0 || q.Previous != 0 || gone != 0 || q.Wait(gone, 5, 5) != 0 {
		t.Errorf("got %+v, want nothing in sight", q)
	}
}
