package httpapi

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"regexp"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/anyframe-relay/relay/relay/internal/body"
	"github.com/anyframe-relay/relay/relay/internal/clientip"
	"github.com/anyframe-relay/relay/relay/internal/limits"
	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/session"
	"github.com/anyframe-relay/relay/relay/internal/telemetry"
	"github.com/anyframe-relay/relay/relay/internal/visitorctx"
)

// traceTurn starts the trace of a turn. It is always a new trace, because a trace context
// from a browser cannot be trusted.
func (a *api) traceTurn(r *http.Request) (*http.Request, trace.Span) {
	if a.options.Traces == nil {
		return r, trace.SpanFromContext(context.Background())
	}
	t := telemetry.FromContext(r.Context())
	ctx, span := a.options.Traces.Tracer(telemetry.Tracer).Start(r.Context(), "turn",
		trace.WithNewRoot(), trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(attribute.String("relay.request", t.ID)))
	if span.SpanContext().IsSampled() {
		t.Trace = span.SpanContext().TraceID().String()
	}
	return r.WithContext(ctx), span
}

var keyPattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// startTurn accepts one visitor message: POST /v1/messages.
func (a *api) startTurn(w http.ResponseWriter, r *http.Request) (refusal error) {
	start := time.Now()
	r, span := a.traceTurn(r)
	defer func() { telemetry.EndSpan(span, problem.CodeOf(refusal)) }()
	v := visitorOf(r)
	if a.hub.Draining() {
		return problem.Draining
	}
	key := r.Header.Get("Idempotency-Key")
	if r.Header.Values("Idempotency-Key") == nil {
		key = rand.Text()
	} else if !keyPattern.MatchString(key) {
		return problem.BadRequest.With("Idempotency-Key must be 1 to 64 of A-Z, a-z, 0-9, _ and -.")
	}
	if err := a.admitBody(r, v.ID, key); err != nil {
		return err
	}
	room := a.limits.Body(limits.Who{Visitor: v.ID, Addr: clientip.Of(r)})
	defer room.Release()
	data, err := body.Read(w, r, a.options.Limits.MaxBody(), room)
	if err != nil {
		return err
	}
	m, err := a.options.Decode(data)
	if err != nil {
		return err
	}
	// From here on, the visitor's turns are ordered by when they were read.
	ticket, err := a.hub.Enqueue(v.ID)
	if err != nil {
		return err
	}
	defer ticket.Leave()
	if v.Provisional { // it must not expire while the sandbox boots
		if v, err = a.tokens.Extend(r.Context(), v); err != nil {
			return err
		}
	}
	sess, err := a.hub.Open(r.Context(), v.ID)
	if err != nil {
		return err
	}
	defer sess.Close()
	context := visitorctx.Both{Page: m.Context}
	if v.Identified && a.options.Context && a.options.MaxContext > 0 {
		if context.Verified, err = a.contexts.Verified(r.Context(), v.Token); err != nil {
			return err
		}
	}
	got, repeated, err := sess.Send(r.Context(), ticket, clientip.Of(r), key, session.Message{
		Text: m.Text, Attachments: m.Attachments, Names: m.Names(), Hash: m.Hash(), Context: context, Solution: r.Header.Get(solutionHeader),
	})
	if _, keepErr := a.promote(r.Context(), v, sess); keepErr != nil && !errors.Is(keepErr, problem.VisitorUnknown) {
		a.log.Warn("failed to extend a visitor's token", "request", w.Header().Get(requestIDHeader), "error", keepErr)
	}
	result := telemetry.TurnAccepted
	switch {
	case err != nil:
		result = problem.Of(err).Code
	case repeated:
		result = telemetry.TurnRepeated
	default:
		a.metrics.AcceptSeconds.Observe(time.Since(start).Seconds())
	}
	a.metrics.Turns.WithLabelValues(result).Inc()
	if err != nil {
		return a.ask(v.ID, err)
	}
	return WriteJSON(w, http.StatusAccepted, got)
}

// admitBody refuses a message before its body is read, if the body is large and the
// visitor has sent too many messages. It does not refuse a repeated key, whose answer is
// stored.
func (a *api) admitBody(r *http.Request, visitor, key string) error {
	size := a.options.Limits.MaxBody() // a larger body is refused anyway
	if r.ContentLength >= 0 {
		size = min(size, r.ContentLength)
	}
	if size <= limits.LargeBody {
		return nil
	}
	err := a.limits.MayMessage(r.Context(), visitor)
	if err != nil && a.noted(r.Context(), visitor, key) {
		return nil
	}
	return err
}

// noted reports whether a visitor's turn with this key is stored.
func (a *api) noted(ctx context.Context, visitor, key string) bool {
	sess, err := a.hub.Open(ctx, visitor)
	if err != nil {
		return false
	}
	defer sess.Close()
	return sess.Noted(ctx, key)
}
