package session

import (
	"context"

	"github.com/anyframe-relay/relay/relay/internal/limits"
)

// who returns the party that the session's use of shared resources is accounted to: the
// address in ctx, else the visitor's last address.
func (s *Session) who(ctx context.Context) limits.Who {
	who := limits.Who{Visitor: s.visitor, Addr: limits.AddrOf(ctx)}
	if addr := s.addr.Load(); addr != nil && who.Addr == "" {
		who.Addr = *addr
	}
	return who
}
