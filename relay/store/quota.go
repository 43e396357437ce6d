package store

import "time"

// quota is what has been taken under one key: in the window that began at
// start, and in the one before. Times are in milliseconds.
type quota struct {
	start, length int64
	now, last     int64
}

// at returns q as it stands at a time, and how many milliseconds of its window
// are gone then: windows that are over have moved on. After the clock was set
// back what has been taken counts in the window that it shows now.
func (q quota) at(now time.Time, window time.Duration) (quota, int64) {
	q.length = max(window.Milliseconds(), 1)
	ms := now.UnixMilli()
	start := ms - ms%q.length
	switch {
	case start <= q.start:
	case start == q.start+q.length:
		q.now, q.last = 0, q.now
	default:
		q.now, q.last = 0, 0
	}
	q.start = start
	return q, ms - start
}

// wait is how long it takes, gone into the window, until n more are no more
// than limit.
func (q quota) wait(gone int64, n, limit int) time.Duration {
	room := int64(limit - n)
	// sight is how far into a window no more than room is left of what the one
	// before it had.
	sight := func(last, room int64) int64 {
		if last == 0 || room >= last {
			return 0
		}
		return q.length - room*q.length/last
	}
	ms := sight(q.last, room-q.now) - gone
	if q.now > room {
		ms = q.length - gone + sight(q.now, room)
	}
	return time.Duration(max(ms, 0)) * time.Millisecond
}

// give takes n back, of the older window what the present one has not got.
func (q *quota) give(n int) {
	recent := min(q.now, int64(n))
	q.now -= recent
	q.last -= min(q.last, int64(n)-recent)
}

// expires is when nothing of q is in sight any more.
func (q quota) expires() time.Time { return time.UnixMilli(q.start + 2*q.length) }
