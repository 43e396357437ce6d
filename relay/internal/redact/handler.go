package redact

import (
	"context"
	"log/slog"
)

// redactingHandler is a log handler for lines that outsiders may see. An error is logged
// as describe returns it, and keys are masked wherever they appear in an attribute, for
// example in the text of a panic.
type redactingHandler struct {
	next     slog.Handler
	patterns *Patterns
	describe func(error) string
}

// NewHandler returns a handler that redacts records and passes them to next. Describe
// returns an error's text without what must not be logged.
func NewHandler(next slog.Handler, patterns *Patterns, describe func(error) string) slog.Handler {
	return redactingHandler{next, patterns, describe}
}

// Enabled implements [slog.Handler].
func (h redactingHandler) Enabled(ctx context.Context, l slog.Level) bool {
	return h.next.Enabled(ctx, l)
}

// WithGroup implements [slog.Handler].
func (h redactingHandler) WithGroup(name string) slog.Handler {
	return redactingHandler{h.next.WithGroup(name), h.patterns, h.describe}
}

// WithAttrs implements [slog.Handler].
func (h redactingHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	clean := make([]slog.Attr, 0, len(attrs))
	for _, a := range attrs {
		clean = append(clean, h.redact(a))
	}
	return redactingHandler{h.next.WithAttrs(clean), h.patterns, h.describe}
}

// Handle implements [slog.Handler].
func (h redactingHandler) Handle(ctx context.Context, r slog.Record) error {
	clean := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
	r.Attrs(func(a slog.Attr) bool {
		clean.AddAttrs(h.redact(a))
		return true
	})
	return h.next.Handle(ctx, clean)
}

func (h redactingHandler) redact(a slog.Attr) slog.Attr {
	if err, ok := a.Value.Any().(error); ok {
		a.Value = slog.StringValue(h.describe(err))
	}
	if a.Value.Kind() == slog.KindString {
		a.Value = slog.StringValue(Text(h.patterns, a.Value.String()))
	}
	return a
}
