package history

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/store"
	"github.com/anyframe-relay/relay/relay/internal/store/memory"
)

func newBook(t *testing.T) *Book {
	t.Helper()
	return &Book{Store: memory.New(), TTL: time.Hour}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("got error %v, want none", err)
	}
}

func TestTitle_Text_EightyCodePoints(t *testing.T) {
	for text, want := range map[string]string{
		"":                             "",
		" \n\t ":                       "",
		" hello \n  world ":            "hello world",
		"a\u2003b":                     "a b",
		strings.Repeat("é", 80):        strings.Repeat("é", 80),
		strings.Repeat("🙂", 81):        strings.Repeat("🙂", 80),
		strings.Repeat("x", 79) + " y": strings.Repeat("x", 79) + " ",
	} {
		if got := Title(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestBook_Conversations_NewestFirst(t *testing.T) {
	b := newBook(t)
	for epoch := int64(1); epoch <= 250; epoch++ {
		must(t, b.Begin(t.Context(), "v1", epoch, fmt.Sprint("up-", epoch)))
	}
	must(t, b.Begin(t.Context(), "v2", 1, "another"))
	all, err := b.List(t.Context(), "v1")
	must(t, err)
	if len(all) != MaxListed || all[0].Epoch != 250 || all[199].Epoch != 51 {
		t.Errorf("got %d conversations from %d to %d, want the newest 200", len(all), all[0].Epoch, all[len(all)-1].Epoch)
	}
	n := 0
	must(t, b.Each(t.Context(), "v1", func(Conversation) (bool, error) { n++; return true, nil }))
	if n != 250 {
		t.Errorf("got %d conversations of all, want 250", n)
	}
	if newest, err := b.Newest(t.Context(), "v1"); err != nil || newest != 250 {
		t.Errorf("got newest epoch %d, %v, want 250", newest, err)
	}
	if newest, err := b.Newest(t.Context(), "v3"); err != nil || newest != 0 {
		t.Errorf("got newest epoch %d of a stranger, %v, want 0", newest, err)
	}
}

func TestBook_Turns_TitleOfTheFirst(t *testing.T) {
	b := newBook(t)
	must(t, b.Begin(t.Context(), "v1", 1, "up"))
	must(t, b.Turn(t.Context(), "v1", 1, "up", "", "k1"))
	must(t, b.Turn(t.Context(), "v1", 1, "up", "second", "k1"))
	must(t, b.Turn(t.Context(), "v1", 2, "up-2", "no Begin came before", "k1"))
	for epoch, want := range map[int64]string{1: "", 2: "no Begin came before"} {
		c, err := b.Get(t.Context(), "v1", epoch)
		if must(t, err); c.Title != want || !c.Busy {
			t.Errorf("epoch %d: got title %q, busy %v, want %q and busy", epoch, c.Title, c.Busy, want)
		}
	}
	for _, turn := range []string{"k2", ""} {
		must(t, b.Rest(t.Context(), "v1", 1, turn != "", turn))
		if c, err := b.Get(t.Context(), "v1", 1); err != nil || c.Busy != (turn != "") || c.Turn != turn {
			t.Errorf("got busy %v with %q, %v, want %q", c.Busy, c.Turn, err, turn)
		}
	}
	must(t, b.Rest(t.Context(), "v1", 9, false, ""))
	if _, err := b.Get(t.Context(), "v1", 9); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("got error %v, want no record made of an end", err)
	}
}

// Two replicas may have begun the same epoch, if the store lost a write.
func TestBook_OtherSessionOfAnEpoch_KeptAsLost(t *testing.T) {
	b := newBook(t)
	for _, id := range []string{"a", "b", "b"} {
		must(t, b.Begin(t.Context(), "v1", 1, id))
	}
	c, err := b.Get(t.Context(), "v1", 1)
	if must(t, err); c.Upstream != "b" || len(c.Lost) != 1 || c.Lost[0] != "a" {
		t.Errorf("got %q and lost %q, want b, and a lost", c.Upstream, c.Lost)
	}
}

func TestBook_Erasing_HiddenAndLeftAlone(t *testing.T) {
	b := newBook(t)
	must(t, b.Turn(t.Context(), "v1", 1, "up", "hello", "k1"))
	if idle, err := b.Idle(t.Context(), time.Now(), 9); err != nil || len(idle) != 1 {
		t.Errorf("got %d idle, %v, want 1", len(idle), err)
	}
	id := ID("v1", 1)
	if _, by, err := b.Erase(t.Context(), id, "one"); err != nil || by != "one" {
		t.Errorf("got erased by %q, %v, want one", by, err)
	}
	if _, by, err := b.Erase(t.Context(), id, "two"); err != nil || by != "one" {
		t.Errorf("got erased by %q, %v, want one still", by, err)
	}
	must(t, b.Turn(t.Context(), "v1", 1, "other", "late", "k1"))
	c, err := b.Find(t.Context(), id)
	if must(t, err); c.Upstream != "up" || len(c.Lost) != 0 {
		t.Errorf("got %+v, want it as it was", c)
	}
	if r, err := b.Store.Record(t.Context(), Kind, id); err != nil || !r.ExpiresAt.IsZero() {
		t.Errorf("got expiry %v, %v, want it kept until it is erased", r.ExpiresAt, err)
	}
	if idle, err := b.Idle(t.Context(), time.Now(), 9); err != nil || len(idle) != 0 {
		t.Errorf("got %d idle, %v, want none", len(idle), err)
	}
	if all, err := b.List(t.Context(), "v1"); err != nil || len(all) != 0 {
		t.Errorf("got %d listed, %v, want none", len(all), err)
	}
	for range 2 {
		must(t, b.Remove(t.Context(), id))
	}
	if _, err := b.Find(t.Context(), id); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("got error %v, want it gone", err)
	}
}

func TestBook_Extend_KeptWithTheVisitor(t *testing.T) {
	b := newBook(t)
	must(t, b.Begin(t.Context(), "v1", 1, "up"))
	b.TTL = 24 * time.Hour
	must(t, b.Extend(t.Context(), "v1"))
	r, err := b.Store.Record(t.Context(), Kind, ID("v1", 1))
	if must(t, err); time.Until(r.ExpiresAt) < 23*time.Hour {
		t.Errorf("got expiry %v, want it extended", r.ExpiresAt)
	}
	b.Forever = true
	must(t, b.Turn(t.Context(), "v1", 1, "up", "x", "k1"))
	if r, err = b.Store.Record(t.Context(), Kind, ID("v1", 1)); err != nil || !r.ExpiresAt.IsZero() {
		t.Errorf("got expiry %v, %v, want none", r.ExpiresAt, err)
	}
}

func TestID_Epochs_OrderedAndOpaque(t *testing.T) {
	if a, b := ID("v1", 2), ID("v1", 1); a >= b || strings.Contains(a, "v1") || len(a) != len(b) {
		t.Errorf("got %s and %s, want the newer first", a, b)
	}
	if ID("v1", 1) == ID("v2", 1) || ID("v1", 1) == ID("v1", 2) {
		t.Error("got one id twice, want each its own")
	}
}
