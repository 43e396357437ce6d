package relay

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

// trail is what is learned about a request on its way, for its line in the
// access log. It belongs to the request's goroutine, and after [trail.detach] to
// whoever finishes the request.
type trail struct {
	request string
	visitor string // as logs show it
	code    string // of the problem that refused it
	ended   string // why its stream did
	trace   string // the id of its trace
	bytes   int    // written to a connection that was taken over

	// line takes what has to be known while the request's handler runs, and returns
	// the function that writes the line.
	line     func() (write func())
	about    logged
	detached bool
}

// logged is something that log lines name: its attributes, which identify
// nobody to an outsider.
type logged interface{ LogAttrs() []slog.Attr }

type trailKey struct{}

// newTrail returns the trail of a new request, which gets an id.
func newTrail() *trail { return &trail{request: rand.Text()[:12]} }

// onFinish sets what writes the request's line: line is called while the handler
// runs or has just returned, and what it returns when the answer is complete.
func (t *trail) onFinish(line func() (write func())) { t.line = line }

// finish writes the request's line when its handler has returned, unless it was
// detached.
func (t *trail) finish() {
	if !t.detached {
		t.line()()
	}
}

// withTrail returns a context with t for a request.
func withTrail(ctx context.Context, t *trail) context.Context {
	return context.WithValue(ctx, trailKey{}, t)
}

// trailOf returns the trail of the request that ctx belongs to. Without one, what is
// written to it is lost.
func trailOf(ctx context.Context) *trail {
	if t, ok := ctx.Value(trailKey{}).(*trail); ok {
		return t
	}
	return &trail{}
}

// describe makes the request's line name x.
func (t *trail) describe(x logged) { t.about = x }

// detach returns the function that ends the request, for an answer that goes on
// when its handler has returned. The caller calls it once.
func (t *trail) detach() (finish func()) {
	t.detached = true
	if t.line == nil {
		return func() {}
	}
	return t.line()
}

// attrs is what the log shows of it.
func (t *trail) attrs() []slog.Attr {
	all := []slog.Attr{slog.String("visitor", t.visitor)}
	if t.about != nil {
		all = t.about.LogAttrs()
	}
	all = append(all, slog.String("code", t.code), slog.String("ended", t.ended), slog.String("trace", t.trace))
	return slices.DeleteFunc(all, func(a slog.Attr) bool { return a.Value.Equal(slog.StringValue("")) })
}

const tracer = "github.com/anyframe-relay/relay/relay"

// step begins a part of the trace that ctx is in, if any.
func step(ctx context.Context, name string, opts ...trace.SpanStartOption) (context.Context, trace.Span) {
	return trace.SpanFromContext(ctx).TracerProvider().Tracer(tracer).Start(ctx, name, opts...)
}

// endStep ends a part of a trace. Code is the refusal's code, "" for success; an
// error's text is not used, since AnyFrame may repeat a visitor's words in it.
func endStep(span trace.Span, code string) {
	if code != "" {
		span.SetStatus(codes.Error, code)
	}
	span.End()
}

// answerSpan is the part of a turn's trace from its acceptance to the agent's
// first event on any stream. The zero answerSpan is none.
type answerSpan struct {
	ready atomic.Bool // the event is in the log, or about to be

	mu   sync.Mutex // held only to look or set
	span trace.Span // nil when there is nothing to trace
}

func (a *answerSpan) begin(ctx context.Context) {
	_, span := step(ctx, "answer")
	if !span.IsRecording() {
		return
	}
	a.end("superseded")
	a.mu.Lock()
	defer a.mu.Unlock()
	a.span = span
}

// arrive says that the agent's first event is about to be put into the log.
func (a *answerSpan) arrive() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.span != nil && !a.ready.Swap(true) {
		a.span.AddEvent("ready for all streams")
	}
}

// sent says that a stream was written to.
func (a *answerSpan) sent() {
	if a.ready.Load() {
		a.end("sent")
	}
}

// end ends the span, if there is one, and says how that came.
func (a *answerSpan) end(how string) {
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
