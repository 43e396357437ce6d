package upstream

import (
	"context"
	"errors"
	"time"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/backoff"
)

// Permanent marks an error that must not be retried.
type Permanent struct{ error }

// Unwrap returns the marked error.
func (p Permanent) Unwrap() error { return p.error }

// DoNotRetry marks err as permanent.
func DoNotRetry(err error) error { return Permanent{err} }

// Retry calls f until it succeeds, fails permanently, or ctx ends. It retries while
// AnyFrame restarts, is slow or busy, but not while AnyFrame is known to be down.
func Retry(ctx context.Context, f func() error) error {
	for attempt := 0; ; attempt++ {
		err := f()
		if err == nil || Unavailable(err) || ctx.Err() != nil {
			return err
		}
		e, ok := errors.AsType[*anyframe.Error](err)
		if _, done := errors.AsType[Permanent](err); done || !ok {
			return err
		}
		wait := backoff.Delay(attempt, 10*time.Second)
		switch {
		case errors.Is(err, anyframe.ErrRateLimited):
			if e.RetryAfter != nil {
				wait += *e.RetryAfter
			}
		case e.StatusCode == 0 && !errors.Is(err, anyframe.ErrTransport), e.StatusCode >= 400 && e.StatusCode < 500:
			return err
		}
		if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < wait {
			return err
		}
		backoff.Sleep(ctx, wait)
	}
}
