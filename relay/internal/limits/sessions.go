package limits

import (
	"context"
	"errors"

	"github.com/anyframe-relay/relay/relay/internal/challenge"
	"github.com/anyframe-relay/relay/relay/internal/problem"
)

var (
	// wider is the multiple of its quota of new sessions that an address has with a
	// solved challenge, because many people may share the address.
	wider = part{4, 1}
	// half is the part of its quota that an address has without a solved challenge, where
	// challenges are required when resources run low. fourFifths is the corresponding
	// part of the total.
	half       = part{1, 2}
	fourFifths = part{4, 5}
)

// Short reports whether used is at least four fifths of limit, so that a new session
// requires a challenge. A limit of 0 is none.
func Short(used, limit int) bool { return limit > 0 && used >= fourFifths.share(limit) }

// sessions returns the quotas that a new session of addr counts against. A client without
// a solved challenge gets one where it would otherwise be refused.
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
		quota{name: "sessions", rate: Rate{ofAll.share(l.options.SessionsPerDay), Day}, refusal: budgetSpent})
}

// NewSession returns the refusal if addr, or all addresses together, have begun as many
// sessions as allowed at that toll. It also refuses if the store fails.
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

// BeginSession counts a session that addr is about to begin. It counts before the session
// is created, so that concurrent requests cannot exceed the limit. The caller must call
// undo if no session was created.
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
