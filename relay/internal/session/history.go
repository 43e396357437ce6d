package session

import (
	"cmp"
	"context"
	"slices"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/conversation"
	"github.com/anyframe-relay/relay/relay/internal/event"
)

// Rows returns a reader of a conversation's transcript. It returns no rows if AnyFrame
// does not have the session. If the conversation is not the current one, that error is
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

// Page calls show, with the epoch, for the visitor's view of each of at most limit rows
// of the current conversation after row since, until show returns false. It returns the
// row number to continue from, or nil at the end. If since is beyond
// AnyFrame's log, there are no rows.
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

// noteTurn records in the history that AnyFrame has accepted a turn, with its text.
func (s *Session) noteTurn(ctx context.Context, c *conversation.Conversation, turn, text string) {
	running, _ := c.Unfinished()
	s.noteHistory(s.hub.History.Turn(ctx, s.visitor, c.Epoch(), c.ID(), text, cmp.Or(slices.Concat(running, []string{turn})...)))
	if _, over := c.Ledger().End(turn); over { // a fast turn's end may have been recorded first
		s.noteRest(ctx, c)
	}
}

// noteRest records in the history that a turn has ended, and which turn is still running.
func (s *Session) noteRest(ctx context.Context, c *conversation.Conversation) {
	running, others := c.Unfinished()
	s.noteHistory(s.hub.History.Rest(ctx, s.visitor, c.Epoch(), others || len(running) > 0, cmp.Or(running...)))
}

// noteHistory logs a failed write to the history. The next turn writes it again.
func (s *Session) noteHistory(err error) {
	if err != nil {
		s.logger().Warn("failed to save a conversation", "error", err)
	}
}

// Known reports whether AnyFrame's log of the conversation reaches the event numbered
// seq.
func (s *Session) Known(ctx context.Context, seq int64) (bool, error) {
	return s.reach.Known(ctx, s.standing.Conversation(), seq)
}
