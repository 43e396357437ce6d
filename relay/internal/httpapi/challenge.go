package httpapi

import (
	"errors"
	"net/http"

	"github.com/anyframe-relay/relay/relay/internal/challenge"
	"github.com/anyframe-relay/relay/relay/internal/clientip"
	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/session"
)

// solutionHeader contains the solution of a challenge.
const solutionHeader = "Relay-Challenge"

// ask returns a refusal, with a challenge if the refusal requires one.
func (a *api) ask(visitor string, refusal error) error {
	if !errors.Is(refusal, problem.ChallengeNeeded) {
		return refusal
	}
	return &problem.Challenged{Challenge: a.challenge.Give(visitor)}
}

// askAhead returns a challenge if the visitor's first message currently requires one, so
// that the browser can solve it while the visitor writes. Otherwise it returns nil.
func (a *api) askAhead(r *http.Request, visitor string, sess *session.Session) (*challenge.Challenge, error) {
	asks, err := sess.Asks(r.Context(), clientip.Of(r))
	if err != nil || !asks {
		return nil, err
	}
	given := a.challenge.Give(visitor)
	return &given, nil
}
