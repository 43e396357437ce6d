package anyframe

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
	"time"
)

// newTransport returns the transport of a client that brings none. It shares
// nothing with [http.DefaultTransport].
func newTransport() *http.Transport {
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
		ResponseHeaderTimeout: 2 * time.Minute,
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
	if r.err != nil {
		return nil, r.err
	}
	o := c.callOptions(opts)
	body, err := encodeBody(r.body)
	if err != nil {
		return nil, argumentError(r.method, r.path, "body: "+err.Error(), err)
	}
	acted := false
	for n := 1; ; n++ {
		a, e := c.attempt(ctx, r, body, o.timeout)
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
		if err := sleep(ctx, d); err != nil {
			return nil, &Error{
				Method: r.method, Path: r.path, Message: err.Error(), Attempts: n, kind: kindCaller,
				unsent: !acted, cause: fmt.Errorf("%w, while waiting to try again after %w", err, e),
			}
		}
	}
}

// attempt makes one request and reads its whole answer within the timeout.
func (c *Client) attempt(ctx context.Context, r request, body []byte, timeout time.Duration) (*answer, *Error) {
	if ctx.Err() != nil {
		err := contextError(ctx)
		return nil, &Error{
			Method: r.method, Path: r.path, Message: err.Error(), kind: kindCaller, unsent: true, cause: err,
		}
	}
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
		c.logAttempt(ctx, r, start, nil, e)
		return nil, e
	}
	defer resp.Body.Close()
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		e := c.refusal(r, resp)
		c.logAttempt(ctx, r, start, resp, nil)
		return nil, e
	}
	data, tooLarge, err := readBody(resp.Body, maxBody)
	if tooLarge {
		c.logAttempt(ctx, r, start, resp, ErrResponseTooLarge)
		return nil, &Error{
			StatusCode: resp.StatusCode, Message: ErrResponseTooLarge.Error(), Method: r.method, Path: r.path,
			RequestID: requestID(resp.Header), Header: resp.Header, cause: ErrResponseTooLarge,
		}
	}
	if err != nil {
		e := c.failure(ctx, limited, r, &w, fmt.Errorf("read answer: %w", err))
		c.logAttempt(ctx, r, start, resp, e)
		return nil, e
	}
	c.logAttempt(ctx, r, start, resp, nil)
	return &answer{
		request: r, status: resp.StatusCode, header: resp.Header, requestID: requestID(resp.Header),
		body: bytes.TrimSpace(data),
	}, nil
}

// roundTrip makes one HTTP request. headers are set last.
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
	c.redact(e, r)
	return e
}

// contextError is why ctx ended, the cause given by whoever ended it included.
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

// refusal is an answer that is not the one wanted. It reads the body.
func (c *Client) refusal(r request, resp *http.Response) *Error {
	e := &Error{
		StatusCode: resp.StatusCode, Method: r.method, Path: r.path, Header: resp.Header,
		RequestID: requestID(resp.Header), RetryAfter: parseRetryAfter(resp.Header), reads: r.reads,
	}
	// However the body ends, the status is what counts.
	e.Body, _, _ = readBody(resp.Body, maxErrorBody)
	// Once as it came, before a message is cut out of it, and once as it reads
	// with its escapes undone.
	c.redact(e, r)
	e.parseAnswer(e.Body)
	c.redact(e, r)
	return e
}

func (c *Client) logAttempt(ctx context.Context, r request, start time.Time, resp *http.Response, err error) {
	attrs := []any{"method", r.method, "path", r.path, "duration", time.Since(start)}
	if resp != nil {
		attrs = append(attrs, "status", resp.StatusCode, "request_id", requestID(resp.Header))
	}
	if err != nil {
		attrs = append(attrs, "error", err)
	}
	c.log.DebugContext(ctx, "anyframe request", attrs...)
}

func (i *ResponseInfo) fill(status int, h http.Header, attempts int, body []byte) {
	if i != nil {
		*i = ResponseInfo{StatusCode: status, Header: h, RequestID: requestID(h), Attempts: attempts, Body: body}
	}
}

func requestID(h http.Header) string { return h.Get("X-Request-Id") }

// encodeBody writes the body as the caller means it: without the HTML escapes
// that encoding/json adds.
func encodeBody(body any) ([]byte, error) {
	if body == nil {
		return nil, nil
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(body); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
