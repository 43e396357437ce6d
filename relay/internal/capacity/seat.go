package capacity

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/limits"
	"github.com/anyframe-relay/relay/relay/internal/redact"
)

// Seat is the place of one visitor's sandbox among those that are awake. It is safe
// for concurrent use.
type Seat struct {
	gate    *Gate
	visitor string
	rank    func() int64 // how late the sandbox is put to sleep to make room
	running func() bool

	// telling has one slot: its holder writes to the store how the sandbox counts, so
	// that the last write is the newest. It is held for one call to the store.
	telling chan struct{}

	mu      sync.Mutex // these are what the store was told last
	ticket  int64      // of the sandbox among those awake; 0 when it is not counted here
	counted time.Time
	ranked  int64
}

// Seat returns the seat of a visitor's sandbox. Rank and running are called with
// nothing of the gate's locked.
func (g *Gate) Seat(visitor string, rank func() int64, running func() bool) *Seat {
	return &Seat{gate: g, visitor: visitor, rank: rank, running: running, telling: make(chan struct{}, 1)}
}

func (s *Seat) tryTell() bool {
	select {
	case s.telling <- struct{}{}:
		return true
	default:
		return false
	}
}

func (s *Seat) told() { <-s.telling }

func (s *Seat) note(ticket, rank int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ticket, s.counted, s.ranked = ticket, time.Now(), rank
}

// has reports whether the sandbox is counted under this ticket already.
func (s *Seat) has(ticket int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ticket == ticket
}

func (s *Seat) lastRank() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ranked
}

// admit counts the sandbox as awake, or renews that. It reports false when limit are
// counted already; 0 is no limit. The caller has the slot telling.
func (s *Seat) admit(ctx context.Context, limit int) (ok bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	rank := s.rank()
	ticket, ok, err := s.gate.Store.Admit(ctx, s.visitor, rank, limit, s.gate.CountFor)
	if ok && limit > 0 && !s.has(ticket) {
		var over bool
		if over, err = s.gate.overOwn(ctx, ticket); over || err != nil {
			return false, errors.Join(err, s.gate.Store.Leave(ctx, s.visitor, ticket))
		}
	}
	if ok {
		s.note(ticket, rank)
	}
	return ok, err
}

func (s *Seat) admitOnce(ctx context.Context, limit int) (ok bool, err error) {
	select {
	case s.telling <- struct{}{}:
	case <-ctx.Done():
		return false, ctx.Err()
	}
	defer s.told()
	return s.admit(ctx, limit)
}

// Count counts a sandbox that is awake already, whether there is room or not.
func (s *Seat) Count(ctx context.Context) error {
	_, err := s.admitOnce(ctx, 0)
	return err
}

// MayWake counts a sandbox that is about to be woken, or refuses if there is no room
// and none can be made. One that is counted already needs no more room.
func (s *Seat) MayWake(ctx context.Context) error {
	ok, err := s.admitOnce(ctx, s.gate.Max)
	if ok || err != nil {
		return err
	}
	return s.gate.anyIdle(ctx)
}

// Acquire counts a sandbox that is about to be woken, and makes room for it if need be,
// on the account of addr. It does so also for one that is counted already: a process that
// has yet to learn that the sandbox is down may have renewed its count, room or not.
func (s *Seat) Acquire(ctx context.Context, addr string) error {
	for range roomTries {
		ok, err := s.admitOnce(ctx, s.gate.Max)
		if ok && err == nil {
			var over bool
			over, err = s.gate.over(ctx)
			ok = !over
		}
		if ok || err != nil {
			return err
		}
		if !s.gate.evictIdlest(ctx, limits.Who{Visitor: s.visitor, Addr: addr}) {
			break
		}
	}
	return s.gate.full()
}

// Renew renews the count of a sandbox that runs, whose rank may be another now. One
// that runs is counted even if there are too many.
func (s *Seat) Renew(ctx context.Context) {
	select {
	case s.telling <- struct{}{}:
	case <-ctx.Done():
		return
	}
	defer s.told()
	if !s.running() {
		return
	}
	if _, err := s.admit(ctx, 0); err != nil && s.gate.ctx.Err() == nil {
		s.gate.Log.Warn("failed to count a sandbox", "visitor", redact.ID(s.visitor), "error", err)
	}
}

// RenewIfDue is Renew, but not more often than needed to be counted.
func (s *Seat) RenewIfDue(ctx context.Context) {
	if s.due() {
		s.Renew(ctx)
	}
}

// due reports whether the count has to be renewed.
func (s *Seat) due() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Since(s.counted) > renewAfter
}

// RankLater tells the store of the seat's rank in a while.
func (s *Seat) RankLater() { s.gate.rankLater(s) }

// Held reports whether the sandbox is counted here.
func (s *Seat) Held() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ticket != 0
}

// Release ends the count of a sandbox that is down. The caller keeps all processes from
// waking it.
func (s *Seat) Release() {
	s.telling <- struct{}{} // held for one call to the store, in bounded time
	defer s.told()
	s.mu.Lock()
	ticket := s.ticket
	s.ticket = 0
	s.mu.Unlock()
	if ticket == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.gate.ctx), storeTimeout)
	defer cancel()
	if err := s.gate.Store.Leave(ctx, s.visitor, ticket); err != nil {
		s.gate.Log.Warn("failed to stop counting a sandbox", "visitor", redact.ID(s.visitor), "error", err) // its time ends by itself
	}
	s.gate.fullUntil.Store(0)
}
