package session

import (
	"context"
	"errors"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/ledger"
	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/store"
)

// A store may lose its last writes: a Redis whose master dies before a replica has got
// them, or that starts again from an old copy. A process that has the session in memory
// then knows more than the store, and restores it. If another replica has begun the same
// epoch anew meanwhile, the two diverge: the store's sandbox becomes the next epoch, whose
// events nobody has yet seen under another name, and ours, which nothing names any more,
// is terminated.

// stale reports whether rec is older than was, which no writing makes it.
func stale(rec, was store.Session) bool { return rec.Epoch < was.Epoch && rec.State != stateVoid }

// diverged reports whether two sandboxes go by the same epoch.
func diverged(rec, was store.Session) bool {
	return rec.Epoch == was.Epoch && rec.Epoch > 0 && rec.UpstreamID != was.UpstreamID
}

// reconcile returns rec, the store's record, repaired if the store has lost what this
// process knows. The caller has the slot record.io.
func (s *Session) reconcile(ctx context.Context, rec store.Session) (store.Session, error) {
	was, _ := s.record.get()
	for {
		next := rec
		switch {
		case rec.State == stateVoid:
			return rec, problem.VisitorUnknown
		case stale(rec, was):
			next = was
			next.Version = rec.Version
		case diverged(rec, was):
			next.Epoch++
			next.LastSeq = 0
		default:
			return rec, nil
		}
		next.ExpiresAt = time.Now().Add(s.hub.VisitorTTL)
		saved, err := s.hub.Store.SaveSession(ctx, next)
		if errors.Is(err, store.ErrConflict) {
			rec, err = s.hub.Store.Session(ctx, s.visitor)
			if err == nil {
				continue
			}
		}
		if err != nil {
			return rec, err
		}
		if saved.Epoch == was.Epoch {
			s.record.set(saved)
			l := s.conv.Load().Ledger()
			l.Restore(ctx, l.Recent())
			s.logger().Warn("the store had lost the session, which is put back", "epoch", saved.Epoch)
			return saved, nil
		}
		s.logger().Warn("the store had lost the session, and another was begun", "epoch", saved.Epoch)
		s.hub.members.Go(func() { s.terminate(was.UpstreamID) })
		return saved, ledger.Move(ctx, s.hub.Store, s.visitor, rec.Epoch, saved.Epoch)
	}
}
