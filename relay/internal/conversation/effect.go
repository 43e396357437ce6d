package conversation

import (
	"time"

	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/ledger"
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
	Turn   string // which one it was, "" if that is not known
	Took   time.Duration
	// Ours: the turn that is over was sent by this process, so that no other counts
	// what it cost.
	Ours bool
	// Answered is how long the agent took to its first sign of life after a turn
	// was accepted; 0 when this was not it.
	Answered time.Duration
	// Turns are the keys of turns whose place was learned, to be stored.
	Turns []string
	// Prompts are the ids of prompts that turn out to be answered, to be stored.
	Prompts []string
	// Ends are how turns ended, to be stored before anything says that the log has been
	// read so far.
	Ends []ledger.End
	// Unfinished: AnyFrame has turns that have not ended.
	Unfinished bool
}

// Empty reports whether there is nothing to store.
func (e *Effect) Empty() bool {
	return !e.Ended && len(e.Turns) == 0 && len(e.Prompts) == 0 && len(e.Ends) == 0
}

// step is what translating one event comes to.
type step struct {
	items []event.Item // in order; the last carries the event's seq if anything shows
	outcome
	speaks  bool // the agent's own words or acts
	turns   []string
	prompts []string // that turn out to be answered
	ends    []ledger.End
	over    string // the turn that the event ends, "" if that is not known
	asked   string // the prompt that the event is, by our id
}

// outcome is what an event says about the turn.
type outcome struct {
	active bool // the agent or a visitor did something
	ended  bool // the turn is over
}
