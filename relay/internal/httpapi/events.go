package httpapi

import (
	"cmp"
	"context"
	"iter"
	"net/http"
	"slices"

	"github.com/anyframe-relay/relay/relay/internal/clientip"
	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/eventlog"
	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/session"
	"github.com/anyframe-relay/relay/relay/internal/stream"
)

// streamEvents sends the session's events, from where the browser left off:
// GET /v1/events.
func (a *api) streamEvents(w http.ResponseWriter, r *http.Request) (err error) {
	v := visitorOf(r)
	if a.hub.Draining() {
		return problem.Draining
	}
	release, err := a.limits.Stream(v.ID, clientip.Of(r))
	if err != nil {
		return err
	}
	undo := []func(){release} // called in reverse when the stream has ended
	done := func(string) {
		for _, f := range slices.Backward(undo) {
			f()
		}
	}
	defer func() {
		if err != nil {
			done("")
		}
	}()
	sess, err := a.hub.Open(r.Context(), v.ID)
	if err != nil {
		return err
	}
	undo = append(undo, sess.Close, sess.Listen())
	src := &source{api: a, session: sess}
	if v.Identified {
		token := v.Token
		src.device = sess.Attach(token)
		undo = append(undo, func() { sess.Detach(token) })
		if _, err := a.visitor(r); err != nil {
			return err // logged out before anybody could tell this stream
		}
	}
	return a.streams.Serve(w, r, src, lastEventID(r), done)
}

// lastEventID is the event after which the browser wants to go on. The header, which
// an EventSource sets when it reconnects, comes before the query: a URL stays what it
// was when the first connection was made.
func lastEventID(r *http.Request) string {
	query := r.URL.Query()
	return cmp.Or(r.Header.Get("Last-Event-ID"), query.Get("last_event_id"), query.Get("lastEventId"))
}

// source shows a session to one stream. It implements [stream.Source].
type source struct {
	api     *api
	session *session.Session
	device  *session.Device // nil unless the website said who the visitor is
}

func (s *source) View() stream.View {
	v := s.session.View()
	return stream.View{Status: v.Status, Epoch: v.Epoch, Log: v.Log, Revoked: v.Revoked || s.device.Void()}
}

func (s *source) Watchers() *eventlog.Watchers { return s.session.Watchers() }

func (s *source) Known(ctx context.Context, seq int64) (bool, error) {
	return s.session.Known(ctx, seq)
}

func (s *source) History(ctx context.Context, after, upto int64) iter.Seq2[event.Item, error] {
	c := s.session.Conversation()
	return c.History(ctx, s.session.Rows(c), after, upto)
}

func (s *source) Look(ctx context.Context) { s.api.lookBriefly(ctx, s.session) }

func (s *source) Wrote() { s.session.Answered() }
