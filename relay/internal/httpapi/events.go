package httpapi

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"net/http"
	"slices"
	"sync/atomic"

	"github.com/anyframe-relay/relay/relay/internal/clientip"
	"github.com/anyframe-relay/relay/relay/internal/control"
	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/eventlog"
	"github.com/anyframe-relay/relay/relay/internal/feedback"
	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/session"
	"github.com/anyframe-relay/relay/relay/internal/stream"
)

// streamEvents streams the session's events, from where the browser left off: GET
// /v1/events.
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
	src := &source{api: a, session: sess, addr: clientip.Of(r)}
	if a.options.Feedback {
		board, leave, err := a.feedback.Watch(r.Context(), v.ID, sess.Watchers().Notify)
		if err != nil {
			return err
		}
		src.ratings = board
		undo = append(undo, leave)
	}
	if v.Identified {
		token := v.Token
		src.device = sess.Devices().Attach(token)
		undo = append(undo, func() { sess.Devices().Detach(token) })
		if _, err := a.visitor(r); err != nil {
			return err // signed out before this stream could be notified
		}
	}
	return a.streams.Serve(w, r, src, lastEventID(r), done)
}

// lastEventID returns the id of the event after which the browser wants to continue. The
// header, which an EventSource sets on reconnecting, takes precedence over the query,
// because the URL stays that of the first connection.
func lastEventID(r *http.Request) string {
	query := r.URL.Query()
	return cmp.Or(r.Header.Get("Last-Event-ID"), query.Get("last_event_id"), query.Get("lastEventId"))
}

// source presents a session to one stream. It implements [stream.Source].
type source struct {
	api     *api
	session *session.Session
	device  *session.Device // nil unless the website identified the visitor
	addr    string
	ratings *feedback.Board // nil if ratings are off

	decided atomic.Pointer[decided]
}

// decided is the operators' decision about a stream's visitor and address.
type decided struct {
	state   *control.State
	refused *problem.Problem // until the block expires, which ends no stream
}

// decision looks up the visitor and the address only if the operators' decisions have
// changed since the last call, because it is called for every event.
func (s *source) decision() *decided {
	state := s.api.control.State()
	if d := s.decided.Load(); d != nil && d.state == state {
		return d
	}
	d := &decided{state: state}
	err := cmp.Or(state.BlockedAddr(s.addr), state.BlockedVisitor(s.session.Visitor()))
	d.refused, _ = errors.AsType[*problem.Problem](err)
	s.decided.Store(d)
	return d
}

func (s *source) View() stream.View {
	v, d := s.session.View(), s.decision()
	refused := d.refused
	if s.api.hub.Retired() {
		refused = problem.NotFound
	}
	return stream.View{
		Status: v.Status, Epoch: v.Epoch, Log: v.Log, Revoked: v.Revoked || s.device.Void(), Erased: v.Erased,
		Refused: refused, Notice: d.state.Notice(), Ratings: s.ratings.Ratings(),
	}
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
