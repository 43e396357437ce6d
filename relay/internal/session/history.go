package session

import (
	"context"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/conversation"
	"github.com/anyframe-relay/relay/relay/internal/event"
)

// Rows returns what reads a conversation's transcript.
func (s *Session) Rows(c *conversation.Conversation) conversation.RowReader {
	read := s.intake.Rows(c)
	return func(ctx context.Context, since int64, limit int) ([]anyframe.ChatEvent, error) {
		return read(s.calls(ctx), since, limit)
	}
}

// Page shows what visitors see of at most limit rows of the present conversation after the
// one numbered since, row by row until show returns false, and returns the number to go on
// from, nil at the end. Beyond AnyFrame's log there are none. Show is told the epoch.
func (s *Session) Page(ctx context.Context, since int64, limit int, show func(epoch int64, row []event.Item) bool) (next *int64, err error) {
	c := s.conv.Load()
	if c.ID() == "" {
		return nil, nil
	}
	if known, err := s.reaches(ctx, c, since); err != nil || !known {
		return nil, err
	}
	return c.Page(ctx, s.Rows(c), since, limit, func(row []event.Item) bool { return show(c.Epoch(), row) })
}

// Known reports whether AnyFrame's log of the conversation reaches the event numbered seq.
func (s *Session) Known(ctx context.Context, seq int64) (bool, error) {
	return s.reaches(ctx, s.conv.Load(), seq)
}
