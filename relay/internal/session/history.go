package session

import (
	"cmp"
	"context"
	"slices"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/conversation"
	"github.com/anyframe-relay/relay/relay/internal/event"
)

// Rows returns what reads a conversation's transcript. If AnyFrame does not know the
// session, there are none; of another conversation than the present one the error is
// [anyframe.ErrNotFound].
func (s *Session) Rows(c *conversation.Conversation) conversation.RowReader {
	read := s.intake.Rows(c)
	if c != s.standing.Conversation() {
		read = s.intake.Known(c)
	}
	return func(ctx context.Context, since int64, limit int) ([]anyframe.ChatEvent, error) {
		return read(s.calls(ctx), since, limit)
	}
}

// Page shows what visitors see of at most limit rows of the present conversation after the
// one numbered since, row by row until show returns false, and returns the number to go on
// from, nil at the end. Beyond AnyFrame's log there are none. Show is told the epoch.
func (s *Session) Page(ctx context.Context, since int64, limit int, show func(epoch int64, row []event.Item) bool) (next *int64, err error) {
	c := s.standing.Conversation()
	if c.ID() == "" {
		return nil, nil
	}
	if known, err := s.reach.Known(ctx, c, since); err != nil || !known {
		return nil, err
	}
	return c.Page(ctx, s.Rows(c), since, limit, func(row []event.Item) bool { return show(c.Epoch(), row) })
}

// noteTurn notes that AnyFrame has a turn with a text.
func (s *Session) noteTurn(ctx context.Context, c *conversation.Conversation, turn, text string) {
	running, _ := c.Unfinished()
	s.noteHistory(s.hub.History.Turn(ctx, s.visitor, c.Epoch(), c.ID(), text, cmp.Or(slices.Concat(running, []string{turn})...)))
	if _, over := c.Ledger().End(turn); over { // so fast that the end may have been noted first
		s.noteRest(ctx, c)
	}
}

// noteRest notes that a turn has ended, and which goes on.
func (s *Session) noteRest(ctx context.Context, c *conversation.Conversation) {
	running, others := c.Unfinished()
	s.noteHistory(s.hub.History.Rest(ctx, s.visitor, c.Epoch(), others || len(running) > 0, cmp.Or(running...)))
}

// noteHistory says that the store could not note something of a conversation, which is
// noted again with the next turn.
func (s *Session) noteHistory(err error) {
	if err != nil {
		s.logger().Warn("failed to save a conversation", "error", err)
	}
}

// Known reports whether AnyFrame's log of the conversation reaches the event numbered seq.
func (s *Session) Known(ctx context.Context, seq int64) (bool, error) {
	return s.reach.Known(ctx, s.standing.Conversation(), seq)
}
