package session

import (
	"context"

	"github.com/anyframe-relay/relay/relay/internal/conversation"
)

// Answer sends a visitor's answer to a prompt to AnyFrame, at most once over all tabs and
// replicas. The text answers a question; the decision, "approve" or "deny", answers a
// permission prompt.
func (s *Session) Answer(ctx context.Context, id, text, decision string) error {
	return s.answerBy(ctx, s.courier.Answer, id, text, decision)
}

// Decide is Answer for an operator, who may also decide prompts that visitors may not.
func (s *Session) Decide(ctx context.Context, id, text, decision string) error {
	return s.answerBy(ctx, s.courier.Decide, id, text, decision)
}

func (s *Session) answerBy(ctx context.Context, how answering, id, text, decision string) error {
	ctx = s.calls(ctx)
	outcome, err := how(ctx, s.standing.Conversation(), id, text, decision)
	if outcome != "" {
		s.hub.Publish(ctx, s.visitor)
	}
	return err
}

type answering = func(ctx context.Context, c *conversation.Conversation, id, text, decision string) (outcome string, err error)
