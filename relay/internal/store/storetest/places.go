package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/store"
)

// wantAt fails the test unless the turns of epoch 1 with a place in [from, to) are as
// wanted, and returns the cursor.
func wantAt(t *testing.T, s store.Store, what string, from, to int64, limit int, want ...string) (cursor int64) {
	t.Helper()
	notes, cursor, err := s.NotesAt(t.Context(), "v1", "turn", 1, from, to, limit)
	must(t, err)
	keys := make([]string, len(notes))
	for i, n := range notes {
		keys[i] = n.Key
		if stored, err := s.Note(t.Context(), n.Visitor, n.Kind, n.Key); err != nil || n != stored {
			t.Errorf("%s: got %+v, want it as stored, %+v", what, n, stored)
		}
	}
	if !slices.Equal(keys, want) {
		t.Errorf("%s: got notes %q at %d to %d, want %q", what, keys, from, to, want)
	}
	return cursor
}

func placeTurn(t *testing.T, s store.Store, key string, place int64) store.Note {
	t.Helper()
	return beginNote(t, s, store.Note{Visitor: "v1", Kind: "turn", Key: key, Epoch: 1, Place: place})
}

func notesAtComeByPlace(t *testing.T, s store.Store) {
	wantAt(t, s, "no notes", 0, store.Unplaced+1, 9)
	placeTurn(t, s, "open", store.Unplaced)
	placeTurn(t, s, "z", 5)
	placeTurn(t, s, "a", 5)
	placeTurn(t, s, "low", 0)
	placeTurn(t, s, "nowhere", -1)
	placeTurn(t, s, "high", 1<<40)
	for _, n := range []store.Note{
		{Visitor: "v2", Kind: "turn", Key: "other visitor", Epoch: 1, Place: 5},
		{Visitor: "v1", Kind: "prompt", Key: "other kind", Epoch: 1, Place: 5},
		{Visitor: "v1", Kind: "turn", Key: "other epoch", Epoch: 11, Place: 5},
	} {
		beginNote(t, s, n)
	}
	wantAt(t, s, "all", 0, store.Unplaced+1, 9, "low", "z", "a", "high", "open")
	wantAt(t, s, "those that have a place", 0, store.Unplaced, 9, "low", "z", "a", "high")
	wantAt(t, s, "one place", 5, 6, 9, "z", "a")
	wantAt(t, s, "from the next", 6, store.Unplaced+1, 9, "high", "open")
	wantAt(t, s, "an empty stretch", 6, 7, 9)
}

func notesAtAreLimited(t *testing.T, s store.Store) {
	for i := range 20 {
		placeTurn(t, s, fmt.Sprint(i), int64(i))
	}
	wantAt(t, s, "the first", 0, 99, 3, "0", "1", "2")
	wantAt(t, s, "from the middle", 10, 99, 2, "10", "11")
	wantAt(t, s, "up to the end", 18, 99, 3, "18", "19")
}

func notesAtFollowAChange(t *testing.T, s store.Store) {
	n := placeTurn(t, s, "moves", store.Unplaced)
	placeTurn(t, s, "stays", 7)
	cursor := wantAt(t, s, "unplaced", 0, store.Unplaced+1, 9, "stays", "moves")
	n.Place = 3
	n = saveNote(t, s, n)
	wantAt(t, s, "placed", 0, store.Unplaced+1, 9, "moves", "stays")
	wantSince(t, s, "changed since", cursor, "moves")
	n.Epoch = 2
	n = saveNote(t, s, n)
	wantAt(t, s, "moved to another epoch", 0, store.Unplaced+1, 9, "stays")
	n.Epoch = 1
	saveNote(t, s, n)
	wantAt(t, s, "moved back", 0, store.Unplaced+1, 9, "moves", "stays")
	must(t, s.Forget(t.Context(), "v1"))
	wantAt(t, s, "forgotten", 0, store.Unplaced+1, 9)
}

func notesAtLeaveOutTheExpired(t *testing.T, s store.Store) {
	for i := range 3 {
		writeBrief(t, func(e time.Time) error {
			_, _, err := s.BeginNote(t.Context(), store.Note{Visitor: "v1", Kind: "turn", Key: fmt.Sprint("expires ", i), Epoch: 1, Place: 1, ExpiresAt: e})
			return err
		})
	}
	placeTurn(t, s, "a", 1)
	placeTurn(t, s, "b", 2)
	wantAt(t, s, "as many as there are", 0, 9, 2, "a", "b")
	placeTurn(t, s, "expires 0", 3)
	wantAt(t, s, "begun again", 0, 9, 9, "a", "b", "expires 0")
}
