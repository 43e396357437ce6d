package turnqueue_test

import (
	"context"
	"testing"

	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/turnqueue"
)

// isFirst reports whether it is the ticket's turn.
func isFirst(t *turnqueue.Ticket) bool {
	select {
	case <-t.First():
		return true
	default:
		return false
	}
}

func TestQueue_Tickets_PassInTheirOrder(t *testing.T) {
	var q turnqueue.Queue
	var left []int
	var tickets []*turnqueue.Ticket
	for i := range 4 {
		tickets = append(tickets, q.Enter(func() { left = append(left, i) }))
	}
	tickets[1].Leave() // one that gives up while it waits
	for _, i := range []int{0, 2, 3} {
		for later := i + 1; later < 4; later++ {
			if later != 1 && isFirst(tickets[later]) {
				t.Errorf("ticket %d passes before %d", later, i)
			}
		}
		if !isFirst(tickets[i]) {
			t.Fatalf("ticket %d does not pass", i)
		}
		tickets[i].Leave()
		tickets[i].Leave() // does nothing
	}
	if len(left) != 4 {
		t.Errorf("got %v given back, want each once", left)
	}
}

func TestQueue_TryEnter_OnlyWhenEmpty(t *testing.T) {
	var q turnqueue.Queue
	ticket := q.Enter(func() {})
	if q.TryEnter() != nil {
		t.Error("entered a queue in which a turn waits")
	}
	ticket.Leave()
	held := q.TryEnter()
	if held == nil || !isFirst(held) {
		t.Fatal("did not enter an empty queue")
	}
	next := q.Enter(func() {})
	if isFirst(next) {
		t.Error("the next passes while the queue is held")
	}
	held.Leave()
	if !isFirst(next) {
		t.Error("the next does not pass when the queue was given back")
	}
}

func TestWait_EndsWithItsContextAndTheDrain(t *testing.T) {
	var q turnqueue.Queue
	q.Enter(func() {})
	waiting := q.Enter(func() {})
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if err := waiting.Wait(over, nil); err != problem.Booting { //nolint:errorlint // the value itself is returned
		t.Errorf("got %v, want %v", err, problem.Booting)
	}
	draining := make(chan struct{})
	close(draining)
	if err := waiting.Wait(t.Context(), draining); err != problem.Draining { //nolint:errorlint // as above
		t.Errorf("got %v, want %v", err, problem.Draining)
	}
}
