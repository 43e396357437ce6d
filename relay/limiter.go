package relay

import (
	"math"
	"net/http"
	"sync"
	"time"

	"github.com/go-chi/httprate"
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
	c := &counts{}
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
	return errRateLimited.after(l.counts.wait(key, time.Now()))
}

// full returns the refusal that take would, and counts nothing.
func (l *limiter) full(key string) error {
	if l == nil {
		return nil
	}
	if _, rate, err := l.rate.Status(key); err != nil || int(math.Round(rate)) < l.counts.limit {
		return nil // our counts give no errors
	}
	return errRateLimited.after(l.counts.wait(key, time.Now()))
}

// giveBack undoes one take of key that came to nothing.
func (l *limiter) giveBack(key string) {
	if l == nil {
		return
	}
	l.counts.mu.Lock()
	defer l.counts.mu.Unlock()
	switch c := l.counts; {
	case c.now[key] > 0:
		c.now[key]--
	case c.last[key] > 0:
		c.last[key]--
	}
}

// nowhere swallows what a limiter would tell a client: refusals are ours to word.
type nowhere struct{}

func (nowhere) Header() http.Header         { return http.Header{} }
func (nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (nowhere) WriteHeader(int)             {}

// counts is an [httprate.LimitCounter]. The package's own tells nobody what it
// has counted, so that when to come back could only be guessed, and never gives
// memory back.
type counts struct {
	mu        sync.Mutex // held only to look or set
	limit     int
	length    time.Duration
	window    time.Time // when the present one began
	now, last map[string]int
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
	c.now[key] += n
	return nil
}

// Get implements [httprate.LimitCounter].
func (c *counts) Get(key string, window, _ time.Time) (now, last int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.turn(window)
	return c.now[key], c.last[key], nil
}

// turn begins another window.
func (c *counts) turn(window time.Time) {
	switch {
	case c.now != nil && !c.window.Before(window) && c.window.Sub(window) <= c.length:
		return // the present one, or asked for just before it began
	case c.window.Add(c.length).Equal(window):
		c.last = c.now
	default:
		c.last = nil
	}
	c.window, c.now = window, map[string]int{}
}

// wait is how long it takes until one more of key is let through, if nothing
// else comes.
func (c *counts) wait(key string, at time.Time) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	// A limiter rounds what it counts, so there is room below this.
	room := float64(c.limit) - 0.5
	now, last := float64(c.now[key]), float64(c.last[key])
	gone := at.Sub(c.window)
	until := func(old, left float64) time.Duration { // of a window, until no more than left of old counts
		return time.Duration((1 - min(left/old, 1)) * float64(c.length))
	}
	if now < room {
		return max(until(last, room-now)-gone, 0) + time.Millisecond
	}
	return max(c.length-gone, 0) + until(now, room) + time.Millisecond
}
