package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/clientip"
	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/problem"
)

const (
	defaultRows = 200
	maxRows     = 1000
	// maxPage is how many bytes of events one answer holds. An event that is larger is
	// alone on its page.
	maxPage = 1 << 20
	// pageOverhead is what an answer has besides its events, in bytes.
	pageOverhead = 64
	// answerTimeout is how long a client may take to read an answer.
	answerTimeout = 10 * time.Second
)

// pastEvent is one event of the past, as it would come on the stream.
type pastEvent struct {
	ID    *string `json:"id"`
	Event string  `json:"event"`
	Data  any     `json:"data"`
}

// showTranscript tells the session's past: GET /v1/transcript.
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
	release, err := a.limits.Answer(r.Context(), visitor, clientip.Of(r))
	if err != nil {
		return err
	}
	defer release()
	body, err := a.transcript(r, visitor, since, int(limit))
	if err != nil {
		return err
	}
	return writeInTime(w, body)
}

// transcript is the answer with at most limit rows of a visitor's session after the one
// numbered since, as many as fit.
func (a *api) transcript(r *http.Request, visitor string, since int64, limit int) ([]byte, error) {
	sess, err := a.hub.Open(r.Context(), visitor)
	if err != nil {
		return nil, err
	}
	defer sess.Close()
	p := page{body: []byte(`{"events":[`)}
	next, err := sess.Page(r.Context(), since, limit, p.add)
	if err = errors.Join(err, p.err); err != nil {
		return nil, err
	}
	p.body = append(p.body, `],"next_since":`...)
	if next == nil {
		p.body = append(p.body, "null}\n"...)
	} else {
		p.body = append(strconv.AppendInt(p.body, *next, 10), "}\n"...)
	}
	return bytes.Clone(p.body), nil // no larger than need be, for as long as the client reads
}

// page is an answer that is being put together.
type page struct {
	body  []byte
	shown bool         // it has an event
	row   bytes.Buffer // scratch
	err   error        // the row that could not be encoded
}

// add adds what a row comes to, and reports whether it fits. The first always does.
func (p *page) add(epoch int64, row []event.Item) bool {
	p.row.Reset()
	for i, it := range row {
		if p.shown || i > 0 {
			p.row.WriteByte(',')
		}
		e := pastEvent{Event: it.Kind, Data: it.Payload()}
		if it.Seq != 0 {
			e.ID = new(event.ID{Epoch: epoch, Seq: it.Seq}.String())
		}
		encoded, err := json.Marshal(e)
		if err != nil {
			p.err = err
			return false
		}
		p.row.Write(encoded)
	}
	if p.shown && len(p.body)+p.row.Len() > maxPage-pageOverhead {
		return false
	}
	p.body = append(p.body, p.row.Bytes()...)
	p.shown = true
	return true
}

// writeInTime writes a JSON answer that may be large. A client that does not read it in
// time is cut off, so that it does not hold the memory.
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
		err = control.Flush() // all of it while the deadline holds
	}
	if err == nil || errors.Is(err, http.ErrNotSupported) {
		_ = control.SetWriteDeadline(time.Time{}) // it would hold for the connection's next answer
		return nil
	}
	panic(http.ErrAbortHandler) // nothing can be said any more on this connection
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
