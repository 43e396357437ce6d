package session

import (
	"context"

	"github.com/anyframe-relay/relay/relay/internal/event"
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
