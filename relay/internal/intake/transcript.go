package intake

import (
	"context"
	"errors"
	"time"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/conversation"
	"github.com/anyframe-relay/relay/relay/internal/upstream"
)

// ReadWait is how long a page of AnyFrame's transcript may take.
const ReadWait = 10 * time.Second

// rows reads a page of AnyFrame's transcript. A session that AnyFrame no longer knows
// has none.
func (in *Intake) rows(ctx context.Context, c *conversation.Conversation, since int64, limit int) ([]anyframe.ChatEvent, error) {
	ctx, cancel := context.WithTimeout(ctx, ReadWait)
	defer cancel()
	done, err := in.Slot(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	rows, err := in.Client.Sessions.Transcript(ctx, c.ID(), since, limit)
	if errors.Is(err, anyframe.ErrNotFound) {
		return nil, nil
	}
	return rows, err
}

// Rows returns what reads a conversation's transcript.
func (in *Intake) Rows(c *conversation.Conversation) conversation.RowReader {
	return func(ctx context.Context, since int64, limit int) ([]anyframe.ChatEvent, error) {
		return in.rows(ctx, c, since, limit)
	}
}

// fill gives the conversation the events between two seqs that the stream left out, as
// far as AnyFrame's transcript has them: seqs may also be skipped.
func (in *Intake) fill(ctx context.Context, c *conversation.Conversation, from, to int64) (filled int, err error) {
	for row, err := range in.Client.Sessions.TranscriptAll(ctx, c.ID(), from) {
		if err != nil {
			return filled, err
		}
		if row.Seq >= to {
			break
		}
		ev := upstream.Decode(row.Event())
		in.awaitPeerNotes(ctx, c, &ev, true)
		in.apply(ctx, c, &ev)
		filled++
	}
	return filled, nil
}

// Sync reads what AnyFrame's log has beyond ours, for a session whose stream there is no
// reason to open.
func (in *Intake) Sync(ctx context.Context, c *conversation.Conversation) error {
	for row, err := range in.Client.Sessions.TranscriptAll(ctx, c.ID(), c.Log().Head()) {
		if err != nil {
			return err
		}
		ev := upstream.Decode(row.Event())
		in.awaitPeerNotes(ctx, c, &ev, false)
		in.apply(ctx, c, &ev)
	}
	in.ShowMissing(ctx, c)
	return nil
}

// Tail reads AnyFrame's transcript after head, and says where it ends and whether the
// agent is done with all that it was told.
func (in *Intake) Tail(ctx context.Context, c *conversation.Conversation, head int64) (tail int64, idle bool, err error) {
	tail, idle = head, head == 0
	for row, err := range in.Client.Sessions.TranscriptAll(ctx, c.ID(), max(head-1, 0)) {
		if err != nil {
			return tail, false, err
		}
		tail = row.Seq
		kind := row.Event().Type()
		idle = kind == "result" || kind == "_error"
	}
	return tail, idle && !c.Ledger().Unanswered(tail), nil
}
