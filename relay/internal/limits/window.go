package limits

import (
	"hash/maphash"
	"math"
	"sync"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/problem"
)

// window limits the operations per key and window of time. The window slides: operations
// in the previous window count in proportion to how much of it still overlaps. The window
// of a [Day] does not slide.
//
// Its memory is the same for one key as for a million. Every key has one cell in each of
// a few rows, chosen by a hash that clients cannot compute, and its count is the minimum
// of its cells. The count is too high if all of a key's cells are shared, which takes a
// flood from very many addresses. It is never too low.
type window struct {
	limit  int
	length time.Duration
	seeds  [sketchRows]maphash.Seed

	mu        sync.Mutex // makes looking up and counting a key atomic
	began     time.Time  // when the current window began
	now, last sketch
}

const (
	sketchRows  = 2
	sketchCells = 1 << 17 // per row; times four bytes, two rows and two windows: 2 MiB
)

type sketch [sketchRows][]uint32

// newWindows returns a window for each of the rates, with times the limit.
func newWindows(rs Rates, times int) (all []*window) {
	for _, r := range rs.longestFirst(whole.times(times)) {
		all = append(all, newWindow(r))
	}
	return all
}

// takeAll counts one operation of key in every window, or in none if one refuses.
func takeAll(all []*window, key string) (undo func(), err error) {
	for i, w := range all {
		if err := w.take(key); err != nil {
			giveAll(all[:i], key)
			return nil, err
		}
	}
	return func() { giveAll(all, key) }, nil
}

func giveAll(all []*window, key string) {
	for _, w := range all {
		w.give(key)
	}
}

func newWindow(r Rate) *window {
	w := &window{limit: r.Limit, length: r.Window}
	for row := range sketchRows {
		w.seeds[row] = maphash.MakeSeed()
		w.now[row], w.last[row] = make([]uint32, sketchCells), make([]uint32, sketchCells)
	}
	return w
}

// take counts one operation of key, or returns the refusal, which says when there is room
// again.
func (w *window) take(key string) error {
	if wait := w.takeAt(key, time.Now()); wait > 0 {
		return problem.RateLimited.After(wait)
	}
	return nil
}

// takeAt counts one operation of key and returns 0, or returns how long to wait until one
// fits.
func (w *window) takeAt(key string, at time.Time) (wait time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.turn(at.Truncate(w.length))
	now, last := w.count(key)
	left := 1 - min(max(float64(at.Sub(w.began))/float64(w.length), 0), 1) // of the previous window
	if now+int(math.Round(float64(last)*left)) >= w.limit {
		return w.wait(float64(now), float64(last), at)
	}
	for row, seed := range w.seeds {
		w.now[row][maphash.String(seed, key)%sketchCells]++
	}
	return 0
}

// give undoes a take after another limit refused. If the next window has begun in the
// meantime, one operation too many stays counted for a while.
func (w *window) give(key string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for row, seed := range w.seeds {
		if cell := &w.now[row][maphash.String(seed, key)%sketchCells]; *cell > 0 {
			*cell--
		}
	}
}

// count returns the counts of key in the current and the previous window.
func (w *window) count(key string) (now, last int) {
	now, last = math.MaxInt, math.MaxInt
	for row, seed := range w.seeds {
		cell := maphash.String(seed, key) % sketchCells
		now, last = min(now, int(w.now[row][cell])), min(last, int(w.last[row][cell]))
	}
	if w.length == Day {
		last = 0
	}
	return now, last
}

// turn starts the window that began at the given time.
func (w *window) turn(began time.Time) {
	if !w.began.Before(began) && w.began.Sub(began) <= w.length {
		return // the current one, or the clock was set back slightly
	}
	w.now, w.last = w.last, w.now
	for row := range sketchRows {
		clear(w.now[row])
		if !w.began.Add(w.length).Equal(began) {
			clear(w.last[row])
		}
	}
	w.began = began
}

// wait returns how long until one more operation of a key with these counts fits, if
// there are no others.
func (w *window) wait(now, last float64, at time.Time) time.Duration {
	room := float64(w.limit) - 0.5 // counts are rounded, so there is room below this value
	gone := at.Sub(w.began)
	if w.length == Day {
		return max(w.length-gone, 0) + time.Millisecond
	}
	until := func(old, left float64) time.Duration { // how far into a window until at most left of old counts
		return time.Duration((1 - min(left/old, 1)) * float64(w.length))
	}
	if now < room {
		return max(until(last, room-now)-gone, 0) + time.Millisecond
	}
	return max(w.length-gone, 0) + until(now, room) + time.Millisecond
}
