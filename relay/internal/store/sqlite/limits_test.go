package sqlite

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"
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
