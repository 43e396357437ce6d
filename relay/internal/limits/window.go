package limits

import (
	"hash/maphash"
	"math"
	"sync"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/problem"
)

// window lets so many through per window of time and key. It slides: what came
// in the previous window counts by the part of it that is still in sight. A nil
// window lets everything through.
//
// Its memory is the same for a million keys as for one. Every key has one cell
// in each of a few rows, by a hash that nobody outside can know, and counts for
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

// newWindow returns nil for a rate without a limit.
func newWindow(r Rate) *window {
	if r.Limit <= 0 {
		return nil
	}
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
	if w == nil {
		return nil
	}
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

// count is what key counts for in the present window and in the previous one.
func (w *window) count(key string) (now, last int) {
	now, last = math.MaxInt, math.MaxInt
	for row, seed := range w.seeds {
		cell := maphash.String(seed, key) % sketchCells
		now, last = min(now, int(w.now[row][cell])), min(last, int(w.last[row][cell]))
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
	until := func(old, left float64) time.Duration { // of a window, until no more than left of old counts
		return time.Duration((1 - min(left/old, 1)) * float64(w.length))
	}
	if now < room {
		return max(until(last, room-now)-gone, 0) + time.Millisecond
	}
	return max(w.length-gone, 0) + until(now, room) + time.Millisecond
}
