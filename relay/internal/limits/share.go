package limits

import (
	"container/list"
	"context"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/clientip"
	"github.com/anyframe-relay/relay/relay/internal/problem"
)

// Who is the party that a use is accounted to. An empty field is not counted.
type Who struct {
	Visitor string
	Addr    string // as [clientip.Of] returns it: IPv6 by its /64
}

type addrKey struct{}

// WithAddr returns a context for a request of addr.
func WithAddr(ctx context.Context, addr string) context.Context {
	return context.WithValue(ctx, addrKey{}, addr)
}

// AddrOf returns the address that ctx is accounted to, or "" if there is none.
func AddrOf(ctx context.Context) string {
	addr, _ := ctx.Value(addrKey{}).(string)
	return addr
}

// Bounds are the maximum units of a [Share] in use at once. Zero is no bound. The network
// of an IPv6 address is its /48; IPv4 addresses have none.
type Bounds struct{ Total, PerVisitor, PerAddr, PerNetwork int }

// Bound names one of the Bounds.
type Bound string

// The bounds of a share.
const (
	OfAll     Bound = "all"
	OfVisitor Bound = "visitor"
	OfAddr    Bound = "address"
	OfNetwork Bound = "network"
)

// Full is the error of a share whose bound is reached.
type Full struct{ Bound Bound }

// Error implements the error interface.
func (e *Full) Error() string { return fmt.Sprintf("the share of the %s is used up", string(e.Bound)) }

// Problem returns the refusal for a visitor: 429 if its own visitor, address or network
// has used its share up, else 503.
func (e *Full) Problem(retry time.Duration) *problem.Problem {
	if e.Bound == OfAll {
		return problem.Capacity.After(retry)
	}
	return problem.RateLimited.After(retry)
}

// Share is a counting semaphore shared by many visitors. It bounds the units in use in
// total, per visitor, per address and per network, so that none of these can exhaust it
// for the others. The caller decides what a unit is: a slot, a stream, a byte. It is safe
// for concurrent use.
type Share struct {
	bounds Bounds

	// mu guards the invariants that used counts the units of all holders, and that an
	// account with waiters has no unit left.
	mu      sync.Mutex
	used    map[account]int
	waiters map[account]*list.List // lists of *waiter
}

// account is a party that one bound applies to. The name is empty for the total.
type account struct {
	bound Bound
	name  string
}

// waiter waits for one unit of the account that has none left.
type waiter struct {
	who   Who
	at    account
	place *list.Element
	ready chan struct{} // closed when it has its unit; place is then nil
}

// NewShare returns a share with no units in use.
func NewShare(b Bounds) *Share {
	return &Share{bounds: b, used: map[account]int{}, waiters: map[account]*list.List{}}
}

// Take takes n units, accounted to who. It returns [*Full], and takes nothing, if fewer
// are left. The caller must give them back.
func (s *Share) Take(who Who, n int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if full, ok := s.full(who, n); ok {
		return &Full{full.bound}
	}
	s.count(who, n)
	return nil
}

// Wait takes one unit, accounted to who, as soon as one is left, in the order of the
// calls. A call that waits because its own bound is reached does not block others. If ctx
// ends first, Wait returns [*Full].
func (s *Share) Wait(ctx context.Context, who Who) error {
	s.mu.Lock()
	full, ok := s.full(who, 1)
	if !ok {
		s.count(who, 1)
		s.mu.Unlock()
		return nil
	}
	w := &waiter{who: who, ready: make(chan struct{})}
	s.park(w, full)
	s.mu.Unlock()
	select {
	case <-w.ready:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if w.place == nil {
		return nil // it has just received its unit
	}
	s.unpark(w)
	return &Full{w.at.bound}
}

// Give gives back n units that were accounted to who.
func (s *Share) Give(who Who, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count(who, -n)
	for a := range s.accounts(who) {
		for s.waiters[a] != nil && s.left(a, 1) {
			w := s.waiters[a].Front().Value.(*waiter) //nolint:forcetypeassert // the list holds nothing else
			s.unpark(w)
			if full, ok := s.full(w.who, 1); ok {
				s.park(w, full)
				continue
			}
			s.count(w.who, 1)
			close(w.ready)
		}
	}
}

// rebound changes the bounds. A bound of 0 must stay 0, and any other must stay above 0,
// because the units in use were counted accordingly.
func (s *Share) rebound(b Bounds) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bounds = b
}

// widen raises the bounds to at least b.
func (s *Share) widen(b Bounds) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bounds = Bounds{
		Total: max(s.bounds.Total, b.Total), PerVisitor: max(s.bounds.PerVisitor, b.PerVisitor),
		PerAddr: max(s.bounds.PerAddr, b.PerAddr), PerNetwork: max(s.bounds.PerNetwork, b.PerNetwork),
	}
}

// Used returns how many units are in use in total.
func (s *Share) Used() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used[account{OfAll, ""}]
}

// Counted returns how many visitors, addresses and networks have units in use.
func (s *Share) Counted() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.used)
	if s.used[account{OfAll, ""}] > 0 {
		n--
	}
	return n
}

// accounts yields the accounts that who's units count against. The total comes first: a
// call that waits for it waits for a unit of any holder.
func (s *Share) accounts(who Who) iter.Seq[account] {
	return func(yield func(account) bool) {
		if !yield(account{OfAll, ""}) {
			return
		}
		if who.Visitor != "" && s.bounds.PerVisitor > 0 && !yield(account{OfVisitor, who.Visitor}) {
			return
		}
		if who.Addr != "" && s.bounds.PerAddr > 0 && !yield(account{OfAddr, who.Addr}) {
			return
		}
		if s.bounds.PerNetwork > 0 {
			if network := clientip.Network(who.Addr); network != "" {
				yield(account{OfNetwork, network})
			}
		}
	}
}

func (s *Share) limit(b Bound) int {
	switch b {
	case OfVisitor:
		return s.bounds.PerVisitor
	case OfAddr:
		return s.bounds.PerAddr
	case OfNetwork:
		return s.bounds.PerNetwork
	case OfAll:
		return s.bounds.Total
	}
	return 0
}

// left reports whether an account has n units left. The caller holds mu.
func (s *Share) left(a account, n int) bool {
	limit := s.limit(a.bound)
	return limit <= 0 || s.used[a]+n <= limit
}

// full returns the first account that prevents who from taking n units. The caller holds
// mu.
func (s *Share) full(who Who, n int) (full account, ok bool) {
	for a := range s.accounts(who) {
		if !s.left(a, n) {
			return a, true
		}
	}
	return account{}, false
}

// count adds n to all of who's accounts. The caller holds mu.
func (s *Share) count(who Who, n int) {
	for a := range s.accounts(who) {
		add(s.used, a, n)
	}
}

// park adds w to the waiters of a. The caller holds mu.
func (s *Share) park(w *waiter, a account) {
	if s.waiters[a] == nil {
		s.waiters[a] = list.New()
	}
	w.at, w.place = a, s.waiters[a].PushBack(w)
}

// unpark removes w from its list of waiters. The caller holds mu.
func (s *Share) unpark(w *waiter) {
	l := s.waiters[w.at]
	l.Remove(w.place)
	w.place = nil
	if l.Len() == 0 {
		delete(s.waiters, w.at)
	}
}

// add adds n, and deletes a key whose count becomes 0.
func add[K comparable](counts map[K]int, key K, n int) {
	if counts[key] += n; counts[key] == 0 {
		delete(counts, key)
	}
}
