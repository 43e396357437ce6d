package store_test

import (
	"crypto/rand"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/anyframe-relay/relay/relay/store"
	"github.com/anyframe-relay/relay/relay/store/redistest"
)

// each runs bench against every store.
func each(b *testing.B, bench func(b *testing.B, s store.Store)) {
	b.Run("memory", func(b *testing.B) { bench(b, store.NewMemory()) })
	b.Run("sqlite", func(b *testing.B) { bench(b, openSQLite(b, filepath.Join(b.TempDir(), "relay.db"))) })
	b.Run("redis", func(b *testing.B) {
		server := redistest.Start(b)
		bench(b, openRedis(b, server.URL(), "p:"))
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

// What a visitor takes of Redis's memory, who has a token, a session, and as
// many turns of a hundred letters as named. One run tells: -benchtime 1x.
func BenchmarkRedisBytesPerVisitor(b *testing.B) {
	const visitors = 5000
	for _, turns := range []int{0, 1, 10} {
		b.Run(fmt.Sprint("turns=", turns), func(b *testing.B) {
			server := redistest.Start(b)
			s, client := openRedis(b, server.URL(), "relay:"), server.Client()
			used := func() int {
				n, err := strconv.Atoi(client.InfoMap(b.Context(), "memory").Item("Memory", "used_memory"))
				must(b, err)
				return n
			}
			before := used()
			for b.Loop() {
				for range visitors {
					v := rand.Text()
					must(b, s.Commit(rand.Text()+rand.Text()[:17], []byte(`{"deadline":"2026-12-23T14:04:00Z","visitor":"`+v+`"}`), soon()))
					_, err := s.SaveSession(b.Context(), store.Session{
						Visitor: v, Epoch: 1, UpstreamID: "01234567-89ab-cdef-0123-456789abcdef", State: "running", LastSeq: 1000, ExpiresAt: soon(),
					})
					must(b, err)
					for range turns {
						_, _, err = s.BeginNote(b.Context(), store.Note{
							Visitor: v, Kind: "turn", Key: rand.Text(), Epoch: 1, Seq: 100, State: "sent", ExpiresAt: soon(),
							Hash: strings.Repeat("h", 64), Body: `{"text":"` + strings.Repeat("x", 100) + `","after":99,"answered":100}`,
						})
						must(b, err)
					}
				}
			}
			b.ReportMetric(float64(used()-before)/float64(visitors*b.N), "bytes/visitor")
		})
	}
}
