package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/store"
)

func noteComesBackAsSaved(t *testing.T, s store.Store) {
	before := time.Now().Truncate(time.Millisecond)
	want := store.Note{
		Visitor: "v1", Kind: "turn", Key: "k1", Epoch: 2, Seq: 40, Place: 7, State: "sending",
		Hash: "h", Body: "hello", Version: 99, ExpiresAt: soon(),
	}
	begun := beginNote(t, s, want)
	if begun.Version == 0 || begun.Version == 99 {
		t.Errorf("got version %d, want one of the store's", begun.Version)
	}
	if begun.CreatedAt.Before(before) || begun.CreatedAt.After(time.Now()) {
		t.Errorf("got created at %v, want now", begun.CreatedAt)
	}
	want.Version, want.CreatedAt = begun.Version, begun.CreatedAt
	if begun != want {
		t.Errorf("got %+v begun, want %+v", begun, want)
	}

	want.Epoch, want.Seq, want.Place, want.State, want.Hash, want.Body = 3, 41, store.Unplaced, "sent", "i", "bye"
	want.CreatedAt = time.Time{}
	saved, err := s.SaveNote(t.Context(), want)
	must(t, err)
	if saved.Version == begun.Version {
		t.Errorf("got version %d twice, want another", saved.Version)
	}
	want.Version, want.CreatedAt = saved.Version, begun.CreatedAt
	if saved != want {
		t.Errorf("got %+v saved, want %+v", saved, want)
	}
	got, err := s.Note(t.Context(), "v1", "turn", "k1")
	must(t, err)
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	all, err := s.Notes(t.Context(), "v1", "turn", 3)
	must(t, err)
	if len(all) != 1 || all[0] != want {
		t.Errorf("got %+v listed, want %+v", all, want)
	}
}

func noteIsBegunOnce(t *testing.T, s store.Store) {
	first := beginNote(t, s, store.Note{Visitor: "v1", Kind: "turn", Key: "k", Body: "first"})
	got, fresh, err := s.BeginNote(t.Context(),
		store.Note{Visitor: "v1", Kind: "turn", Key: "k", Body: "second", ExpiresAt: soon()})
	must(t, err)
	if fresh || got != first {
		t.Errorf("got %+v fresh %v, want %+v as it was", got, fresh, first)
	}
	beginNote(t, s, store.Note{Visitor: "v2", Kind: "turn", Key: "k"})
	beginNote(t, s, store.Note{Visitor: "v1", Kind: "prompt", Key: "k"})
	beginNote(t, s, store.Note{Visitor: "v1", Kind: "turn", Key: "l"})
}

func noteRaceHasOneBeginner(t *testing.T, s store.Store) {
	begun := make(chan store.Note, racers)
	seen := make(chan store.Note, racers)
	race(func(i int) {
		n, fresh, err := s.BeginNote(t.Context(),
			store.Note{Visitor: "v1", Kind: "turn", Key: "k", Body: fmt.Sprint(i), ExpiresAt: soon()})
		if err != nil {
			t.Errorf("got error %v, want none", err)
			return
		}
		if fresh {
			begun <- n
		}
		seen <- n
	})
	if len(begun) != 1 {
		t.Fatalf("got %d beginners, want 1", len(begun))
	}
	want := <-begun
	close(seen)
	for got := range seen {
		if got != want {
			t.Errorf("got %+v, want the beginner's %+v", got, want)
		}
	}
}

func noteIsSavedOnlyOverItsVersion(t *testing.T, s store.Store) {
	n := store.Note{Visitor: "v1", Kind: "turn", Key: "k", Version: 5, ExpiresAt: soon()}
	_, err := s.SaveNote(t.Context(), n)
	wantErr(t, "save what was never begun", err, store.ErrNotFound)

	begun := beginNote(t, s, n)
	saved, err := s.SaveNote(t.Context(), begun)
	must(t, err)
	_, err = s.SaveNote(t.Context(), begun)
	wantErr(t, "save over a newer one", err, store.ErrConflict)

	must(t, s.Forget(t.Context(), "v1"))
	_, err = s.SaveNote(t.Context(), saved)
	wantErr(t, "save what was forgotten", err, store.ErrNotFound)
}

