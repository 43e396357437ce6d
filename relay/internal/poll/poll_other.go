//go:build !linux

package poll

import "net"

// Supported reports whether connections can be watched on this system.
const Supported = false

type loop struct{}

// Remove ends the watch. It must be called before the connection is closed. A call of
// Ready may be in progress, but there will be no other.
func (w *Watch) Remove() {}

// Of watches a connection that stays managed by net: its owner may read and write as
// before, and must call Remove before it is closed.
func Of(net.Conn, Waiter) (*Watch, error) { return nil, ErrUnsupported }
