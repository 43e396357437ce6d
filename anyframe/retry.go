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

// RetryPolicy configures when a call is retried, and after how long.
//
// A call that provably was not acted on, because no connection was made or the
// response was 429, is retried with any method. After 408, 500, 502, 503, 504, a
// reset or a timeout only reads, PUT and DELETE are retried, and never another POST
// or a PATCH, because the server may have acted on it. Reads are all GETs, and
// reading previews, which is a POST in HTTP. A DELETE that gets a 404 after an
// attempt with a lost response has succeeded. An error that would repeat is never
// retried: another 4xx, an invalid certificate, TLS to a server without it.
// Redirects are not followed.
//
// The backoff is random, between zero and a bound that doubles, unless the server
// sends Retry-After.
type RetryPolicy struct {
	MaxRetries    int           // further attempts; 0 means 2, negative none
	BaseDelay     time.Duration // bound of the first wait; 0 means 250 ms, negative no wait
	MaxDelay      time.Duration // bound of any wait except Retry-After; 0 means 5 s, negative no wait
	MaxRetryAfter time.Duration // a longer Retry-After is returned to the caller; 0 means 30 s, negative no limit

	// RetryUnavailable also retries a POST or PATCH after a 503 with a Retry-After.
	// Such a request was usually, but not certainly, not acted on. Default false.
	RetryUnavailable bool
}

func (p RetryPolicy) withDefaults() RetryPolicy {
	p.MaxRetries = max(orDefault(p.MaxRetries, 2), 0)
	p.BaseDelay = max(orDefault(p.BaseDelay, 250*time.Millisecond), 0)
	p.MaxDelay = max(orDefault(p.MaxDelay, 5*time.Second), 0)
	if p.MaxRetryAfter = orDefault(p.MaxRetryAfter, 30*time.Second); p.MaxRetryAfter < 0 {
		p.MaxRetryAfter = math.MaxInt64
	}
	return p
}

// orDefault resolves a limit: zero means the default, negative none.
func orDefault[T int | time.Duration](set, otherwise T) T {
	if set == 0 {
		return otherwise
	}
	return set
}

// again reports whether a request that ended in e may be retried.
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

// backoff is the wait before the nth retry, n from 1.
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

// wait returns how long to wait after e before the nth retry, and whether to retry:
// not if the server requests a longer wait than the policy allows, or than ctx has
// left.
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

// parseRetryAfter parses seconds, with or without decimals, an HTTP date, and the
// Retry-After-Ms of some proxies. A past date means no wait.
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
	const longest = 365 * 24 * time.Hour // avoids an overflow
	return time.Duration(min(n*float64(unit), float64(longest))), true
}

// sleep waits for d, or until ctx ends and returns its error.
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
