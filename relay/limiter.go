package relay

import (
	"hash/maphash"
	"math"
	"net/http"
	"sync"
	"time"

	"github.com/go-chi/httprate"

	"github.com/anyframe-relay/relay/relay/internal/problem"
)

// limiter lets so many through per window and key. The window slides: what came
// in the one before counts by how much of it is still in sight. A nil limiter
// lets everything through.
type limiter struct {
	rate   *httprate.RateLimiter
	counts *counts
}

func newLimiter(r Rate) *limiter {
	if r.Limit <= 0 {
		return nil
	}
	c := newCounts()
	return &limiter{
		httprate.NewRateLimiter(r.Limit, r.Window, httprate.WithLimitCounter(c), httprate.WithResponseHeaders(httprate.ResponseHeaders{})),
		c,
	}
}

// take counts one more of key, or returns the refusal, which says when there is
// room again.
func (l *limiter) take(key string) error {
	if l == nil || !l.rate.OnLimit(nowhere{}, &http.Request{}, key) {
		return nil
	}
	return problem.RateLimited.After(l.counts.wait(key, time.Now()))
}

// nowhere swallows what a limiter would tell a client: refusals are ours to word.
type nowhere struct{}

func (nowhere) Header() http.Header         { return http.Header{} }
func (nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (nowhere) WriteHeader(int)             {}

// counts is an [httprate.LimitCounter] whose memory is the same for a million
// keys as for one. The package's own grows with every key, never gives memory
// back, and tells nobody what it has counted, so that when to come back could
// only be guessed. Here every key has one cell in each of a few rows, by a hash
// that nobody outside can know, and counts for as much as the least of its
// cells: too much for those whose cells are all shared, which takes a flood from
// very many addresses, and never too little.
type counts struct {
	mu        sync.Mutex // held only to look or set
	limit     int
	length    time.Duration
	window    time.Time // when the present one began
	seeds     [sketchRows]maphash.Seed
	now, last sketch
}

const (
	sketchRows  = 2
	sketchCells = 1 << 17 // a row; times four bytes, two rows and two windows: 2 MiB
)

type sketch [sketchRows][]uint32

func newCounts() *counts {
	c := &counts{}
	for row := range sketchRows {
		c.seeds[row] = maphash.MakeSeed()
		c.now[row], c.last[row] = make([]uint32, sketchCells), make([]uint32, sketchCells)
	}
	return c
}

// get is what key counts for in two windows.
func (c *counts) get(key string) (now, last int) {
	now, last = math.MaxInt, math.MaxInt
	for row, seed := range c.seeds {
		cell := maphash.String(seed, key) % sketchCells
		now, last = min(now, int(c.now[row][cell])), min(last, int(c.last[row][cell]))
	}
	return now, last
}

// Config implements [httprate.LimitCounter].
func (c *counts) Config(limit int, length time.Duration) { c.limit, c.length = limit, length }

// Increment implements [httprate.LimitCounter].
func (c *counts) Increment(key string, window time.Time) error {
	return c.IncrementBy(key, window, 1)
}

// IncrementBy implements [httprate.LimitCounter].
func (c *counts) IncrementBy(key string, window time.Time, n int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.turn(window)
	for row, seed := range c.seeds {
		c.now[row][maphash.String(seed, key)%sketchCells] += uint32(n) //nolint:gosec // one
	}
	return nil
}

// Get implements [httprate.LimitCounter].
func (c *counts) Get(key string, window, _ time.Time) (now, last int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.turn(window)
	now, last = c.get(key)
	return now, last, nil
}

// turn begins another window.
func (c *counts) turn(window time.Time) {
	if !c.window.Before(window) && c.window.Sub(window) <= c.length {
		return // the present one, or asked for just before it began
	}
	c.now, c.last = c.last, c.now
	for row := range sketchRows {
		clear(c.now[row])
		if !c.window.Add(c.length).Equal(window) {
			clear(c.last[row])
		}
	}
	c.window = window
}

// wait is how long it takes until one more of key is let through, if nothing
// else comes.
func (c *counts) wait(key string, at time.Time) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	// A limiter rounds what it counts, so there is room below this.
	room := float64(c.limit) - 0.5
	nowCount, lastCount := c.get(key)
	now, last := float64(nowCount), float64(lastCount)
	gone := at.Sub(c.window)
	until := func(old, left float64) time.Duration { // of a window, until no more than left of old counts
		return time.Duration((1 - min(left/old, 1)) * float64(c.length))
	}
	if now < room {
		return max(until(last, room-now)-gone, 0) + time.Millisecond
	}
	return max(c.length-gone, 0) + until(now, room) + time.Millisecond
}
