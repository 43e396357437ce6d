package store_test

import (
	"path/filepath"
	"testing"

	"github.com/anyframe-relay/relay/relay/store"
	"github.com/anyframe-relay/relay/relay/store/storetest"
)

// openSQLite opens the store in the file at path and closes it with the test.
func openSQLite(t testing.TB, path string) store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), "sqlite:"+path)
	if err != nil {
		t.Fatalf("got error %v, want none", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("got error %v, want none", err)
		}
	})
	return s
}

func TestSQLite_StoreContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store {
		return openSQLite(t, filepath.Join(t.TempDir(), "relay.db"))
	})
}
