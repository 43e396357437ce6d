package session

import (
	"context"
	"errors"

	"github.com/anyframe-relay/relay/relay/internal/admission"
	"github.com/anyframe-relay/relay/relay/internal/delivery"
	"github.com/anyframe-relay/relay/relay/internal/ledger"
	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/store"
)

// Quota limits what visitors may do. It refuses with a [problem.Problem].
type Quota interface {
	admission.Quota
	delivery.Budget
}

// Asks reports whether the visitor's next turn currently requires a solved challenge.
func (s *Session) Asks(ctx context.Context, addr string) (bool, error) {
	if !s.none() || s.reader.Waking() {
		return false, nil
	}
	return s.hub.Admission.Asks(ctx, admission.Turn{Visitor: s.visitor, Claim: admission.Claim{Addr: addr}, Room: s.hub.gate})
}

// note returns the stored turn, or admits and stores a new one. The caller releases the
// grant.
func (s *Session) note(ctx context.Context, claim admission.Claim, m Message) (turn ledger.Turn, g *admission.Grant, err error) {
	l := s.standing.Conversation().Ledger()
	turn, err = l.Stored(ctx, claim.Turn)
	if errors.Is(err, store.ErrNotFound) {
		want := admission.Turn{Visitor: s.visitor, Claim: claim}
		if s.none() && !s.reader.Waking() {
			want.Room = s.hub.gate
		}
		if g, err = s.hub.Admission.Admit(ctx, want); err != nil {
			return turn, nil, err
		}
		turn, err = l.Begin(ctx, ledger.Turn{
			Key: claim.Turn, Hash: m.Hash, Solved: g.Solved, Text: m.Text, Attachments: m.Names, Page: string(m.Context.Page), Verified: string(m.Context.Verified),
		})
		if err == nil && s.standing.Conversation().Epoch() == 0 {
			err = s.stillKnown(ctx)
		}
		if err != nil {
			return turn, nil, errors.Join(err, g.Undo())
		}
	}
	switch {
	case err != nil:
		return turn, nil, err
	case turn.Hash != m.Hash:
		if g != nil {
			g.Release()
		}
		return turn, nil, problem.TurnConflict
	case g != nil:
		return turn, g, nil
	case turn.State == ledger.Held:
		g, err = s.hub.Admission.Resend(ctx)
		return turn, g, err
	default:
		return turn, admission.Nothing(), nil
	}
}
