package admin

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/anyframe-relay/relay/relay/internal/control"
	"github.com/anyframe-relay/relay/relay/internal/erasure"
	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/store"
)

// erase deletes one conversation at AnyFrame and in the store: POST
// /api/conversations/{id}/erase. The visitor's token stays valid.
func (a *Admin) erase(w http.ResponseWriter, r *http.Request) error {
	id := chi.URLParam(r, "id")
	var erasing string
	err := a.at(r.Context(), func(s *Site) (err error) {
		erasing, err = s.Erasures.Conversation(r.Context(), id, erasure.ByOperator)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return problem.NotFound.With("There is no such conversation.")
	}
	if err != nil {
		return err
	}
	a.audit(r, "erase", "conversation", id, "erasure", erasing)
	return accepted(w, map[string]string{"erasure": erasing})
}

// showErasure returns the state of an erasure: GET /api/erasures/{id}.
func (a *Admin) showErasure(w http.ResponseWriter, r *http.Request) error {
	var e erasure.Erasure
	err := a.at(r.Context(), func(s *Site) (err error) {
		e, err = s.Erasures.Find(r.Context(), chi.URLParam(r, "id"))
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return problem.NotFound.With("There is no such erasure.")
	}
	if err != nil {
		return err
	}
	return answer(w, struct {
		ID        string         `json:"id"`
		Visitor   string         `json:"visitor"`
		Epoch     int64          `json:"epoch,omitempty"`
		Reason    erasure.Reason `json:"reason"`
		Requested time.Time      `json:"requested_at"`
		Deleted   *time.Time     `json:"deleted_at"`
		Done      *time.Time     `json:"done_at"`
	}{e.ID, control.VisitorHash(e.Visitor), e.Epoch, e.Reason, e.RequestedAt, once(e.DeletedAt), once(e.DoneAt)})
}

func once(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// accepted writes a JSON document with status 202.
func accepted(w http.ResponseWriter, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(http.StatusAccepted)
	_, _ = w.Write(append(body, '\n')) // the client has disconnected: the error has no receiver
	return nil
}
