package roster

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// chat is a member that counts the calls of its methods.
type chat struct {
	entry         Entry
	name          string
	works         atomic.Bool
	kept, dropped atomic.Int32
}

func (c *chat) Entry() *Entry { return &c.entry }
func (c *chat) Works() bool   { return c.works.Load() }
func (c *chat) Kept()         { c.kept.Add(1) }
func (c *chat) Dropped()      { c.dropped.Add(1) }

// counts are the roster's calls to its owner.
type counts struct{ made, held, size int }

func newRoster(c *counts) *Roster[*chat] {
	return New(Options[*chat]{
		Linger: 10 * time.Second,
		New:    func(name string) *chat { c.made++; return &chat{name: name} },
		Held:   func(*chat) { c.held++ }, Free: func(*chat) { c.held-- },
		Size: func(n int) { c.size = n },
	})
}

func TestRoster_HeldTwice_OneMember(t *testing.T) {
	var c counts
	r := newRoster(&c)
	a, _ := r.Hold("a")
	again, _ := r.Hold("a")
	if a != again || c != (counts{made: 1, held: 1, size: 1}) {
		t.Fatalf("got %p and %p, counts %+v, want one member with one first holder", a, again, c)
	}
	r.Release(a)
	if c.held != 1 {
		t.Errorf("got %d held, want it held while one holder is left", c.held)
	}
	r.Release(a)
	if got, ok := r.Get("a"); !ok || got != a || c.held != 0 {
		t.Errorf("got %v %v, %d held, want it to linger", got, ok, c.held)
	}
	r.Close()
}

func TestRoster_Lingering_DroppedUnlessHeldAgainOrAtWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c counts
		r := newRoster(&c)
		a, _ := r.Hold("a")
		r.Release(a)
		time.Sleep(9 * time.Second)
		if again, _ := r.Hold("a"); again != a {
			t.Fatal("got another member, want the one that lingered")
		}
		time.Sleep(time.Minute)
		if a.dropped.Load() != 0 {
			t.Error("it was dropped while it was held")
		}
		a.works.Store(true)
		r.Release(a)
		time.Sleep(25 * time.Second)
		if a.dropped.Load() != 0 || a.kept.Load() != 2 {
			t.Errorf("dropped %d, kept %d times, want it kept twice while it works", a.dropped.Load(), a.kept.Load())
		}
		a.works.Store(false)
		time.Sleep(10 * time.Second)
		if _, ok := r.Get("a"); ok || a.dropped.Load() != 1 || c.size != 0 {
			t.Errorf("in memory %v, dropped %d times, size %d, want it gone", ok, a.dropped.Load(), c.size)
		}
	})
}

func TestRoster_Removed_NextIsAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c counts
		r := newRoster(&c)
		a, _ := r.Hold("a")
		if got, ok := r.Remove("a"); !ok || got != a || c.size != 0 {
			t.Fatalf("got %v %v, size %d, want the member, and none left", got, ok, c.size)
		}
		b, _ := r.Hold("a")
		if a == b {
			t.Fatal("got the member that was removed")
		}
		r.Release(a)
		time.Sleep(time.Minute)
		if got, ok := r.Get("a"); !ok || got != b {
			t.Error("the end of the removed one took the other with it")
		}
		if a.dropped.Load() != 1 {
			t.Errorf("dropped %d times, want once", a.dropped.Load())
		}
		r.Close()
	})
}

func TestRoster_Listeners_EdgesReported(t *testing.T) {
	var c counts
	r := newRoster(&c)
	a, _ := r.Hold("a")
	for i, step := range []struct {
		n    int
		edge bool
	}{{1, true}, {1, false}, {-1, false}, {-1, true}} {
		if got := r.Listen(a, step.n); got != step.edge {
			t.Errorf("step %d: got edge %v, want %v", i, got, step.edge)
		}
	}
}

func TestRoster_Closed_TakesNoHolderAndDropsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c counts
		r := newRoster(&c)
		a, _ := r.Hold("a")
		b, _ := r.Hold("b")
		r.Release(b)
		r.Close()
		r.Release(a)
		time.Sleep(time.Minute)
		if _, ok := r.Hold("a"); ok || len(r.All()) != 2 || a.dropped.Load()+b.dropped.Load() != 0 {
			t.Errorf("held %v, %d members, want no new holder and both kept", ok, len(r.All()))
		}
	})
}
