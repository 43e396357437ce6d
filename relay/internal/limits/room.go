package limits

import (
	"time"

	"github.com/anyframe-relay/relay/relay/internal/problem"
)

const (
	// LargeBody is the size in bytes from which a body is counted while it is in memory.
	LargeBody = 64 << 10
	// maxBodies is how many bytes of large bodies may be in memory at once, unless the
	// settings allow a body that is larger than a quarter of that.
	maxBodies = 256 << 20
)

// bodyRetry is when a body that found no room may come again: by then, those
// that are being read have arrived or were cut off.
const bodyRetry = 15 * time.Second

// bodyBounds are the bytes that bodies may hold, when the largest has most. Every account
// has room for one body of any size.
func bodyBounds(most int) Bounds {
	return Bounds{
		Total:      max(maxBodies, 4*most),
		PerVisitor: max(maxBodies/8, most),
		PerAddr:    max(maxBodies/4, most),
		PerNetwork: max(maxBodies/2, 2*most),
	}
}

// Room is the memory that one request's body holds. It is used by one goroutine at a time.
type Room struct {
	limits *Limits
	who    Who
	held   int // bytes that are counted
}

// Body returns the room of a request of who's, which holds nothing yet. The caller
// releases it.
func (l *Limits) Body(who Who) *Room { return &Room{limits: l, who: who} }

// Hold makes the room hold n bytes, at least as many as before, or refuses. A body of up
// to [LargeBody] is not counted.
func (r *Room) Hold(n int) error {
	if n <= LargeBody || n <= r.held {
		return nil
	}
	if err := r.limits.bodies.Take(r.who, n-r.held); err != nil {
		r.limits.metrics.Capacity.WithLabelValues("bodies").Inc()
		return problem.Capacity.After(bodyRetry)
	}
	r.held = n
	return nil
}

// Release gives back all that the room holds.
func (r *Room) Release() {
	if r.held > 0 {
		r.limits.bodies.Give(r.who, r.held)
		r.held = 0
	}
}
