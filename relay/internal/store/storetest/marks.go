package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/store"
)

// wantChanged fails the test unless Changed returns exactly these indices.
func wantChanged(t *testing.T, s store.Store, when string, marks []store.Mark, want ...int) {
	t.Helper()
	got, err := s.Changed(t.Context(), marks)
	must(t, err)
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %v changed, want %v", when, got, want)
	}
}

func markTellsASavedSession(t *testing.T, s store.Store) {
	one := saveSession(t, s, store.Session{Visitor: "v1", Epoch: 1, ExpiresAt: soon()})
	marks := []store.Mark{{Visitor: "v0", Notes: -1}, {Visitor: "v1", Version: one.Version, Notes: -1}, {Visitor: "v2", Notes: -1}}
	wantChanged(t, s, "at first", marks)
	one = saveSession(t, s, one)
	saveSession(t, s, store.Session{Visitor: "v2", Epoch: 1, ExpiresAt: soon()})
	wantChanged(t, s, "saved", marks, 1, 2)
	marks[1].Version = one.Version
	must(t, s.Forget(t.Context(), "v1"))
	wantChanged(t, s, "forgotten", marks, 1, 2)
}

func markTellsASessionThatExpired(t *testing.T, s store.Store) {
	old := store.Mark{Visitor: "v1", Notes: -1}
	writeBrief(t, func(e time.Time) error {
		saved, err := s.SaveSession(t.Context(), store.Session{Visitor: "v1", Epoch: 1, ExpiresAt: e})
		old.Version = saved.Version
		return err
	})
	wantChanged(t, s, "expired", []store.Mark{old, {Visitor: "v1", Notes: -1}}, 0)
}

func markTellsATokenThatIsGone(t *testing.T, s store.Store) {
	must(t, s.Commit("a", []byte("x"), soon()))
	must(t, s.Commit("b", []byte("x"), soon()))
	marks := []store.Mark{
		{Visitor: "v1", Notes: -1, Tokens: []string{"a", "b"}},
		{Visitor: "v2", Notes: -1, Tokens: []string{"a"}},
		{Visitor: "v3", Notes: -1, Tokens: []string{"a", "unknown", "unknown too"}},
		{Visitor: "v4", Notes: -1},
	}
	wantChanged(t, s, "at first", marks, 2)
	must(t, s.Commit("b", []byte("other"), soon()))
	wantChanged(t, s, "extended", marks, 2)
	must(t, s.Delete("b"))
	wantChanged(t, s, "revoked", marks, 0, 2)
	writeBrief(t, func(e time.Time) error { return s.Commit("c", []byte("x"), e) })
	wantChanged(t, s, "expired", []store.Mark{{Visitor: "v1", Notes: -1, Tokens: []string{"c"}}}, 0)
}

func markTellsANoteThatChanged(t *testing.T, s store.Store) {
	cursor := func() int64 {
		t.Helper()
		_, cursor, err := s.NotesSince(t.Context(), "v1", "turn", 1, 0)
		must(t, err)
		return cursor
	}
	mark := func() []store.Mark { return []store.Mark{{Visitor: "v1", Notes: cursor()}} }
	before := mark()
	wantChanged(t, s, "without notes", before)
	n := beginNote(t, s, store.Note{Visitor: "v1", Kind: "prompt", Key: "k", Epoch: 2})
	wantChanged(t, s, "begun", before, 0)
	before = mark()
	_, err := s.SaveNote(t.Context(), n)
	must(t, err)
	wantChanged(t, s, "saved", before, 0)
	before[0].Notes = -1
	wantChanged(t, s, "where notes do not matter", before)
	before[0].Notes = cursor() + 1<<40
	wantChanged(t, s, "from a time to come", before, 0)
}

func marksMayBeMany(t *testing.T, s store.Store) {
	const many = 1200
	marks, want := make([]store.Mark, many), []int(nil)
	for i := range marks {
		marks[i] = store.Mark{Visitor: fmt.Sprint("v", i), Notes: 0, Tokens: []string{fmt.Sprint("t", i)}}
		if i%100 == 99 {
			want = append(want, i)
			continue
		}
		must(t, s.Commit(marks[i].Tokens[0], nil, soon()))
	}
	wantChanged(t, s, "of many", marks, want...)
}

// GenerationTellsOthersWrites tests two stores that share their rows. With exact, a
// store's own writes must not change its generation.
func GenerationTellsOthersWrites(t *testing.T, one, other store.Store, exact bool) {
	last := int64(0)
	read := func() (changed bool) {
		t.Helper()
		n, err := one.Generation(t.Context())
		must(t, err)
		changed = n != last
		last = n
		return changed
	}
	read()
	for name, write := range map[string]func(context.Context, store.Store) error{
		"a session": func(ctx context.Context, s store.Store) error {
			_, err := s.SaveSession(ctx, store.Session{Visitor: "v1", Epoch: 1, ExpiresAt: soon()})
			if errors.Is(err, store.ErrConflict) {
				err = s.Forget(ctx, "v1")
			}
			return err
		},
		"a token": func(ctx context.Context, s store.Store) error { return s.CommitCtx(ctx, "t", []byte("x"), soon()) },
		"a token's end": func(ctx context.Context, s store.Store) error {
			return errors.Join(s.CommitCtx(ctx, "u", []byte("x"), soon()), s.DeleteCtx(ctx, "u"))
		},
	} {
		if exact && read() {
			t.Errorf("before %s: got another generation, want the same without a write", name)
		}
		must(t, write(t.Context(), one))
		if exact && read() {
			t.Errorf("%s of one's own: got another generation, want the same", name)
		}
		must(t, write(t.Context(), other))
		if !read() {
			t.Errorf("%s of the other's: got the same generation, want another", name)
		}
	}
}
