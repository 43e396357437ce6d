package conversation

import (
	"sync"
	"time"
)

// Activity is what the agent is doing, as far as this process can see.
type Activity struct {
	Busy   bool      // it is working
	Midway bool      // it may be in a turn that began before this process opened the stream
	Active time.Time // time of the last event, or of the last accepted turn
}

type activity struct {
	// mu: these fields change together with the ledger's state of the turn that begins,
	// so that a reader of both never finds a turn accepted and the agent idle.
	mu sync.Mutex
	Activity

	asked   time.Time // when the running turn was accepted; zero once the agent has responded
	began   time.Time // when the running turn was accepted
	unheard bool      // nothing has arrived since the stream was opened
	ours    int       // turns that this process sent and that have not ended
}

// begin records that a turn was accepted. It calls enter under the lock, with whether the
// agent was idle.
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

// note updates the activity for an event that arrived at now, if that is known, and
// records in e what the event ends or begins.
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

// stop records that the agent is no longer working, and reports whether it was.
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

// Works reports whether the agent is working and has been active within limit.
func (c *Conversation) Works(limit time.Duration) bool {
	a := c.Activity()
	return a.Busy && time.Since(a.Active) < limit
}

// SetMidway sets whether the agent may be in a turn whose beginning this process has not
// seen.
func (c *Conversation) SetMidway(midway bool) {
	c.activity.mu.Lock()
	defer c.activity.mu.Unlock()
	c.activity.Midway = midway
}

// Joined records that AnyFrame's stream was opened. It reports whether the agent may be
// in the middle of something.
func (c *Conversation) Joined() (unsure bool) {
	inFlight := c.ledger.InFlight()
	c.activity.mu.Lock()
	defer c.activity.mu.Unlock()
	c.activity.unheard = true
	return c.activity.Busy || c.activity.Midway || inFlight
}

// Unheard returns what TakeUnheard would, without clearing it.
func (c *Conversation) Unheard() bool {
	c.activity.mu.Lock()
	defer c.activity.mu.Unlock()
	return c.activity.unheard
}

// TakeUnheard reports whether nothing has arrived yet on a stream that was opened while
// the agent may have been working for a client unknown to this process. It then clears
// that state: the next call returns false.
func (c *Conversation) TakeUnheard() bool {
	c.activity.mu.Lock()
	defer c.activity.mu.Unlock()
	unheard := c.activity.unheard
	c.activity.unheard = false
	return unheard
}

// Resume applies what AnyFrame's transcript shows about a stream that was opened after
// the event numbered head. The transcript ends at tail, and idle is whether the agent has
// finished, or will not continue, all turns in it. If unnumbered deltas may be missing,
// Resume opens a gap.
//
// A turn in flight may be running, but nothing shows that it is: if the sandbox is found
// asleep, nothing was interrupted.
func (c *Conversation) Resume(head, tail int64, idle bool) {
	c.mu.Lock() // so that a turn that is being accepted is either in flight or unanswered
	defer c.mu.Unlock()
	busy := !idle || c.ledger.Unanswered(tail)
	midway := busy || c.ledger.InFlight()
	c.activity.mu.Lock()
	c.activity.Midway, c.activity.Busy = midway, busy
	c.activity.mu.Unlock()
	switch {
	case midway:
		c.tr.openGap(tail)
	case tail > head: // a block that has ended may have begun before the stream was open
		c.tr.openGap(tail - 1)
	}
}
