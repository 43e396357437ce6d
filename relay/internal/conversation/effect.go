package conversation

import (
	"time"

	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/ledger"
)

// Effect is what the caller must do after an event has been appended to the log. Most
// events have the zero Effect, which requires nothing.
type Effect struct {
	// Seq is the event's number, 0 if it has none.
	Seq int64
	// Ended: the turn has ended. Reason is how, and Took how long the turn lasted if this
	// process saw it begin.
	Ended  bool
	Reason string
	Turn   string // the turn that ended, "" if unknown
	Took   time.Duration
	// Ours: this process sent the turn that has ended, so it alone counts the turn's
	// cost.
	Ours bool
	// Answered is the time from the turn's acceptance to the agent's first activity, on
	// that first event; otherwise 0.
	Answered time.Duration
	// Turns are the keys of turns whose place became known and must be stored.
	Turns []string
	// Prompts are the ids of prompts that proved to be answered, which must be stored.
	Prompts []string
	// Ends are the ends of turns. They must be stored before the log's position is.
	Ends []ledger.End
	// Unfinished: AnyFrame has turns that have not ended.
	Unfinished bool
}

// Empty reports whether there is nothing to store.
func (e *Effect) Empty() bool {
	return !e.Ended && len(e.Turns) == 0 && len(e.Prompts) == 0 && len(e.Ends) == 0
}

// step is the result of translating one event.
type step struct {
	items []event.Item // in order; the last one carries the event's seq if anything is shown
	outcome
	speaks  bool // the agent's own text or actions
	turns   []string
	prompts []string // that proved to be answered
	ends    []ledger.End
	over    string // the turn that the event ends, "" if unknown
	asked   string // the prompt that the event is, by our id
}

// outcome is what an event means for the turn.
type outcome struct {
	active bool // the agent or a visitor did something
	ended  bool // the turn has ended
}
