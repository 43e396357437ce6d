package relay

import (
	"context"
	"errors"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/history"
	"github.com/anyframe-relay/relay/relay/internal/journal"
	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/record"
	"github.com/anyframe-relay/relay/relay/internal/session"
)

// ender ends the activity of conversations and visitors that are erased. It implements
// [erasure.Ender].
type ender struct {
	hub   *session.Hub
	store *journal.Store
	book  *history.Book
	// void is how long an erased visitor's tokens are recorded as void. It exceeds the
	// lifetime of any token, of a name's hash, and of a sandbox's entry in the awake
	// count.
	void time.Duration
}

// EraseEpoch ends the visitor's epoch if it is the current one, and removes it from the
// visitor's record and streams.
func (e ender) EraseEpoch(ctx context.Context, visitor string, epoch int64, idle bool) (busy bool, err error) {
	s, err := e.hub.Open(ctx, visitor)
	if errors.Is(err, problem.VisitorUnknown) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer s.Close()
	if busy, err := s.EndEpoch(ctx, epoch, idle); busy || err != nil {
		return busy, err
	}
	return false, s.Blank(ctx, epoch)
}

// EraseVisitor voids every token of the visitor, ends the streams and deletes the
// visitor's notes.
func (e ender) EraseVisitor(ctx context.Context, visitor string) error {
	err := record.Erase(ctx, e.store, visitor, e.void, func(epoch int64, id string) error {
		e.store.VisitorErased(ctx, visitor, epoch)
		return e.book.Begin(ctx, visitor, epoch, id)
	})
	if err != nil {
		return err
	}
	e.hub.RevokeErased(visitor)
	e.hub.Publish(ctx, visitor)
	return nil
}

// EraseUnused voids the token of a visitor who has sent nothing, and ends the streams.
func (e ender) EraseUnused(ctx context.Context, visitor string) (unused bool, err error) {
	return e.hub.EraseUnused(ctx, visitor)
}
