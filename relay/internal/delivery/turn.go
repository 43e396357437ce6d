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

// Post sends the message of a turn, and returns nil when AnyFrame has accepted it. If
// AnyFrame may have it and only a later look at its transcript can tell, the turn stays
// unresolved.
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
		if errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrNotFound) { // otherwise it may be stored as counted
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
			*turn = now
			return d.neverSend(ctx, l, turn)
		}
		return err
	}
	// AnyFrame may have it: its transcript decides. Until then, the turn is in flight for
	// every request.
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

// neverSend ends a turn that AnyFrame does not have and for which a stop was requested.
func (d *Courier) neverSend(ctx context.Context, l *ledger.Ledger, turn *ledger.Turn) error {
	stopped, err := l.NeverSend(ctx, *turn)
	if err == nil && stopped.State == ledger.Stopped {
		err = d.Budget.UncountTurn(ctx, turn.Day)
	}
	if err != nil {
		return err
	}
	*turn = stopped
	return problem.TurnStopped
}

// Settle finds out whether AnyFrame has a turn whose sender is gone. If it does not, and
// a stop was requested, it returns [problem.TurnStopped].
func (d *Courier) Settle(ctx context.Context, c *conversation.Conversation, turn *ledger.Turn) (found bool, err error) {
	found, err = d.Prove(ctx, c, turn, 0)
	if err == nil && !found && turn.Stop {
		err = d.neverSend(ctx, c.Ledger(), turn)
	}
	return found, err
}

// frontier is the last seq of AnyFrame's log, after which a new message comes. It is
// needed only where AnyFrame shows no messages and the relay must place the message
// itself. Our own log may then be shorter, right after a reconnect, or if another replica
// answered the visitor before.
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
			break // a message slightly out of place is better than none
		}
		head = row.Seq
	}
	return head
}

// Prove checks AnyFrame's transcript for a turn whose delivery is uncertain, until
// patience has passed. It reports whether AnyFrame has it.
func (d *Courier) Prove(ctx context.Context, c *conversation.Conversation, turn *ledger.Turn, patience time.Duration) (found bool, err error) {
	switch {
	case turn.Epoch < c.Epoch():
		return false, nil // it was sent to a session that no longer exists
	case turn.Epoch > c.Epoch():
		return false, store.ErrConflict // another replica has begun a conversation since c was read
	}
	deadline := time.Now().Add(patience)
	for {
		// Where AnyFrame shows no messages, an idle agent that started to work is proof,
		// unless another turn started it.
		others, err := c.Ledger().Others(ctx, turn)
		if err != nil {
			return false, err
		}
		silent, worked := !turn.Busy && !others && !c.Echoed(), false
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
			d.accept(ctx, c, turn)
			return true, nil
		}
		if time.Now().After(deadline) {
			return false, nil
		}
		backoff.Sleep(ctx, patience/6)
	}
}

// accept records that AnyFrame has accepted the turn.
func (d *Courier) accept(ctx context.Context, c *conversation.Conversation, turn *ledger.Turn) {
	turn.State, turn.Page, turn.Verified = ledger.Sent, "", ""
	d.countSent(ctx, turn)
	if end, over := c.Accepted(ctx, *turn, time.Now()); over {
		if err := c.Ledger().PersistEnd(ctx, end); err != nil {
			d.Log().Warn("failed to save a turn's end", "error", err)
		}
	}
	if err := c.Ledger().Persist(ctx, turn.Key); err != nil {
		// AnyFrame has it, so the visitor gets a success; only after a restart must the
		// transcript be checked again.
		d.Log().Error("failed to save a turn", "error", err)
	}
	d.Accepted(ctx, c, turn)
}
