package store_test

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
	"sync/atomic"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/relay/store"
	"github.com/anyframe-relay/relay/relay/store/redistest"
)

// BenchmarkVisitors stores b.N visitors, gives each a session, and looks some of
// them up, as a request does. For a million: -benchtime 1000000x.
func BenchmarkVisitors(b *testing.B) {
	b.Run("sqlite", func(b *testing.B) {
		path := filepath.Join(b.TempDir(), "relay.db")
		benchVisitors(b, func() store.Store { return openSQLite(b, path) }, func(s store.Store) float64 {
			must(b, s.Close()) // a closed store is whole in the one file
			info, err := os.Stat(path)
			must(b, err)
			return float64(info.Size())
		})
	})
	b.Run("redis", func(b *testing.B) {
		server := redistest.Start(b)
		benchVisitors(b, func() store.Store { return openRedis(b, server.URL(), store.DefaultRedisPrefix) }, func(s store.Store) float64 {
			must(b, s.Close())
			info, err := server.Client().InfoMap(b.Context(), "memory").Result()
			must(b, err)
			used, err := strconv.ParseFloat(info["Memory"]["used_memory"], 64)
			must(b, err)
			return used
		})
	})
}

// benchVisitors opens the store for each step, and measures it closed.
func benchVisitors(b *testing.B, open func() store.Store, size func(store.Store) float64) {
	// Tokens and names are in no order, and deadlines rise, as those of the relay.
	random := func(what string, i int) []byte {
		sum := sha256.Sum256(fmt.Append(nil, what, i))
		return sum[:]
	}
	token := func(i int) string { return base64.RawURLEncoding.EncodeToString(random("token", i)) }
	soon := time.Now().UTC().Add(720 * time.Hour)
	expiry := func(i int) time.Time { return soon.Add(time.Duration(i)*time.Millisecond + 123456789) }
	b.SetParallelism(max(1, 16/runtime.GOMAXPROCS(0)))
	fill := func(put func(ctx context.Context, i int) error) {
		var next atomic.Int64
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if err := put(b.Context(), int(next.Add(1)-1)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}

	empty := size(open())
	s := open()
	b.ResetTimer()
	fill(func(ctx context.Context, i int) error {
		row := binary.AppendVarint([]byte{1, 4}, expiry(i).UnixMilli()) // as the relay writes it, with 17 bytes of a name
		return s.CommitCtx(ctx, token(i), append(row, random("visitor", i)[:17]...), expiry(i))
	})
	known := size(s)
	s = open()
	fill(func(ctx context.Context, i int) error {
		_, err := s.SaveSession(ctx, store.Session{
			Visitor: base32.StdEncoding.EncodeToString(random("visitor", i))[:26], Epoch: 1,
			UpstreamID: fmt.Sprintf("00000000-0000-4000-8000-%012d", i), State: "sleeping", LastSeq: 100, ExpiresAt: expiry(i),
		})
		return err
	})
	b.StopTimer()
	talking := size(s)
	s = open()
	took := make([]time.Duration, 20_000)
	for i := range took {
		t := token(i * 7919 % b.N)
		begun := time.Now()
		_, found, err := s.FindCtx(b.Context(), t)
		took[i] = time.Since(begun)
		if err != nil || !found {
			b.Fatalf("visitor %d: got found %v, error %v", i, found, err)
		}
	}
	slices.Sort(took)
	b.ReportMetric((known-empty)/float64(b.N), "B/visitor")
	b.ReportMetric((talking-empty)/float64(b.N), "B/visitor+session")
	b.ReportMetric(float64(took[len(took)/2].Nanoseconds()), "p50-ns/find")
	b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds()), "p99-ns/find")
}
