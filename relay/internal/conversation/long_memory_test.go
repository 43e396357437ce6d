//go:build !race

package conversation

import (
	"runtime"
	"testing"

	"github.com/anyframe-relay/relay/relay/internal/store/memory"
)

// A turn costs the same however many came before it.
func TestTurn_ManyBefore_SameAllocations(t *testing.T) {
	for name, silent := range map[string]bool{"AnyFrame shows messages": false, "AnyFrame shows no messages": true} {
		t.Run(name, func(t *testing.T) {
			cost := map[int]float64{}
			for _, past := range []int{10, 10000} {
				c := newChat(t, memory.New(), 16)
				c.silent = silent
				c.turns(past)
				cost[past] = testing.AllocsPerRun(200, func() { c.turns(1) })
			}
			if cost[10000] > cost[10]*1.05+2 {
				t.Errorf("got %v allocations a turn after 10000 turns and %v after 10, want the same", cost[10000], cost[10])
			}
		})
	}
}

// A process that takes over a conversation reads nothing of its finished turns.
func TestLoad_ManyTurns_SameAllocations(t *testing.T) {
	cost := map[int]float64{}
	for _, past := range []int{10, 10000} {
		c := newChat(t, memory.New(), 16)
		c.turns(past)
		cost[past] = testing.AllocsPerRun(50, func() { c.open(c.seq) })
	}
	if cost[10000] > cost[10]*1.05+2 {
		t.Errorf("got %v allocations after 10000 turns and %v after 10, want the same", cost[10000], cost[10])
	}
}

// Only the conversation's memory is measured: the store keeps nothing.
func TestTurns_ManyLarge_MemoryBounded(t *testing.T) {
	heap := func() int64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	for name, silent := range map[string]bool{"AnyFrame shows messages": false, "AnyFrame shows no messages": true} {
		t.Run(name, func(t *testing.T) {
			notes := &lastNote{NoteStore: memory.New()}
			before := heap()
			c := newChat(t, notes, 16<<10)
			c.silent = silent
			c.turns(1000)
			if grown := heap() - before; grown > 8<<20 {
				t.Errorf("got %d MiB kept for 1000 turns of 16 KiB, which are 16, want the log and some turns, 8 at most", grown>>20)
			}
			runtime.KeepAlive(c)
		})
	}
}
