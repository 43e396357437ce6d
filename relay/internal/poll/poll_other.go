//go:build !linux

package poll

import "net"

// Supported says whether connections can be watched on this system.
const Supported = false

type loop struct{}

// Remove ends the watch, before its connection is closed. Ready may be under way
// but is not called again.
func (w *Watch) Remove() {}

// Of watches a connection that stays net's: its owner may read and write as before,
// and must call Remove before it is closed.
func Of(net.Conn, Waiter) (*Watch, error) { return nil, ErrUnsupported }
