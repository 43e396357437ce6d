package anyframe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/anyframe-relay/relay/anyframe/internal/sse"
)

// Defaults of [StreamOptions].
const (
	defaultIdleTimeout  = 90 * time.Second
	defaultMaxEventSize = 16 << 20
	defaultMaxStalls    = 10
)

// Event is one event of a session's stream.
type Event struct {
	ID   string          // as sent with this event; "" if it had none
	Name string          // the SSE event name; "" if it had none
	Seq  int64           // ID as a number; 0 if the event is not numbered
	Data json.RawMessage // as sent, not validated as JSON; nil if empty; the caller may keep it
}

// StreamOptions configure how a stream is read. The zero value is valid.
//
// All streams are iterators. They send nothing until they are ranged over, run in
// the ranging goroutine, yield an error at most once and last, and close their
// connection when the loop is left. A stream's only timeout is for silence.
//
// An event's seq, the number in its id, increases through a session and may skip
// numbers. Events without one are yielded as they arrive and are not repeated after
// a broken connection.
type StreamOptions struct {
	// LastEventID is the event to continue after. "" replays the session's whole
	// history first.
	LastEventID string

	// IdleTimeout ends a connection with [ErrStreamStalled] if no byte arrives for
	// that long; keepalives count as bytes. The time the caller spends on an event is
	// not counted. 0 means 90 s, negative no limit.
	IdleTimeout time.Duration

	// MaxEventSize bounds one event, in bytes as sent. 0 means 16 MiB, negative
	// no limit.
	MaxEventSize int

	// MaxStalls is how many consecutive reconnects Follow makes without a new numbered
	// event before it returns the last error. 0 means 10, negative no limit. Events
	// does not reconnect.
	MaxStalls int

	// OnOpen is called each time the server has accepted a connection with 200 and an
	// event stream. OnReconnect is called before Follow waits to reconnect. OnIdle is
	// called when all received events have been yielded and the stream is about to
	// wait for more. Use it to process events in batches: add each event to a batch,
	// and flush the batch in OnIdle. It is called once for each batch, and at the
	// latest when the connection ends or the loop is left; events that arrive together
	// may still be split into several batches. Each may be nil. They run in the
	// caller's goroutine, and their time does not count towards IdleTimeout.
	OnOpen      func()
	OnReconnect func(Reconnect)
	OnIdle      func()
}

// Reconnect is the argument of StreamOptions.OnReconnect.
type Reconnect struct {
	Attempt     int           // 1 for the first since the last new event
	Cause       error         // why the connection ended; io.EOF if the server closed it normally
	Delay       time.Duration // the wait before the reconnect
	LastEventID string        // the event after which the stream continues
}

func (o StreamOptions) withDefaults() StreamOptions {
	o.IdleTimeout = orDefault(o.IdleTimeout, defaultIdleTimeout)
	o.MaxStalls = orDefault(o.MaxStalls, defaultMaxStalls)
	o.MaxEventSize = orDefault(o.MaxEventSize, defaultMaxEventSize)
	if o.MaxEventSize < 0 {
		o.MaxEventSize = math.MaxInt
	}
	return o
}

// Events reads one connection of the session's stream to its end. It sends nothing
// until it is ranged over, and each range opens its own connection. It yields an
// error at most once and last; if the server ends the stream between two events,
// there is none. The connection closes when the loop is left or ctx ends.
func (s *SessionsService) Events(
	ctx context.Context, id string, o StreamOptions, opts ...CallOption,
) iter.Seq2[Event, error] {
	o = o.withDefaults()
	return func(yield func(Event, error) bool) {
		st, err := s.client.open(ctx, s.events(id), opening{o: o, opts: opts, lastEventID: o.LastEventID, attempt: 1})
		if err != nil {
			yield(Event{}, err)
			return
		}
		defer st.close()
		for {
			e, err := st.next()
			if err == io.EOF { //nolint:errorlint // next never wraps it
				return
			}
			if err != nil {
				yield(Event{}, err)
				return
			}
			st.body.batch = true
			if !yield(e, nil) {
				st.body.idleNow()
				return
			}
		}
	}
}

