package intake

import (
	"context"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/backoff"
	"github.com/anyframe-relay/relay/relay/internal/conversation"
	"github.com/anyframe-relay/relay/relay/internal/upstream"
)

// notesPause is the pause before another replica's notes are read again.
const notesPause = 50 * time.Millisecond

// awaitPeerNotes reads what other replicas have stored about an event before the
// conversation gets it: whose turn it is, or who answered the prompt after which the
// agent continues. A message that another replica is about to have accepted goes before
// the agent's answer to it.
func (in *Intake) awaitPeerNotes(ctx context.Context, c *conversation.Conversation, ev *upstream.Event, busy bool) {
	unheard := c.TakeUnheard()
	l := c.Ledger()
	switch {
	case ev.User:
		if _, known := l.Recognize(ev.Seq, ev.Members.UserText()); known {
			return
		}
	case !conversation.Speaks(ev.Kind):
		return
	case busy && !unheard && !l.AnyWaiting():
		return
	}
	for deadline := time.Now().Add(placeWait); ; backoff.Sleep(ctx, notesPause) {
		if _, err := c.Refresh(ctx); err != nil {
			in.Log().Warn("failed to reload the notes", "error", err)
			return
		}
		if ev.User || !l.AwaitElsewhere(time.Now().After(deadline)) {
			return
		}
	}
}
