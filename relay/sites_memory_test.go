//go:build !race

package relay_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/relay"
)

// A thousand sites that no visitor uses cost only what their settings take.
func TestSites_AThousand_CostLittle(t *testing.T) {
	const n, limit = 1000, 64 << 20
	sites := map[string]func(*relay.Config){}
	for i := range n {
		sites[fmt.Sprint("site-", i)] = func(c *relay.Config) { c.APIKey = relay.Secret(fmt.Sprintf("afm_%032d", i)) }
	}
	before := runtime.NumGoroutine()
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc + m.StackInuse
	}
	empty := heap()
	start := time.Now()
	r := newHarness(t, withSites(sites))
	took := time.Since(start)
	idle, goroutines := heap(), runtime.NumGoroutine()
	for i := range n {
		if a := (&browser{r: r}).do("GET", fmt.Sprint("/s/site-", i, "/widget.js"), ""); a.status != 200 {
			t.Fatalf("site %d: got %d", i, a.status)
		}
	}
	visited, after := heap(), runtime.NumGoroutine()
	t.Logf("%d sites: start %v, idle %d KiB, each visited once %d KiB", n, took.Round(time.Millisecond), (idle-empty)>>10, (visited-empty)>>10)
	if visited > empty+limit {
		t.Errorf("%d sites that were visited take %d MiB, want at most %d", n, (visited-empty)>>20, limit>>20)
	}
	if goroutines > before+10 || after > before+20 {
		t.Errorf("goroutines: got %d with the sites and %d when each was visited, %d before", goroutines, after, before)
	}
	if calls := r.plane.Requests(); len(calls) > 0 {
		t.Errorf("AnyFrame was asked %d times, want never: no visitor has written", len(calls))
	}
}
