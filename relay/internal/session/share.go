package session

import (
	"context"
	"errors"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/limits"
)

// readRetry is when a read that found no slot may be tried again.
const readRetry = 2 * time.Second

var (
	// readBounds bound how many streams are being opened and transcripts read at once, so
	// that a storm of returning tabs does not become AnyFrame's.
	readBounds = limits.Bounds{Total: 64, PerVisitor: 4, PerAddr: 16, PerNetwork: 32}
	// checkBounds bound how many sessions are read from the store again at once.
	checkBounds = limits.Bounds{Total: 32, PerVisitor: 1, PerAddr: 8, PerNetwork: 16}
)

// who returns on whose account the session takes of what all share: the address that ctx
// is of, else the one from which the visitor last came.
func (s *Session) who(ctx context.Context) limits.Who {
	who := limits.Who{Visitor: s.visitor, Addr: limits.AddrOf(ctx)}
	if addr := s.addr.Load(); addr != nil && who.Addr == "" {
		who.Addr = *addr
	}
	return who
}

// reading takes a slot for one upstream read on who's account, as soon as there is one,
// and returns what gives it back.
func (h *Hub) reading(ctx context.Context, who limits.Who) (done func(), err error) {
	err = h.reads.Wait(ctx, who)
	if full, ok := errors.AsType[*limits.Full](err); ok {
		return nil, full.Problem(readRetry)
	}
	return func() { h.reads.Give(who, 1) }, nil
}
