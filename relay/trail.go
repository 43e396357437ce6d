package relay

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/anyframe-relay/relay/relay/internal/redact"
)

// trail is what is learnt of a request on its way, for its line in the log. It
// belongs to the request's goroutine.
type trail struct {
	request string
	visitor string // as logs show it
	sess    *session
	code    string // of the problem that refused it
	ended   string // why its stream did
	trace   string // the id of its trace
	bytes   int    // written to a connection that was taken over
	// goOn is the rest of an answer that has taken its connection over, which calls
	// over when that is complete. It is called when the request's own goroutine is
	// done; nil for nearly all.
	goOn func(over func())
}

type trailKey struct{}

// trailOf returns the trail of the request that ctx is of. Without one, what is
// written to it is lost.
func trailOf(ctx context.Context) *trail {
	if t, ok := ctx.Value(trailKey{}).(*trail); ok {
		return t
	}
	return &trail{}
}

// attrs is what the log shows of it.
func (t *trail) attrs() []slog.Attr {
	visitor, epoch, session := t.visitor, int64(0), ""
	if t.sess != nil {
		visitor, epoch, session = redact.ID(t.sess.visitor), t.sess.view().epoch, t.sess.hash()
	}
	all := []slog.Attr{slog.String("visitor", visitor), slog.String("session", session)}
	if epoch > 0 {
		all = append(all, slog.Int64("epoch", epoch))
	}
	all = append(all, slog.String("code", t.code), slog.String("ended", t.ended), slog.String("trace", t.trace))
	return slices.DeleteFunc(all, func(a slog.Attr) bool { return a.Value.Equal(slog.StringValue("")) })
}

const tracer = "github.com/anyframe-relay/relay/relay"

// traceTurn begins the trace of a turn: a new one, for what a browser says of
// traces is anybody's word.
func (s *Server) traceTurn(r *http.Request) (*http.Request, trace.Span) {
	if s.config.Traces == nil {
		return r, trace.SpanFromContext(context.Background())
	}
	t := trailOf(r.Context())
	ctx, span := s.config.Traces.Tracer(tracer).Start(r.Context(), "turn",
		trace.WithNewRoot(), trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(attribute.String("relay.request", t.request)))
	if span.SpanContext().IsSampled() {
		t.trace = span.SpanContext().TraceID().String()
	}
	return r.WithContext(ctx), span
}

// step begins a part of the trace that ctx is in, if any.
func step(ctx context.Context, name string, opts ...trace.SpanStartOption) (context.Context, trace.Span) {
	return trace.SpanFromContext(ctx).TracerProvider().Tracer(tracer).Start(ctx, name, opts...)
}

// endStep ends a part of a trace. Of an error it says the problem's code:
// AnyFrame's words may be a visitor's.
func endStep(span trace.Span, err error) {
	if err != nil {
		span.SetStatus(codes.Error, problemOf(err).code)
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
