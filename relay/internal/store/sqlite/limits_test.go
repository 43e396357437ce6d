package sqlite

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/store"
)

func openLimits(t *testing.T, path string) *Store {
	t.Helper()
	s, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("got error %v, want none", err)
		}
	})
	return s
}

func TestLimits_RestartAndSecondProcess_Shared(t *testing.T) {
	path := filepath.Join(t.TempDir(), "relay.db")
	for i := range 4 {
		s := openLimits(t, path)
		beside := openLimits(t, path)
		for j, s := range []*Store{s, beside} {
			wait, err := s.Take(t.Context(), "new", 1, 5, 24*time.Hour)
			if room := 2*i+j < 5; err != nil || (wait == 0) != room {
				t.Errorf("take %d of 5: got a wait of %v and error %v, want room %v", 2*i+j+1, wait, err, room)
			}
			_, ok, err := s.Admit(t.Context(), fmt.Sprint(i, j), 1, 5, time.Hour)
			if room := 2*i+j < 5; err != nil || ok != room {
				t.Errorf("admission %d of 5: got %v and error %v, want %v", 2*i+j+1, ok, err, room)
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := beside.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Sandboxes that are counted are renewed by one statement. It names the fields of
// [store.Awake]: without a match, each would silently be renewed by itself.
func TestRenewAll_Counted_TicketsAndRanks(t *testing.T) {
	ctx := t.Context()
	s := openLimits(t, filepath.Join(t.TempDir(), "relay.db"))
	counted := []store.Awake{{Visitor: "a", Rank: 1}, {Visitor: `b"'`, Rank: 1 << 42}}
	tickets, err := s.AdmitAll(ctx, counted, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Admit(ctx, "over", 1, 0, time.Millisecond); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * time.Millisecond) // its count expires
	counted[0].Rank = 7
	given, _ := json.Marshal(append(counted, store.Awake{Visitor: "over"}, store.Awake{Visitor: "new"})) // cannot fail
	var renewed map[string]int64
	err = s.atomically(ctx, func(tx *sql.Tx) (err error) {
		renewed, err = s.renewAll(ctx, tx, string(given), time.Hour)
		return err
	})
	if want := map[string]int64{"a": tickets[0], `b"'`: tickets[1]}; err != nil || !maps.Equal(renewed, want) {
		t.Errorf("got %v, %v, want %v", renewed, err, want)
	}
	idle, err := s.Idlest(ctx, 1<<50, 5)
	if err != nil || len(idle) != 2 || idle[0].Rank != 7 || idle[1].Rank != 1<<42 {
		t.Errorf("got %+v, %v, want the two with their new ranks", idle, err)
	}
}
