// Package turnqueue serializes a visitor's turns in the order in which they were read.
package turnqueue

import (
	"context"
	"slices"
	"sync"

	"github.com/anyframe-relay/relay/relay/internal/problem"
)

// Queue lets one turn at a time pass, in the order in which tickets were taken. A ticket
// is taken as soon as a turn's body has been read, before any other slow step, so that
// turns reach AnyFrame in the order in which they were read.
type Queue struct {
	mu      sync.Mutex // guards tickets, those that have not been returned, in order
	tickets []*Ticket
}

// Ticket is a place in a queue. It is returned by Leave.
type Ticket struct {
	queue *Queue
	done  func()        // called when it is returned
	first chan struct{} // closed when it is this ticket's turn
	left  bool          // guarded by Queue.mu
}

// Enter takes the next place. Done is called when it is returned.
func (q *Queue) Enter(done func()) *Ticket {
	q.mu.Lock()
	defer q.mu.Unlock()
	t := &Ticket{queue: q, done: done, first: make(chan struct{})}
	if q.tickets = append(q.tickets, t); len(q.tickets) == 1 {
		close(t.first)
	}
	return t
}

// TryEnter enters an empty queue, and returns nil if it is not empty.
func (q *Queue) TryEnter() *Ticket {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.tickets) > 0 {
		return nil
	}
	t := &Ticket{queue: q, done: func() {}, first: make(chan struct{})}
	close(t.first)
	q.tickets = append(q.tickets, t)
	return t
}

// leave returns a place. It does nothing the second time.
func (q *Queue) leave(t *Ticket) (left bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if t.left {
		return false
	}
	t.left = true
	i := slices.Index(q.tickets, t)
	q.tickets = slices.Delete(q.tickets, i, i+1)
	if i == 0 && len(q.tickets) > 0 {
		close(q.tickets[0].first)
	}
	return true
}

// Leave returns the place.
func (t *Ticket) Leave() {
	if t.queue.leave(t) {
		t.done()
	}
}

// Wait waits until it is the ticket's turn.
func (t *Ticket) Wait(ctx context.Context, draining <-chan struct{}) error {
	select {
	case <-t.first:
		return nil
	case <-ctx.Done():
		return problem.OfWait(ctx)
	case <-draining:
		return problem.Draining
	}
}

// First returns a channel that is closed when it is the ticket's turn.
func (t *Ticket) First() <-chan struct{} { return t.first }
