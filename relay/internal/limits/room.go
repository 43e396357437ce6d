package limits

import (
	"time"

	"github.com/anyframe-relay/relay/relay/internal/problem"
)

const (
	// LargeBody is the size in bytes above which a body is counted while it is in memory.
	LargeBody = 64 << 10
	// maxBodies is how many bytes of large bodies may be in memory at once. It is raised
	// if the settings allow a body larger than a quarter of that.
	maxBodies = 256 << 20
)

// bodyRetry is the Retry-After of a body that found no room. By then, the bodies that are
// being read have arrived or were cut off.
const bodyRetry = 15 * time.Second

// bodyBounds returns the bounds of the bytes that bodies may hold, if the largest body
// has most bytes. Every account has room for one body of any size.
func bodyBounds(most int) Bounds {
	return Bounds{
		Total:      max(maxBodies, 4*most),
		PerVisitor: max(maxBodies/8, most),
		PerAddr:    max(maxBodies/4, most),
		PerNetwork: max(maxBodies/2, 2*most),
	}
}

// Room is the memory that one request's body holds. It must not be used concurrently.
type Room struct {
	limits *Limits
	who    Who
	held   int // counted bytes
}

// Body returns an empty room for a request of who's. The caller must release it.
func (l *Limits) Body(who Who) *Room { return &Room{limits: l, who: who} }

// Hold increases the room to n bytes, or refuses. It never decreases it. A body of up to
// [LargeBody] bytes is not counted.
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

// Release gives back everything that the room holds.
func (r *Room) Release() {
	if r.held > 0 {
		r.limits.bodies.Give(r.who, r.held)
		r.held = 0
	}
}
