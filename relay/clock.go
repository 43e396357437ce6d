package relay

import (
	"sync"
	"time"
)

const (
	// tick is how exactly the clock goes.
	tick = 500 * time.Millisecond
	// ticks is how many of them a stream may wait for, which is a power of two
	// and longer than any heartbeat takes to be due.
	ticks = 64
)

// clock tells the streams that wait when their time has come: one ticker for all
// of them instead of a timer each. It goes while anybody waits, in a goroutine
// that the hub waits for.
type clock struct {
	hub *hub

	mu     sync.Mutex // held only to look or set; may be taken under a line's
	going  bool
	start  time.Time // when it began to go for the first time
	passed int64     // the last tick since then
	due    [ticks][]*subscriber
	count  int // of those in due
}

// put makes the clock tell sub, up to a tick early or late, that it is that time,
// unless it will be told earlier. A stream that is told is forgotten.
func (c *clock) put(sub *subscriber, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := sub.line
	if !c.going {
		if c.start.IsZero() {
			c.start = time.Now()
		}
		c.going, c.passed = true, c.now()
		c.hub.wg.Go(c.run)
	}
	n := int64(at.Sub(c.start) / tick)
	n = min(max(n, c.passed+1), c.passed+ticks-1)
	if l.tick > 0 && l.tick <= n {
		return
	}
	c.take(l)
	slot := &c.due[n%ticks]
	l.tick, l.place = n, len(*slot)
	*slot = append(*slot, sub)
	c.count++
}

// forget undoes put.
func (c *clock) forget(sub *subscriber) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.take(sub.line)
}

// take takes a line out of due, if it is there. The caller holds mu.
func (c *clock) take(l *line) {
	if l.tick == 0 {
		return
	}
	slot := &c.due[l.tick%ticks]
	last := len(*slot) - 1
	(*slot)[l.place] = (*slot)[last]
	(*slot)[l.place].line.place = l.place
	(*slot)[last] = nil
	*slot = (*slot)[:last]
	l.tick = 0
	c.count--
}

// now is the number of the present tick.
func (c *clock) now() int64 { return int64(time.Since(c.start) / tick) }

func (c *clock) run() {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	var told []*subscriber
	for last := false; ; {
		select {
		case <-ticker.C:
		case <-c.hub.ctx.Done():
			last = true
		}
		told = c.passedTo(told[:0], last)
		now := time.Now()
		for _, sub := range told {
			sub.strike(now, last)
		}
		clear(told)
		if c.rests() {
			return
		}
	}
}

// passedTo takes out whose ticks have passed, or all if it is the last time.
func (c *clock) passedTo(told []*subscriber, last bool) []*subscriber {
	c.mu.Lock()
	defer c.mu.Unlock()
	until := c.now()
	if last {
		until = c.passed + ticks
	}
	for n := max(c.passed+1, until-ticks+1); n <= until; n++ {
		slot := &c.due[n%ticks]
		for _, sub := range *slot {
			sub.line.tick = 0
		}
		c.count -= len(*slot)
		told = append(told, *slot...)
		clear(*slot)
		*slot = (*slot)[:0]
	}
	c.passed = max(c.passed, until)
	return told
}

// rests reports whether nobody waits; then put lets the clock go again.
func (c *clock) rests() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.going = c.count > 0
	return !c.going
}
