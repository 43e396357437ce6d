package session

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/upstream"
)

// backoff is a random wait, from nothing to a bound that doubles with every attempt up
// to limit.
func backoff(attempt int, limit time.Duration) time.Duration {
	bound := min(limit, 250*time.Millisecond<<min(attempt, 10))
	return jitter(bound) + time.Millisecond
}

// jitter is a random time from nothing to limit, so that many who wait do not all come
// back at once.
func jitter(limit time.Duration) time.Duration {
	return rand.N(limit + 1) //nolint:gosec // nobody gains by guessing it
}

// pause waits for d or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// permanent marks an error that trying again would make worse.
type permanent struct{ error }

func (p permanent) Unwrap() error { return p.error }

// retry calls f until it succeeds, fails for good, or ctx ends. AnyFrame restarting, slow
// or busy is waited for; AnyFrame known to be down is not.
func retry(ctx context.Context, f func() error) error {
	for attempt := 0; ; attempt++ {
		err := f()
		if err == nil || upstream.Unavailable(err) || ctx.Err() != nil {
			return err
		}
		e, ok := errors.AsType[*anyframe.Error](err)
		if _, done := errors.AsType[permanent](err); done || !ok {
			return err
		}
		wait := backoff(attempt, 10*time.Second)
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
		pause(ctx, wait)
	}
}
