package limits

import (
	"hash/maphash"
	"math"
	"sync"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/problem"
)

// window lets so many through per window of time and key. It slides: what came
// in the previous window counts by the part of it that is still in sight. One of a
// [Day] does not.
//
// Its memory is the same for a million keys as for one. Every key has one cell
// in each of a few rows, by a hash that no client can know, and counts for
// as much as the least of its cells: too much for keys whose cells are all
// shared, which takes a flood from very many addresses, and never too little.
type window struct {
	limit  int
	length time.Duration
	seeds  [sketchRows]maphash.Seed

	mu        sync.Mutex // a key is looked up and counted in one step
	began     time.Time  // when the present window did
	now, last sketch
}

const (
	sketchRows  = 2
	sketchCells = 1 << 17 // a row; times four bytes, two rows and two windows: 2 MiB
)

type sketch [sketchRows][]uint32

// newWindows returns a window for each of the rates, times as wide.
func newWindows(rs Rates, times int) (all []*window) {
	for _, r := range rs.longestFirst(whole.times(times)) {
		all = append(all, newWindow(r))
	}
	return all
}

// takeAll counts one more of key in every window, or in none if one refuses.
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

// take counts one more of key, or returns the refusal, which says when there is
// room again.
func (w *window) take(key string) error {
	if wait := w.takeAt(key, time.Now()); wait > 0 {
		return problem.RateLimited.After(wait)
	}
	return nil
}

// takeAt counts one more of key and returns 0, or how long it takes until one
// more is let through.
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

// give undoes a take that was refused elsewhere. If the next window has begun since, one
// too much stays counted for a while.
func (w *window) give(key string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for row, seed := range w.seeds {
		if cell := &w.now[row][maphash.String(seed, key)%sketchCells]; *cell > 0 {
			*cell--
		}
	}
}

// count is what key counts for in the present window and in the previous one.
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

// turn begins the window that began at the given time.
func (w *window) turn(began time.Time) {
	if !w.began.Before(began) && w.began.Sub(began) <= w.length {
		return // the present one, or the clock was set back a little
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

// wait is how long it takes until one more is let through of a key with these
// counts, if nothing else comes.
func (w *window) wait(now, last float64, at time.Time) time.Duration {
	room := float64(w.limit) - 0.5 // counts are rounded, so there is room below this
	gone := at.Sub(w.began)
	if w.length == Day {
		return max(w.length-gone, 0) + time.Millisecond
	}
	until := func(old, left float64) time.Duration { // of a window, until no more than left of old counts
		return time.Duration((1 - min(left/old, 1)) * float64(w.length))
	}
	if now < room {
		return max(until(last, room-now)-gone, 0) + time.Millisecond
	}
	return max(w.length-gone, 0) + until(now, room) + time.Millisecond
}
