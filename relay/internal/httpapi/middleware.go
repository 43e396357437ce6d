package httpapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/telemetry"
)

// handle adapts a handler that returns its refusal: it writes the refusal.
func (a *api) handle(h func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := h(w, r); err != nil {
			a.refuse(w, r, err)
		}
	}
}

// refuse answers with err as a problem. An unexpected error is logged and not shown to
// the visitor.
func (a *api) refuse(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil && !errors.Is(err, problem.RequestTimeout) { // net/http treats a body that is late like a client that has disconnected
		return // the client has disconnected
	}
	p := problem.Write(w, err)
	a.metrics.Refusals.WithLabelValues(p.Code).Inc()
	telemetry.FromContext(r.Context()).Code = p.Code
	switch {
	case p.Code == problem.Internal.Code:
		a.log.Error("internal error", "request", w.Header().Get(requestIDHeader), "error", err)
	case errors.Is(p, problem.Booting), errors.Is(p, problem.Draining), errors.Is(p, problem.Paused), errors.Is(err, problem.Capacity): // expected, and logged on the request's own line
	case p.Status >= http.StatusInternalServerError:
		a.log.Warn("request failed", "request", w.Header().Get(requestIDHeader), "code", p.Code, "error", err)
	}
}

const requestIDHeader = "X-Request-Id"

// observe gives every request an id, and counts and logs it when it has ended. No
// client-supplied text becomes a label or, unescaped, part of a log line.
func (a *api) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		t := telemetry.NewRequest()
		w.Header().Set(requestIDHeader, t.ID)
		r = r.WithContext(telemetry.WithRequest(r.Context(), t))
		ww := middleware.NewWrapResponseWriter(w, r.ProtoMajor)
		t.OnFinish(func() func() {
			route, code, bytes := a.routeOf(r), ww.Status(), ww.BytesWritten()
			if code == 0 {
				code = http.StatusOK
			}
			return func() { a.noteRequest(t, route, code, bytes+t.Bytes, start) }
		})
		defer t.Finish()
		next.ServeHTTP(ww, r)
	})
}

// noteRequest counts and logs a request that has ended.
func (a *api) noteRequest(t *telemetry.RequestInfo, route string, code, bytes int, start time.Time) {
	a.metrics.Request(route, code)
	level := slog.LevelInfo
	if !strings.Contains(route, "/v1/") {
		level = slog.LevelDebug
	}
	ctx := context.Background()
	if !a.log.Enabled(ctx, level) {
		return
	}
	a.log.LogAttrs(ctx, level, "request", append([]slog.Attr{
		slog.String("request", t.ID), slog.String("route", route), slog.Int("status", code),
		slog.Int("bytes", bytes), slog.Int64("ms", time.Since(start).Milliseconds()),
	}, t.Attrs()...)...)
}

// routeOf returns the name of the request's route, from a fixed set. A request that was
// refused before it reached its route has that route's name too.
func (a *api) routeOf(r *http.Request) string {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodDelete:
	default:
		return "other"
	}
	routed := chi.RouteContext(r.Context())
	pattern := routed.RoutePattern()
	if pattern == "" || strings.HasSuffix(pattern, "/*") {
		pattern = routed.Routes.Find(chi.NewRouteContext(), r.Method, r.URL.Path)
	}
	if pattern = strings.TrimPrefix(pattern, a.options.root()); pattern == "" {
		return "other"
	}
	return r.Method + " " + pattern
}

// recover turns a panic into a problem. If the answer has begun, it cuts the connection
// instead, because an answer that ends cleanly would look complete.
func (a *api) recover(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			cause := recover()
			if cause == nil {
				return
			}
			if cause == http.ErrAbortHandler { //nolint:errorlint // net/http compares it so, too
				panic(cause)
			}
			a.metrics.Panics.Inc()
			a.log.Error("panic", "request", w.Header().Get(requestIDHeader), "cause", fmt.Sprint(cause), "stack", string(debug.Stack()))
			if ww, ok := w.(middleware.WrapResponseWriter); ok && ww.Status() != 0 {
				panic(http.ErrAbortHandler)
			}
			a.metrics.Refusals.WithLabelValues(problem.Write(w, problem.Internal).Code).Inc()
		}()
		next.ServeHTTP(w, r)
	})
}
