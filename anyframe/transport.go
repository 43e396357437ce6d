package anyframe

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

// DefaultTransport returns a new transport, configured like that of a client
// without its own. Use it for changes beyond [WithTLSConfig], [WithDialContext] and
// [WithProxy]: modify it and pass it to [WithHTTPClient].
func DefaultTransport() *http.Transport {
	return &http.Transport{
		Proxy:             http.ProxyFromEnvironment,
		DialContext:       (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		ForceAttemptHTTP2: true,
		// Each idle connection holds both buffers; large reads and writes bypass them.
		ReadBufferSize:        2 << 10,
		WriteBufferSize:       1 << 10,
		TLSHandshakeTimeout:   10 * time.Second,
		ExpectContinueTimeout: time.Second,
		// The last resort if the caller has disabled timeouts.
		ResponseHeaderTimeout:  2 * time.Minute,
		MaxResponseHeaderBytes: 1 << 20,
		// Thousands of conversations use one host. Keep the connections of their calls,
		// and never queue a call.
		MaxIdleConns:        0,
		MaxIdleConnsPerHost: 1024,
		MaxConnsPerHost:     0,
		IdleConnTimeout:     90 * time.Second,
		// A ping detects a dead peer of an HTTP/2 connection; the kernel would take a
		// quarter of an hour.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 20 * time.Second, PingTimeout: 10 * time.Second},
	}
}

// wire records how far a request got.
type wire struct{ asked, got atomic.Bool }

func (w *wire) trace(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { w.asked.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { w.got.Store(true) },
	})
}

// unsent reports whether the request provably never left: it requested a connection
// and got none. Without httptrace only a reported dial failure counts as proof.
func (w *wire) unsent(err error) bool {
	if w.got.Load() {
		return false
	}
	if w.asked.Load() {
		return true
	}
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "dial"
}

// do makes the call, with the retries that the policy allows, and returns a fully
// read 2xx response or an *Error.
func (c *Client) do(ctx context.Context, r request, opts []CallOption) (*answer, error) {
	r, o := c.prepare(r, opts)
	if r.err != nil {
		return nil, r.err
	}
	body, err := o.content(r)
	if err != nil {
		return nil, argumentError(r.method, r.path, "body: "+err.Error(), err)
	}
	acted := false
	for n := 1; ; n++ {
		if ctx.Err() != nil {
			e := callerEnded(ctx, r, n-1)
			e.unsent = !acted
			return nil, e
		}
		a, e := c.attempt(ctx, r, n, body, o.timeout)
		if e != nil && e.StatusCode == http.StatusNotFound && r.method == http.MethodDelete && acted {
			// An earlier attempt succeeded and its response was lost.
			a, e = &answer{request: r, status: e.StatusCode, header: e.Header, requestID: e.RequestID}, nil
		}
		if e == nil {
			a.attempts = n
			o.capture.fill(a.status, a.header, n, a.body)
			return a, nil
		}
		e.Attempts, e.acted = n, acted
		acted = e.Sent()
		o.capture.fill(e.StatusCode, e.Header, n, e.Body)
		if n > o.retries || !c.retry.again(e) {
			return nil, e
		}
		d, worth := c.retry.wait(ctx, e, n)
		if !worth {
			return nil, e
		}
		c.logRetry(ctx, r, e, d)
		if err := sleep(ctx, d); err != nil {
			return nil, &Error{
				Method: r.method, Path: r.path, Message: err.Error(), Attempts: n, kind: kindCaller,
				unsent: !acted, cause: fmt.Errorf("%w, while waiting to retry after %w", err, e),
			}
		}
	}
}

// attempt makes one request and reads its whole response within the timeout.
func (c *Client) attempt(
	ctx context.Context, r request, n int, body []byte, timeout time.Duration,
) (*answer, *Error) {
	start := time.Now()
	limited, cancel := ctx, context.CancelFunc(func() {})
	if timeout > 0 {
		limited, cancel = context.WithTimeoutCause(ctx, timeout, timeoutError(timeout))
	}
	defer cancel()
	var w wire
	resp, err := c.roundTrip(w.trace(limited), c.calls, r, body, nil)
	if err != nil {
		e := c.failure(ctx, limited, r, &w, err)
		c.logAttempt(ctx, r, n, start, nil, e)
		return nil, e
	}
	defer resp.Body.Close()
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		e := c.refusal(r, resp)
		c.logAttempt(ctx, r, n, start, resp, nil)
		return nil, e
	}
	data, tooLarge, err := readBody(resp.Body, maxBody)
	if tooLarge {
		c.logAttempt(ctx, r, n, start, resp, ErrResponseTooLarge)
		return nil, &Error{
			StatusCode: resp.StatusCode, Message: ErrResponseTooLarge.Error(), Method: r.method, Path: r.path,
			RequestID: requestID(resp.Header), Header: resp.Header, cause: ErrResponseTooLarge,
		}
	}
	if err != nil {
		e := c.failure(ctx, limited, r, &w, fmt.Errorf("read answer: %w", err))
		c.logAttempt(ctx, r, n, start, resp, e)
		return nil, e
	}
	c.logAttempt(ctx, r, n, start, resp, nil)
	return &answer{
		request: r, status: resp.StatusCode, header: resp.Header, requestID: requestID(resp.Header),
		body: data,
	}, nil
}

