package record

import (
	"context"
	"errors"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/store"
)

// A store may lose its latest writes: a Redis whose master crashes before replication, or
// that restarts from an old copy. A process that has the session in memory then has newer
// data than the store, and restores it. If another replica has begun the same epoch again
// in the meantime, the two diverge. The store's sandbox then becomes the next epoch,
// because no client has yet seen its events under another number. Ours is in no row any
// more and must be terminated.

// Repair is the result of repairing a row that the store had lost.
type Repair struct {
	// Restored: the row was restored from this process's memory. The epoch's turns may
	// also be lost.
	Restored bool
	// Stray is AnyFrame's session that no row names any more, or empty.
	Stray string
	// Moved is the epoch whose stored turns now belong to the row's epoch, or 0.
	Moved int64
}

// stale reports whether row is older than was. A write never makes a row older.
func stale(row, was store.Session) bool { return row.Epoch < was.Epoch && row.State != StateVoid }

// diverged reports whether two sandboxes have the same epoch. An erased row names no
// sandbox.
func diverged(row, was store.Session) bool {
	return row.Epoch == was.Epoch && row.UpstreamID != was.UpstreamID && row.UpstreamID != ""
}

// Reconcile returns row, as read from the store, repaired if the store has lost writes
// that this process has. For a forgotten visitor it returns [problem.VisitorUnknown]. The
// caller holds the slot.
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
