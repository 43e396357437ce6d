package admin

import (
	"encoding/json"
	"net/http"

	"github.com/anyframe-relay/relay/relay/internal/problem"
)

// reload rereads the settings: POST /api/reload. Invalid settings change nothing and are
// reported with status 422.
func (a *Admin) reload(w http.ResponseWriter, r *http.Request) error {
	if a.Reload == nil {
		return problem.NotFound
	}
	if err := decode(w, r, &struct{}{}); err != nil {
		return err
	}
	wrong := a.Reload()
	if len(wrong) == 0 {
		a.audit(r, "reload")
		return answer(w, struct{}{})
	}
	body, err := json.Marshal(struct {
		Type     string   `json:"type"`
		Title    string   `json:"title"`
		Status   int      `json:"status"`
		Detail   string   `json:"detail"`
		Code     string   `json:"code"`
		Problems []string `json:"problems"`
	}{"about:blank", "Invalid settings", http.StatusUnprocessableEntity, "The settings are invalid. Nothing has changed.", "bad_settings", wrong})
	if err != nil {
		return err
	}
	a.Metrics.AdminRefusal("bad_settings")
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(http.StatusUnprocessableEntity)
	_, _ = w.Write(append(body, '\n')) // the client has disconnected: the error has no receiver
	return nil
}
