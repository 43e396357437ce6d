package session

import (
	"context"

	"github.com/anyframe-relay/relay/relay/internal/limits"
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
