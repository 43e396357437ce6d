package capacity

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/limits"
	"github.com/anyframe-relay/relay/relay/internal/redact"
)

// Seat is the place of one visitor's sandbox in the count of awake sandboxes. It is safe
// for concurrent use.
type Seat struct {
	gate    *Gate
	visitor string
	rank    func() int64 // the sandbox with the lowest rank is evicted first
	running func() bool

	// telling is a slot for one holder, which writes the sandbox's count to the store, so
	// that the last write is the newest. It is held for one call to the store.
	telling chan struct{}

	mu      sync.Mutex // guards the fields below, the values last written to the store
	ticket  int64      // of the sandbox in the store's count; 0 if this process has not counted it
	counted time.Time
	ranked  int64
}

// Seat returns the seat of a visitor's sandbox. It calls rank and running without holding
// a lock of the gate's.
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

// has reports whether the sandbox is already counted under this ticket.
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

// admit counts the sandbox as awake, or renews its count. It returns false if limit
// sandboxes are already counted; 0 is no limit. The caller holds the slot telling.
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

// Count counts a sandbox that is already awake, whether or not there is room.
func (s *Seat) Count(ctx context.Context) error {
	_, err := s.admitOnce(ctx, 0)
	return err
}

// MayWake counts a sandbox that is about to be woken, or refuses if there is no room and
// none can be made. A sandbox that is already counted needs no more room.
func (s *Seat) MayWake(ctx context.Context) error {
	ok, err := s.admitOnce(ctx, s.gate.Max)
	if ok || err != nil {
		return err
	}
	return s.gate.anyIdle(ctx)
}

// Acquire counts a sandbox that is about to be woken, and makes room for it if necessary,
// accounted to addr. It does so even if the sandbox is already counted. A process that
// has not yet seen that the sandbox is down may have renewed its count regardless of
// room.
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

// Renew renews the count and rank of a running sandbox. A running sandbox is counted even
// above the limit.
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

// RenewIfDue is Renew, limited to what is needed to stay counted.
func (s *Seat) RenewIfDue(ctx context.Context) {
	if s.due() {
		s.Renew(ctx)
	}
}

// RenewAt returns when the count of a running sandbox must be renewed, unless its agent
// begins to work before. A count from the end of a turn is renewed early, because another
// process that saw the end may have written a rank without this process's listeners.
func (s *Seat) RenewAt() time.Time {
	s.mu.Lock()
	counted := s.counted
	s.mu.Unlock()
	rank := s.rank()
	if used := time.UnixMilli(rank & (Listening - 1)); rank >= Busy || counted.Sub(used) < renewBusy {
		return counted.Add(renewBusy)
	}
	return counted.Add(min(renewIdle, s.gate.CountFor-renewBusy))
}

func (s *Seat) due() bool { return !s.RenewAt().After(time.Now()) }

// RankLater writes the seat's rank to the store after a delay.
func (s *Seat) RankLater() { s.gate.rankLater(s) }

// Held reports whether this process has counted the sandbox.
func (s *Seat) Held() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ticket != 0
}

// Release uncounts a sandbox that is down. The caller keeps all processes from waking it.
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
		s.gate.Log.Warn("failed to stop counting a sandbox", "visitor", redact.ID(s.visitor), "error", err) // the count expires by itself
	}
	s.gate.fullUntil.Store(0)
}
