package relay

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"

	"github.com/anyframe-relay/relay/anyframe"
)

// discreet is a log handler that says of AnyFrame's refusals what they were and
// not in which words: those may repeat what a visitor said, and name things of
// AnyFrame's that are nobody's business. relay doctor tells them to the operator.
// A key that gets into a line by mistake, out of a panic perhaps, is masked.
type discreet struct {
	next  slog.Handler
	marks *markSet // what keys begin with
}

// Enabled implements [slog.Handler].
func (d discreet) Enabled(ctx context.Context, l slog.Level) bool { return d.next.Enabled(ctx, l) }

// WithGroup implements [slog.Handler].
func (d discreet) WithGroup(name string) slog.Handler {
	return discreet{d.next.WithGroup(name), d.marks}
}

// WithAttrs implements [slog.Handler].
func (d discreet) WithAttrs(attrs []slog.Attr) slog.Handler {
	clean := make([]slog.Attr, 0, len(attrs))
	for _, a := range attrs {
		clean = append(clean, d.discreetly(a))
	}
	return discreet{d.next.WithAttrs(clean), d.marks}
}

// Handle implements [slog.Handler].
func (d discreet) Handle(ctx context.Context, r slog.Record) error {
	clean := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
	r.Attrs(func(a slog.Attr) bool {
		clean.AddAttrs(d.discreetly(a))
		return true
	})
	return d.next.Handle(ctx, clean)
}

func (d discreet) discreetly(a slog.Attr) slog.Attr {
	if err, ok := a.Value.Any().(error); ok {
		a.Value = slog.StringValue(outline(err))
	}
	if a.Value.Kind() == slog.KindString {
		a.Value = slog.StringValue(mask(d.marks, a.Value.String()))
	}
	return a
}

// outline is an error's text without what AnyFrame said and without its ids.
func outline(err error) string {
	text := err.Error()
	if e, ok := errors.AsType[*anyframe.Error](err); ok && e.Method != "" {
		op := operation(e.Method, e.Path)
		what := strings.ReplaceAll(e.Error(), e.Method+" "+e.Path, op)
		if e.StatusCode >= http.StatusMultipleChoices { // then the words are AnyFrame's
			what = "anyframe: " + op + ": " + strconv.Itoa(e.StatusCode) + " " + http.StatusText(e.StatusCode)
		}
		text = strings.ReplaceAll(text, e.Error(), what)
	}
	if e, ok := errors.AsType[*anyframe.SessionStateError](err); ok && e.Session != nil {
		text = strings.ReplaceAll(text, e.Session.ID, "…")
	}
	if e, ok := errors.AsType[*anyframe.WaitTimeoutError](err); ok {
		text = strings.ReplaceAll(text, e.What, "session")
	}
	return text
}
