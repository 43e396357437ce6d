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

// RequestInfo collects information about a request for its line in the access log. It
// belongs to the request's goroutine, and after [RequestInfo.Detach] to the goroutine
// that finishes the request.
type RequestInfo struct {
	ID      string
	Visitor string // the redacted id
	Code    string // of the problem that refused it
	Ended   string // why its stream ended
	Trace   string // the trace's id
	Bytes   int    // written to a hijacked connection

	// line reads what is available only while the request's handler runs, and returns the
	// function that writes the line.
	line     func() (write func())
	about    Subject
	detached bool
}

// Subject is what a log line is about. Its attributes do not reveal a visitor's identity
// to outsiders.
type Subject interface{ LogAttrs() []slog.Attr }

type requestKey struct{}

// NewRequest returns the info of a new request, with a new id.
func NewRequest() *RequestInfo { return &RequestInfo{ID: rand.Text()[:12]} }

// OnFinish sets the function that writes the request's line. It is called while the
// handler runs or right after it has returned; the function that it returns is called
// when the answer is complete.
func (t *RequestInfo) OnFinish(line func() (write func())) { t.line = line }

// Finish writes the request's line when its handler has returned, unless it was detached.
func (t *RequestInfo) Finish() {
	if !t.detached {
		t.line()()
	}
}

// WithRequest returns a context with t for a request.
func WithRequest(ctx context.Context, t *RequestInfo) context.Context {
	return context.WithValue(ctx, requestKey{}, t)
}

// FromContext returns the info of ctx's request. Without one, it returns an info that is
// discarded.
func FromContext(ctx context.Context) *RequestInfo {
	if t, ok := ctx.Value(requestKey{}).(*RequestInfo); ok {
		return t
	}
	return &RequestInfo{}
}

// Describe makes x the subject of the request's line.
func (t *RequestInfo) Describe(x Subject) { t.about = x }

// Detach returns the function that ends the request, for an answer that continues after
// its handler has returned. The caller must call it once.
func (t *RequestInfo) Detach() (finish func()) {
	t.detached = true
	line := t.line
	if line == nil {
		return func() {}
	}
	t.line = nil // it would hold the request and net/http's memory for it as long as the stream is open
	return line()
}

// Attrs returns the log attributes.
func (t *RequestInfo) Attrs() []slog.Attr {
	all := []slog.Attr{slog.String("visitor", t.Visitor)}
	if t.about != nil {
		all = t.about.LogAttrs()
	}
	all = append(all, slog.String("code", t.Code), slog.String("ended", t.Ended), slog.String("trace", t.Trace))
	return slices.DeleteFunc(all, func(a slog.Attr) bool { return a.Value.Equal(slog.StringValue("")) })
}

// Tracer is the name of the relay's tracer.
const Tracer = "github.com/anyframe-relay/relay/relay"

// StartSpan starts a span in ctx's trace, if there is one.
func StartSpan(ctx context.Context, name string, opts ...trace.SpanStartOption) (context.Context, trace.Span) {
	return trace.SpanFromContext(ctx).TracerProvider().Tracer(Tracer).Start(ctx, name, opts...)
}

// EndSpan ends a span. Code is the refusal's code, "" for success. An error's text is not
// recorded, because AnyFrame may repeat a visitor's text in it.
func EndSpan(span trace.Span, code string) {
	if code != "" {
		span.SetStatus(codes.Error, code)
	}
	span.End()
}

// AnswerSpan is the span of a turn's trace from its acceptance to the agent's first event
// on any stream. The zero AnswerSpan is none.
type AnswerSpan struct {
	ready atomic.Bool // the event is in the log, or about to be

	mu   sync.Mutex // held only to read or set fields
	span trace.Span // nil if there is nothing to trace
}

// Begin starts the span that ends with the first event of the answer.
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

// Ready records that the agent's first event is about to be appended to the log.
func (a *AnswerSpan) Ready() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.span != nil && !a.ready.Swap(true) {
		a.span.AddEvent("ready for all streams")
	}
}

// Sent records that a stream was written to.
func (a *AnswerSpan) Sent() {
	if a.ready.Load() {
		a.End("sent")
	}
}

// End ends the span, if there is one, and records how it ended.
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
