package delivery

import (
	"context"
	"errors"
	"time"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/backoff"
	"github.com/anyframe-relay/relay/relay/internal/conversation"
	"github.com/anyframe-relay/relay/relay/internal/ledger"
	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/store"
	"github.com/anyframe-relay/relay/relay/internal/upstream"
)

// Post sends the message of a turn, and returns nil when AnyFrame has it. One that AnyFrame
// may have, so that only a later look at its transcript can tell, stays unresolved.
func (d *Courier) Post(ctx context.Context, c *conversation.Conversation, turn *ledger.Turn, m anyframe.Message) error {
	l, a := c.Ledger(), c.Activity()
	turn.Busy, turn.After = a.Busy || a.Midway, d.frontier(ctx, c)
	if err := d.brief(ctx, c, turn, &m); err != nil {
		return err
	}
	if err := d.count(ctx, turn); err != nil {
		return err
	}
	if err := l.Send(ctx, turn); err != nil {
		if errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrNotFound) { // else it may be stored, counted
			err = errors.Join(err, d.Budget.UncountTurn(ctx, turn.Day))
		}
		if now, readErr := l.Stored(ctx, turn.Key); readErr == nil && now.State == ledger.Stopped {
			return problem.TurnStopped
		}
		return err
	}
	result, err := d.Client.Sessions.Message(ctx, c.ID(), m)
	if err == nil {
		if result.Seq != nil {
			turn.Seq, turn.Answered = *result.Seq, *result.Seq
		}
		d.accept(ctx, c, turn)
		return nil
	}
	if upstream.NeverSent(err) {
		d.unsent(ctx, l, turn, ledger.Held)
		if now, _ := l.Turn(turn.Key); now.Stop {
			return d.neverSend(ctx, l, turn)
		}
		return err
	}
	// AnyFrame may have it: its transcript decides. Until then, every request finds it on
	// its way.
	found, proofErr := d.Prove(ctx, c, turn, proofWait)
	switch {
	case proofErr != nil:
		turn.State = ledger.Unresolved
		l.Set(*turn)
	case !found:
		d.unsent(ctx, l, turn, ledger.Unresolved)
	default:
		return nil
	}
	return err
}

// neverSend ends a turn that AnyFrame does not have and that is to be stopped.
func (d *Courier) neverSend(ctx context.Context, l *ledger.Ledger, turn *ledger.Turn) error {
	stopped, err := l.NeverSend(ctx, turn.Key)
	if err == nil && stopped.State == ledger.Stopped {
		err = d.Budget.UncountTurn(ctx, turn.Day)
	}
	if err != nil {
		return err
	}
	*turn = stopped
	return problem.TurnStopped
}

// Settle finds out whether AnyFrame has a turn whose sender is gone, and returns
// [problem.TurnStopped] if it does not and the turn is to be stopped.
func (d *Courier) Settle(ctx context.Context, c *conversation.Conversation, turn *ledger.Turn) (found bool, err error) {
	found, err = d.Prove(ctx, c, turn, 0)
	if err == nil && !found && turn.Stop {
		err = d.neverSend(ctx, c.Ledger(), turn)
	}
	return found, err
}

// frontier is the last seq of AnyFrame's log, after which a new message comes. It matters
// where AnyFrame shows no messages, so that the relay says where the message belongs: then
// ours may be shorter just after a reconnect, or when another replica answered the visitor
// before.
func (d *Courier) frontier(ctx context.Context, c *conversation.Conversation) int64 {
	head := c.Log().Head()
	if c.Echoed() || (head == 0 && c.Ledger().Silent()) {
		return head
	}
	ctx, cancel := context.WithTimeout(ctx, readWait)
	defer cancel()
	for row, err := range d.Client.Sessions.TranscriptAll(ctx, c.ID(), head) {
		if err != nil {
			d.Log().Warn("failed to find the end of the transcript", "error", err)
			break // a message a little out of its place is better than none
		}
		head = row.Seq
	}
	return head
}

// Prove looks in AnyFrame's transcript for a turn whose fate is not known, for as long as
// patience. It reports whether AnyFrame has it.
func (d *Courier) Prove(ctx context.Context, c *conversation.Conversation, turn *ledger.Turn, patience time.Duration) (found bool, err error) {
	if turn.Epoch != c.Epoch() {
		return false, nil // it went to a session that is no more
	}
	deadline := time.Now().Add(patience)
	for {
		// Where the transcript shows no messages, an agent that was idle and went to work
		// is proof, unless it was another turn that set it to work.
		others, err := c.Ledger().Others(ctx, turn)
		if err != nil {
			return false, err
		}
		silent, worked := !turn.Busy && !others, false
		for row, err := range d.Client.Sessions.TranscriptAll(ctx, c.ID(), turn.After) {
			if errors.Is(err, anyframe.ErrNotFound) {
				return false, nil
			}
			if err != nil {
				return false, err
			}
			ev := upstream.Decode(row.Event())
			if ev.User && ev.Members.UserText() == turn.Text {
				taken, err := c.Ledger().Taken(ctx, row.Seq, turn.Key)
				if err != nil {
					return false, err
				}
				if !taken {
					turn.Seq, turn.Answered = row.Seq, row.Seq
					d.accept(ctx, c, turn)
					return true, nil
				}
			}
			silent = silent && !ev.User
			worked = true
		}
		if silent && worked {
			turn.After = max(turn.After, c.Base()) // where it can still be shown to all
			d.accept(ctx, c, turn)
			return true, nil
		}
		if time.Now().After(deadline) {
			return false, nil
		}
		backoff.Sleep(ctx, patience/6)
	}
}

// accept notes that AnyFrame has the turn.
func (d *Courier) accept(ctx context.Context, c *conversation.Conversation, turn *ledger.Turn) {
	turn.State, turn.Page, turn.Verified = ledger.Sent, "", ""
	d.countSent(ctx, turn)
	c.Accepted(ctx, *turn, time.Now())
	if err := c.Ledger().Persist(ctx, turn.Key); err != nil {
		// AnyFrame has it and so the visitor is told; only after a restart would the
		// transcript have to be asked again.
		d.Log().Error("failed to save a turn", "error", err)
	}
	d.Accepted(ctx, c, turn)
}
