package limits

import (
	"context"
	"errors"
	"time"
)

// readRetry is the Retry-After of a read that found no free slot.
const readRetry = 2 * time.Second

// ReadBounds limit how many of AnyFrame's streams are opened and transcripts read at
// once, so that a storm of reconnecting tabs does not reach AnyFrame.
var ReadBounds = Bounds{Total: 64, PerVisitor: 4, PerAddr: 16, PerNetwork: 32}

// Hold takes one unit, accounted to who, as soon as there is one, and returns a function
// that gives it back. If there is none in time, it returns the refusal.
func (s *Share) Hold(ctx context.Context, who Who) (done func(), err error) {
	err = s.Wait(ctx, who)
	if full, ok := errors.AsType[*Full](err); ok {
		return nil, full.Problem(readRetry)
	}
	return func() { s.Give(who, 1) }, nil
}
