// Package poll watches connections on which mostly nothing happens, without a
// goroutine for each of them.
//
// The runtime's own poller wakes a goroutine, and a goroutine that waits costs
// some KB of stack and a turn of the scheduler for each event. Here a few
// goroutines, as many as there are processors, wait for all connections and call
// the owner of one. The poller belongs to the process, as the runtime's does, and
// begins with the first connection.
//
// Where the system has no such thing [Supported] is false and [Of] fails with
// [ErrUnsupported].
package poll

import (
	"errors"
	"sync/atomic"
)

var (
	// ErrUnsupported says that this connection cannot be watched.
	ErrUnsupported = errors.New("poll: cannot watch this connection")
	// ErrWait says that the socket takes nothing at the moment.
	ErrWait = errors.New("poll: nothing can be written")
)

// Waiter is who a watched connection belongs to.
type Waiter interface {
	// Ready is called when there is something to read, or the other side has
	// gone: once after each Park that returned true. It runs in the poller's
	// goroutine, where many others wait for their turn, so it must not wait.
	// Until Seen is called there is no parking again.
	Ready()
}

// The states of a Watch.
const (
	busy   = iota // its owner looks after it
	news          // something came since the owner looked
	parked        // its owner is to be called
	removed
)

// Watch is one connection that is watched. Its methods are its owner's, who is
// one goroutine at a time: after a Park that returned true, Ready's.
type Watch struct {
	waiter Waiter
	loop   *loop
	fd     int
	state  atomic.Uint32
}

// Park gives the connection to the poller until there is something to read. It
// returns false if something has come since the last call of Seen: then Ready is
// not called, and the owner goes on.
func (w *Watch) Park() bool {
	if w.state.CompareAndSwap(busy, parked) {
		return true
	}
	return w.state.Load() == removed
}

// Seen notes that whatever has come is about to be looked at.
func (w *Watch) Seen() { w.state.CompareAndSwap(news, busy) }

// tell is called when something has come.
func (w *Watch) tell() {
	for {
		switch state := w.state.Load(); state {
		case busy:
			if w.state.CompareAndSwap(busy, news) {
				return
			}
		case parked:
			if w.state.CompareAndSwap(parked, news) {
				w.waiter.Ready()
				return
			}
		default:
			return
		}
	}
}
