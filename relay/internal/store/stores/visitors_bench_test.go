package stores_test

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/store"
	"github.com/anyframe-relay/relay/relay/internal/store/redistest"
)

// rowsEnv sets how many visitors the store holds in [BenchmarkSession].
const rowsEnv = "RELAY_BENCH_ROWS"

// BenchmarkSession looks up the token and the session of one of many visitors, as a
// request does. It reports the 99th percentile and the bytes per visitor. The store holds
// RELAY_BENCH_ROWS visitors, 10,000 by default.
func BenchmarkSession(b *testing.B) {
	n := 10_000
	if s := os.Getenv(rowsEnv); s != "" {
		var err error
		n, err = strconv.Atoi(s)
		must(b, err)
	}
	for name, place := range map[string]func(b *testing.B) (url string, size func() int64){
		"memory": heap, "sqlite": file, "redis": server,
	} {
		b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
			url, size := place(b)
			s := open(b, url)
			empty := size()
			fillVisitors(b, s, n)
			if name == "sqlite" { // closing writes everything to the file
				must(b, s.Close())
				s = open(b, url)
			}
			each := float64(size()-empty) / float64(n)
			var took []time.Duration
			for i := 0; b.Loop(); i++ {
				v := i * 7919 % n
				begun := time.Now()
				_, found, err := s.FindCtx(b.Context(), token(v))
				session, err2 := s.Session(b.Context(), visitor(v))
				took = append(took, time.Since(begun))
				if err != nil || err2 != nil || !found || session.Epoch != 1 {
					b.Fatalf("visitor %d: got found %v, %+v, %v, %v", v, found, session, err, err2)
				}
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds()), "p99-ns")
			b.ReportMetric(each, "B/visitor")
		})
	}
}

// BenchmarkNotesSince saves a note and reads the change, in a conversation with few and
// with many notes. Both should cost about the same.
func BenchmarkNotesSince(b *testing.B) {
	for _, n := range []int{10, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			each(b, func(b *testing.B, s store.Store) {
				notes := make([]store.Note, n)
				for i := range notes {
					var err error
					notes[i], _, err = s.BeginNote(b.Context(), store.Note{Visitor: "v1", Kind: "turn", Key: fmt.Sprint(i), Epoch: 1, Body: "hello", ExpiresAt: soon()})
					must(b, err)
				}
				_, cursor, err := s.NotesSince(b.Context(), "v1", "turn", 1, 0)
				must(b, err)
				for i := 0; b.Loop(); i++ {
					saved, err := s.SaveNote(b.Context(), notes[i*7%n])
					must(b, err)
					notes[i*7%n] = saved
					changed, next, err := s.NotesSince(b.Context(), "v1", "turn", 1, cursor)
					must(b, err)
					if len(changed) != 1 || changed[0] != saved {
						b.Fatalf("got %d changes, want the note saved", len(changed))
					}
					cursor = next
				}
			})
		})
	}
}

// random returns unordered bytes, like those of tokens and visitors.
func random(what string, i int) []byte {
	sum := sha256.Sum256(fmt.Append(nil, what, i))
	return sum[:]
}

func token(i int) string   { return base64.RawURLEncoding.EncodeToString(random("token", i)) }
func visitor(i int) string { return base32.StdEncoding.EncodeToString(random("visitor", i))[:26] }

// fillVisitors stores n visitors with a token and a session each.
func fillVisitors(b *testing.B, s store.Store, n int) {
	b.Helper()
	const writers = 16
	begun := time.Now()
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := w; i < n && !b.Failed(); i += writers {
				expiry := begun.Add(720*time.Hour + time.Duration(i)*time.Millisecond)
				// The relay's row of a token: version, flags, expiry, 17 bytes of the visitor.
				row := append(binary.AppendVarint([]byte{1, 4}, expiry.UnixMilli()), random("visitor", i)[:17]...)
				err := s.CommitCtx(b.Context(), token(i), row, expiry)
				_, err2 := s.SaveSession(b.Context(), store.Session{
					Visitor: visitor(i), Epoch: 1, UpstreamID: fmt.Sprintf("00000000-0000-4000-8000-%012d", i), State: "sleeping", LastSeq: 100, ExpiresAt: expiry,
				})
				if err != nil || err2 != nil {
					b.Errorf("visitor %d: got errors %v and %v, want none", i, err, err2)
				}
			}
		})
	}
	wg.Wait()
	if b.Failed() {
		b.FailNow()
	}
}

// heap measures the heap memory of an in-memory store.
func heap(*testing.B) (url string, size func() int64) {
	return "memory:", func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
}

// file measures the file of an SQLite store.
func file(b *testing.B) (url string, size func() int64) {
	path := filepath.Join(b.TempDir(), "relay.db")
	return "sqlite:" + path, func() int64 {
		info, err := os.Stat(path)
		must(b, err)
		return info.Size()
	}
}

// server measures the memory of a Redis server.
func server(b *testing.B) (url string, size func() int64) {
	s := redistest.Start(b)
	client := s.Client()
	return s.URL(), func() (used int64) {
		info, err := client.InfoMap(context.Background(), "memory").Result()
		must(b, err)
		_, err = fmt.Sscan(info["Memory"]["used_memory"], &used)
		must(b, err)
		return used
	}
}
