package h2events

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"time"
)

// Options are the limits of connections. Zero values are the defaults.
type Options struct {
	// Streams is the maximum number of streams per connection, even if the server allows
	// more: a lost segment delays all of them, and one core decrypts them. Default 250.
	Streams int
	// PingAfter is the silence on a connection after which a PING is sent, and
	// PingTimeout how long its answer may take. Default 15 s each.
	PingAfter, PingTimeout time.Duration
	// MaxAge is the age after which a connection accepts no more streams, reduced by up
	// to a fifth at random. Its streams continue until the server or the caller ends
	// them. Default 30 minutes.
	MaxAge time.Duration
	// IdleTimeout is how long a connection without streams is kept. Default 90 s.
	IdleTimeout time.Duration
}

func (o Options) withDefaults() Options {
	const silence = 15 * time.Second
	o.Streams = cmp.Or(o.Streams, 250)
	o.PingAfter, o.PingTimeout = cmp.Or(o.PingAfter, silence), cmp.Or(o.PingTimeout, silence)
	o.MaxAge = cmp.Or(o.MaxAge, 30*time.Minute)
	o.IdleTimeout = cmp.Or(o.IdleTimeout, 90*time.Second)
	return o
}

// Transport handles event streams itself and leaves everything else to another transport.
type Transport struct {
	base   *http.Transport
	opener *http.Transport // opens our connections; speaks HTTP/1.1 if h2 is not chosen
	o      Options

	mu     sync.Mutex
	pools  map[string]*pool // by host and port
	closed bool             // connections are no longer needed
}

// New returns a transport that behaves like base, except for the streams that it reads
// itself.
func New(base *http.Transport, o Options) *Transport {
	t := &Transport{base: base, opener: base.Clone(), o: o.withDefaults(), pools: map[string]*pool{}}
	if t.opener.TLSClientConfig == nil {
		t.opener.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	t.opener.TLSClientConfig.NextProtos = []string{"h2", "http/1.1"}
	t.opener.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{"h2": t.handOver}
	return t
}

// errHandedOver ends a request of the opener that has opened a connection for us.
var errHandedOver = errors.New("h2events: the connection speaks HTTP/2")

// handedOver stands for a connection that net/http has opened and must not use.
type handedOver struct{}

func (handedOver) RoundTrip(*http.Request) (*http.Response, error) { return nil, errHandedOver }

// RoundTripErr makes net/http drop the connection immediately: its own HTTP/2 does the
// same with a connection that fails to start.
func (handedOver) RoundTripErr() error { return errHandedOver }

// handOver takes over a connection on which the server has chosen h2.
func (t *Transport) handOver(authority string, nc *tls.Conn) http.RoundTripper {
	c := newConn(nc, t.o)
	t.pool(authority).add(c)
	t.mu.Lock()
	closed := t.closed
	t.mu.Unlock()
	if closed { // closed while the connection was being opened
		c.retire()
	}
	return handedOver{}
}

func (t *Transport) pool(authority string) *pool {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.pools[authority]
	if p == nil {
		p = &pool{}
		t.pools[authority] = p
	}
	return p
}

// ours reports whether a request is for an event stream over TLS.
func ours(r *http.Request) bool {
	return r.Method == http.MethodGet && r.URL.Scheme == "https" && (r.Body == nil || r.Body == http.NoBody) &&
		strings.HasSuffix(r.URL.Path, "/events") && r.Header.Get("Accept") == "text/event-stream"
}

// How often a stream is requested again that the server has provably not processed, and
// the bound of the wait before that, which doubles.
const (
	maxTries  = 6
	firstWait = 20 * time.Millisecond
)

// RoundTrip makes a request. If the server refused it unprocessed, RoundTrip retries it
// on another connection.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if !ours(r) {
		return t.base.RoundTrip(r)
	}
	ctx := r.Context()
	trace := httptrace.ContextClientTrace(ctx)
	authority := r.URL.Host
	if r.URL.Port() == "" {
		authority += ":443"
	}
	if trace != nil && trace.GetConn != nil {
		trace.GetConn(authority)
	}
	for n := 1; ; n++ {
		c, res, err := t.pool(authority).get(ctx, t.o, func(opened func()) (*http.Response, error) { return t.open(r, opened) })
		if c == nil {
			return res, err
		}
		res, err = c.roundTrip(r, trace)
		if _, unseen := errors.AsType[*unseenError](err); !unseen || n == maxTries {
			return res, err
		}
		if err := sleep(ctx, rand.N(firstWait<<n)); err != nil { //nolint:gosec // jitter needs no secrecy
			return nil, err
		}
	}
}

// open opens a connection. If the server chooses h2, the pool has received it and the
// error is errHandedOver. Otherwise net/http makes the request on it, and opened is
// called first.
func (t *Transport) open(r *http.Request, opened func()) (*http.Response, error) {
	ctx := httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { opened() }})
	return t.opener.RoundTrip(r.Clone(ctx))
}

// CloseIdleConnections closes the connections without streams or requests.
func (t *Transport) CloseIdleConnections() {
	t.base.CloseIdleConnections()
	t.opener.CloseIdleConnections()
	t.each((*conn).closeIdle)
}

// Close closes every connection as soon as it is idle, including those being opened.
// Streams continue until they are closed. No further stream may be requested.
func (t *Transport) Close() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.base.CloseIdleConnections()
	t.opener.CloseIdleConnections()
	t.each((*conn).retire)
}

// Connections returns the number of connections.
func (t *Transport) Connections() (n int) {
	t.each(func(*conn) { n++ })
	return n
}

func (t *Transport) each(do func(*conn)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range t.pools {
		for _, c := range p.open() {
			do(c)
		}
	}
}

// sleep waits for d or until ctx ends, and then returns ctx's error.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
