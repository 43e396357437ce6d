package erasure

import (
	"context"
	"errors"
	"time"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/history"
	"github.com/anyframe-relay/relay/relay/internal/store"
	"github.com/anyframe-relay/relay/relay/internal/upstream"
)

// scanBatch is how many idle conversations one look finds.
const scanBatch = 256

// scanEvery is how often idle conversations are looked for: at least every minute, and
// every tenth of a small retention.
func (w *Worker) scanEvery() time.Duration {
	return min(max(w.Retention/10, 100*time.Millisecond), time.Minute)
}

// scan erases the conversations that were idle for as long as they are kept.
func (w *Worker) scan(ctx context.Context) error {
	for {
		idle, err := w.Book.Idle(ctx, time.Now().Add(-w.Retention), scanBatch)
		if err != nil {
			return err
		}
		for i := range idle {
			if err := w.retire(ctx, &idle[i]); err != nil {
				return err
			}
		}
		if len(idle) < scanBatch || ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// retire erases an idle conversation, or puts it back if its turn runs.
func (w *Worker) retire(ctx context.Context, c *history.Conversation) error {
	if c.Busy {
		running, err := w.running(ctx, c)
		if err != nil {
			return err
		}
		if running {
			return w.Book.Spare(ctx, c.ID)
		}
	}
	_, err := w.Conversation(ctx, c.ID, Retention)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}

// running reports whether the sandbox of a conversation is up, in which a turn was not
// seen to end.
func (w *Worker) running(ctx context.Context, c *history.Conversation) (up bool, err error) {
	ctx = upstream.For(ctx, upstream.NewCaller(c.Visitor))
	err = w.call(ctx, func(ctx context.Context) error {
		s, err := w.Client.Sessions.Get(ctx, c.Upstream)
		if err == nil {
			up = s.Status == anyframe.StatusRunning || s.Status == anyframe.StatusBooting
		}
		return err
	})
	if errors.Is(err, anyframe.ErrNotFound) {
		return false, nil
	}
	return up, err
}

// Due returns how many conversations retention would erase now, if it were after.
func Due(ctx context.Context, st store.RecordStore, after time.Duration) (int, error) {
	return st.CountRecords(ctx, history.Kind, time.Now().Add(-after))
}
