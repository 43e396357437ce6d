package anyframe

import (
	"context"
	"math"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// RetryPolicy says when a call is retried, and after how long.
//
// A call that provably was not acted on, because no connection was made or the
// answer was 429, is retried whatever its method. After 408, 500, 502, 503, 504, a
// reset or a timeout only reads, PUT and DELETE are; never another POST or a PATCH,
// for the server may have done it. Reads are all GETs, and looking at previews,
// which is a POST on the wire. A DELETE that finds nothing after an attempt whose
// answer was lost has succeeded. What would fail again is never retried: another
// 4xx, an invalid certificate, TLS where there is none. Redirects are not followed.
//
// The wait is random between nothing and a bound that doubles, unless the server's
// Retry-After says otherwise.
type RetryPolicy struct {
	MaxRetries    int           // further attempts. 0 means 2, negative none
	BaseDelay     time.Duration // bound of the first wait. 0 means 250 ms, negative no wait
	MaxDelay      time.Duration // bound of any wait but Retry-After. 0 means 5 s, negative no wait
	MaxRetryAfter time.Duration // a longer Retry-After is the caller's to wait for. 0 means 30 s, negative is any

	// RetryUnavailable makes a POST or PATCH again that was answered 503 with a
	// Retry-After, which usually, not surely, was not acted on. Default false.
	RetryUnavailable bool
}

func (p RetryPolicy) withDefaults() RetryPolicy {
	p.MaxRetries = max(orDefault(p.MaxRetries, 2), 0)
	p.BaseDelay = max(orDefault(p.BaseDelay, 250*time.Millisecond), 0)
	p.MaxDelay = max(orDefault(p.MaxDelay, 5*time.Second), 0)
	p.MaxRetryAfter = max(orDefault(p.MaxRetryAfter, 30*time.Second), 0)
	return p
}

// orDefault is how all limits are set: zero means the default, and what is
// negative none.
func orDefault[T int | time.Duration](set, otherwise T) T {
	if set == 0 {
		return otherwise
	}
	return set
}

// again reports whether a request that ended in e may be made again.
func (p RetryPolicy) again(e *Error) bool {
	switch {
	case e.kind == kindCaller || e.kind == kindArgument || e.lasting:
		return false
	case e.StatusCode == http.StatusTooManyRequests:
		return true
	case e.kind == kindTransport && e.unsent:
		return true
	}
	if !e.reads && e.Method != http.MethodPut && e.Method != http.MethodDelete {
		return p.RetryUnavailable && e.StatusCode == http.StatusServiceUnavailable && e.RetryAfter != nil
	}
	switch e.StatusCode {
	case 0:
		return e.kind == kindTransport
	case http.StatusRequestTimeout, http.StatusInternalServerError, http.StatusBadGateway,
		http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// backoff is the wait before the nth further attempt, n from 1.
func (p RetryPolicy) backoff(n int) time.Duration {
	bound := p.MaxDelay
	if p.BaseDelay == 0 {
		bound = 0
	}
	if shift := n - 1; shift < 32 && p.BaseDelay<<shift < p.MaxDelay && p.BaseDelay<<shift > 0 {
		bound = p.BaseDelay << shift
	}
	return rand.N(min(bound, math.MaxInt64-1) + 1) //nolint:gosec // jitter needs no secrecy
}

// wait returns how long to wait after e before the nth further attempt, and
// whether that is worth it: not when the server asks for more than the policy
// allows, or than ctx has left.
func (p RetryPolicy) wait(ctx context.Context, e *Error, n int) (time.Duration, bool) {
	d := p.backoff(n)
	if e.RetryAfter != nil {
		d = *e.RetryAfter
		if d > p.MaxRetryAfter {
			return 0, false
		}
	}
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= d {
		return 0, false
	}
	return d, true
}

// parseRetryAfter reads seconds, with decimals or without, and an HTTP date,
// and the Retry-After-Ms some proxies send. A past date is no wait.
func parseRetryAfter(h http.Header) *time.Duration {
	if d, ok := parseDuration(h.Get("Retry-After-Ms"), time.Millisecond); ok {
		return &d
	}
	value := strings.TrimSpace(h.Get("Retry-After"))
	if d, ok := parseDuration(value, time.Second); ok {
		return &d
	}
	if at, err := http.ParseTime(value); err == nil {
		now := time.Now()
		return new(max(at.Sub(now), 0))
	}
	return nil
}

func parseDuration(s string, unit time.Duration) (time.Duration, bool) {
	n, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if err != nil || math.IsNaN(n) || n < 0 {
		return 0, false
	}
	const longest = 365 * 24 * time.Hour // and no overflow
	return time.Duration(min(n*float64(unit), float64(longest))), true
}

// sleep waits for d or until ctx ends, whose error it then returns.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return contextError(ctx)
	case <-t.C:
		return nil
	}
}
