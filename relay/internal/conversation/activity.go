package conversation

import (
	"sync"
	"time"
)

// Activity is what the agent is doing, as far as this process knows.
type Activity struct {
	Busy   bool      // it is at work
	Midway bool      // it may be at work, since before this process looked
	Active time.Time // when the last event came, or the last turn was accepted
}

type activity struct {
	// mu: these change together with the ledger's state of the turn that is begun, so
	// that a reader of both never finds a turn accepted and the agent idle.
	mu sync.Mutex
	Activity

	asked   time.Time // when the running turn was accepted; zero once the agent answered
	began   time.Time // when the running turn was accepted
	unheard bool      // nothing came yet since the stream was opened
	ours    int       // turns that this process sent and that have not ended
}

// begin notes that a turn was accepted. Enter is called in the same step, and told
// whether the agent was idle.
func (a *activity) begin(now time.Time, enter func(first bool)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.Active = now
	first := !a.Busy
	if first {
		a.asked, a.began = now, now
	}
	a.Busy = true
	a.ours++
	enter(first)
}

// note keeps it true to an event that came at now, if that is known, and says in e
// what ends or begins with it.
func (a *activity) note(out *step, now time.Time, e *Effect) {
	if now.IsZero() {
		now = time.Now()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.Active = now
	if out.speaks && !a.asked.IsZero() {
		e.Answered = max(now.Sub(a.asked), 1)
		a.asked = time.Time{}
	}
	switch {
	case out.ended:
		if a.Busy && !a.began.IsZero() {
			e.Took = max(now.Sub(a.began), 1)
		}
		if a.ours > 0 {
			e.Ours = true
			a.ours--
		}
		a.Busy, a.Midway, a.began = false, false, time.Time{}
	case out.active:
		a.Busy = true
	}
}

// stop notes that the agent is not at work any more, and reports whether it was.
func (a *activity) stop() (busy bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	busy = a.Busy
	a.Busy, a.Midway = false, false
	a.asked, a.began, a.ours = time.Time{}, time.Time{}, 0
	return busy
}

// Activity returns what the agent is doing.
func (c *Conversation) Activity() Activity {
	c.activity.mu.Lock()
	defer c.activity.mu.Unlock()
	return c.activity.Activity
}

// Works reports whether the agent is at work and has shown a sign of life within
// limit.
func (c *Conversation) Works(limit time.Duration) bool {
	a := c.Activity()
	return a.Busy && time.Since(a.Active) < limit
}

// SetMidway says whether the agent may be in the middle of a turn that this process
// has not seen begin.
func (c *Conversation) SetMidway(midway bool) {
	c.activity.mu.Lock()
	defer c.activity.mu.Unlock()
	c.activity.Midway = midway
}

// Joined says that AnyFrame's stream was opened. It reports whether the agent may be
// in the middle of something.
func (c *Conversation) Joined() (unsure bool) {
	inFlight := c.ledger.InFlight()
	c.activity.mu.Lock()
	defer c.activity.mu.Unlock()
	c.activity.unheard = true
	return c.activity.Busy || c.activity.Midway || inFlight
}

// Unheard reports what TakeUnheard would.
func (c *Conversation) Unheard() bool {
	c.activity.mu.Lock()
	defer c.activity.mu.Unlock()
	return c.activity.unheard
}

// TakeUnheard reports whether nothing has come yet on a stream that was opened while the
// agent may have been at work for a client that this process does not know. It then
// clears that: the next call returns false.
func (c *Conversation) TakeUnheard() bool {
	c.activity.mu.Lock()
	defer c.activity.mu.Unlock()
	unheard := c.activity.unheard
	c.activity.unheard = false
	return unheard
}

// Resume says what AnyFrame's transcript shows of a stream that was opened after the
// event numbered head: it ends at tail, and idle says whether the agent is done with
// all it was told. What unnumbered deltas may be missing is a gap.
func (c *Conversation) Resume(head, tail int64, idle bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.activity.mu.Lock()
	c.activity.Midway, c.activity.Busy = !idle, !idle
	c.activity.mu.Unlock()
	switch {
	case !idle:
		c.tr.openGap(tail)
	case tail > head: // what is over now may have begun before the stream was open
		c.tr.openGap(tail - 1)
	}
}
