package session

import (
	"context"

	"github.com/anyframe-relay/relay/relay/internal/conversation"
	"github.com/anyframe-relay/relay/relay/internal/event"
)

// Rows returns what reads a conversation's transcript.
func (s *Session) Rows(c *conversation.Conversation) conversation.RowReader { return s.intake.Rows(c) }

// Page returns what visitors see of at most limit rows of the present conversation after
// the one numbered since, and the number to go on from, nil at the end.
func (s *Session) Page(ctx context.Context, since int64, limit int) (items []event.Item, epoch int64, next *int64, err error) {
	c := s.conv.Load()
	if c.ID() == "" {
		return nil, c.Epoch(), nil, nil
	}
	items, next, err = c.Page(ctx, s.intake.Rows(c), since, limit)
	return items, c.Epoch(), next, err
}

// Known reports whether AnyFrame's log of the conversation reaches the event numbered seq.
func (s *Session) Known(ctx context.Context, seq int64) (bool, error) {
	rows, err := s.intake.Rows(s.conv.Load())(ctx, seq-1, 1)
	return len(rows) > 0, err
}
