package storetest

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/store"
)

// wantSince fails the test unless the turns of epoch 1 that changed since the
// cursor are as wanted, and returns the next cursor.
func wantSince(t *testing.T, s store.Store, what string, since int64, want ...string) (cursor int64) {
	t.Helper()
	notes, cursor, err := s.NotesSince(t.Context(), "v1", "turn", 1, since)
	must(t, err)
	keys := make([]string, len(notes))
	for i, n := range notes {
		keys[i] = n.Key
		if stored, err := s.Note(t.Context(), n.Visitor, n.Kind, n.Key); err != nil || n != stored {
			t.Errorf("%s: got %+v, want it as stored, %+v", what, n, stored)
		}
	}
	if !slices.Equal(keys, want) {
		t.Errorf("%s: got notes %q since %d, want %q", what, keys, since, want)
	}
	return cursor
}

func beginTurn(t *testing.T, s store.Store, key string) store.Note {
	t.Helper()
	return beginNote(t, s, store.Note{Visitor: "v1", Kind: "turn", Key: key, Epoch: 1})
}

func saveNote(t *testing.T, s store.Store, n store.Note) store.Note {
	t.Helper()
	saved, err := s.SaveNote(t.Context(), n)
	must(t, err)
	return saved
}

func notesSinceReturnsChangesOnly(t *testing.T, s store.Store) {
	none := wantSince(t, s, "no notes", 0)
	a := beginTurn(t, s, "a")
	first := wantSince(t, s, "one begun", none, "a")
	b := beginTurn(t, s, "b")
	beginTurn(t, s, "c")
	all := wantSince(t, s, "two begun", first, "b", "c")
	wantSince(t, s, "from the start", 0, "a", "b", "c")
	if got := wantSince(t, s, "no change", all); got != all {
		t.Errorf("no change: got cursor %d, want %d kept", got, all)
	}
	_, fresh, err := s.BeginNote(t.Context(), b)
	must(t, err)
	if fresh {
		t.Error("got b begun again, want it to exist")
	}
	wantSince(t, s, "begun again", all)

	b.State = "sent"
	b = saveNote(t, s, b)
	saved := wantSince(t, s, "one saved", all, "b")
	saveNote(t, s, b)
	saveNote(t, s, a)
	twice := wantSince(t, s, "saved in another order than begun", saved, "a", "b")
	wantSince(t, s, "the same cursor again", saved, "a", "b")
	wantSince(t, s, "a cursor before", all, "a", "b")
	if !slices.IsSorted([]int64{none, first, all, saved, twice}) || first == none || all == first || saved == all || twice == saved {
		t.Errorf("got cursors %d, want each higher than the one before", []int64{none, first, all, saved, twice})
	}
	_, err = s.SaveNote(t.Context(), a)
	wantErr(t, "save over a newer one", err, store.ErrConflict)
	wantSince(t, s, "a save refused", twice)
}

func notesSinceIsOfOneVisitorKindAndEpoch(t *testing.T, s store.Store) {
	cursor := wantSince(t, s, "no notes", 0)
	for _, n := range []store.Note{
		{Visitor: "v2", Kind: "turn", Key: "other visitor", Epoch: 1},
		{Visitor: "v1", Kind: "prompt", Key: "other kind", Epoch: 1},
		{Visitor: "v1", Kind: "turn", Key: "earlier epoch"},
		{Visitor: "v1", Kind: "turn", Key: "later epoch", Epoch: 11},
		{Visitor: "v1", Kind: "turn:1", Key: "kind with colon", Epoch: 1},
		{Visitor: "v1", Kind: "", Key: "no kind", Epoch: 1},
	} {
		beginNote(t, s, n)
	}
	cursor = wantSince(t, s, "others begun", cursor)
	moves := beginTurn(t, s, "moves")
	cursor = wantSince(t, s, "begun", cursor, "moves")
	moves.Epoch = 2
	moves = saveNote(t, s, moves)
	cursor = wantSince(t, s, "moved away", cursor)
	wantSince(t, s, "moved away, from the start", 0)
	moves.Epoch = 1
	saveNote(t, s, moves)
	wantSince(t, s, "moved back", cursor, "moves")
}

func notesSinceLeavesOutTheExpired(t *testing.T, s store.Store) {
	beginTurn(t, s, "stays")
	writeBrief(t, func(e time.Time) error {
		_, _, err := s.BeginNote(t.Context(), store.Note{Visitor: "v1", Kind: "turn", Key: "expires", Epoch: 1, ExpiresAt: e})
		return err
	})
	beginTurn(t, s, "last")
	cursor := wantSince(t, s, "one expired", 0, "stays", "last")
	beginTurn(t, s, "expires")
	wantSince(t, s, "begun again", cursor, "expires")
	wantSince(t, s, "from the start", 0, "stays", "last", "expires")
}

// Forget simulates a backend that has lost all writes of a visitor.
func notesSinceSurvivesLostWrites(t *testing.T, s store.Store) {
	beginTurn(t, s, "a")
	cursor := wantSince(t, s, "begun", 0, "a")
	if got := wantSince(t, s, "a cursor of the future", math.MaxInt64, "a"); got != cursor {
		t.Errorf("a cursor of the future: got cursor %d, want %d", got, cursor)
	}
	must(t, s.Forget(t.Context(), "v1"))
	wantSince(t, s, "forgotten, from the start", 0)
	beginTurn(t, s, "b")
	wantSince(t, s, "begun after the loss", cursor, "b")
	must(t, s.Forget(t.Context(), "v1"))
	cursor = wantSince(t, s, "forgotten", cursor)
	beginTurn(t, s, "a")
	wantSince(t, s, "begun again", cursor, "a")
}

func notesSinceMissesNoChange(t *testing.T, s store.Store) {
	seen := map[string]int64{} // key to version
	cursor := int64(0)
	follow := func() error {
		notes, next, err := s.NotesSince(t.Context(), "v1", "turn", 1, cursor)
		if err != nil {
			return err
		}
		if next < cursor {
			return fmt.Errorf("got cursor %d after %d, want it to rise", next, cursor)
		}
		for _, n := range notes {
			seen[n.Key] = n.Version
		}
		cursor = next
		return nil
	}
	stop := make(chan struct{})
	var reader sync.WaitGroup
	var failed error
	reader.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if failed = follow(); failed != nil {
				return
			}
		}
	})
	race(func(i int) {
		n, _, err := s.BeginNote(t.Context(), store.Note{Visitor: "v1", Kind: "turn", Key: fmt.Sprint(i), Epoch: 1, ExpiresAt: soon()})
		_, err2 := s.SaveNote(t.Context(), n)
		if err = errors.Join(err, err2); err != nil {
			t.Errorf("got error %v, want none", err)
		}
	})
	close(stop)
	reader.Wait()
	must(t, failed)
	must(t, follow())
	all, err := s.Notes(t.Context(), "v1", "turn", 1)
	must(t, err)
	if len(all) != racers {
		t.Fatalf("got %d notes, want %d", len(all), racers)
	}
	for _, n := range all {
		if seen[n.Key] != n.Version {
			t.Errorf("note %s: got version %d, want %d", n.Key, seen[n.Key], n.Version)
		}
	}
	wantSince(t, s, "no change", cursor)
}
