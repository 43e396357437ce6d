package limits

import (
	"context"
	"errors"
	"time"
)

// readRetry is when a read that found no slot may be tried again.
const readRetry = 2 * time.Second

// ReadBounds bound how many streams of AnyFrame's are being opened and transcripts
// read at once, so that a storm of returning tabs does not become AnyFrame's.
var ReadBounds = Bounds{Total: 64, PerVisitor: 4, PerAddr: 16, PerNetwork: 32}

// Hold takes one unit on who's account, as soon as there is one, and returns what gives
// it back. When none comes in time it returns the refusal.
func (s *Share) Hold(ctx context.Context, who Who) (done func(), err error) {
	err = s.Wait(ctx, who)
	if full, ok := errors.AsType[*Full](err); ok {
		return nil, full.Problem(readRetry)
	}
	return func() { s.Give(who, 1) }, nil
}
