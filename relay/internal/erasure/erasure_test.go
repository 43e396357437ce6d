package erasure_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay/internal/erasure"
	"github.com/anyframe-relay/relay/relay/internal/history"
	"github.com/anyframe-relay/relay/relay/internal/store"
	"github.com/anyframe-relay/relay/relay/internal/store/memory"
	"github.com/anyframe-relay/relay/relay/internal/telemetry"
)

// nothing is an Ender for visitors without activity.
type nothing struct{}

func (nothing) EraseEpoch(context.Context, string, int64, bool) (busy bool, err error) {
	return false, nil
}
func (nothing) EraseVisitor(context.Context, string) error        { return nil }
func (nothing) EraseUnused(context.Context, string) (bool, error) { return false, nil }

// retaining returns a worker for which every conversation has been idle long enough, and the
// history with one conversation.
func retaining(t *testing.T) (*erasure.Worker, *history.Book) {
	t.Helper()
	st := memory.New()
	t.Cleanup(func() { _ = st.Close() })
	book := &history.Book{Store: st, TTL: time.Hour, Forever: true}
	w := erasure.New(erasure.Options{
		Store: st, Book: book, Ender: nothing{}, Retention: time.Nanosecond,
		Metrics: telemetry.NewMetrics(prometheus.NewRegistry()), Log: slog.New(slog.DiscardHandler),
	})
	if err := book.Begin(t.Context(), "v", 1, "upstream"); err != nil {
		t.Fatal(err)
	}
	return w, book
}

// Retention has marked a conversation, and would keep it if a turn ran.
func TestConversation_MarkedByRetention_RequestCounts(t *testing.T) {
	w, _ := retaining(t)
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

// A conversation is used after retention has marked it, or has chosen it.
func TestRetention_UsedSince_Kept(t *testing.T) {
	w, book := retaining(t)
	id := history.ID("v", 1)
	first, err := w.Conversation(t.Context(), id, erasure.Retention)
	if err != nil || first == "" {
		t.Fatalf("got erasure %q, %v, want one", first, err)
	}
	if err := book.Turn(t.Context(), "v", 1, "upstream", "I am back", "k1"); err != nil {
		t.Fatal(err)
	}
	w.Retention = time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { w.Run(ctx) })
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if _, err := w.Find(t.Context(), first); errors.Is(err, store.ErrNotFound) {
			break
		}
	}
	cancel()
	running.Wait()
	if c, err := book.Find(t.Context(), id); err != nil || c.Erasing != "" {
		t.Errorf("marked: got %+v, %v, want it kept", c, err)
	}
	if got, err := w.Conversation(t.Context(), id, erasure.Retention); err != nil || got != "" {
		t.Errorf("chosen: got erasure %q, %v, want none", got, err)
	}
}

// watched is a store that calls before each time an erasure is read.
type watched struct {
	*memory.Store
	before func()
}

func (s watched) Record(ctx context.Context, kind, key string) (store.Record, error) {
	if kind == erasure.Kind {
		s.before()
	}
	return s.Store.Record(ctx, kind, key)
}

// Retention spares the conversation while the visitor's request to erase it is processed.
func TestConversation_SparedMeanwhile_Erased(t *testing.T) {
	st := memory.New()
	defer st.Close()
	book := &history.Book{Store: st, TTL: time.Hour, Forever: true}
	var first string
	spare := sync.OnceFunc(func() {
		r, err := st.Record(t.Context(), erasure.Kind, first)
		if err = errors.Join(err, book.Spare(t.Context(), history.ID("v", 1)), st.DeleteRecord(t.Context(), erasure.Kind, first, r.Version)); err != nil {
			t.Error(err)
		}
	})
	w := erasure.New(erasure.Options{
		Store: watched{st, spare}, Book: book, Ender: nothing{}, Retention: time.Nanosecond,
		Metrics: telemetry.NewMetrics(prometheus.NewRegistry()), Log: slog.New(slog.DiscardHandler),
	})
	if err := book.Begin(t.Context(), "v", 1, "upstream"); err != nil {
		t.Fatal(err)
	}
	var err error
	if first, err = w.Conversation(t.Context(), history.ID("v", 1), erasure.Retention); err != nil {
		t.Fatal(err)
	}
	second, err := w.Conversation(t.Context(), history.ID("v", 1), erasure.ByVisitor)
	if e, findErr := w.Find(t.Context(), second); err != nil || findErr != nil || second == first || e.Reason != erasure.ByVisitor {
		t.Errorf("got erasure %q by %q, %v, %v, want one by the visitor", second, e.Reason, err, findErr)
	}
}

// What other packages have about a conversation is hidden as long as its record is marked.
func TestConversation_OthersData_DeletedBeforeItsRecord(t *testing.T) {
	st := memory.New()
	defer st.Close()
	book := &history.Book{Store: st, TTL: time.Hour, Forever: true}
	plane := anyframetest.Start(t)
	client, err := anyframe.New(anyframe.WithAPIKey(plane.Key()), anyframe.WithBaseURL(plane.URL()), anyframe.WithDotEnv(""))
	if err != nil {
		t.Fatal(err)
	}
	found := make(chan error, 10)
	w := erasure.New(erasure.Options{
		Store: st, Book: book, Ender: nothing{}, Client: client, CallTimeout: time.Minute,
		Also: []func(context.Context, string, int64) error{func(ctx context.Context, visitor string, epoch int64) error {
			c, err := book.Get(ctx, visitor, epoch)
			if err == nil && c.Erasing == "" {
				err = errors.New("not marked")
			}
			found <- err
			return nil
		}},
		Metrics: telemetry.NewMetrics(prometheus.NewRegistry()), Log: slog.New(slog.DiscardHandler),
	})
	if err := book.Begin(t.Context(), "v", 1, "7c9e6679-7425-40de-944b-e07fc1f90ae7"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Conversation(t.Context(), history.ID("v", 1), erasure.ByVisitor); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { w.Run(ctx) })
	select {
	case err := <-found:
		if err != nil {
			t.Errorf("got record %v when the others' data is deleted, want a marked one", err)
		}
	case <-time.After(time.Minute):
		t.Error("the others' data is never deleted")
	}
	cancel()
	running.Wait()
}