func noteExpires(t *testing.T, s store.Store) {
	beginNote(t, s, store.Note{Visitor: "v1", Kind: "turn", Key: "other"})
	var old store.Note
	writeBrief(t, func(e time.Time) (err error) {
		old, _, err = s.BeginNote(t.Context(), store.Note{Visitor: "v1", Kind: "turn", Key: "k", ExpiresAt: e})
		return err
	})
	_, err := s.Note(t.Context(), "v1", "turn", "k")
	wantErr(t, "read it", err, store.ErrNotFound)
	old.ExpiresAt = soon()
	_, err = s.SaveNote(t.Context(), old)
	wantErr(t, "save it", err, store.ErrNotFound)
	if got, want := noteKeys(t, s, "v1", "turn", 0), []string{"other"}; !slices.Equal(got, want) {
		t.Errorf("got notes %q, want %q", got, want)
	}
	beginNote(t, s, store.Note{Visitor: "v1", Kind: "turn", Key: "k"})
	if got, want := noteKeys(t, s, "v1", "turn", 0), []string{"other", "k"}; !slices.Equal(got, want) {
		t.Errorf("got notes %q, want %q", got, want)
	}
}

// The notes are not listed while the first is expired, because that may delete it.
func noteBegunAgainIsListedOnce(t *testing.T, s store.Store) {
	beginNote(t, s, store.Note{Visitor: "v1", Kind: "turn", Key: "other"})
	writeBrief(t, func(e time.Time) error {
		_, _, err := s.BeginNote(t.Context(), store.Note{Visitor: "v1", Kind: "turn", Key: "k", ExpiresAt: e})
		return err
	})
	beginNote(t, s, store.Note{Visitor: "v1", Kind: "turn", Key: "last"})
	moved := beginNote(t, s, store.Note{Visitor: "v1", Kind: "turn", Key: "k"})
	if got, want := noteKeys(t, s, "v1", "turn", 0), []string{"other", "last", "k"}; !slices.Equal(got, want) {
		t.Errorf("got notes %q, want %q", got, want)
	}
	moved.Epoch = 1
	_, err := s.SaveNote(t.Context(), moved)
	must(t, err)
	if got, want := noteKeys(t, s, "v1", "turn", 0), []string{"other", "last"}; !slices.Equal(got, want) {
		t.Errorf("got notes %q in the epoch it left, want %q", got, want)
	}
}

func noteVersionNeverReturns(t *testing.T, s store.Store) {
	old := beginNote(t, s, store.Note{Visitor: "v1", Kind: "turn", Key: "k"})
	must(t, s.Forget(t.Context(), "v1"))
	beginNote(t, s, store.Note{Visitor: "v1", Kind: "turn", Key: "k"})
	_, err := s.SaveNote(t.Context(), old)
	wantErr(t, "save over its successor", err, store.ErrConflict)
}

func notesComeInTheOrderTheyWereBegun(t *testing.T, s store.Store) {
	var want []string
	var notes []store.Note
	for i := range 20 {
		key := fmt.Sprint((i * 7) % 20) // so that no other order is accidentally correct
		notes = append(notes, beginNote(t, s, store.Note{Visitor: "v1", Kind: "turn", Key: key, Epoch: 1, Seq: int64(-i)}))
		want = append(want, key)
	}
	for _, n := range slices.Backward(notes) {
		n.State = "sent"
		_, err := s.SaveNote(t.Context(), n)
		must(t, err)
	}
	if got := noteKeys(t, s, "v1", "turn", 1); !slices.Equal(got, want) {
		t.Errorf("got notes %q, want %q", got, want)
	}
}

func notesAreOfOneVisitorKindAndEpoch(t *testing.T, s store.Store) {
	for _, v := range []string{"v1", "v2"} {
		for _, kind := range []string{"turn", "prompt"} {
			for epoch := range int64(3) {
				beginNote(t, s, store.Note{Visitor: v, Kind: kind, Key: fmt.Sprint(v, kind, epoch), Epoch: epoch})
			}
		}
	}
	if got, want := noteKeys(t, s, "v2", "prompt", 2), []string{"v2prompt2"}; !slices.Equal(got, want) {
		t.Errorf("got notes %q, want %q", got, want)
	}
	if got := noteKeys(t, s, "v3", "turn", 0); len(got) != 0 {
		t.Errorf("got notes %q of a stranger, want none", got)
	}
}
