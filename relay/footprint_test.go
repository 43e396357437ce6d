package relay_test

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
	"github.com/anyframe-relay/relay/relay/internal/store/redistest"
)

// TestFootprint measures the cost of a visitor to the store and AnyFrame, and fails if it
// grows considerably. docs/scaling.md uses its results.
func TestFootprint(t *testing.T) {
	t.Parallel()
	const (
		visitors = 40
		turns    = 6 // of 60 bytes each
		most     = 12 << 10
	)
	for name, measure := range map[string]func(t *testing.T) (store string, size func(*harness) int64){"redis": sizeOfRedis, "sqlite": sizeOfSQLite} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, size := measure(t)
			r := newHarness(t, func(c *relay.Config) { c.Store, c.MaxSessions = url, 10*visitors }, anyframetest.WithAgent(1, talk))
			empty := size(r)
			everybody := make([]*browser, visitors)
			parallel(visitors, func(i int) { everybody[i] = r.visitor() })
			known := size(r)
			t.Logf("%s: %d bytes a visitor who has said nothing", name, (known-empty)/visitors)
			before := int64(0)
			for n := range turns {
				if n == 1 {
					before = size(r)
					t.Logf("%s: %d bytes more with the first turn", name, (before-known)/visitors)
					r.logCalls("the first turn", visitors)
				}
				parallel(visitors, func(i int) { everybody[i].insist(strings.Repeat("hello ", 10), fmt.Sprint("k", n)) })
			}
			after := size(r)
			t.Logf("%s: %d bytes more with each further turn", name, (after-before)/visitors/(turns-1))
			r.logCalls("all turns", visitors*turns)
			if got := (after - empty) / visitors; got < 100 || got > most {
				t.Errorf("got %d bytes a visitor after %d turns, want some and at most %d", got, turns, most)
			}
		})
	}
}

// logCalls logs the calls to AnyFrame per turn.
func (r *harness) logCalls(what string, turns int) {
	calls := map[anyframetest.Op]int{}
	for _, op := range []anyframetest.Op{anyframetest.OpCreate, anyframetest.OpGet, anyframetest.OpMessage, anyframetest.OpEvents, anyframetest.OpTranscript, anyframetest.OpAny} {
		calls[op] = r.plane.Count(op)
	}
	for _, op := range slices.Sorted(maps.Keys(calls)) {
		r.t.Logf("AnyFrame, %s: %.2f requests a turn: %s", what, float64(calls[op])/float64(turns), cmp.Or(op, "all"))
	}
}

// sizeOfRedis returns the size of the keys as reported by Redis.
func sizeOfRedis(t *testing.T) (string, func(*harness) int64) {
	server := redistest.Start(t)
	return server.URL(), func(*harness) (sum int64) {
		ctx, client := context.Background(), server.Client()
		keys, err := client.Keys(ctx, "*").Result()
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range keys {
			sum += client.MemoryUsage(ctx, key).Val()
		}
		return sum
	}
}

// sizeOfSQLite returns the size of the file, which is complete once the store is closed.
func sizeOfSQLite(t *testing.T) (string, func(*harness) int64) {
	path := filepath.Join(t.TempDir(), "relay.db")
	return "sqlite:" + path, func(r *harness) (sum int64) {
		r.restart()
		for _, suffix := range []string{"", "-wal"} {
			if info, err := os.Stat(path + suffix); err == nil {
				sum += info.Size()
			}
		}
		return sum
	}
}
