package delivery

import (
	"context"

	"github.com/anyframe-relay/relay/relay/internal/ledger"
)

// Budget counts the turns of a day over all processes.
type Budget interface {
	// CountTurn counts a turn that is about to be sent, or with sent has been, and
	// returns the day it counts against. It never refuses a turn that has been sent.
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

// countSent counts a turn that AnyFrame proved to have.
func (d *Courier) countSent(ctx context.Context, turn *ledger.Turn) {
	if turn.Day != 0 {
		return
	}
	var err error
	if turn.Day, err = d.Budget.CountTurn(ctx, true); err != nil {
		d.Log().Warn("failed to count a turn", "error", err)
	}
}

// unsent sets the state of a turn that AnyFrame does not have, and then uncounts it. In
// this order, a crash in between counts one turn too many, never one too few.
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
