package upstream

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/telemetry"
)

const (
	breakerFailures = 5               // in a row
	breakerOpenFor  = 5 * time.Second // then one request may try
)

// ErrKeyRefused stands for every call that isn't made because AnyFrame refuses
// our key.
var ErrKeyRefused = errors.New("AnyFrame refuses our key")

// Guard stands between the client and AnyFrame: it counts every request, keeps
// a dead AnyFrame from being hammered, and notices a refused key. It is the
// innermost of all that a call goes through, so a call that it stops has
// provably not been made.
type Guard struct {
	metrics *telemetry.Metrics
	log     *slog.Logger
	breaker *gobreaker.TwoStepCircuitBreaker[any]
	refused atomic.Bool // AnyFrame said 401 or 403 to our key
}

// NewGuard returns a guard that lets everything through.
func NewGuard(m *telemetry.Metrics, log *slog.Logger) *Guard {
	g := &Guard{metrics: m, log: log}
	g.breaker = gobreaker.NewTwoStepCircuitBreaker[any](gobreaker.Settings{
		Name:        "anyframe",
		MaxRequests: 1,
		Timeout:     breakerOpenFor,
		ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= breakerFailures },
		IsExcluded:  func(err error) bool { return errors.Is(err, context.Canceled) },
		OnStateChange: func(_ string, _, to gobreaker.State) {
			m.BreakerOpen.Set(0)
			if to != gobreaker.StateClosed {
				m.BreakerOpen.Set(1)
			}
			log.Warn("circuit breaker", "state", to.String())
		},
	})
	return g
}

// KeyRefused reports whether AnyFrame refuses our key.
func (g *Guard) KeyRefused() bool { return g.refused.Load() }

// BreakerWait reports whether err comes from the open breaker, and how long to
// stay away.
func BreakerWait(err error) (time.Duration, bool) {
	if errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests) {
		return breakerOpenFor, true
	}
	return 0, false
}

// Unavailable reports whether err says that asking AnyFrame again right now is
// of no use.
func Unavailable(err error) bool {
	_, open := BreakerWait(err)
	return open || errors.Is(err, ErrKeyRefused) || errors.Is(err, anyframe.ErrUnauthorized) || errors.Is(err, anyframe.ErrForbidden)
}

// NeverSent reports whether the call that ended with err was provably not acted on.
func NeverSent(err error) bool {
	if _, open := BreakerWait(err); open || errors.Is(err, ErrKeyRefused) {
		return true
	}
	e, ok := errors.AsType[*anyframe.Error](err)
	return ok && !e.Sent()
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

var errUpstream5xx = errors.New("5xx")

// Middleware wraps the client's transport.
func (g *Guard) Middleware(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		op := operation(r.Method, r.URL.Path)
		if g.refused.Load() && op != opMe {
			return nil, ErrKeyRefused
		}
		done, err := g.breaker.Allow()
		if err != nil {
			return nil, err
		}
		ctx, span := telemetry.StartSpan(r.Context(), "anyframe "+op, trace.WithSpanKind(trace.SpanKindClient))
		defer span.End()
		start := time.Now()
		res, err := next.RoundTrip(r.WithContext(ctx))
		if err != nil {
			if r.Context().Err() == nil || !errors.Is(context.Cause(r.Context()), context.Canceled) {
				done(err)
			} else {
				done(context.Canceled)
			}
			span.SetStatus(codes.Error, "no answer")
			g.metrics.Upstream(op, "error", time.Since(start))
			return nil, err
		}
		span.SetAttributes(attribute.Int("http.response.status_code", res.StatusCode))
		g.metrics.Upstream(op, strconv.Itoa(res.StatusCode), time.Since(start))
		if res.StatusCode >= http.StatusInternalServerError {
			done(errUpstream5xx)
		} else {
			done(nil)
		}
		g.noteKey(res.StatusCode)
		return res, nil
	})
}

// noteKey learns from any answer whether the key is good, and says so once.
func (g *Guard) noteKey(code int) {
	switch {
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		g.metrics.KeyRefused.Set(1)
		if !g.refused.Swap(true) {
			g.log.Error("AnyFrame refuses the key; check ANYFRAME_API_KEY", "status", code)
		}
	case code < http.StatusBadRequest:
		if g.refused.Swap(false) {
			g.metrics.KeyRefused.Set(0)
			g.log.Info("AnyFrame accepts the key again")
		}
	}
}

const opMe = "me"

// operation names an AnyFrame call for metrics: a closed set, whatever ids the
// path holds.
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
	case len(parts) == 3:
		switch op := parts[2]; op {
		case "resume", "terminate", "message", "respond", "transcript", "events":
			return op
		}
	}
	return "other"
}
