package telemetry

import (
	"context"
	"crypto/rand"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// RequestInfo is what is learned about a request on its way, for its line in the
// access log. It belongs to the request's goroutine, and after [RequestInfo.Detach] to
// the goroutine that finishes the request.
type RequestInfo struct {
	ID      string
	Visitor string // as logs show it
	Code    string // of the problem that refused it
	Ended   string // why its stream did
	Trace   string // the id of its trace
	Bytes   int    // written to a connection that was taken over

	// line takes what has to be known while the request's handler runs, and returns
	// the function that writes the line.
	line     func() (write func())
	about    Subject
	detached bool
}

// Subject is something that log lines name: its attributes, which do not reveal to
// an outsider who a visitor is.
type Subject interface{ LogAttrs() []slog.Attr }

type requestKey struct{}

// NewRequest returns the info of a new request, which gets an id.
func NewRequest() *RequestInfo { return &RequestInfo{ID: rand.Text()[:12]} }

// OnFinish sets what writes the request's line: line is called while the handler
// runs or has just returned, and what it returns when the answer is complete.
func (t *RequestInfo) OnFinish(line func() (write func())) { t.line = line }

// Finish writes the request's line when its handler has returned, unless it was
// detached.
func (t *RequestInfo) Finish() {
	if !t.detached {
		t.line()()
	}
}

// WithRequest returns a context with t for a request.
func WithRequest(ctx context.Context, t *RequestInfo) context.Context {
	return context.WithValue(ctx, requestKey{}, t)
}

// FromContext returns the info of the request that ctx belongs to. Without one, what is
// written to it is lost.
func FromContext(ctx context.Context) *RequestInfo {
	if t, ok := ctx.Value(requestKey{}).(*RequestInfo); ok {
		return t
	}
	return &RequestInfo{}
}

// Describe makes the request's line name x.
func (t *RequestInfo) Describe(x Subject) { t.about = x }

// Detach returns the function that ends the request, for an answer that goes on
// when its handler has returned. The caller calls it once.
func (t *RequestInfo) Detach() (finish func()) {
	t.detached = true
	line := t.line
	if line == nil {
		return func() {}
	}
	t.line = nil // it holds the request and all that net/http has for it, for as long as the stream lives
	return line()
}

// Attrs is what the log shows of it.
func (t *RequestInfo) Attrs() []slog.Attr {
	all := []slog.Attr{slog.String("visitor", t.Visitor)}
	if t.about != nil {
		all = t.about.LogAttrs()
	}
	all = append(all, slog.String("code", t.Code), slog.String("ended", t.Ended), slog.String("trace", t.Trace))
	return slices.DeleteFunc(all, func(a slog.Attr) bool { return a.Value.Equal(slog.StringValue("")) })
}

// Tracer names the relay as the source of its spans.
const Tracer = "github.com/anyframe-relay/relay/relay"

// StartSpan begins a part of the trace that ctx is in, if any.
func StartSpan(ctx context.Context, name string, opts ...trace.SpanStartOption) (context.Context, trace.Span) {
	return trace.SpanFromContext(ctx).TracerProvider().Tracer(Tracer).Start(ctx, name, opts...)
}

// EndSpan ends a part of a trace. Code is the refusal's code, "" for success; an
// error's text is not used, since AnyFrame may repeat a visitor's words in it.
func EndSpan(span trace.Span, code string) {
	if code != "" {
		span.SetStatus(codes.Error, code)
	}
	span.End()
}

// AnswerSpan is the part of a turn's trace from its acceptance to the agent's
// first event on any stream. The zero AnswerSpan is none.
type AnswerSpan struct {
	ready atomic.Bool // the event is in the log, or about to be

	mu   sync.Mutex // held only to look or set
	span trace.Span // nil when there is nothing to trace
}

// Begin begins the part of a turn's trace that ends with the first event of its answer.
func (a *AnswerSpan) Begin(ctx context.Context) {
	_, span := StartSpan(ctx, "answer")
	if !span.IsRecording() {
		return
	}
	a.End("superseded")
	a.mu.Lock()
	defer a.mu.Unlock()
	a.span = span
}

// Ready says that the agent's first event is about to be put into the log.
func (a *AnswerSpan) Ready() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.span != nil && !a.ready.Swap(true) {
		a.span.AddEvent("ready for all streams")
	}
}

// Sent says that a stream was written to.
func (a *AnswerSpan) Sent() {
	if a.ready.Load() {
		a.End("sent")
	}
}

// End ends the span, if there is one, and says how that came.
func (a *AnswerSpan) End(how string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.span == nil {
		return
	}
	a.span.SetAttributes(attribute.String("relay.answer", how))
	a.span.End()
	a.span = nil
	a.ready.Store(false)
}
