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

// tombFor is how long, beyond the longest lifetime of a stream, the store keeps the mark
// of a forgotten visitor.
const tombFor = time.Minute

// save changes the stored record of an epoch. It returns [store.ErrConflict] and changes
// nothing if another process has begun another epoch or ended this one.
func (s *Session) save(ctx context.Context, epoch int64, change func(*store.Session)) error {
	return s.record.Save(ctx, epoch, s.View().Status == event.StatusEnded, change)
}

// ExtendTTL keeps the session's record at least until the visitor's token expires at
// until. It reports whether the record had to be extended.
func (s *Session) ExtendTTL(ctx context.Context, until time.Time) (extended bool, err error) {
	return s.record.Extend(ctx, s.View().Status == event.StatusEnded, until)
}

// persist stores the log's position, so that the next upstream stream begins there.
func (s *Session) persist(ctx context.Context) {
	c, v := s.standing.Conversation(), s.View()
	if v.Epoch == 0 || v.Revoked || c.Epoch() != v.Epoch {
		return
	}
	a := c.Activity()
	keys, others := c.Unfinished()
	mid := a.Busy || a.Midway || others || len(keys) > 0 // then the stream must begin before the running turn
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

// refresh reads the session's record and applies another replica's changes. For a
// forgotten visitor it returns [problem.VisitorUnknown].
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

// takeOver makes rec the session's record if it is newer. The caller holds the record's
// slot. While the sandbox is being woken, it does nothing: the waking goroutine also
// reads the record.
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
		return nil // a wake has started in the meantime
	}
	if rec.Epoch == was.Epoch {
		s.record.Set(rec)
	}
	s.record.SetLoaded(true)
	if p != nil && rec.Epoch == was.Epoch && !ends {
		return nil // the pump's status is more recent
	}
	c := s.standing.Conversation()
	alive := advanced && p != nil && s.View().Status == event.StatusRunning
	s.lookAgain(c)
	c.SetMidway(true) // another process woke it, perhaps for a turn
	if p != nil {     // a pump that does not wake a sandbox never waits for the record's slot
		p.Stop()
	}
	if advanced {
		s.noteHistory(s.hub.History.Keep(ctx, s.visitor, was))
	}
	if alive && rec.UpstreamID != was.UpstreamID { // no row names it any more, and if the store lost writes, it was never terminated
		s.hub.members.Go(func() { s.terminate(was.UpstreamID) })
	}
	switch {
	case rec.Epoch == was.Epoch && record.Erased(rec):
		if ends {
			s.interrupt(ctx, c, false)
			s.setStatus(c, status)
		}
		if err := s.adoptErased(ctx, rec); err != nil {
			s.record.SetLoaded(false) // retry
			return err
		}
	case rec.Epoch > was.Epoch:
		if err := s.adopt(ctx, rec, status, true); err != nil {
			s.record.SetLoaded(false) // retry
			return err
		}
	case ends:
		s.interrupt(ctx, c, false)
		s.setStatus(c, status)
	case rec.Epoch > 0 && status != event.StatusRunning: // otherwise AnyFrame is asked
		s.setStatus(c, status)
	}
	return nil
}

// reconcile returns rec, the stored record, repaired if the store has lost writes that
// this process has. The caller holds the record's slot.
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

// Forget deletes everything that the store has of a visitor except a tombstone. The
// tombstone, which also names the sandbox that is put to sleep, is kept as long as a
// replica may need it.
func (h *Hub) Forget(ctx context.Context, visitor string) error {
	return record.Forget(ctx, h.Store, visitor, max(h.StreamLifetime, h.countFor())+tombFor)
}
