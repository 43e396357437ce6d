package stream

import (
	"cmp"
	"context"
	"iter"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/eventlog"
	"github.com/anyframe-relay/relay/relay/internal/feedback"
	"github.com/anyframe-relay/relay/relay/internal/group"
	"github.com/anyframe-relay/relay/relay/internal/poll"
	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/telemetry"
)

const (
	// defaultHeartbeat is the longest silence on a stream; keep it below the idle timeout
	// of any proxy in front of the relay.
	defaultHeartbeat = 12 * time.Second
	// writeTimeout is how long a browser may block one write.
	writeTimeout = 10 * time.Second
	// drainSpread is the time over which the streams end when the server drains.
	drainSpread = 5 * time.Second
)

// Source is the conversation that a stream shows.
//
// View and Wrote are also called with the stream's lock and that of the Watchers held, in
// the goroutine that appends. They must not block, nor take a lock that is held while a
// goroutine appends or notifies. The other methods are called with no lock held, and may
// block until ctx ends.
type Source interface {
	// View returns the state to show now. The Source notifies the Watchers when it
	// changes.
	View() View
	Watchers() *eventlog.Watchers
	// Known reports whether the conversation has an event numbered seq or above, for a
	// seq above the log's head.
	Known(ctx context.Context, seq int64) (bool, error)
	// History returns the events in (after, upto]. An item without a Kind shows nothing:
	// it means that everything up to its Seq has been returned. An error ends the
	// sequence.
	History(ctx context.Context, after, upto int64) iter.Seq2[event.Item, error]
	// Look is called once when the stream begins, before its first View, to update the
	// status.
	Look(ctx context.Context)
	// Wrote is called after events from the log were written.
	Wrote()
}

// View is the state of a conversation. Views are compared with ==.
type View struct {
	Status event.Status
	Epoch  int64
	// Log holds the events of this epoch. It is closed when the epoch ends.
	Log *eventlog.Log
	// Revoked: the visitor may no longer see the conversation.
	Revoked bool
	// Erased: the epoch was erased, and the log has nothing of it any more.
	Erased bool
	// Refused is why the visitor may no longer be served, or nil.
	Refused *problem.Problem
	// Notice is the operators' banner for all visitors, or "".
	Notice string
	// Ratings are the visitor's ratings of answers, or nil.
	Ratings *feedback.Ratings
}

// Options are the settings of a [Server]. Zero values are the defaults.
type Options struct {
	// Lifetime is the maximum lifetime of a stream, reduced by up to a fifth at random.
	Lifetime time.Duration
	// Heartbeat is the longest silence on a stream. Default 12 s.
	Heartbeat time.Duration
	// Watch watches a connection without a goroutine. Default [poll.Of]. If it fails, a
	// goroutine waits for the browser to disconnect.
	Watch func(net.Conn, poll.Waiter) (*poll.Watch, error)
}

// Server serves event streams. It owns all of them until they end.
type Server struct {
	*core
	metrics *telemetry.Metrics // of the served site
}

// core is what the servers of all sites share.
type core struct {
	options Options
	log     *slog.Logger

	ctx    context.Context // canceled by Close; the context of every stream without a request
	cancel context.CancelFunc
	group  group.Group // the streams, and the goroutines that work for them
	wheel  timerWheel

	open     atomic.Int64
	draining atomic.Pointer[time.Time] // when the drain is over; nil if the server is not draining
}

// New returns a server without streams. It starts no goroutine before the first one.
func New(o Options, m *telemetry.Metrics, log *slog.Logger) *Server {
	o.Lifetime = cmp.Or(o.Lifetime, 10*time.Minute)
	o.Heartbeat = cmp.Or(o.Heartbeat, defaultHeartbeat)
	if o.Watch == nil {
		o.Watch = poll.Of
	}
	s := &core{options: o, log: log}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.wheel.init(s.ctx, &s.group)
	return &Server{s, m}
}

// ForSite returns a server that counts its streams in m. It shares everything else with
// s: draining or closing one of them drains or closes both.
func (s *Server) ForSite(m *telemetry.Metrics) *Server { return &Server{s.core, m} }

// Serve answers r with an event stream that shows src, after the event lastEventID, if
// that is not empty. It calls done once, when the stream has ended, with the reason. If
// the connection can be hijacked, Serve returns immediately, otherwise when the stream
// has ended. If it returns an error, nothing was written and done is not called.
func (s *Server) Serve(w http.ResponseWriter, r *http.Request, src Source, lastEventID string, done func(reason string)) error {
	s.open.Add(1) // first: either Drain sees this, or Serve sees that the server drains
	if s.draining.Load() != nil || !s.group.Add() {
		s.open.Add(-1)
		return problem.Draining
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream; charset=utf-8")
	h.Set("Cache-Control", "no-store, no-transform")
	h.Set("X-Accel-Buffering", "no")
	h.Add("Vary", "*") // no-store does not apply to the cache of a page's service worker; this does
	s.metrics.StreamsOpen.Inc()
	st := &stream{server: s, src: src, info: telemetry.FromContext(r.Context()), done: done, cursor: newCursor(lastEventID)}
	taken, err := st.conn.hijack(w, r)
	if err != nil {
		st.end(telemetry.EndGone) // the client has disconnected
		return nil
	}
	src.Watchers().Add(&st.watch, st)
	if taken {
		st.finished = st.info.Detach()
		go st.run(st.begin)
		return nil
	}
	w.WriteHeader(http.StatusOK)
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	st.conn.response = newResponse(ctx, w)
	defer context.AfterFunc(ctx, st.leave)()
	for step := st.begin; !st.run(step); step = st.step {
		<-st.conn.response.wake
	}
	if st.failed() {
		panic(http.ErrAbortHandler) // an answer that ends cleanly would look complete
	}
	return nil
}

// Drain refuses new streams and ends the open ones, spread over five seconds. It returns
// immediately.
func (s *Server) Drain() {
	if s.refuse() {
		s.wheel.fire() // every idle stream is in it, and a running one checks before it waits
	}
}

// refuse starts the drain, and returns false if it has already started.
func (s *Server) refuse() bool {
	over := time.Now().Add(drainSpread)
	return s.draining.CompareAndSwap(nil, &over)
}

// Open returns how many streams are open.
func (s *Server) Open() int { return int(s.open.Load()) }

// Close ends all streams and waits for them.
func (s *Server) Close() {
	s.refuse()
	s.cancel()
	s.wheel.fire()
	s.group.Close()
}

// jitter returns a random time from zero to limit.
func jitter(limit time.Duration) time.Duration {
	return rand.N(max(limit, 0) + 1) //nolint:gosec // an attacker gains nothing by guessing it
}
