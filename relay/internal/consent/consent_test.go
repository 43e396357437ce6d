package consent_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/consent"
	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/store"
	"github.com/anyframe-relay/relay/relay/internal/store/memory"
)

const visitor = "v"

// newGate returns a gate that keeps consent for a day, and for an hour without a
// conversation.
func newGate(t *testing.T) (*consent.Gate, *memory.Store) {
	st := memory.New()
	t.Cleanup(func() { st.Close() })
	return consent.New("May we?", st, consent.TTL{Full: 24 * time.Hour, Provisional: time.Hour}), st
}

// keeps fails the test unless the visitor's consent is kept for the given time.
func keeps(t *testing.T, what string, st *memory.Store, want time.Duration) {
	t.Helper()
	r, err := st.Record(t.Context(), "consent", visitor)
	if got := time.Until(r.ExpiresAt).Round(time.Minute); err != nil || got != want {
		t.Errorf("%s: kept for %v, %v, want %v", what, got, err, want)
	}
}

func TestGate_NoConversation_ConsentExpiresAfterAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, st := newGate(t)
		at, err := g.Give(t.Context(), visitor, true)
		if err != nil {
			t.Fatal(err)
		}
		keeps(t, "given", st, time.Hour)
		for range 3 { // messages that are refused for another reason
			time.Sleep(50 * time.Minute)
			if err := g.Check(t.Context(), visitor); err != nil {
				t.Errorf("a message: got %v, want it admitted", err)
			}
			keeps(t, "after a message", st, time.Hour)
		}
		time.Sleep(50 * time.Minute)
		if got, err := g.Given(t.Context(), visitor); err != nil || !got.Equal(at) {
			t.Errorf("introduced again: got consent of %v, %v, want of %v", got, err, at)
		}
		keeps(t, "introduced again", st, time.Hour)
		time.Sleep(time.Hour + time.Second)
		if err := g.Check(t.Context(), visitor); !errors.Is(err, problem.ConsentRequired) {
			t.Errorf("an hour later: got %v, want %v", err, problem.ConsentRequired)
		}
	})
}

func TestGate_Conversation_ConsentKeptForTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, st := newGate(t)
		if err := g.Keep(t.Context(), visitor); err != nil {
			t.Fatal(err)
		}
		if err := g.Check(t.Context(), visitor); !errors.Is(err, problem.ConsentRequired) {
			t.Errorf("kept before it was given: got %v, want %v", err, problem.ConsentRequired)
		}
		if _, err := g.Give(t.Context(), visitor, true); err != nil {
			t.Fatal(err)
		}
		if err := g.Keep(t.Context(), visitor); err != nil {
			t.Fatal(err)
		}
		keeps(t, "with a conversation", st, 24*time.Hour)
		if _, err := g.Give(t.Context(), visitor, true); err != nil { // a request from before
			t.Fatal(err)
		}
		keeps(t, "given again", st, 24*time.Hour)
		time.Sleep(20 * time.Hour)
		if err := g.Check(t.Context(), visitor); err != nil {
			t.Errorf("the next day: got %v, want it admitted", err)
		}
		keeps(t, "after another message", st, 24*time.Hour)
	})
}

func TestForget_Visitor_ConsentGone(t *testing.T) {
	g, st := newGate(t)
	if _, err := g.Give(t.Context(), visitor, false); err != nil {
		t.Fatal(err)
	}
	if err := g.Forget(t.Context(), visitor, 1); err != nil {
		t.Fatal(err)
	}
	keeps(t, "one conversation erased", st, 24*time.Hour)
	for range 2 {
		if err := g.Forget(t.Context(), visitor, 0); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := st.Record(t.Context(), "consent", visitor); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("got %v, want no record", err)
	}
}
