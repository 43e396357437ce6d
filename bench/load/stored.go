package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/anyframe-relay/relay/relay/store"
)

const (
	findP50   = "find p50 µs"
	findP99   = "find p99 µs"
	bytesEach = "bytes each"
	firstByte = "first byte ms"
)

// runStored fills a SQLite file with visitors and looks some of them up, at
// random, as a request does.
func runStored(ctx context.Context, s *stage, full bool) (result, error) {
	path := filepath.Join(s.dir, "stored.db")
	st, err := store.OpenSQLite(ctx, path)
	if err != nil {
		return nil, err
	}
	defer st.Close()
	n := size("stored", full)
	token := func(i int) string { return fmt.Sprintf("%043d", i) }
	row := []byte(`{"deadline":"2026-12-01T00:00:00.000000000Z","visitor":"ABCDEFGHIJKLMNOPQRSTUVWXYZ"}`)
	soon := time.Now().Add(720 * time.Hour)
	for i := range n {
		if err := st.Commit(token(i), row, soon); err != nil {
			return nil, err
		}
	}
	const looks = 20_000
	took := make([]time.Duration, 0, looks)
	for i := range looks {
		begun := time.Now()
		_, found, err := st.FindCtx(ctx, token(i*7919%n))
		took = append(took, time.Since(begun))
		if err != nil || !found {
			return nil, fmt.Errorf("visitor %d: found %v, error %w", i, found, err)
		}
	}
	if err := st.Close(); err != nil { // so that all of it is in the one file
		return nil, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	slices.Sort(took)
	us := func(q float64) float64 { return float64(took[int(q*looks)].Nanoseconds()) / 1e3 }
	return result{findP50: us(.5), findP99: us(.99), bytesEach: float64(info.Size()) / float64(n)}, nil
}

// runCold starts the relay once more and asks it for a first byte.
func runCold(ctx context.Context, s *stage, _ bool) (result, error) {
	s.proc.stop()
	begun := time.Now()
	var err error
	if s.proc, err = s.peer.start(ctx, s); err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.addr+"/healthz", nil)
	if err != nil {
		return nil, err
	}
	res, err := s.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	return result{firstByte: float64(time.Since(begun).Microseconds()) / 1e3}, nil
}
