package store

import "time"

// Quota is the usage of one key: in the window that began at Start, and in the
// window before it. Start and Length are in milliseconds.
type Quota struct {
	Start, Length     int64
	Current, Previous int64
}

// At returns q as of now, and how many milliseconds of its window have passed. Usage
// moves out of windows that have ended. After the clock was set back, all usage counts in
// the current window.
func (q Quota) At(now time.Time, window time.Duration) (at Quota, passed int64) {
	q.Length = max(window.Milliseconds(), 1)
	ms := now.UnixMilli()
	start := ms - ms%q.Length
	switch {
	case start <= q.Start:
	case start == q.Start+q.Length:
		q.Current, q.Previous = 0, q.Current
	default:
		q.Current, q.Previous = 0, 0
	}
	q.Start = start
	return q, ms - start
}

// Wait returns how long to wait, passed milliseconds into the window, until n more fit
// within limit.
func (q Quota) Wait(passed int64, n, limit int) time.Duration {
	room := int64(limit - n)
	// until returns how far into a window at most room of the previous window's usage
	// still counts.
	until := func(previous, room int64) int64 {
		if previous == 0 || room >= previous {
			return 0
		}
		return q.Length - room*q.Length/previous
	}
	ms := until(q.Previous, room-q.Current) - passed
	if q.Current > room {
		ms = q.Length - passed + until(q.Current, room)
	}
	return time.Duration(max(ms, 0)) * time.Millisecond
}

// Add counts n more.
func (q *Quota) Add(n int) { q.Current += int64(n) }

// Give undoes n, first in the current window and then in the previous one.
func (q *Quota) Give(n int) {
	recent := min(q.Current, int64(n))
	q.Current -= recent
	q.Previous -= min(q.Previous, int64(n)-recent)
}

// Expires returns when none of q's usage counts any more.
func (q Quota) Expires() time.Time { return time.UnixMilli(q.Start + 2*q.Length) }

// Sum returns total with n added according to [LimitStore.Count], and whether n was
// added.
func Sum(total, n, limit int) (int, bool) {
	if n > 0 && limit > 0 && total+n > limit {
		return total, false
	}
	return max(total+n, 0), true
}
