package relay

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/upstream"
	"github.com/anyframe-relay/relay/relay/store"
)

// claimFor is how long an answer on its way keeps others out. After it, one who
// died on the way no longer does.
const claimFor = time.Minute

// answer sends a visitor's answer to AnyFrame, at most once over all tabs and
// replicas: whoever gets the prompt's note from open to claimed sends it.
func (s *session) answer(ctx context.Context, id, text, decision string) error {
	epoch := s.view().epoch
	n, err := s.hub.store.Note(ctx, s.visitor, notePrompt, id)
	if errors.Is(err, store.ErrNotFound) || (err == nil && n.Epoch != epoch) {
		return problem.PromptUnknown
	}
	if err != nil {
		return err
	}
	p := readPrompt(n)
	switch {
	case p.Approval && decision == "", !p.Approval && decision != "":
		return problem.PromptUnknown // there is one of that id, and it is of the other kind
	case p.note.State == promptAnswered:
		return problem.PromptSettled
	case p.note.State == promptClaimed && time.Since(p.ClaimedAt) < claimFor:
		if p.Unsure { // nobody knows yet whether it is settled
			return problem.Upstream.After(claimFor - time.Since(p.ClaimedAt))
		}
		return problem.PromptSettled
	}
	outcome := "answered"
	body := map[string]any{"prompt_id": p.PromptID, "answer": text}
	if p.Approval {
		outcome = map[string]string{"approve": "approved", "deny": "denied"}[decision]
		// Two forms of the answer are known, and which one AnyFrame takes is
		// not: this is both.
		body = map[string]any{"prompt_id": p.PromptID, "tool_use_id": p.ToolUseID, "decision": decision, "approve": decision == "approve"}
	}
	p.note.State, p.Outcome, p.ClaimedAt, p.Unsure = promptClaimed, outcome, time.Now(), false
	n, err = s.hub.store.SaveNote(ctx, p.stored())
	switch {
	case errors.Is(err, store.ErrConflict):
		return problem.PromptSettled
	case err != nil:
		return err
	}
	p = readPrompt(n)
	p.inFlight = true
	s.notes().setPrompt(p)
	_, err = s.hub.client.Sessions.Respond(ctx, s.upstreamID(), body)
	p.inFlight = false
	switch {
	case err == nil:
	case errors.Is(err, anyframe.ErrNotFound), errors.Is(err, anyframe.ErrConflict):
		outcome, err = event.OutcomeElsewhere, problem.PromptSettled // no longer open there
	case upstream.NeverSent(err):
		p.note.State, p.Outcome = promptOpen, "" // may be tried again
		s.savePrompt(ctx, p)
		return err
	case s.goneOn(ctx, p.note.Seq):
		err = nil // it had arrived
	default:
		// It may have arrived, and must not arrive twice. If it did, that shows
		// when the agent goes on. If it did not, the agent still waits; the
		// claim ends and the visitor may try again.
		p.Unsure = true
		s.savePrompt(ctx, p)
		return problem.Of(err).After(claimFor)
	}
	p.note.State, p.Outcome = promptAnswered, outcome
	p.After = max(s.showSettled(id, outcome), p.note.Seq)
	s.savePrompt(ctx, p)
	s.hub.tell(ctx, s.visitor)
	s.logger().Info("prompt", "outcome", outcome)
	return err
}

// goneOn reports whether the agent went on after the prompt numbered seq, so
// that it has its answer. It is given a little time for that.
func (s *session) goneOn(ctx context.Context, seq int64) bool {
	if seq == 0 {
		return false
	}
	for deadline := time.Now().Add(proofWait); ; pause(ctx, proofWait/6) {
		rows, err := s.rows(ctx, seq, historyPage)
		if err != nil {
			return false
		}
		if slices.ContainsFunc(rows, func(row anyframe.ChatEvent) bool { return speaks(row.Event().Type()) }) {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
	}
}
