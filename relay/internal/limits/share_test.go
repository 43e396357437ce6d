package limits

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

func TestShare_Bounds_EachRefusesByName(t *testing.T) {
	s := NewShare(Bounds{Total: 10, PerVisitor: 2, PerAddr: 3, PerNetwork: 5})
	take := func(visitor, addr string, n int, want Bound) {
		t.Helper()
		err := s.Take(Who{visitor, addr}, n)
		full, _ := errors.AsType[*Full](err)
		if (full == nil) != (want == "") || full != nil && full.Bound != want {
			t.Errorf("%d for %s at %s: got %v, want the bound %q", n, visitor, addr, err, want)
		}
	}
	take("a", "2001:db8:1:1::", 2, "")
	take("a", "2001:db8:9:9::", 1, OfVisitor)
	take("b", "2001:db8:1:1::", 2, OfAddr)
	take("b", "2001:db8:1:1::", 1, "")
	take("c", "2001:db8:1:2::", 2, "")
	take("d", "2001:db8:1:3::", 1, OfNetwork)
	take("d", "192.0.2.1", 2, "")
	take("e", "192.0.2.1", 1, "")
	take("f", "192.0.2.2", 2, "")
	take("g", "192.0.2.3", 1, OfAll)
	if got := s.Used(); got != 10 {
		t.Errorf("got %d taken, want 10", got)
	}
	s.Give(Who{"a", "2001:db8:1:1::"}, 2)
	take("h", "2001:db8:1:3::", 2, "")
	for _, g := range []struct {
		who Who
		n   int
	}{{Who{"b", "2001:db8:1:1::"}, 1}, {Who{"c", "2001:db8:1:2::"}, 2}, {Who{"d", "192.0.2.1"}, 2}, {Who{"e", "192.0.2.1"}, 1}, {Who{"f", "192.0.2.2"}, 2}, {Who{"h", "2001:db8:1:3::"}, 2}} {
		s.Give(g.who, g.n)
	}
	if s.Used() != 0 || s.Counted() != 0 || len(s.used) != 0 {
		t.Errorf("all given back: got %d taken of %v, want none", s.Used(), s.used)
	}
}

// A call that waits for its own visitor, address or network blocks no other.
func TestShare_OwnBoundReached_OthersServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewShare(Bounds{Total: 4, PerVisitor: 1, PerAddr: 2, PerNetwork: 3})
		var order []string
		var wg sync.WaitGroup
		wait := func(who Who) {
			wg.Go(func() {
				if err := s.Wait(t.Context(), who); err != nil {
					t.Errorf("%v: got %v, want its unit", who, err)
				}
				order = append(order, who.Visitor) // the relevant goroutines of the bubble run one by one
			})
			synctest.Wait()
		}
		wants := func(want ...string) {
			t.Helper()
			synctest.Wait()
			if fmt.Sprint(order) != fmt.Sprint(want) {
				t.Errorf("served: got %q, want %q", order, want)
			}
		}
		a, b, c, d := Who{"a", "2001:db8:1:1::"}, Who{"b", "2001:db8:1:1::"}, Who{"c", "2001:db8:1:1::"}, Who{"d", "2001:db8:1:2::"}
		e, other, last := Who{"e", "2001:db8:1:3::"}, Who{"other", "192.0.2.1"}, Who{"last", "192.0.2.2"}
		for _, who := range []Who{a, a, b, c, d, e} {
			wait(who)
		}
		wants("a", "b", "d")
		wait(other)
		wants("a", "b", "d", "other")
		wait(last)
		s.Give(other, 1)
		wants("a", "b", "d", "other", "last")
		s.Give(a, 1) // frees its visitor, its address and its network
		wants("a", "b", "d", "other", "last", "a")
		s.Give(a, 1)
		wants("a", "b", "d", "other", "last", "a", "c")
		s.Give(last, 1)
		s.Give(b, 1)
		wants("a", "b", "d", "other", "last", "a", "c", "e")
		for _, who := range []Who{c, d, e} {
			s.Give(who, 1)
		}
		wg.Wait()
		if s.Used() != 0 || len(s.waiters) != 0 {
			t.Errorf("got %d taken and %d waiting, want none", s.Used(), len(s.waiters))
		}
	})
}

func TestShare_WaitGivenUp_NothingTaken(t *testing.T) {
	s := NewShare(Bounds{Total: 1})
	who := Who{"a", "192.0.2.1"}
	if err := s.Wait(t.Context(), who); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := s.Wait(ctx, who)
	if full, ok := errors.AsType[*Full](err); !ok || full.Bound != OfAll {
		t.Errorf("got %v, want the bound of all", err)
	}
	s.Give(who, 1)
	if s.Used() != 0 || len(s.waiters) != 0 {
		t.Errorf("got %d taken and %d waiting, want none", s.Used(), len(s.waiters))
	}
}

func TestShare_ManyAtOnce_BoundsHold(t *testing.T) {
	const visitors, rounds = 40, 50
	s := NewShare(Bounds{Total: 8, PerVisitor: 1, PerAddr: 2, PerNetwork: 5})
	var all atomic.Int64
	var wg sync.WaitGroup
	for i := range visitors {
		who := Who{fmt.Sprint(i / 2), fmt.Sprintf("2001:db8:%d:%d::", i%3, i%9)}
		wg.Go(func() {
			for range rounds {
				if err := s.Wait(t.Context(), who); err != nil {
					t.Error(err)
					return
				}
				if n := all.Add(1); n > 8 {
					t.Errorf("got %d at once, want 8 at most", n)
				}
				all.Add(-1)
				s.Give(who, 1)
			}
		})
	}
	wg.Wait()
	if s.Used() != 0 || len(s.used) != 0 || len(s.waiters) != 0 {
		t.Errorf("got %d taken, %d accounts and %d waiting, want none", s.Used(), len(s.used), len(s.waiters))
	}
}
