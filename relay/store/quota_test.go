package store

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestQuota_Full_ShortestWait(t *testing.T) {
	const window = time.Minute
	for range 20000 {
		limit := 1 + rand.IntN(30)
		n := 1 + rand.IntN(limit)
		start := 1000 * window.Milliseconds()
		q := quota{start: start, now: rand.Int64N(int64(2 * limit)), last: rand.Int64N(int64(2 * limit))}
		at := time.UnixMilli(start + rand.Int64N(window.Milliseconds()))
		room := func(at time.Time) bool {
			q, gone := q.at(at, window)
			return q.wait(gone, n, limit) == 0
		}
		now, gone := q.at(at, window)
		wait := now.wait(gone, n, limit)
		if !room(at.Add(wait)) {
			t.Fatalf("%+v at %v for %d of %d: got none after a wait of %v, want room", q, gone, n, limit, wait)
		}
		if wait > 0 && room(at.Add(wait-time.Millisecond)) {
			t.Fatalf("%+v at %v for %d of %d: got room before %v, want none", q, gone, n, limit, wait)
		}
		// What counts is no more than the limit when nothing more is taken.
		if wait == 0 && window.Milliseconds()*(q.now+int64(n))+q.last*(window.Milliseconds()-gone) > int64(limit)*window.Milliseconds() {
			t.Fatalf("%+v at %v for %d of %d: got room, want none", q, gone, n, limit)
		}
	}
}

func TestQuota_ClockSetBack_NothingGivenBack(t *testing.T) {
	noon := time.UnixMilli(0).Add(12 * time.Hour)
	q := quota{start: noon.UnixMilli(), now: 5}
	for _, back := range []time.Duration{time.Second, time.Hour, 30 * time.Hour} {
		at, gone := q.at(noon.Add(-back), time.Hour)
		if at.wait(gone, 1, 5) == 0 {
			t.Errorf("set back by %v: got room, want none", back)
		}
		if wait := at.wait(gone, 1, 5); wait > 2*time.Hour {
			t.Errorf("set back by %v: got a wait of %v, want two windows at most", back, wait)
		}
	}
}

func TestQuota_TwoWindowsPassed_Empty(t *testing.T) {
	q, gone := quota{start: time.Hour.Milliseconds(), now: 5, last: 5}.at(time.UnixMilli(0).Add(3*time.Hour), time.Hour)
	if q.now != 0 || q.last != 0 || gone != 0 || q.wait(gone, 5, 5) != 0 {
		t.Errorf("got %+v, want nothing in sight", q)
	}
}
