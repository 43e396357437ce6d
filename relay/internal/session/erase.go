package session

import (
	"context"
	"errors"

	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/ledger"
	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/record"
	"github.com/anyframe-relay/relay/relay/internal/store"
)

// Blank removes an ended epoch's conversation from the visitor's row and from the
// streams.
func (s *Session) Blank(ctx context.Context, epoch int64) error {
	unlock, err := s.record.Lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	row, changed, err := s.record.Blank(ctx, epoch)
	if err != nil || row.Epoch != epoch || row.State == record.StateVoid {
		return err // another conversation has begun
	}
	if changed {
		s.hub.Publish(ctx, s.visitor)
	}
	return s.adoptErased(ctx, row)
}

// adoptErased shows the streams that the current epoch was erased. The caller holds the
// record's slot.
func (s *Session) adoptErased(ctx context.Context, rec store.Session) error {
	if c := s.standing.Conversation(); c.Epoch() == rec.Epoch && c.ID() == "" {
		s.record.Set(rec)
		return nil
	}
	return s.adopt(ctx, rec, event.StatusEnded, false)
}

// RevokeErased is Revoke for a visitor whose data was all erased: streams first receive
// `reset` `erased`.
func (h *Hub) RevokeErased(visitor string) { h.revoke(visitor, true) }

// showErased shows the streams that everything was erased, and ends the sandbox.
func (s *Session) showErased() {
	c := s.standing.Conversation()
	if c.ID() == "" {
		return
	}
	old := s.standing.Become(s.newConversation(store.Session{Epoch: c.Epoch()}), event.StatusEnded)
	old.Close()
	s.hub.members.Go(func() {
		if s.terminate(old.ID()) {
			s.releaseOnceDown(s.hub.ctx, old.ID())
		}
	})
}

// EraseUnused voids the token of a visitor who has sent nothing, and ends the streams. It
// reports whether that is so. If not, the visitor's data is left to be erased. The
// tombstone comes before the checks, so that a first message that they do not find finds
// the tombstone, see [Session.stillKnown]. It is kept for longer than the visitor's token
// and streams, and a first message that is on its way, can last.
func (h *Hub) EraseUnused(ctx context.Context, visitor string) (unused bool, err error) {
	keep := max(h.ProvisionalTTL, h.StreamLifetime) + h.BootTimeout
	if unused, err = record.EraseUnused(ctx, h.Store, visitor, keep); err != nil || !unused {
		return false, err
	}
	h.RevokeErased(visitor)
	h.Publish(ctx, visitor)
	if sent, err := ledger.Any(ctx, h.Store, visitor, 0); err != nil || sent {
		return false, err
	}
	newest, err := h.History.Newest(ctx, visitor) // the row may have expired before it
	return err == nil && newest == 0, err
}

// stillKnown deletes a first message that was stored after its visitor was forgotten, and
// returns [problem.VisitorUnknown]. Nothing else would delete it.
func (s *Session) stillKnown(ctx context.Context) error {
	_, err := s.record.Read(ctx)
	if !errors.Is(err, problem.VisitorUnknown) {
		return err
	}
	if gone := s.hub.Store.ForgetEpoch(ctx, s.visitor, 0); gone != nil {
		return errors.Join(err, gone)
	}
	return errors.Join(err, s.hub.Store.Scrub(ctx))
}
