package httpapi

import (
	"errors"
	"net/http"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/clientip"
	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/past"
)

// export sends everything stored about the visitor as one JSON document: GET /v1/export.
func (a *api) export(w http.ResponseWriter, r *http.Request) error {
	v := visitorOf(r)
	release, err := a.limits.Answer(r.Context(), v.ID, clientip.Of(r))
	if err != nil {
		return err
	}
	defer release()
	sess, err := a.open(r)
	if err != nil {
		return err
	}
	defer sess.Close()
	all, err := a.conversations(r.Context(), sess)
	if err != nil {
		return err
	}
	opinions, err := a.opinions(r.Context(), v.ID)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Disposition", `attachment; filename="conversations.json"`)
	out := &slowWriter{ResponseWriter: w, control: http.NewResponseController(w)}
	who := struct {
		Identified bool      `json:"identified"`
		ExpiresAt  time.Time `json:"expires_at"`
	}{v.Identified, past.Instant(v.ExpiresAt)}
	if err = a.past.Export(r.Context(), out, sess, who, all, opinions, func(epoch int64) ([]event.Item, error) { return a.ratings(r.Context(), v.ID, epoch) }); err == nil {
		err = out.done()
	}
	switch {
	case err == nil:
		return nil
	case !out.wrote:
		w.Header().Del("Content-Disposition")
		return err
	}
	a.log.Debug("export failed", "error", err)
	panic(http.ErrAbortHandler) // a truncated document must not look complete
}

// slowWriter extends the deadline for each piece of a long answer.
type slowWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	wrote   bool
}

func (s *slowWriter) Write(b []byte) (int, error) {
	s.wrote = true
	if err := s.control.SetWriteDeadline(time.Now().Add(answerTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	return s.ResponseWriter.Write(b)
}

// done flushes the answer and removes the deadline, which would otherwise apply to the
// connection's next answer.
func (s *slowWriter) done() error {
	err := s.control.Flush()
	if errors.Is(err, http.ErrNotSupported) {
		err = nil
	}
	_ = s.control.SetWriteDeadline(time.Time{})
	return err
}
