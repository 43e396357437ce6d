package httpapi

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/clientip"
	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/past"
	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/session"
)

const (
	defaultRows = 200
	maxRows     = 1000
	// answerTimeout is how long a client may take to read an answer.
	answerTimeout = 10 * time.Second
)

// showTranscript returns a page of the session's past events: GET /v1/transcript.
func (a *api) showTranscript(w http.ResponseWriter, r *http.Request) error {
	visitor := visitorOf(r).ID
	since, err := queryInt(r, "since", 0, 0, 1<<62)
	if err != nil {
		return err
	}
	limit, err := queryInt(r, "limit", defaultRows, 1, maxRows)
	if err != nil {
		return err
	}
	epoch, err := queryInt(r, "epoch", 0, 1, 1<<62)
	if err != nil {
		return err
	}
	release, err := a.limits.Answer(r.Context(), visitor, clientip.Of(r))
	if err != nil {
		return err
	}
	defer release()
	body, err := a.transcript(r, visitor, epoch, since, int(limit))
	if err != nil {
		return err
	}
	return writeInTime(w, body)
}

// transcript returns the answer with as many as fit of at most limit rows after row since
// of a visitor's epoch, 0 being the current one.
func (a *api) transcript(r *http.Request, visitor string, epoch, since int64, limit int) ([]byte, error) {
	sess, err := a.hub.Open(r.Context(), visitor)
	if err != nil {
		return nil, err
	}
	defer sess.Close()
	var p past.Page
	var next *int64
	if epoch == 0 || epoch == sess.View().Epoch && sess.Conversation().ID() != "" {
		next, err = sess.Page(r.Context(), since, limit, p.Add)
	} else {
		next, err = a.past.Page(r.Context(), sess, epoch, since, limit, func(row []event.Item) bool { return p.Add(epoch, row) })
	}
	if errors.Is(err, past.ErrUnknown) {
		err = errNoConversation
	}
	if err == nil && next == nil {
		next, err = a.addRatings(r.Context(), sess, cmp.Or(epoch, sess.View().Epoch), since, &p)
	}
	if err != nil {
		return nil, err
	}
	return p.Close(next)
}

// addRatings adds the ratings of an epoch to its last page, after the answers. If they
// don't fit, they get a page of their own, after the last number of this one.
func (a *api) addRatings(ctx context.Context, sess *session.Session, epoch, since int64, p *past.Page) (next *int64, err error) {
	items, err := a.ratings(ctx, sess.Visitor(), epoch)
	if err != nil {
		return nil, err
	}
	return p.AddLast(epoch, since, items), nil
}

// writeInTime writes a JSON answer that may be large. It cuts off a client that does not
// read it in time, so that the client does not hold the memory.
func writeInTime(w http.ResponseWriter, body []byte) error {
	control := http.NewResponseController(w)
	if err := control.SetWriteDeadline(time.Now().Add(answerTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusOK)
	_, err := w.Write(body) //nolint:gosec // JSON, with nosniff
	if err == nil {
		err = control.Flush() // all of it, while the deadline applies
	}
	if err == nil || errors.Is(err, http.ErrNotSupported) {
		_ = control.SetWriteDeadline(time.Time{}) // it would apply to the connection's next answer
		return nil
	}
	panic(http.ErrAbortHandler) // nothing more can be sent on this connection
}

func queryInt(r *http.Request, name string, missing, least, most int64) (int64, error) {
	raw := r.URL.Query().Get(name)
	if raw == "" {
		return missing, nil
	}
	n, err := strconv.ParseInt(raw, 10, 64)
	if err != nil || n < least || n > most {
		return 0, problem.BadRequest.With("%q must be a number from %d to %d.", name, least, most)
	}
	return n, nil
}
