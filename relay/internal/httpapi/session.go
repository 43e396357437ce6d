package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/clientip"
	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/session"
)

// lookWait is how long a visitor waits for AnyFrame to say where its session
// stands; what was last known is told then.
const lookWait = 3 * time.Second

// WriteJSON answers with a JSON document.
func WriteJSON(w http.ResponseWriter, code int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(code)
	_, _ = w.Write(append(body, '\n')) // the client is gone: nobody to tell
	return nil
}

// lookBriefly finds out where the session stands, if that doesn't take long.
func (a *api) lookBriefly(ctx context.Context, sess *session.Session) {
	ctx, cancel := context.WithTimeout(ctx, lookWait)
	defer cancel()
	if err := sess.Look(ctx); err != nil {
		a.log.Debug("look at a session", "error", err)
	}
}

// open finds the visitor's session for a request. Whoever gets it must close it.
func (a *api) open(r *http.Request) (*session.Session, error) {
	return a.openFor(r, visitorOf(r).ID)
}

// openFor is open for a visitor who is known.
func (a *api) openFor(r *http.Request, visitor string) (*session.Session, error) {
	sess, err := a.hub.Open(r.Context(), visitor)
	if err != nil {
		return nil, err
	}
	sess.Asked(clientip.Whole(clientip.Of(r)))
	return sess, nil
}

// showSession tells where the session stands: GET /v1/session.
func (a *api) showSession(w http.ResponseWriter, r *http.Request) error {
	sess, err := a.open(r)
	if err != nil {
		return err
	}
	defer sess.Close()
	a.lookBriefly(r.Context(), sess)
	return WriteJSON(w, http.StatusOK, sess.State())
}

// wakeSession makes sure that a session exists and is awake, without waiting
// for it: POST /v1/session.
func (a *api) wakeSession(w http.ResponseWriter, r *http.Request) error {
	if a.hub.Draining() {
		return problem.Draining
	}
	if r.ContentLength != 0 { // a body is not needed, and if there is one it must be empty JSON
		body, err := readBody(w, r, maxSmallBody)
		if err != nil {
			return err
		}
		if len(body) > 0 {
			if err := decodeObject(body, "", fields{}); err != nil {
				return err
			}
		}
	}
	sess, err := a.open(r)
	if err != nil {
		return err
	}
	defer sess.Close()
	a.lookBriefly(r.Context(), sess)
	call, err := sess.Ensure(r.Context(), clientip.Of(r))
	if err != nil {
		return err
	}
	if call == nil {
		return WriteJSON(w, http.StatusOK, sess.State())
	}
	select {
	case <-call.Done():
		if err := call.Err(); err != nil {
			return err
		}
		return WriteJSON(w, http.StatusOK, sess.State())
	default:
	}
	return WriteJSON(w, http.StatusAccepted, sess.State())
}

// endSession ends the conversation: DELETE /v1/session.
func (a *api) endSession(w http.ResponseWriter, r *http.Request) error {
	sess, err := a.open(r)
	if err != nil {
		return err
	}
	defer sess.Close()
	if err := sess.End(context.WithoutCancel(r.Context())); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

const (
	defaultRows = 200
	maxRows     = 1000
)

// pastEvent is one event of the past, as it would come on the stream.
type pastEvent struct {
	ID    *string `json:"id"`
	Event string  `json:"event"`
	Data  any     `json:"data"`
}

// showTranscript tells the session's past: GET /v1/transcript.
func (a *api) showTranscript(w http.ResponseWriter, r *http.Request) error {
	since, err := queryInt(r, "since", 0, 0, 1<<62)
	if err != nil {
		return err
	}
	limit, err := queryInt(r, "limit", defaultRows, 1, maxRows)
	if err != nil {
		return err
	}
	sess, err := a.open(r)
	if err != nil {
		return err
	}
	defer sess.Close()
	out := struct {
		Events    []pastEvent `json:"events"`
		NextSince *int64      `json:"next_since"`
	}{Events: []pastEvent{}}
	items, epoch, next, err := sess.Page(r.Context(), since, int(limit))
	if err != nil {
		return err
	}
	out.NextSince = next
	for _, it := range items {
		e := pastEvent{Event: it.Kind, Data: it.Payload()}
		if it.Seq != 0 {
			e.ID = new(event.ID{Epoch: epoch, Seq: it.Seq}.String())
		}
		out.Events = append(out.Events, e)
	}
	return WriteJSON(w, http.StatusOK, out)
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
