package stream

import (
	"testing"

	"github.com/anyframe-relay/relay/relay/internal/eventlog"
)

// The log of a relay that has just started may catch up with a browser while AnyFrame is
// asked how far its log goes.
func TestCursor_LogReachesBrowserMeanwhile_NotAhead(t *testing.T) {
	log := eventlog.New(0, eventlog.Limits{Events: 10, Bytes: 1 << 10})
	c := newCursor("1-2")
	c.seq, c.ahead = c.resume.Seq, true
	log.Append(eventlog.Entry{Seq: 1})
	if pos, err := c.position(log); pos != 1 || err != nil || !c.ahead {
		t.Fatalf("before it does: got position %d, %v, ahead %v, want 1 and ahead", pos, err, c.ahead)
	}
	if c.passes(eventlog.Entry{}) {
		t.Error("got an event of a run whose end the browser has seen, want it left out")
	}
	log.Append(eventlog.Entry{}, eventlog.Entry{Seq: 2})
	if pos, err := c.position(log); pos != 3 || err != nil || c.ahead {
		t.Fatalf("then: got position %d, %v, ahead %v, want 3 and not ahead", pos, err, c.ahead)
	}
	if !c.passes(eventlog.Entry{}) {
		t.Error("got an event without a number left out, want it shown")
	}
}
