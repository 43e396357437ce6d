package session

import (
	"context"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/backoff"
	"github.com/anyframe-relay/relay/relay/internal/conversation"
)

// reachEvery is how often AnyFrame is asked, for one conversation, where its log ends.
const reachEvery = 2 * time.Second

// reach is how far AnyFrame's log of a conversation goes, for numbers that a visitor
// names and the relay's own log does not have. Such numbers are never sent to AnyFrame:
// it is asked for the end of its log.
type reach struct {
	asking chan struct{} // one slot; whoever has it owns the rest
	conv   *conversation.Conversation
	end    int64
	asked  time.Time // when the last asking began
	err    error     // how that ended
}

func (r *reach) init() { r.asking = make(chan struct{}, 1) }

// reaches reports whether AnyFrame's log of the conversation reaches the event numbered
// seq. It returns what AnyFrame says at some moment after the call, and waits for that
// where AnyFrame was asked just before.
func (s *Session) reaches(ctx context.Context, c *conversation.Conversation, seq int64) (bool, error) {
	if seq <= c.Log().Head() {
		return true, nil
	}
	if c.ID() == "" {
		return false, nil
	}
	called := time.Now()
	r := &s.reach
	select {
	case r.asking <- struct{}{}:
		defer func() { <-r.asking }()
	case <-ctx.Done():
		return false, ctx.Err()
	}
	if r.conv != c {
		r.conv, r.end, r.asked, r.err = c, 0, time.Time{}, nil
	}
	if seq <= r.end {
		return true, nil
	}
	if r.asked.Before(called) {
		backoff.Sleep(ctx, reachEvery-time.Since(r.asked))
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		asked := time.Now()
		end, err := s.findEnd(ctx, c, max(r.end, c.Log().Head()))
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		r.end, r.asked, r.err = end, asked, err
	}
	if seq <= max(r.end, c.Log().Head()) {
		return true, nil
	}
	return false, r.err
}

// findEnd returns the number of the last row of AnyFrame's transcript, from being the
// number of one that is known.
func (s *Session) findEnd(ctx context.Context, c *conversation.Conversation, from int64) (int64, error) {
	read := s.Rows(c)
	for {
		page, err := read(ctx, from, conversation.HistoryPage)
		before := from
		for _, row := range page {
			from = max(from, row.Seq)
		}
		if err != nil || len(page) < conversation.HistoryPage || from == before {
			return from, err
		}
	}
}
