package intake

import (
	"context"
	"math"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/backoff"
	"github.com/anyframe-relay/relay/relay/internal/conversation"
)

// reachEvery is the minimum interval at which AnyFrame is asked for the end of one
// conversation's log.
const reachEvery = 2 * time.Second

// Reach determines how far AnyFrame's log of a visitor's conversation goes, for numbers
// that the visitor sends and the relay's own log does not have. Such numbers are never
// sent to AnyFrame; only the end of its log is requested.
type Reach struct {
	rows func(*conversation.Conversation) conversation.RowReader

	asking chan struct{} // one slot; its holder owns the fields below
	conv   *conversation.Conversation
	end    int64
	asked  time.Time // when the last request began
	err    error     // its result
}

// NewReach returns a Reach that reads transcripts with the readers that rows returns.
func NewReach(rows func(*conversation.Conversation) conversation.RowReader) *Reach {
	return &Reach{rows: rows, asking: make(chan struct{}, 1)}
}

// Known reports whether AnyFrame's log of the conversation reaches the event numbered
// seq. The result is what AnyFrame returned at some time after the call; if AnyFrame was
// asked just before, Known waits for that.
func (r *Reach) Known(ctx context.Context, c *conversation.Conversation, seq int64) (bool, error) {
	if seq <= c.Log().Head() {
		return true, nil
	}
	if c.ID() == "" {
		return false, nil
	}
	called := time.Now()
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
		end, err := r.findEnd(ctx, c, max(r.end, c.Log().Head()))
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

// findEnd returns the number of the last row of AnyFrame's transcript, starting from the
// number of a known row.
func (r *Reach) findEnd(ctx context.Context, c *conversation.Conversation, from int64) (int64, error) {
	for piece, err := range conversation.Pieces(ctx, r.rows(c), from, math.MaxInt) {
		if err != nil {
			return from, err
		}
		for _, row := range piece.Rows {
			from = max(from, row.Seq)
		}
	}
	return from, nil
}