// stream is one open connection. It has no goroutine: the caller of next reads from
// the connection.
type stream struct {
	client    *Client
	request   request
	attempt   int             // number of this request of the stream
	ctx       context.Context // the caller's
	limited   context.Context // ends with ctx, and if the stream stalls
	cancel    context.CancelCauseFunc
	wire      *wire
	requestID string // of the response, "" if it has none
	closer    io.Closer
	body      idleReader // has no reader until the response is known to be a stream
	dec       sse.Decoder
	maxEvent  int
}

// events opens a session's stream.
func (s *SessionsService) events(id string) request {
	return get("/api/sessions/{session_id}/events", id)
}

// opening is what is needed to open a connection.
type opening struct {
	o           StreamOptions
	opts        []CallOption
	lastEventID string
	attempt     int // number of this request of the stream, from 1
}

// prepareStream is prepare for the request of a stream.
func (c *Client) prepareStream(r request, lastEventID string, opts []CallOption) (request, callOptions) {
	r, call := c.prepare(r, opts)
	for _, name := range []string{"Accept", "Accept-Encoding", "Last-Event-Id"} {
		if len(r.header[name]) > 0 {
			r = r.refuse("header", name, "is set by the client on a stream")
		}
	}
	if strings.ContainsAny(lastEventID, "\r\n\x00") {
		r = r.refuse("header", "Last-Event-Id", "has a line end or NUL")
	}
	return r, call
}

// open connects and checks that the response is an event stream.
func (c *Client) open(ctx context.Context, r request, how opening) (*stream, error) {
	o := how.o
	r, call := c.prepareStream(r, how.lastEventID, how.opts)
	if r.err != nil {
		return nil, r.err
	}
	if ctx.Err() != nil {
		call.capture.fill(0, nil, how.attempt-1, nil)
		return nil, callerEnded(ctx, r, how.attempt-1)
	}
	headers := map[string]string{
		"Accept":          "text/event-stream",
		"Accept-Encoding": "identity", // otherwise Go requests gzip, and a gzip writer delays events
	}
	if how.lastEventID != "" {
		headers["Last-Event-ID"] = how.lastEventID
	}
	limited, cancel := context.WithCancelCause(ctx)
	// Until the stream is open, the call's timeout applies. It is a timer and not a
	// deadline, because it must be possible to cancel it.
	var limit *time.Timer
	if call.timeout > 0 {
		limit = time.AfterFunc(call.timeout, func() { cancel(timeoutError(call.timeout)) })
	}
	st := &stream{
		client: c, request: r, attempt: how.attempt, ctx: ctx, limited: limited, cancel: cancel, wire: new(wire),
	}
	start := time.Now()
	resp, err := c.roundTrip(st.wire.trace(limited), c.streams, r, nil, headers) //nolint:bodyclose // close does
	if err != nil {
		e := c.failure(ctx, limited, r, st.wire, err)
		e.Attempts = how.attempt
		st.stop(limit)
		c.logAttempt(ctx, r, how.attempt, start, nil, e)
		call.capture.fill(0, nil, how.attempt, nil)
		return nil, e
	}
	call.capture.fill(resp.StatusCode, resp.Header, how.attempt, nil)
	// No other part of the response is kept while the stream is open.
	st.requestID, st.closer = requestID(resp.Header), resp.Body
	if err := st.refused(resp); err != nil {
		st.stop(limit)
		st.closer.Close()
		c.logAttempt(ctx, r, how.attempt, start, resp, err)
		return nil, err
	}
	if limit != nil && !limit.Stop() { // it fired while the headers arrived, and may not have canceled yet
		e := c.failure(ctx, limited, r, st.wire, timeoutError(call.timeout))
		e.Attempts = how.attempt
		st.close()
		return nil, e
	}
	c.logAttempt(ctx, r, how.attempt, start, resp, nil)
	st.body.r, st.body.idle, st.body.stalled = resp.Body, o.IdleTimeout, func() {
		cancel(fmt.Errorf("%w: no byte for %v", ErrStreamStalled, o.IdleTimeout))
	}
	st.body.try, _ = resp.Body.(tryReader)
	st.body.onIdle = o.OnIdle
	st.body.watch()
	st.dec.Init(&st.body, o.MaxEventSize)
	st.maxEvent = o.MaxEventSize
	if o.OnOpen != nil {
		o.OnOpen()
	}
	return st, nil
}

