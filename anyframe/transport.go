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

// DefaultTransport returns a new transport, set up as that of a client that is
// given none. It is for programs that need more changes than [WithTLSConfig],
// [WithDialContext] and [WithProxy] make: change the copy and pass it to
// [WithHTTPClient].
func DefaultTransport() *http.Transport {
	return &http.Transport{
		Proxy:             http.ProxyFromEnvironment,
		DialContext:       (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		ForceAttemptHTTP2: true,
		// Each connection that waits for a call holds both; what is read or sent
		// at length goes past them.
		ReadBufferSize:        2 << 10,
		WriteBufferSize:       1 << 10,
		TLSHandshakeTimeout:   10 * time.Second,
		ExpectContinueTimeout: time.Second,
		// The last resort when the caller has switched timeouts off.
		ResponseHeaderTimeout:  2 * time.Minute,
		MaxResponseHeaderBytes: 1 << 20,
		// Thousands of conversations go on with one host; keep the connections
		// of their calls, and never make one queue.
		MaxIdleConns:        0,
		MaxIdleConnsPerHost: 1024,
		MaxConnsPerHost:     0,
		IdleConnTimeout:     90 * time.Second,
		// A dead peer under an HTTP/2 connection is noticed by its silence to a
		// ping; the kernel would take a quarter of an hour.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 20 * time.Second, PingTimeout: 10 * time.Second},
	}
}

// wire notes how far a request got.
type wire struct{ asked, got atomic.Bool }

func (w *wire) trace(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { w.asked.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { w.got.Store(true) },
	})
}

// unsent reports whether the request provably never left: it asked for a
// connection and got none. A transport that does not tell is believed only when
// it reports a failed dial.
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

// do makes the call, again where the policy lets it, and returns a 2xx answer,
// all of it read, or an *Error.
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
			// An attempt before did it and its answer was lost.
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

// attempt makes one request and reads its whole answer within the timeout.
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
		body: bytes.TrimSpace(data),
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
		err = u.Err // the method and URL are in our own error
	}
	return resp, err
}

// failure is a request that got no whole answer. limited is ctx, the caller's,
// with a limit of ours; the cause of whichever ended says more than err.
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

// lasting says why a request that failed with err would fail again; "" when it
// may not.
func lasting(err error) string {
	_, verification := errors.AsType[*tls.CertificateVerificationError](err)
	_, authority := errors.AsType[x509.UnknownAuthorityError](err)
	_, name := errors.AsType[x509.HostnameError](err)
	_, invalid := errors.AsType[x509.CertificateInvalidError](err)
	_, roots := errors.AsType[x509.SystemRootsError](err)
	_, record := errors.AsType[tls.RecordHeaderError](err)
	_, alert := errors.AsType[tls.AlertError](err)
	var alerted *net.OpError // crypto/tls reports the other side's alerts like this
	switch {
	case verification || authority || name || invalid || roots:
		return "the server's certificate is not valid for this client"
	case errors.Is(err, http.ErrSchemeMismatch) || record:
		return "the server does not speak TLS on this port"
	case strings.Contains(err.Error(), `malformed HTTP response "\x15\x03`): // an alert of TLS
		return "the server speaks TLS on this port, so the base URL must begin with https"
	case alert, errors.As(err, &alerted) && alerted.Op == "remote error" && !strings.Contains(err.Error(), "internal error"):
		return "the server refuses the TLS connection"
	}
	return ""
}

// callerEnded is a request that was not made since the caller's context is over.
func callerEnded(ctx context.Context, r request, attempts int) *Error {
	err := contextError(ctx)
	return &Error{
		Method: r.method, Path: r.path, Message: err.Error(), Attempts: attempts, kind: kindCaller, unsent: true, cause: err,
	}
}

// contextError is why ctx ended, including the cause that its canceler gave.
func contextError(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if errors.Is(cause, err) {
		return cause
	}
	return fmt.Errorf("%w: %w", err, cause)
}

// timeoutError is a limit of ours that ran out.
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

// logRetry says that the attempt that ended in e is followed by another.
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
