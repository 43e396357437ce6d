package upstream

import (
	"context"
	"sync/atomic"
)

// Caller is the visitor for whom calls to AnyFrame are made. It is safe for
// concurrent use.
type Caller struct {
	visitor string
	account atomic.Pointer[pin]    // of the visitor's session; nil while that is not known
	network atomic.Pointer[string] // of the visitor's last request; nil before the first
}

// NewCaller returns a caller whose network is not known.
func NewCaller(visitor string) *Caller { return &Caller{visitor: visitor} }

// From notes the network from which the visitor's last request came: an IPv4
// address, or the /48 of an IPv6 address.
func (c *Caller) From(network string) { c.network.Store(&network) }

type callerKey struct{}

// For returns a context for calls that are made for c.
func For(ctx context.Context, c *Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// callerOf returns for whom a call is made, and from where. Both are empty for a
// call that is made for no visitor, the network also if it is not known.
func callerOf(ctx context.Context) (visitor, network string) {
	c, _ := ctx.Value(callerKey{}).(*Caller)
	if c == nil {
		return "", ""
	}
	if n := c.network.Load(); n != nil {
		network = *n
	}
	return c.visitor, network
}
