// Package backoff waits for random times, so that many waiters do not retry at the same
// time.
package backoff

import (
	"context"
	"math/rand/v2"
	"time"
)

// Delay returns a random wait, from zero to a bound that doubles with every attempt up to
// limit, plus a millisecond.
func Delay(attempt int, limit time.Duration) time.Duration {
	bound := min(limit, 250*time.Millisecond<<min(attempt, 10))
	return Jitter(bound) + time.Millisecond
}

// Jitter returns a random time from zero to limit.
func Jitter(limit time.Duration) time.Duration {
	return rand.N(limit + 1) //nolint:gosec // an attacker gains nothing by guessing it
}

// Sleep waits for d or until ctx ends.
func Sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
