package delivery

import (
	"context"

	"github.com/anyframe-relay/relay/relay/internal/ledger"
)

// Budget counts the turns of a day over all processes.
type Budget interface {
	// CountTurn counts a turn that is about to be sent, or has been, and returns on which
	// day. One that has been sent is never refused.
	CountTurn(ctx context.Context, sent bool) (day int64, err error)
	// UncountTurn undoes one CountTurn that returned day.
	UncountTurn(ctx context.Context, day int64) error
}

// count counts a turn that is about to be sent against the day's budget, once however
// often it is sent.
func (d *Courier) count(ctx context.Context, turn *ledger.Turn) (err error) {
	if turn.Day == 0 {
		turn.Day, err = d.Budget.CountTurn(ctx, false)
	}
	return err
}

// countSent counts a turn that AnyFrame turns out to have after all.
func (d *Courier) countSent(ctx context.Context, turn *ledger.Turn) {
	if turn.Day != 0 {
		return
	}
	var err error
	if turn.Day, err = d.Budget.CountTurn(ctx, true); err != nil {
		d.Log().Warn("failed to count a turn", "error", err)
	}
}

// unsent puts a turn that AnyFrame does not have into a state, and then no longer counts
// it: a process that dies in between has counted one too many, never one too few.
func (d *Courier) unsent(ctx context.Context, l *ledger.Ledger, turn *ledger.Turn, state ledger.TurnState) {
	day := turn.Day
	turn.State, turn.Day = state, 0
	l.Set(*turn)
	err := l.Persist(ctx, turn.Key)
	if err == nil {
		err = d.Budget.UncountTurn(ctx, day)
	}
	if err != nil {
		d.Log().Warn("failed to save a turn", "error", err)
	}
}
