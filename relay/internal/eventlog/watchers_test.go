package eventlog

import (
	"sync"
	"sync/atomic"
	"testing"
)

type counter struct {
	watch   Watch
	calls   int
	removed atomic.Bool
	late    atomic.Bool // called after it was removed
}

func (c *counter) OnAppend() {
	c.calls++
	if c.removed.Load() {
		c.late.Store(true)
	}
}

func TestWatchers_EveryChangeOfEveryLog_CallsEachOnce(t *testing.T) {
	var ws Watchers
	all := []*counter{{}, {}, {}, {}}
	for _, c := range all {
		ws.Add(&c.watch, c)
	}
	ws.Remove(&all[1].watch) // from the middle
	ws.Remove(&all[3].watch) // from the end
	ws.Remove(&all[3].watch) // a second time
	if n := ws.Len(); n != 2 {
		t.Errorf("Len: got %d, want 2", n)
	}
	for range 2 { // two epochs, each with a log of its own
		l := New(0, Limits{Events: 10, Bytes: 1000})
		l.Watch(ws.Notify)
		l.Append(Entry{Seq: 1, Frame: []byte("a")})
		l.Advance(2)
		l.Notify()
		l.Close()
	}
	for i, want := range []int{8, 0, 8, 0} {
		if all[i].calls != want {
			t.Errorf("watcher %d: got %d calls, want %d", i, all[i].calls, want)
		}
	}
	ws.Add(&all[1].watch, all[1])
	if ws.Notify(); all[1].calls != 1 {
		t.Errorf("a watcher that was added again: got %d calls, want 1", all[1].calls)
	}
}

func TestWatchers_Removed_IsNotCalledAgain(t *testing.T) {
	var ws Watchers
	var wg sync.WaitGroup
	wg.Go(func() {
		for range 2000 {
			ws.Notify()
		}
	})
	for range 4 {
		wg.Go(func() {
			for range 500 {
				c := &counter{}
				ws.Add(&c.watch, c)
				ws.Remove(&c.watch)
				c.removed.Store(true)
				if c.late.Load() {
					t.Error("called after Remove returned")
				}
			}
		})
	}
	wg.Wait()
	if n := ws.Len(); n != 0 {
		t.Errorf("Len: got %d, want none left", n)
	}
}

func TestWatchers_Notify_AllocatesNothing(t *testing.T) {
	var ws Watchers
	c := &counter{}
	ws.Add(&c.watch, c)
	if n := testing.AllocsPerRun(100, ws.Notify); n != 0 {
		t.Errorf("got %v allocations a change, want none", n)
	}
}
