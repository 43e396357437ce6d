package relay

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/store"
)

// A store may lose its last writes: a Redis whose master dies before a replica
// has heard of them, or that starts again from an old copy. Who has the session
// in memory then knows more than the store, and puts it back. If another replica
// has begun the same epoch anew meanwhile, the two part: the store's sandbox
// becomes the next epoch, whose events nobody has yet seen under another name,
// and ours, which nothing names any more, is terminated.

// behind reports whether rec is older than was, which no writing makes it.
func behind(rec, was store.Session) bool {
	return rec.Epoch < was.Epoch && rec.State != stateVoid
}

// forked reports whether two sandboxes go by the same epoch.
func forked(rec, was store.Session) bool {
	return rec.Epoch == was.Epoch && rec.Epoch > 0 && rec.UpstreamID != was.UpstreamID
}

// reconcile returns rec, the store's record, put right if the store has lost
// what this process knows. The caller holds loadMu.
func (s *session) reconcile(ctx context.Context, rec store.Session) (store.Session, error) {
	s.mu.Lock()
	was := s.record
	s.mu.Unlock()
	for {
		next := rec
		switch {
		case rec.State == stateVoid:
			return rec, problem.VisitorUnknown
		case behind(rec, was):
			next = was
			next.Version = rec.Version
		case forked(rec, was):
			next.Epoch++
			next.LastSeq = 0
		default:
			return rec, nil
		}
		next.ExpiresAt = time.Now().Add(s.hub.config.VisitorTTL)
		saved, err := s.hub.store.SaveSession(ctx, next)
		if errors.Is(err, store.ErrConflict) {
			rec, err = s.hub.store.Session(ctx, s.visitor)
			if err == nil {
				continue
			}
		}
		if err != nil {
			return rec, err
		}
		if saved.Epoch == was.Epoch {
			s.mu.Lock()
			s.record = saved
			s.mu.Unlock()
			s.putBack(ctx, s.notes().all())
			s.logger().Warn("the store had lost the session, which is put back", "epoch", saved.Epoch)
			return saved, nil
		}
		s.logger().Warn("the store had lost the session, and another was begun", "epoch", saved.Epoch)
		s.hub.wg.Go(func() { s.terminate(was.UpstreamID) })
		return saved, s.moveTurns(ctx, rec.Epoch, saved.Epoch)
	}
}

// moveTurns makes the turns of one epoch another's.
func (s *session) moveTurns(ctx context.Context, from, to int64) error {
	turns, err := s.hub.store.Notes(ctx, s.visitor, noteTurn, from)
	for _, n := range turns {
		n.Epoch = to
		if _, err := s.hub.store.SaveNote(ctx, n); err != nil && !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return err
}

// all returns the turns.
func (b *notebook) all() []turnNote {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.turns)
}

// missing returns the turns that fresh, just read from the store, has lost: it
// lacks them, or does not know yet that AnyFrame has them.
func (b *notebook) missing(fresh *notebook) []turnNote {
	var lost []turnNote
	for _, t := range b.all() {
		stored, ok := fresh.turn(t.note.Key)
		if t.inFlight || time.Now().After(t.note.ExpiresAt) {
			continue
		}
		if !ok || (t.mine && t.note.State == turnSent && stored.note.State != turnSent) {
			lost = append(lost, t)
		}
	}
	return lost
}

// putBack stores turns again that the store has lost. The visitor must be known
// not to be forgotten.
func (s *session) putBack(ctx context.Context, lost []turnNote) {
	for _, t := range lost {
		stored, fresh, err := s.hub.store.BeginNote(ctx, t.stored())
		if err == nil && !fresh && t.note.State == turnSent && stored.State != turnSent {
			n := t.stored()
			n.Version = stored.Version
			stored, err = s.hub.store.SaveNote(ctx, n)
		}
		if err != nil {
			if !errors.Is(err, store.ErrConflict) { // else somebody else is at it
				s.logger().Warn("put a turn back", "error", err)
			}
			continue
		}
		t.note = stored
		s.notes().setTurn(t)
	}
}
