package erasure

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/history"
	"github.com/anyframe-relay/relay/relay/internal/store"
	"github.com/anyframe-relay/relay/relay/internal/upstream"
)

// scanBatch is how many idle conversations one scan reads.
const scanBatch = 256

// scanEvery is the interval of scans for idle conversations: a tenth of the retention, at
// most a minute.
func (w *Worker) scanEvery() time.Duration {
	return min(max(w.Retention/10, 100*time.Millisecond), time.Minute)
}

// scan erases the conversations that were idle for the retention period. One that fails
// does not keep the others, which come after it, from being erased.
func (w *Worker) scan(ctx context.Context) error {
	failed := map[string]error{}
	for {
		most := scanBatch + len(failed)
		idle, err := w.Book.Idle(ctx, time.Now().Add(-w.Retention), most)
		if err != nil {
			return err
		}
		for i := range idle {
			if id := idle[i].ID; failed[id] == nil && ctx.Err() == nil {
				if err := w.retire(ctx, &idle[i]); err != nil {
					failed[id] = err
				}
			}
		}
		if len(idle) < most || ctx.Err() != nil {
			return errors.Join(append(slices.Collect(maps.Values(failed)), ctx.Err())...)
		}
	}
}

// retire erases an idle conversation, or keeps it if its turn is running.
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

// running reports whether the sandbox of a conversation is up, in which a turn has no
// recorded end.
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

// Due returns how many conversations a retention of after would erase now.
func Due(ctx context.Context, st store.RecordStore, after time.Duration) (int, error) {
	return st.CountRecords(ctx, history.Kind, time.Now().Add(-after))
}
