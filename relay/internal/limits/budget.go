package limits

import (
	"context"
	"sync"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/problem"
)

// budget bounds the turns of all visitors per UTC day. The store counts a turn just
// before it is sent to AnyFrame, so that a crash can never exceed the budget. It uncounts
// the turn if AnyFrame provably did not accept it. A turn that waits for its sandbox is
// reserved in this process only. The reservation makes the relay refuse a turn
// immediately that it would have to refuse later, and no sandbox boots for it.
type budget struct {
	quotas *quotas
	limit  int // turns per day; 0 is no limit

	mu       sync.Mutex // guards reserved
	reserved int
}

// of returns the quota that all turns count against. Turns are counted even without a
// limit, because the metrics export the count.
func (b *budget) of() quota {
	return quota{name: "turns", rate: Rate{max(b.limit, 1), Day}, refusal: problem.TurnBudget}
}

// ReserveTurn returns the refusal if the day's turns are used up, including those that
// wait to be sent. The caller must call release when its turn has been counted or has
// failed; calling it more than once is harmless.
func (l *Limits) ReserveTurn(ctx context.Context) (release func(), err error) {
	b := l.turns
	if b.limit <= 0 {
		return func() {}, nil
	}
	now := time.Now()
	if err := b.quotas.repeat(b.of(), now); err != nil {
		return nil, err
	}
	used, err := l.TurnsToday(ctx, b.quotas.store)
	if err != nil {
		return nil, err
	}
	if used >= b.limit {
		b.quotas.tell(ctx, b.of(), used)
		return nil, b.quotas.refuse(b.of(), b.quotas.key(b.of(), now), untilTomorrow())
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if used+b.reserved >= b.limit {
		// Waiting turns may still fail; the retry time is when there is certainly room.
		return nil, problem.TurnBudget.After(untilTomorrow())
	}
	b.reserved++
	return sync.OnceFunc(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.reserved--
	}), nil
}

// CountTurn counts a turn that is about to be sent, and returns the day that it counts
// against, as the Unix time of its beginning. It returns the refusal if the budget is
// used up, unless sent is set.
func (l *Limits) CountTurn(ctx context.Context, sent bool) (day int64, err error) {
	b := l.turns
	limit := b.limit
	if sent {
		limit = 0
	}
	now := time.Now()
	began, over := dayOf(now)
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	used, ok, err := b.quotas.store.Count(ctx, b.quotas.key(b.of(), now), 1, limit, over.Add(keepDay))
	if err != nil {
		return 0, err
	}
	b.quotas.tell(ctx, b.of(), used)
	if !ok {
		return 0, problem.TurnBudget.After(untilTomorrow())
	}
	return began.Unix(), nil
}

// UncountTurn undoes a CountTurn that returned day.
func (l *Limits) UncountTurn(ctx context.Context, day int64) error {
	if day == 0 {
		return nil
	}
	b := l.turns
	at := time.Unix(day, 0)
	return b.quotas.giveBack(ctx, b.quotas.key(b.of(), at), b.of(), 1, at)
}

// TurnsToday returns how many turns were counted on the current UTC day. It reads st,
// which is the store that l counts in, observed or not.
func (l *Limits) TurnsToday(ctx context.Context, st Store) (int, error) {
	b := l.turns
	now := time.Now()
	_, over := dayOf(now)
	total, _, err := st.Count(ctx, b.quotas.key(b.of(), now), 0, 0, over.Add(keepDay))
	return total, err
}

// TurnsPerDay returns the budget, or 0 if there is none.
func (l *Limits) TurnsPerDay() int { return l.turns.limit }

func untilTomorrow() time.Duration {
	now := time.Now()
	_, over := dayOf(now)
	return max(over.Sub(now), time.Millisecond)
}
