package session

import (
	"context"
	"errors"
	"time"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/conversation"
	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/upstream"
)

// readWait is how long a page of AnyFrame's transcript may take.
const readWait = 10 * time.Second

// rows reads a page of AnyFrame's transcript. A session that AnyFrame no longer knows
// has none.
func (s *Session) rows(ctx context.Context, c *conversation.Conversation, since int64, limit int) ([]anyframe.ChatEvent, error) {
	ctx, cancel := context.WithTimeout(ctx, readWait)
	defer cancel()
	done, err := s.hub.reading(ctx, s.who(ctx))
	if err != nil {
		return nil, err
	}
	defer done()
	rows, err := s.hub.Client.Sessions.Transcript(ctx, c.ID(), since, limit)
	if errors.Is(err, anyframe.ErrNotFound) {
		return nil, nil
	}
	return rows, err
}

// Rows returns what reads a conversation's transcript.
func (s *Session) Rows(c *conversation.Conversation) conversation.RowReader {
	return func(ctx context.Context, since int64, limit int) ([]anyframe.ChatEvent, error) {
		return s.rows(ctx, c, since, limit)
	}
}

// Page shows what visitors see of at most limit rows of the present conversation after the
// one numbered since, row by row until show returns false, and returns the number to go on
// from, nil at the end. Show is told the epoch.
func (s *Session) Page(ctx context.Context, since int64, limit int, show func(epoch int64, row []event.Item) bool) (next *int64, err error) {
	c := s.conv.Load()
	if c.ID() == "" {
		return nil, nil
	}
	return c.Page(ctx, s.Rows(c), since, limit, func(row []event.Item) bool { return show(c.Epoch(), row) })
}

// Known reports whether AnyFrame's log of the conversation reaches the event numbered seq.
func (s *Session) Known(ctx context.Context, seq int64) (bool, error) {
	rows, err := s.rows(ctx, s.conv.Load(), seq-1, 1)
	return len(rows) > 0, err
}

// fill gives the conversation the events between two seqs that the stream left out, as
// far as AnyFrame's transcript has them: seqs may also be skipped.
func (s *Session) fill(ctx context.Context, c *conversation.Conversation, from, to int64) (filled int, err error) {
	for row, err := range s.hub.Client.Sessions.TranscriptAll(ctx, c.ID(), from) {
		if err != nil {
			return filled, err
		}
		if row.Seq >= to {
			break
		}
		ev := upstream.Decode(row.Event())
		s.awaitPeerNotes(ctx, c, &ev, true)
		s.apply(ctx, c, &ev)
		filled++
	}
	return filled, nil
}

// sync reads what AnyFrame's log has beyond ours, for a session whose stream there is no
// reason to open.
func (s *Session) sync(ctx context.Context, c *conversation.Conversation) error {
	for row, err := range s.hub.Client.Sessions.TranscriptAll(ctx, c.ID(), c.Log().Head()) {
		if err != nil {
			return err
		}
		ev := upstream.Decode(row.Event())
		s.awaitPeerNotes(ctx, c, &ev, false)
		s.apply(ctx, c, &ev)
	}
	s.showMissing(ctx, c)
	return nil
}

// tail reads AnyFrame's transcript after head, and says where it ends and whether the
// agent is done with all that it was told.
func (s *Session) tail(ctx context.Context, c *conversation.Conversation, head int64) (tail int64, idle bool, err error) {
	tail, idle = head, head == 0
	for row, err := range s.hub.Client.Sessions.TranscriptAll(ctx, c.ID(), max(head-1, 0)) {
		if err != nil {
			return tail, false, err
		}
		tail = row.Seq
		kind := row.Event().Type()
		idle = kind == "result" || kind == "_error"
	}
	return tail, idle && !c.Ledger().Unanswered(tail), nil
}
