package relay

import (
	"context"
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/anyframe-relay/relay/relay/internal/telemetry"
)

// traceTurn begins the trace of a turn: a new one, for what a browser says of
// traces is anybody's word.
func (s *Server) traceTurn(r *http.Request) (*http.Request, trace.Span) {
	if s.config.Traces == nil {
		return r, trace.SpanFromContext(context.Background())
	}
	t := telemetry.FromContext(r.Context())
	ctx, span := s.config.Traces.Tracer(telemetry.Tracer).Start(r.Context(), "turn",
		trace.WithNewRoot(), trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(attribute.String("relay.request", t.ID)))
	if span.SpanContext().IsSampled() {
		t.Trace = span.SpanContext().TraceID().String()
	}
	return r.WithContext(ctx), span
}
