package httpapi

import (
	"net/http"

	"github.com/go-chi/chi/v5"

	"github.com/anyframe-relay/relay/relay/internal/problem"
)

// stopTurn stops a waiting or running turn: POST /v1/turns/{turn}/stop. It reads no body,
// and counts only against the address's requests.
func (a *api) stopTurn(w http.ResponseWriter, r *http.Request) error {
	key := chi.URLParam(r, "turn")
	if !keyPattern.MatchString(key) {
		return problem.TurnUnknown
	}
	sess, err := a.open(r)
	if err != nil {
		return err
	}
	defer sess.Close()
	if err := sess.Stop(r.Context(), key); err != nil {
		return err
	}
	return WriteJSON(w, http.StatusAccepted, struct{}{})
}