func (st *stream) stop(limit *time.Timer) {
	if limit != nil {
		limit.Stop()
	}
	st.cancel(nil)
}

// refused returns the error of a response that is not a stream, otherwise nil.
func (st *stream) refused(resp *http.Response) error {
	var cause error
	switch encoding := resp.Header.Get("Content-Encoding"); {
	case resp.StatusCode < 200 || resp.StatusCode > 299:
		e := st.client.refusal(st.request, resp)
		e.Attempts = st.attempt
		return e
	case resp.StatusCode == http.StatusNoContent:
		cause = ErrStreamEnded
	case encoding != "" && !strings.EqualFold(encoding, "identity"):
		cause = fmt.Errorf("%w: content encoding %q", ErrNotEventStream, encoding)
	default:
		kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
		if err == nil && kind == "text/event-stream" && resp.StatusCode == http.StatusOK {
			return nil
		}
		cause = fmt.Errorf("%w: status %d, content type %q", ErrNotEventStream, resp.StatusCode, kind)
	}
	return &Error{
		StatusCode: resp.StatusCode, Message: cause.Error(), Method: st.request.method, Path: st.request.path,
		RequestID: requestID(resp.Header), Header: resp.Header, Attempts: st.attempt, cause: cause,
	}
}

// next returns the next event, bare [io.EOF] at a clean end, or an *Error.
func (st *stream) next() (Event, error) {
	for {
		e, err := st.decode()
		switch err {
		case nil:
			return e, nil
		case sse.ErrWait: //nolint:errorlint // the decoder never wraps it
			st.body.wait()
		default:
			return Event{}, st.ended(err)
		}
	}
}

// decode returns the next event or the decoder's error.
func (st *stream) decode() (Event, error) {
	f, err := st.dec.Next()
	if err != nil {
		return Event{}, err
	}
	return Event{ID: f.ID, Name: f.Name, Seq: parseSeq(f.ID), Data: f.Data}, nil
}

// ended returns the result of next after the decoder has ended.
func (st *stream) ended(err error) error {
	st.body.idleNow()
	switch {
	case st.limited.Err() == nil && err == io.EOF: //nolint:errorlint // the decoder never wraps it
		return io.EOF
	case errors.Is(err, sse.ErrTooLarge):
		err = &EventTooLargeError{ID: st.dec.PartialID(), Limit: st.maxEvent}
	}
	e := st.client.failure(st.ctx, st.limited, st.request, st.wire, fmt.Errorf("read stream: %w", err))
	e.Attempts, e.RequestID = st.attempt, st.requestID
	if errors.Is(err, ErrEventTooLarge) && e.kind == kindTransport {
		e.kind = kindAnswer // the connection still works
	}
	return e
}

// close closes the connection, which ends a read in progress.
func (st *stream) close() {
	st.cancel(nil)
	st.body.stop()
	st.closer.Close()
}

// parseSeq parses an id as a number: ASCII digits only; otherwise 0.
func parseSeq(id string) int64 {
	for i := range len(id) {
		if id[i] < '0' || id[i] > '9' {
			return 0
		}
	}
	seq, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		return 0
	}
	return seq
}
