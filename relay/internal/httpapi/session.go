package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/admission"
	"github.com/anyframe-relay/relay/relay/internal/body"
	"github.com/anyframe-relay/relay/relay/internal/clientip"
	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/session"
	"github.com/anyframe-relay/relay/relay/internal/strictjson"
)

// lookWait is how long a visitor waits for AnyFrame's answer about the session's status.
// After that, the last known status is returned.
const lookWait = 3 * time.Second

// WriteJSON answers with a JSON document.
func WriteJSON(w http.ResponseWriter, code int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(code)
	_, _ = w.Write(append(body, '\n')) // the client has disconnected: the error has no receiver
	return nil
}

// lookBriefly updates the session's status, if that doesn't take long.
func (a *api) lookBriefly(ctx context.Context, sess *session.Session) {
	ctx, cancel := context.WithTimeout(ctx, lookWait)
	defer cancel()
	if err := sess.Look(ctx); err != nil {
		a.log.Debug("failed to look up a session", "error", err)
	}
}

// open returns the visitor's session for a request. The caller must close it.
func (a *api) open(r *http.Request) (*session.Session, error) {
	return a.hub.Open(r.Context(), visitorOf(r).ID)
}

// showSession returns the session's status: GET /v1/session.
func (a *api) showSession(w http.ResponseWriter, r *http.Request) error {
	sess, err := a.open(r)
	if err != nil {
		return err
	}
	defer sess.Close()
	a.lookBriefly(r.Context(), sess)
	return WriteJSON(w, http.StatusOK, sess.State())
}

// wakeSession wakes the session, without waiting for it: POST /v1/session. It creates a
// sandbox only if sandboxes boot when the panel opens.
func (a *api) wakeSession(w http.ResponseWriter, r *http.Request) error {
	if a.hub.Draining() {
		return problem.Draining
	}
	if r.ContentLength != 0 { // a body is optional, and must then be empty JSON
		data, err := body.Read(w, r, maxSmallBody, body.Uncounted{})
		if err != nil {
			return err
		}
		if len(data) > 0 {
			if err := strictjson.Decode(data, "", strictjson.Fields{}); err != nil {
				return err
			}
		}
	}
	if err := a.consent.Check(r.Context(), visitorOf(r).ID); err != nil {
		return err
	}
	sess, err := a.open(r)
	if err != nil {
		return err
	}
	defer sess.Close()
	a.lookBriefly(r.Context(), sess)
	var call *session.Call
	if a.options.BootOnOpen {
		call, err = sess.Ensure(r.Context(), admission.Claim{Addr: clientip.Of(r), Solution: r.Header.Get(solutionHeader)})
	} else {
		call, err = sess.Wake(r.Context())
	}
	if err != nil {
		return a.ask(visitorOf(r).ID, err)
	}
	if call == nil {
		return WriteJSON(w, http.StatusOK, sess.State())
	}
	select {
	case <-call.Done():
		if err := call.Err(); err != nil {
			return a.ask(visitorOf(r).ID, err)
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
