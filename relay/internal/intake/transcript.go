package intake

import (
	"context"
	"errors"
	"iter"
	"math"
	"time"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/conversation"
	"github.com/anyframe-relay/relay/relay/internal/upstream"
)

// readWait is the timeout of one page of AnyFrame's transcript, and of the wait for a
// slot before it.
const readWait = 10 * time.Second

// page reads a page of AnyFrame's transcript, when the visitor has a slot for it.
func (in *Intake) page(ctx context.Context, c *conversation.Conversation, since int64, limit int) ([]anyframe.ChatEvent, error) {
	waiting, cancel := context.WithTimeout(ctx, readWait)
	defer cancel()
	done, err := in.Slot(waiting)
	if err != nil {
		return nil, err
	}
	defer done()
	ctx, cancel = context.WithTimeout(ctx, readWait)
	defer cancel()
	return in.Client.Sessions.Transcript(ctx, c.ID(), since, limit)
}

// rows reads a page of AnyFrame's transcript. A session that AnyFrame no longer has
// yields no rows.
func (in *Intake) rows(ctx context.Context, c *conversation.Conversation, since int64, limit int) ([]anyframe.ChatEvent, error) {
	rows, err := in.page(ctx, c, since, limit)
	if errors.Is(err, anyframe.ErrNotFound) {
		return nil, nil
	}
	return rows, err
}

// Rows returns a reader of a conversation's transcript.
func (in *Intake) Rows(c *conversation.Conversation) conversation.RowReader {
	return func(ctx context.Context, since int64, limit int) ([]anyframe.ChatEvent, error) {
		return in.rows(ctx, c, since, limit)
	}
}

// Known is Rows for callers that must know whether AnyFrame has the session: if not,
// reads return [anyframe.ErrNotFound].
func (in *Intake) Known(c *conversation.Conversation) conversation.RowReader {
	return func(ctx context.Context, since int64, limit int) ([]anyframe.ChatEvent, error) {
		return in.page(ctx, c, since, limit)
	}
}

// after yields all of AnyFrame's transcript after row since. An error, such as
// [anyframe.ErrNotFound], is the last item.
func (in *Intake) after(ctx context.Context, c *conversation.Conversation, since int64) iter.Seq2[anyframe.ChatEvent, error] {
	read := func(ctx context.Context, since int64, limit int) ([]anyframe.ChatEvent, error) {
		return in.page(ctx, c, since, limit)
	}
	return func(yield func(anyframe.ChatEvent, error) bool) {
		for piece, err := range conversation.Pieces(ctx, read, since, math.MaxInt) {
			if err != nil {
				yield(anyframe.ChatEvent{}, err)
				return
			}
			for _, row := range piece.Rows {
				if !yield(row, nil) {
					return
				}
			}
		}
	}
}

// fill passes to the conversation the events between two seqs that the stream omitted, if
// AnyFrame's transcript has them: AnyFrame may also skip seqs.
func (in *Intake) fill(ctx context.Context, c *conversation.Conversation, from, to int64) (filled int, err error) {
	for row, err := range in.after(ctx, c, from) {
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

// Sync reads the part of AnyFrame's log beyond ours, for a session whose stream need not
// be opened.
func (in *Intake) Sync(ctx context.Context, c *conversation.Conversation) error {
	for row, err := range in.after(ctx, c, c.Log().Head()) {
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

// Tail reads AnyFrame's transcript after head. It returns where the transcript ends, and
// whether the agent has finished, or will not continue, all turns in it.
func (in *Intake) Tail(ctx context.Context, c *conversation.Conversation, head int64) (tail int64, idle bool, err error) {
	tail, idle = head, head == 0
	for row, err := range in.after(ctx, c, max(head-1, 0)) {
		if err != nil {
			return tail, false, err
		}
		tail = row.Seq
		kind := row.Event().Type()
		idle = kind == "result" || kind == "_error"
	}
	return tail, idle || c.Interrupted(tail), nil
}
