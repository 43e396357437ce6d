package conversation

import (
	"time"

	"github.com/anyframe-relay/relay/relay/internal/event"
)

// Effect is what the caller must do about an event, after it is in the log. The
// zero Effect, which most events have, is nothing.
type Effect struct {
	// Seq is the event's number, 0 when it has none.
	Seq int64
	// Ended: the turn is over. Reason says how, and Took how long the turn lasted
	// if this process saw it begin.
	Ended  bool
	Reason string
	Took   time.Duration
	// Answered is how long the agent took to its first sign of life after a turn
	// was accepted; 0 when this was not it.
	Answered time.Duration
	// Turns are the keys of turns whose place was learned, to be stored.
	Turns []string
	// Prompts are the ids of prompts that turn out to be answered, to be stored.
	Prompts []string
}

// Empty reports whether there is nothing to store.
func (e *Effect) Empty() bool { return !e.Ended && len(e.Turns) == 0 && len(e.Prompts) == 0 }

// step is what translating one event comes to.
type step struct {
	items []event.Item // in order; the last carries the event's seq if anything shows
	outcome
	speaks  bool // the agent's own words or acts
	turns   []string
	prompts []string // that turn out to be answered
	asked   string   // the prompt that the event is, by our id
}

// outcome is what an event says about the turn.
type outcome struct {
	active bool // the agent or a visitor did something
	ended  bool // the turn is over
}
