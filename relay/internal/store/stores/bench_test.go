package stores_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/store"
	"github.com/anyframe-relay/relay/relay/internal/store/redistest"
	"github.com/anyframe-relay/relay/relay/internal/store/stores"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("got error %v, want none", err)
	}
}

func soon() time.Time { return time.Now().Add(time.Hour) }

// open opens the store at url and closes it with the test.
func open(t testing.TB, url string) store.Store {
	t.Helper()
	s, err := stores.Open(t.Context(), url)
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	return s
}

// each runs bench against every store.
func each(b *testing.B, bench func(b *testing.B, s store.Store)) {
	b.Run("memory", func(b *testing.B) { bench(b, open(b, "memory:")) })
	b.Run("sqlite", func(b *testing.B) { bench(b, open(b, "sqlite:"+filepath.Join(b.TempDir(), "relay.db"))) })
	b.Run("redis", func(b *testing.B) {
		server := redistest.Start(b)
		bench(b, open(b, server.URL()))
	})
}

func BenchmarkFind(b *testing.B) {
	each(b, func(b *testing.B, s store.Store) {
		for i := range 1000 {
			must(b, s.Commit(fmt.Sprint(i), []byte("a visitor's few bytes"), soon()))
		}
		b.RunParallel(func(pb *testing.PB) {
			for i := 0; pb.Next(); i++ {
				if _, found, err := s.FindCtx(b.Context(), fmt.Sprint(i%1000)); err != nil || !found {
					b.Errorf("got found %v error %v, want the token", found, err)
					return
				}
			}
		})
	})
}

func BenchmarkBeginNote(b *testing.B) {
	each(b, func(b *testing.B, s store.Store) {
		for i := 0; b.Loop(); i++ {
			_, _, err := s.BeginNote(b.Context(), store.Note{
				Visitor: fmt.Sprint(i % 1000), Kind: "turn", Key: fmt.Sprint(i), Body: "hello", ExpiresAt: soon(),
			})
			must(b, err)
		}
	})
}

func BenchmarkSaveNote(b *testing.B) {
	each(b, func(b *testing.B, s store.Store) {
		n, _, err := s.BeginNote(b.Context(), store.Note{Visitor: "v1", Kind: "turn", Key: "k", Body: "hello", ExpiresAt: soon()})
		must(b, err)
		for b.Loop() {
			n, err = s.SaveNote(b.Context(), n)
			must(b, err)
		}
	})
}

func BenchmarkAdmit(b *testing.B) {
	each(b, func(b *testing.B, s store.Store) {
		for i := 0; b.Loop(); i++ {
			_, _, err := s.Admit(b.Context(), fmt.Sprint(i%1000), int64(i), 0, time.Hour)
			must(b, err)
		}
	})
}

func BenchmarkAdmitAll(b *testing.B) {
	each(b, func(b *testing.B, s store.Store) {
		all := make([]store.Awake, 100)
		for i := 0; b.Loop(); i++ {
			for j := range all {
				all[j] = store.Awake{Visitor: fmt.Sprint(j), Rank: int64(i)}
			}
			_, err := s.AdmitAll(b.Context(), all, time.Hour)
			must(b, err)
		}
	})
}
