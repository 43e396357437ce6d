package upstream

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/telemetry"
)

var (
	// ErrKeyRefused is the error of every call that was refused, or not made, because
	// AnyFrame refuses our key.
	ErrKeyRefused = errors.New("AnyFrame rejects the API key")
	// errOpen is the error of every call that the open breaker stops.
	errOpen = errors.New("the circuit breaker for AnyFrame is open")
)

// Guard stands between the client and AnyFrame: it counts every request, spares an
// AnyFrame that is down, and detects a refused key. It is the innermost layer of a call,
// so a call that it stops has provably not been made.
type Guard struct {
	metrics *telemetry.Metrics
	log     *slog.Logger
	changed func() // called after refused or open has changed, perhaps with the breaker's mu held
	breaker breaker
	open    atomic.Bool // the breaker is open
	refused atomic.Bool // GET /api/me was answered with 401 or 403

	mu     sync.Mutex // lets one caller call GET /api/me for all
	asking *question  // nil while no call is in progress
}

// NewGuard returns a guard that lets every call through. It calls changed when the
// breaker opens or closes, and when refusal of the key begins or ends. Changed must not
// call the guard, except for KeyRefused and Open.
func NewGuard(m *telemetry.Metrics, log *slog.Logger, changed func()) *Guard {
	g := &Guard{metrics: m, log: log, changed: changed}
	g.breaker.now = time.Now
	g.breaker.changed = func(open bool) {
		state := "closed"
		if open {
			state = "open"
		}
		log.Warn("circuit breaker changed state", "state", state)
		g.open.Store(open)
		changed()
	}
	return g
}

// KeyRefused reports whether AnyFrame refuses our key.
func (g *Guard) KeyRefused() bool { return g.refused.Load() }

// Open reports whether the breaker is open.
func (g *Guard) Open() bool { return g.open.Load() }

// BreakerWait reports whether err comes from the open breaker, and how long to wait
// before a retry.
func BreakerWait(err error) (time.Duration, bool) {
	if errors.Is(err, errOpen) {
		return breakerOpenFor, true
	}
	return 0, false
}

// Unavailable reports whether err means that no call to AnyFrame can succeed right now.
func Unavailable(err error) bool {
	_, open := BreakerWait(err)
	return open || errors.Is(err, ErrKeyRefused)
}

// NeverSent reports whether AnyFrame provably did not act on the call that returned err.
func NeverSent(err error) bool {
	if Unavailable(err) {
		return true
	}
	e, ok := errors.AsType[*anyframe.Error](err)
	return ok && !e.Sent()
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Middleware wraps the client's transport.
func (g *Guard) Middleware(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		op := operation(r.Method, r.URL.Path)
		if op == opMe { // which tests AnyFrame itself
			res, _, err := g.send(next, r, op)
			return res, err
		}
		if g.refused.Load() {
			return nil, ErrKeyRefused
		}
		if ok, try := g.breaker.allow(); !ok {
			if try {
				g.ask(next, r)
			}
			if !try || g.breaker.isOpen() {
				return nil, errOpen
			}
		}
		res, doubtful, err := g.send(next, r, op)
		if doubtful {
			g.ask(next, r)
		}
		if err == nil && refusesKey(res.StatusCode) && g.ask(next, r) == keyRefused {
			_ = res.Body.Close() // the body is not needed
			return nil, ErrKeyRefused
		}
		return res, err
	})
}

// send makes a call and records its result. Doubtful means that AnyFrame may be down for
// all visitors.
func (g *Guard) send(next http.RoundTripper, r *http.Request, op string) (res *http.Response, doubtful bool, err error) {
	ctx, span := telemetry.StartSpan(r.Context(), "anyframe "+op, trace.WithSpanKind(trace.SpanKindClient))
	defer span.End()
	start := time.Now()
	var conn connection
	res, err = next.RoundTrip(r.WithContext(conn.trace(ctx)))
	visitor, network := callerOf(ctx)
	if err != nil {
		switch conn.failure(r.Context(), err) {
		case failedAlone:
		case failedUsed:
			g.breaker.lostUsed()
		case failedLost:
			doubtful = g.breaker.lost(op, visitor, network, start)
		case failedAnyFrame:
			doubtful = g.breaker.failed(op, visitor, network)
		}
		span.SetStatus(codes.Error, "no answer")
		g.metrics.Upstream(op, "error", time.Since(start))
		return nil, doubtful, err
	}
	span.SetAttributes(attribute.Int("http.response.status_code", res.StatusCode))
	g.metrics.Upstream(op, strconv.Itoa(res.StatusCode), time.Since(start))
	if res.StatusCode >= http.StatusInternalServerError {
		doubtful = g.breaker.failed(op, visitor, network)
	} else {
		g.breaker.succeeded(op)
	}
	if op == opMe {
		g.noteKey(res.StatusCode)
	}
	return res, doubtful, nil
}

// connection tracks the connection of one call.
type connection struct{ got, used atomic.Bool }

func (c *connection) trace(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) {
		c.got.Store(true)
		c.used.Store(i.Reused)
	}})
}

// The ways in which a call without a response fails.
type failureKind int

const (
	failedAlone    failureKind = iota // the caller canceled it
	failedUsed                        // the connection was lost after serving other calls
	failedLost                        // the connection was lost and had served no other call
	failedAnyFrame                    // there was no connection, or no response in time
)

// failure classifies the failure err of a call. Ctx is the caller's.
func (c *connection) failure(ctx context.Context, err error) failureKind {
	timeout, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](err)
	switch {
	case ctx.Err() != nil && errors.Is(context.Cause(ctx), context.Canceled):
		return failedAlone
	case ctx.Err() != nil, !c.got.Load(), ok && timeout.Timeout():
		return failedAnyFrame
	case c.used.Load():
		return failedUsed
	}
	return failedLost
}

const opMe = "me"

// operation returns the name of an AnyFrame call for metrics: one of a fixed set,
// whatever ids the path contains.
func operation(method, path string) string {
	_, rest, ok := strings.Cut(path, "/api/")
	if !ok {
		return "other"
	}
	parts := strings.Split(rest, "/")
	switch {
	case rest == "me":
		return opMe
	case parts[0] != "sessions":
		return "other"
	case len(parts) == 1 && method == http.MethodPost:
		return "create"
	case len(parts) == 2 && method == http.MethodGet:
		return "get"
	case len(parts) == 2 && method == http.MethodDelete:
		return "delete"
	case len(parts) == 3:
		switch op := parts[2]; op {
		case "resume", "terminate", "message", "respond", "transcript", "events":
			return op
		}
	}
	return "other"
}
