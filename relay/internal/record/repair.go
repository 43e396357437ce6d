package record

import (
	"context"
	"errors"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/store"
)

// A store may lose its last writes: a Redis whose master dies before a replica has got
// them, or that starts again from an old copy. A process that has the session in memory
// then knows more than the store, and restores it. If another replica has begun the same
// epoch again meanwhile, the two diverge: the store's sandbox becomes the next epoch, whose
// events no client has yet seen under another number, and ours, which nothing names any
// more, is to be terminated.

// Repair is what became of a row that the store had lost.
type Repair struct {
	// Restored: the row is as this process knew it. The epoch's turns may be lost, too.
	Restored bool
	// Stray is AnyFrame's session that nothing names any more; empty if there is none.
	Stray string
	// Moved is the epoch whose turns in the store belong to the row's now; 0 if none do.
	Moved int64
}

// stale reports whether row is older than was, which no writing makes it.
func stale(row, was store.Session) bool { return row.Epoch < was.Epoch && row.State != StateVoid }

// diverged reports whether two sandboxes go by the same epoch. A row that was erased names none.
func diverged(row, was store.Session) bool {
	return row.Epoch == was.Epoch && row.UpstreamID != was.UpstreamID && row.UpstreamID != ""
}

// Reconcile returns row, which the store has, repaired if the store has lost what this
// process knows. Of a visitor who was forgotten it returns [problem.VisitorUnknown]. The
// caller has the slot.
func (r *Record) Reconcile(ctx context.Context, row store.Session) (store.Session, Repair, error) {
	was, _ := r.Row()
	for {
		next := row
		switch {
		case row.State == StateVoid:
			return row, Repair{}, problem.VisitorUnknown
		case stale(row, was):
			next = was
			next.Version = row.Version
		case diverged(row, was):
			next.Epoch++
			next.LastSeq = 0
		default:
			return row, Repair{}, nil
		}
		next.ExpiresAt = time.Now().Add(r.ttl)
		saved, err := r.store.SaveSession(ctx, next)
		if errors.Is(err, store.ErrConflict) {
			row, err = r.store.Session(ctx, r.visitor)
			if err == nil {
				continue
			}
		}
		if err != nil {
			return row, Repair{}, err
		}
		if saved.Epoch == was.Epoch {
			r.Set(saved)
			return saved, Repair{Restored: true}, nil
		}
		return saved, Repair{Stray: was.UpstreamID, Moved: row.Epoch}, nil
	}
}
