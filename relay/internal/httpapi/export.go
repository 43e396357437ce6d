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

// slowest is how many bytes of a long answer a client must read per second, on average: a
// client that reads less would hold its place among the answers for hours.
const slowest = 32 << 10

// slowWriter extends the deadline for each piece of a long answer, for a client that reads
// fast enough.
type slowWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	wrote   bool
	sent    int           // in bytes
	spent   time.Duration // waiting for the client
}

func (s *slowWriter) Write(b []byte) (n int, err error) {
	s.wrote = true
	began := time.Now()
	left := answerTimeout + time.Duration(s.sent)*time.Second/slowest - s.spent
	if err := s.control.SetWriteDeadline(began.Add(min(answerTimeout, left))); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	n, err = s.ResponseWriter.Write(b)
	s.sent += n
	s.spent += time.Since(began)
	return n, err
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
