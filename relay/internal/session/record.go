package session

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/store"
)

// stateVoid marks the record of a visitor who was forgotten, for the replicas that
// have a stream open.
const stateVoid = "void"

// tombFor is how long the store remembers that a visitor was forgotten, beyond the
// longest life of a stream.
const tombFor = time.Minute

// record is the visitor's row in the store.
type record struct {
	// io has one slot: whoever has it reads the row and takes it over, so that no two
	// do that at once.
	io chan struct{}

	mu     sync.Mutex // row is the newest that this process has seen
	row    store.Session
	loaded bool // it has been read
}

func (r *record) get() (row store.Session, loaded bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.row, r.loaded
}

func (r *record) set(row store.Session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.row = row
}

// setIf is set for a row of the same epoch; it does nothing for any other.
func (r *record) setIf(row store.Session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.row.Epoch == row.Epoch {
		r.row = row
	}
}

func (r *record) setLoaded(loaded bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.loaded = loaded
}

// lock takes the slot io.
func (r *record) lock(ctx context.Context) (unlock func(), err error) {
	select {
	case r.io <- struct{}{}:
		return func() { <-r.io }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// save changes the stored record of an epoch. A record that another process has moved
// to another epoch, or ended, is left alone: [store.ErrConflict].
func (s *Session) save(ctx context.Context, epoch int64, change func(*store.Session)) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	rec, _ := s.record.get()
	for {
		if rec.Epoch != epoch {
			return store.ErrConflict
		}
		change(&rec)
		rec.ExpiresAt = time.Now().Add(s.hub.VisitorTTL)
		saved, err := s.hub.Store.SaveSession(ctx, rec)
		if err == nil {
			s.record.setIf(saved)
			return nil
		}
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
		fresh, err := s.hub.Store.Session(ctx, s.visitor)
		if err != nil {
			return err
		}
		if fresh.UpstreamID != rec.UpstreamID || (event.Status(fresh.State) == event.StatusEnded && s.View().Status != event.StatusEnded) {
			return store.ErrConflict
		}
		rec = fresh
	}
}

// ExtendTTL keeps the record at least as long as the visitor's token, which ends at
// until. Otherwise a visitor who returns only to read would lose the conversation, and
// the next session would reuse an epoch number. The record may expire up to 5 % early.
func (s *Session) ExtendTTL(ctx context.Context, until time.Time) error {
	rec, _ := s.record.get()
	if rec.Epoch == 0 || !rec.ExpiresAt.Before(until.Add(-s.hub.VisitorTTL/20)) {
		return nil
	}
	if err := s.save(ctx, rec.Epoch, func(*store.Session) {}); !errors.Is(err, store.ErrConflict) {
		return err
	}
	return nil // another process changed it, and so it is kept
}

// persist saves how far the log got, so that the next stream begins there.
func (s *Session) persist(ctx context.Context) {
	c, v := s.conv.Load(), s.View()
	if v.Epoch == 0 || v.Revoked || c.Epoch() != v.Epoch {
		return
	}
	a := c.Activity()
	mid := a.Busy || a.Midway // then the stream must begin before the turn that runs
	err := s.save(ctx, v.Epoch, func(rec *store.Session) {
		rec.State = string(v.Status)
		if head := v.Log.Head(); !mid && head > rec.LastSeq {
			rec.LastSeq = head
		}
	})
	if err != nil && !errors.Is(err, store.ErrConflict) {
		s.logger().Warn("save the session", "error", err)
	}
}

// refresh reads the session's record and takes over what another replica changed. A
// visitor who was forgotten is [problem.VisitorUnknown].
func (s *Session) refresh(ctx context.Context) error {
	unlock, err := s.record.lock(ctx)
	if err != nil {
		return err
	}
	rec, err := s.hub.Store.Session(ctx, s.visitor)
	void := err == nil && rec.State == stateVoid
	if err == nil && !void {
		err = s.takeOver(ctx, rec)
	}
	unlock()
	if void {
		s.hub.Revoke(s.visitor)
		return problem.VisitorUnknown
	}
	return err
}

// takeOver makes rec the session's record, if it is newer. The caller has the slot
// record.io. While the sandbox is being woken nothing is taken over: whoever wakes it
// reads the record as well.
func (s *Session) takeOver(ctx context.Context, rec store.Session) error {
	was, loaded := s.record.get()
	if (rec.Version == was.Version && loaded) || s.reader.waking() {
		return nil
	}
	advanced := rec.Epoch > was.Epoch
	rec, err := s.reconcile(ctx, rec)
	if err != nil {
		return err
	}
	if was, _ = s.record.get(); rec.Version == was.Version && loaded {
		return nil
	}
	status := event.Status(rec.State)
	ends := rec.Epoch == was.Epoch && status == event.StatusEnded && s.View().Status != event.StatusEnded
	p, ok := s.reader.takeAway(rec.Epoch != was.Epoch || ends)
	if !ok {
		return nil // it is being woken since
	}
	if rec.Epoch == was.Epoch {
		s.record.set(rec)
	}
	s.record.setLoaded(true)
	if p != nil && rec.Epoch == was.Epoch && !ends {
		return nil // the pump knows better how it stands
	}
	alive := advanced && p != nil && s.View().Status == event.StatusRunning
	s.sandbox.forgetLook()
	s.conv.Load().SetMidway(true) // another process woke it, to a turn maybe
	if p != nil {                 // one that wakes nothing never waits for record.io
		p.stop()
	}
	if alive && rec.UpstreamID != was.UpstreamID { // nothing names it any more, and if the store lost writes nobody has ended it
		s.hub.members.Go(func() { s.terminate(was.UpstreamID) })
	}
	switch {
	case rec.Epoch > was.Epoch:
		if err := s.adopt(ctx, rec, status, true); err != nil {
			s.record.setLoaded(false) // try again
			return err
		}
	case ends:
		s.conv.Load().Interrupt()
		s.setStatus(status)
	case rec.Epoch > 0 && status != event.StatusRunning: // else AnyFrame is asked
		s.setStatus(status)
	}
	return nil
}

// Forget deletes all that the store has of a visitor but for a mark that this was done,
// with the sandbox that goes to sleep now, for as long as anybody may want to know.
func (h *Hub) Forget(ctx context.Context, visitor string) error {
	last, err := h.Store.Session(ctx, visitor)
	if err != nil {
		return err
	}
	if err := h.Store.Forget(ctx, visitor); err != nil {
		return err
	}
	for {
		rec, err := h.Store.Session(ctx, visitor)
		if err != nil {
			return err
		}
		rec.State, rec.UpstreamID = stateVoid, last.UpstreamID
		rec.ExpiresAt = time.Now().Add(max(h.StreamLifetime, h.countFor()) + tombFor)
		if _, err = h.Store.SaveSession(ctx, rec); !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
}
