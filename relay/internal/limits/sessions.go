package limits

import (
	"context"
	"errors"

	"github.com/anyframe-relay/relay/relay/internal/challenge"
	"github.com/anyframe-relay/relay/relay/internal/problem"
)

var (
	// wider is how much of its quota of new sessions an address has with a solved challenge:
	// many people may share it.
	wider = part{4, 1}
	// half is how much of it an address has without one, and fourFifths how much of what all
	// have together, where challenges are asked for when these get short.
	half       = part{1, 2}
	fourFifths = part{4, 5}
)

// Short reports whether used of limit is so much that a new session takes a challenge. A
// limit of 0 is none.
func Short(used, limit int) bool { return limit > 0 && used >= fourFifths.share(limit) }

// sessions are the quotas that a new session of addr counts against. A client that has
// solved no challenge is asked for one where it would be refused.
func (l *Limits) sessions(addr string, toll challenge.Toll) []quota {
	ofAddr, ofAll, quotaSpent, budgetSpent := whole, whole, problem.SessionQuota, problem.Budget
	switch toll {
	case challenge.Free:
	case challenge.Unpaid:
		ofAddr, ofAll, quotaSpent, budgetSpent = half, fourFifths, problem.ChallengeNeeded, problem.ChallengeNeeded
	case challenge.Paid:
		ofAddr = wider
	}
	return append(l.byAddress("sessions", addr, l.options.RateSessions, ofAddr, quotaSpent),
		quota{"sessions", Rate{ofAll.share(l.options.SessionsPerDay), Day}, "", budgetSpent})
}

// NewSession returns the refusal if addr, or all addresses together, have begun as many
// sessions as they may at that toll. It also refuses if the store fails.
func (l *Limits) NewSession(ctx context.Context, addr string, toll challenge.Toll) error {
	if err := l.spent(l.quotas.look(ctx, l.sessions(addr, toll)...)); err != nil {
		return err
	}
	if limit := l.turns.limit; toll == challenge.Unpaid && limit > 0 {
		ctx, cancel := context.WithTimeout(ctx, storeTimeout)
		defer cancel()
		used, err := l.TurnsToday(ctx, l.quotas.store)
		if err != nil {
			return err
		}
		if Short(used, limit) {
			return problem.ChallengeNeeded
		}
	}
	return nil
}

// BeginSession counts a session that addr is about to begin, before it is made,
// so that many at once cannot slip past. The caller calls undo if none was made.
func (l *Limits) BeginSession(ctx context.Context, addr string, toll challenge.Toll) (undo func() error, err error) {
	undo, err = l.quotas.take(ctx, l.sessions(addr, toll)...)
	return undo, l.spent(err)
}

// spent counts a refusal for lack of budget.
func (l *Limits) spent(err error) error {
	if errors.Is(err, problem.Budget) {
		l.metrics.Capacity.WithLabelValues("budget").Inc()
	}
	return err
}
