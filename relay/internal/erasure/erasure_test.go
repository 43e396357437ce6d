package erasure_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/anyframe-relay/relay/relay/internal/erasure"
	"github.com/anyframe-relay/relay/relay/internal/history"
	"github.com/anyframe-relay/relay/relay/internal/store/memory"
	"github.com/anyframe-relay/relay/relay/internal/telemetry"
)

// nothing is an Ender for visitors without activity.
type nothing struct{}

func (nothing) EraseEpoch(context.Context, string, int64, bool) (busy bool, err error) {
	return false, nil
}
func (nothing) EraseVisitor(context.Context, string) error { return nil }

// Retention has marked a conversation, and would keep it if a turn ran.
func TestConversation_MarkedByRetention_RequestCounts(t *testing.T) {
	st := memory.New()
	defer st.Close()
	book := &history.Book{Store: st, TTL: time.Hour, Forever: true}
	w := erasure.New(erasure.Options{
		Store: st, Book: book, Ender: nothing{}, Retention: time.Hour,
		Metrics: telemetry.NewMetrics(prometheus.NewRegistry()), Log: slog.New(slog.DiscardHandler),
	})
	if err := book.Begin(t.Context(), "v", 1, "upstream"); err != nil {
		t.Fatal(err)
	}
	id := history.ID("v", 1)
	var first string
	for _, tt := range []struct{ asked, want erasure.Reason }{
		{erasure.Retention, erasure.Retention}, {erasure.ByVisitor, erasure.ByVisitor}, {erasure.Retention, erasure.ByVisitor}, {erasure.ByOperator, erasure.ByVisitor},
	} {
		got, err := w.Conversation(t.Context(), id, tt.asked)
		if err != nil {
			t.Fatal(err)
		}
		if first == "" {
			first = got
		}
		if e, err := w.Find(t.Context(), got); err != nil || e.Reason != tt.want || got != first {
			t.Errorf("%s: got erasure %s by %s, %v, want %s by %s", tt.asked, got, e.Reason, err, first, tt.want)
		}
	}
}