// roundTrip makes one HTTP request. headers are set last, after those of the
// caller's options.
func (c *Client) roundTrip(
	ctx context.Context, hc *http.Client, r request, body []byte, headers map[string]string,
) (*http.Response, error) {
	target := c.baseURL + r.path
	if len(r.query) > 0 {
		target += "?" + r.query.Encode()
	}
	var content io.Reader
	if body != nil {
		content = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target, content)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+c.key.reveal())
	req.Header.Set("User-Agent", c.userAgent)
	req.Header.Set("Accept", "application/json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	maps.Copy(req.Header, r.header)
	for name, value := range headers {
		req.Header.Set(name, value)
	}
	resp, err := hc.Do(req)
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err // the error of this package already has the method and URL
	}
	return resp, err
}

// failure returns the error of a request without a complete response. limited is
// ctx, the caller's, with this package's timeout; the cause of the one that ended
// is more precise than err.
func (c *Client) failure(ctx, limited context.Context, r request, w *wire, err error) *Error {
	e := &Error{Method: r.method, Path: r.path, kind: kindTransport, reads: r.reads, unsent: w.unsent(err), cause: err}
	switch {
	case ctx.Err() != nil:
		e.kind, e.cause = kindCaller, contextError(ctx)
	case limited.Err() != nil:
		e.cause = context.Cause(limited)
	}
	e.Message = e.cause.Error()
	if e.kind == kindTransport {
		if why := lasting(err); why != "" {
			e.lasting = true
			e.Message = why + ": " + e.Message
		}
		if e.unsent {
			c.tellOther(e)
		}
	}
	c.redact(e, r)
	return e
}

// lasting returns why a request that failed with err would fail again; "" if it may
// succeed.
func lasting(err error) string {
	_, verification := errors.AsType[*tls.CertificateVerificationError](err)
	_, authority := errors.AsType[x509.UnknownAuthorityError](err)
	_, name := errors.AsType[x509.HostnameError](err)
	_, invalid := errors.AsType[x509.CertificateInvalidError](err)
	_, roots := errors.AsType[x509.SystemRootsError](err)
	_, record := errors.AsType[tls.RecordHeaderError](err)
	_, alert := errors.AsType[tls.AlertError](err)
	var alerted *net.OpError // crypto/tls reports the peer's alerts like this
	switch {
	case verification || authority || name || invalid || roots:
		return "the server's certificate is not valid for this client"
	case errors.Is(err, http.ErrSchemeMismatch) || record:
		return "the server does not speak TLS on this port"
	case strings.Contains(err.Error(), `malformed HTTP response "\x15\x03`): // a TLS alert
		return "the server speaks TLS on this port, so the base URL must begin with https"
	case alert, errors.As(err, &alerted) && alerted.Op == "remote error" && !strings.Contains(err.Error(), "internal error"):
		return "the server refuses the TLS connection"
	}
	return ""
}

// callerEnded returns the error of a request that was not made because the caller's
// context has ended.
func callerEnded(ctx context.Context, r request, attempts int) *Error {
	err := contextError(ctx)
	return &Error{
		Method: r.method, Path: r.path, Message: err.Error(), Attempts: attempts, kind: kindCaller, unsent: true, cause: err,
	}
}

// contextError returns why ctx ended, including the cause given by its canceler.
func contextError(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if errors.Is(cause, err) {
		return cause
	}
	return fmt.Errorf("%w: %w", err, cause)
}

// timeoutError reports that a timeout of this package expired.
func timeoutError(d time.Duration) error {
	return fmt.Errorf("no whole answer within %v: %w", d, context.DeadlineExceeded)
}

func (c *Client) logAttempt(ctx context.Context, r request, n int, start time.Time, resp *http.Response, err error) {
	attrs := []any{"method", r.method, "path", r.path, "attempt", n, "duration", time.Since(start)}
	if resp != nil {
		attrs = append(attrs, "status", resp.StatusCode, "request_id", requestID(resp.Header))
	}
	if err != nil {
		attrs = append(attrs, "error", err)
	}
	c.log.DebugContext(ctx, "anyframe request", attrs...)
}

// logRetry logs that the attempt that ended in e is followed by another.
func (c *Client) logRetry(ctx context.Context, r request, e *Error, wait time.Duration) {
	attrs := []any{"method", r.method, "path", r.path, "attempt", e.Attempts, "wait", wait}
	if e.StatusCode != 0 {
		attrs = append(attrs, "status", e.StatusCode, "request_id", e.RequestID)
	} else {
		attrs = append(attrs, "error", e)
	}
	c.log.InfoContext(ctx, "anyframe request is retried", attrs...)
}

func requestID(h http.Header) string { return h.Get("X-Request-Id") }
