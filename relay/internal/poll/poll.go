// Package poll watches connections that are mostly idle, without a goroutine for each of
// them.
//
// The runtime's own poller wakes a goroutine, and a waiting goroutine costs some KB of
// stack and a turn of the scheduler per event. Here a few goroutines, as many as there
// are processors, wait for all connections and call a connection's owner. Like the
// runtime's poller, this one belongs to the process. It starts with the first connection.
//
// On systems without support, [Supported] is false and [Of] fails with [ErrUnsupported].
package poll

import (
	"errors"
	"sync/atomic"
)

var (
	// ErrUnsupported means that this connection cannot be watched.
	ErrUnsupported = errors.New("poll: cannot watch this connection")
	// ErrWait means that the socket's buffer is full.
	ErrWait = errors.New("poll: nothing can be written")
)

// Waiter is the owner of a watched connection.
type Waiter interface {
	// Ready is called when there is something to read, or the peer has disconnected: once
	// after each Park that returned true. It runs in the poller's goroutine, where many
	// other owners wait for their call, so it must not block. Park fails until Seen is
	// called.
	Ready()
}

// The states of a Watch.
const (
	busy   = iota // its owner is processing it
	news          // something arrived since the owner last looked
	parked        // its owner must be called
	removed
)

// Watch is one watched connection. Its methods are for its owner, which is one goroutine
// at a time: after a Park that returned true, the one that calls Ready.
type Watch struct {
	waiter Waiter
	loop   *loop
	fd     int
	state  atomic.Uint32
}

// Park gives the connection to the poller until there is something to read. It returns
// false if something has arrived since the last call of Seen: then Ready is not called,
// and the owner continues.
func (w *Watch) Park() bool {
	if w.state.CompareAndSwap(busy, parked) {
		return true
	}
	return w.state.Load() == removed
}

// Seen records that the owner is about to read everything that has arrived.
func (w *Watch) Seen() { w.state.CompareAndSwap(news, busy) }

// tell is called when something has arrived.
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
