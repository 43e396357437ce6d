//go:build !linux

package poll

import "net"

// Supported says whether connections can be watched on this system.
const Supported = false

type loop struct{}

// Remove ends the watch, before its connection is closed. Ready may be under way
// but is not called again.
func (w *Watch) Remove() {}

// Of watches a connection that stays net's: whoever owns it may read and write as
// ever, and must call Remove before it is closed.
func Of(net.Conn, Waiter) (*Watch, error) { return nil, ErrUnsupported }

// Conn is a connection to read from, taken away from net.
type Conn struct{ Watch }

// Take takes the connection over. If that fails, conn is as it was.
func Take(net.Conn, Waiter) (*Conn, error) { return nil, ErrUnsupported }

// Read reads what has come; if that is nothing it returns [ErrWait] at once.
func (c *Conn) Read([]byte) (int, error) { return 0, ErrUnsupported }

// Shut ends the connection, and what waits for it is called. Anybody may call it.
func (c *Conn) Shut() {}

// Close closes the connection.
func (c *Conn) Close() {}
