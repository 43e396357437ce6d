package store_test

import (
	"testing"

	"github.com/anyframe-relay/relay/relay/store"
	"github.com/anyframe-relay/relay/relay/store/storetest"
)

func TestMemory_StoreContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store {
		s, err := store.Open(t.Context(), "memory:")
		if err != nil {
			t.Fatalf("got error %v, want none", err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Errorf("got error %v, want none", err)
			}
		})
		return s
	})
}
