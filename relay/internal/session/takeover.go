package session

import (
	"context"
	"errors"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/ledger"
	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/record"
	"github.com/anyframe-relay/relay/relay/internal/store"
)

// tombFor is how long the store remembers that a visitor was forgotten, beyond the
// longest life of a stream.
const tombFor = time.Minute

// save changes the stored record of an epoch. A record that another process has moved
// to another epoch, or ended, is left alone: [store.ErrConflict].
func (s *Session) save(ctx context.Context, epoch int64, change func(*store.Session)) error {
	return s.record.Save(ctx, epoch, s.View().Status == event.StatusEnded, change)
}

// ExtendTTL keeps the session's record at least as long as the visitor's token, which ends
// at until, and reports whether it had to be extended.
func (s *Session) ExtendTTL(ctx context.Context, until time.Time) (extended bool, err error) {
	return s.record.Extend(ctx, s.View().Status == event.StatusEnded, until)
}

// persist saves how far the log got, so that the next stream begins there.
func (s *Session) persist(ctx context.Context) {
	c, v := s.standing.Conversation(), s.View()
	if v.Epoch == 0 || v.Revoked || c.Epoch() != v.Epoch {
		return
	}
	a := c.Activity()
	keys, others := c.Unfinished()
	mid := a.Busy || a.Midway || others || len(keys) > 0 // then the stream must begin before the turn that runs
	err := s.save(ctx, v.Epoch, func(rec *store.Session) {
		rec.State = string(v.Status)
		if head := v.Log.Head(); !mid && head > rec.LastSeq {
			rec.LastSeq = head
		}
	})
	if err != nil && !errors.Is(err, store.ErrConflict) {
		s.logger().Warn("failed to save the session", "error", err)
	}
}

// refresh reads the session's record and takes over what another replica changed. A
// visitor who was forgotten is [problem.VisitorUnknown].
func (s *Session) refresh(ctx context.Context) error {
	unlock, err := s.record.Lock(ctx)
	if err != nil {
		return err
	}
	rec, err := s.record.Read(ctx)
	void := errors.Is(err, problem.VisitorUnknown)
	erased := void && record.Erased(rec)
	if err == nil {
		err = s.takeOver(ctx, rec)
	}
	unlock()
	if void {
		s.hub.revoke(s.visitor, erased)
	}
	return err
}

// takeOver makes rec the session's record, if it is newer. The caller has the
// record's slot. While the sandbox is being woken nothing is taken over: the goroutine
// that wakes it reads the record as well.
func (s *Session) takeOver(ctx context.Context, rec store.Session) error {
	was, loaded := s.record.Row()
	if (rec.Version == was.Version && loaded) || s.reader.Waking() {
		return nil
	}
	advanced := rec.Epoch > was.Epoch
	rec, err := s.reconcile(ctx, rec)
	if err != nil {
		return err
	}
	if was, _ = s.record.Row(); rec.Version == was.Version && loaded {
		return nil
	}
	status := event.Status(rec.State)
	ends := rec.Epoch == was.Epoch && status == event.StatusEnded && s.View().Status != event.StatusEnded
	p, ok := s.reader.TakeAway(rec.Epoch != was.Epoch || ends)
	if !ok {
		return nil // it is being woken since
	}
	if rec.Epoch == was.Epoch {
		s.record.Set(rec)
	}
	s.record.SetLoaded(true)
	if p != nil && rec.Epoch == was.Epoch && !ends {
		return nil // the pump knows better how it stands
	}
	c := s.standing.Conversation()
	alive := advanced && p != nil && s.View().Status == event.StatusRunning
	s.standing.SetLooked(c, false)
	c.SetMidway(true) // another process woke it, to a turn maybe
	if p != nil {     // one that wakes nothing never waits for the record's slot
		p.Stop()
	}
	if advanced {
		s.noteHistory(s.hub.History.Keep(ctx, s.visitor, was))
	}
	if alive && rec.UpstreamID != was.UpstreamID { // nothing names it any more, and if the store lost writes it was not ended
		s.hub.members.Go(func() { s.terminate(was.UpstreamID) })
	}
	switch {
	case rec.Epoch == was.Epoch && record.Erased(rec):
		if ends {
			s.interrupt(ctx, c, false)
			s.setStatus(c, status)
		}
		if err := s.adoptErased(ctx, rec); err != nil {
			s.record.SetLoaded(false) // try again
			return err
		}
	case rec.Epoch > was.Epoch:
		if err := s.adopt(ctx, rec, status, true); err != nil {
			s.record.SetLoaded(false) // try again
			return err
		}
	case ends:
		s.interrupt(ctx, c, false)
		s.setStatus(c, status)
	case rec.Epoch > 0 && status != event.StatusRunning: // else AnyFrame is asked
		s.setStatus(c, status)
	}
	return nil
}

// reconcile returns rec, the store's record, repaired if the store has lost what this
// process knows. The caller has the record's slot.
func (s *Session) reconcile(ctx context.Context, rec store.Session) (store.Session, error) {
	rec, repair, err := s.record.Reconcile(ctx, rec)
	switch {
	case err != nil:
	case repair.Restored:
		l := s.standing.Conversation().Ledger()
		l.Restore(ctx, l.Recent())
		s.logger().Warn("the store lost the session; it was restored", "epoch", rec.Epoch)
	case repair.Moved != 0:
		s.logger().Warn("the store lost the session; another one had already begun", "epoch", rec.Epoch)
		s.hub.members.Go(func() { s.terminate(repair.Stray) })
		s.noteHistory(s.hub.History.Moved(ctx, s.visitor, repair.Moved, repair.Stray, rec.Epoch, rec.UpstreamID))
		err = ledger.Move(ctx, s.hub.Store, s.visitor, repair.Moved, rec.Epoch)
	}
	return rec, err
}

// Forget deletes all that the store has of a visitor except a mark that this was done,
// with the sandbox that goes to sleep now, for as long as a replica may need it.
func (h *Hub) Forget(ctx context.Context, visitor string) error {
	return record.Forget(ctx, h.Store, visitor, max(h.StreamLifetime, h.countFor())+tombFor)
}
