package upstream

import (
	"context"
	"sync/atomic"
)

// Caller is the visitor that calls to AnyFrame are made for. It is safe for concurrent
// use.
type Caller struct {
	visitor string
	account atomic.Pointer[pin]    // of the visitor's session; nil while unknown
	network atomic.Pointer[string] // of the visitor's last request; nil before the first
}

// NewCaller returns a caller whose network is unknown.
func NewCaller(visitor string) *Caller { return &Caller{visitor: visitor} }

// From sets the network of the visitor's last request: an IPv4 address, or the /48 of an
// IPv6 address.
func (c *Caller) From(network string) { c.network.Store(&network) }

type callerKey struct{}

// For returns a context for calls that are made for c.
func For(ctx context.Context, c *Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// callerOf returns the visitor and network for which a call is made. Both are empty for a
// call that is made for no visitor; the network is also empty if unknown.
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
