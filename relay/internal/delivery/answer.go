package delivery

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/backoff"
	"github.com/anyframe-relay/relay/relay/internal/conversation"
	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/ledger"
	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/store"
	"github.com/anyframe-relay/relay/relay/internal/upstream"
)

// claimFor is how long an answer in flight blocks other answers. After that, its sender
// may have crashed.
const claimFor = time.Minute

// repeatWait is how long a repeat of an answer waits for the end of the first one, which
// is in flight.
const repeatWait = 10 * time.Second

// Answer sends a visitor's answer to AnyFrame, at most once over all tabs and replicas:
// only the call that changes the prompt's note from open to claimed sends it. It returns
// how this call settled the prompt, or "" if it did not.
func (d *Courier) Answer(ctx context.Context, c *conversation.Conversation, id, text, decision string) (outcome string, err error) {
	outcome = "answered"
	if decision != "" {
		outcome = map[string]string{"approve": "approved", "deny": "denied"}[decision]
	}
	return d.answer(ctx, c, id, text, decision, outcome)
}

// Decide is Answer for an operator: visitors see that the prompt was answered elsewhere.
func (d *Courier) Decide(ctx context.Context, c *conversation.Conversation, id, text, decision string) (outcome string, err error) {
	return d.answer(ctx, c, id, text, decision, event.OutcomeElsewhere)
}

// Deny denies a permission prompt because its turn is stopped.
func (d *Courier) Deny(ctx context.Context, c *conversation.Conversation, id string) error {
	_, err := d.answer(ctx, c, id, "", "deny", event.OutcomeStopped)
	return err
}

func (d *Courier) answer(ctx context.Context, c *conversation.Conversation, id, text, decision, outcome string) (settled string, err error) {
	l := c.Ledger()
	p, sent, err := d.claim(ctx, c, id, text, decision, outcome)
	if sent || err != nil {
		return "", err
	}
	body := map[string]any{"prompt_id": p.PromptID, "answer": text}
	if p.Approval {
		// AnyFrame accepts one of two known forms of the answer, and it is not known
		// which: send both.
		body = map[string]any{"prompt_id": p.PromptID, "tool_use_id": p.ToolUseID, "decision": decision, "approve": decision == "approve"}
	}
	_, err = d.Client.Sessions.Respond(ctx, c.ID(), body)
	switch {
	case err == nil:
	case errors.Is(err, anyframe.ErrNotFound), errors.Is(err, anyframe.ErrConflict):
		p.Reply, outcome, err = "", event.OutcomeElsewhere, problem.PromptSettled // no longer open at AnyFrame
	case upstream.NeverSent(err):
		p.State, p.Reply, p.Outcome = ledger.Open, "", "" // may be retried
		l.PersistPrompt(ctx, p)
		return "", err
	case d.goneOn(ctx, c, p.Seq):
		err = nil // the answer had arrived
	default:
		// The answer may have arrived, and must not arrive twice. If it did, the agent's
		// next event proves it. If it did not, the agent still waits; the claim expires
		// and the visitor may retry.
		p.State = ledger.Unsure
		l.PersistPrompt(ctx, p)
		return "", problem.Of(err).After(claimFor)
	}
	p.State, p.Outcome = ledger.Settled, outcome
	p.After = max(c.ShowSettled(id, outcome), p.Seq)
	l.PersistPrompt(ctx, p)
	d.Log().Info("prompt answered", "outcome", outcome)
	return outcome, err
}

// claim makes this call the one that sends the answer. sent is true if AnyFrame has the
// same answer from a visitor, or from an operator, already. Such a repeat is answered as
// before: browsers send a request again if its connection breaks before the response.
func (d *Courier) claim(ctx context.Context, c *conversation.Conversation, id, text, decision, outcome string) (p ledger.Prompt, sent bool, err error) {
	l := c.Ledger()
	reply := ledger.Reply(outcome, decision, text)
	for deadline := time.Now().Add(repeatWait); ; {
		p, err = l.StoredPrompt(ctx, id)
		switch {
		case errors.Is(err, store.ErrNotFound), err == nil && p.Epoch < c.Epoch():
			return p, false, problem.PromptUnknown
		case err == nil && p.Epoch > c.Epoch():
			return p, false, store.ErrConflict // another replica has begun a conversation since c was read
		case err != nil:
			return p, false, err
		}
		claimed := time.Since(p.ClaimedAt)
		switch {
		case p.Approval && decision == "", !p.Approval && decision != "":
			return p, false, problem.PromptUnknown // the prompt exists, but is of the other kind
		case p.State == ledger.Settled && p.Reply == reply && p.Outcome == outcome:
			return p, true, nil
		case p.State == ledger.Claimed && claimed < claimFor && p.Reply == reply && time.Now().Before(deadline):
			backoff.Sleep(ctx, repeatWait/100)
			continue
		case p.State == ledger.Settled, p.State == ledger.Claimed && claimed < claimFor:
			return p, false, problem.PromptSettled
		case p.State == ledger.Unsure && claimed < claimFor: // it is not known yet whether the prompt is settled
			return p, false, problem.Upstream.After(claimFor - claimed)
		}
		p.Reply, p.Outcome, p.ClaimedAt = reply, outcome, time.Now()
		if err := l.Claim(ctx, &p); !errors.Is(err, store.ErrConflict) {
			return p, false, err
		} // otherwise another answer came first: perhaps the same one
	}
}

// goneOn reports whether the agent continued after the prompt numbered seq, which proves
// that it has its answer. It waits a little for that.
func (d *Courier) goneOn(ctx context.Context, c *conversation.Conversation, seq int64) bool {
	if seq == 0 {
		return false
	}
	for deadline := time.Now().Add(proofWait); ; backoff.Sleep(ctx, proofWait/6) {
		rows, err := d.Rows(c)(ctx, seq, conversation.MaxRows)
		if err != nil {
			return false
		}
		if slices.ContainsFunc(rows, func(row anyframe.ChatEvent) bool { return conversation.Speaks(row.Event().Type()) }) {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
	}
}
