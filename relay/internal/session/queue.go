package session

import (
	"context"
	"slices"
	"sync"

	"github.com/anyframe-relay/relay/relay/internal/problem"
)

// queue lets one turn at a time pass, in the order in which tickets were taken. A ticket
// is taken when a turn's body has been read, before anything else about it takes time:
// so turns reach AnyFrame in the order in which they were read.
type queue struct {
	mu      sync.Mutex // tickets are those that have not been given back, in their order
	tickets []*Ticket
}

// Ticket is a place in a session's queue. It is given back by Leave.
type Ticket struct {
	sess  *Session
	first chan struct{} // closed when it is this one's turn
	left  bool          // guarded by queue.mu
}

// Enqueue takes the next place among the visitor's turns. It makes no call. The caller
// calls Leave in the end.
func (h *Hub) Enqueue(visitor string) (*Ticket, error) {
	s, err := h.hold(visitor)
	if err != nil {
		return nil, err
	}
	return s.queue.enter(s), nil
}

func (q *queue) enter(s *Session) *Ticket {
	q.mu.Lock()
	defer q.mu.Unlock()
	t := &Ticket{sess: s, first: make(chan struct{})}
	if q.tickets = append(q.tickets, t); len(q.tickets) == 1 {
		close(t.first)
	}
	return t
}

// tryEnter enters an empty queue, and returns nil if it is not empty.
func (q *queue) tryEnter() *Ticket {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.tickets) > 0 {
		return nil
	}
	t := &Ticket{first: make(chan struct{})}
	close(t.first)
	q.tickets = append(q.tickets, t)
	return t
}

// leave gives a place back. It does nothing the second time.
func (q *queue) leave(t *Ticket) (did bool) {
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

// Leave gives the place back.
func (t *Ticket) Leave() {
	if t.sess.queue.leave(t) {
		t.sess.Close()
	}
}

// wait waits until it is the ticket's turn.
func (t *Ticket) wait(ctx context.Context, draining <-chan struct{}) error {
	select {
	case <-t.first:
		return nil
	case <-ctx.Done():
		return problem.Booting
	case <-draining:
		return problem.Draining
	}
}
