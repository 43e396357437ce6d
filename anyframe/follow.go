package anyframe

import (
	"context"
	"errors"
	"io"
	"iter"
	"net/http"
	"time"

	"github.com/anyframe-relay/relay/anyframe/internal/sse"
)

// Limits on what the server may ask of Follow's waits.
const (
	maxRetryField       = 30 * time.Second // of the stream's retry field
	maxFollowRetryAfter = 10 * time.Minute // of a Retry-After header
)

// Follow reads the session's stream and reconnects whenever it breaks, after
// the last event that came whole, so that every numbered event is yielded once
// and in order. An event numbered no higher than the one before it is dropped;
// one without a number is passed on.
//
// It ends, with an error as the last thing yielded, when ctx does, when the
// server refuses (401, 403, 404, any other 4xx that is not about timing, or 204,
// see [ErrStreamEnded]), when the answer is no event stream, when an event is
// over MaxEventSize ([*EventTooLargeError]), and after MaxStalls reconnects
// without a new event. After a 409, or when the server ends the stream, it looks
// at the session: one that is stopped or stopping ends it with a
// [*SessionStateError], any other is connected to again.
//
// Otherwise it is as [SessionsService.Events]: lazy, and over when the loop is
// left.
func (s *SessionsService) Follow(
	ctx context.Context, id string, o StreamOptions, opts ...CallOption,
) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		f := s.Follower(ctx, id, o, opts...)
		defer f.Close()
		for {
			e, err := f.Next()
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// Follower reads a session's stream as [SessionsService.Follow] does, one event at a
// time, for a caller who has thousands of streams and no goroutine to spare for those
// that are silent:
//
//	for {
//		e, ok := f.TryNext()
//		if !ok {
//			if f.Park(wake) {
//				return // wake is called when there is more to do
//			}
//			if e, err = f.Next(); err != nil {
//				return
//			}
//		}
//		…
//	}
//
// A stream can be parked if the body of the answer has the methods
//
//	TryRead(p []byte) (n int, err error) // 0 and nil in place of waiting
//	Notify(ready func()) bool            // calls ready once TryRead has more to say
//
// which a transport of the caller's may see to ([WithHTTPClient]); net/http's has
// neither, so that Next waits. A Follower is for one goroutine at a time.
type Follower struct {
	patience
	ctx     context.Context
	s       *SessionsService
	id      string
	lastID  string  // where to continue
	lastSeq int64   // the highest seq returned
	st      *stream // nil while no connection is open
	failed  error   // how the decoder ended, until Next says so
}

// Follower returns a reader of the session's stream. Nothing is sent until
// [Follower.Next] is called; ctx holds for all that it does. The caller closes it.
func (s *SessionsService) Follower(ctx context.Context, id string, o StreamOptions, opts ...CallOption) *Follower {
	return &Follower{
		patience: patience{client: s.client, o: o.withDefaults(), opts: opts, request: s.events(id)},
		ctx:      ctx, s: s, id: id, lastID: o.LastEventID, lastSeq: parseSeq(o.LastEventID),
	}
}

// Next returns the next event. It connects, again where the stream broke, and waits.
// An error is final.
func (f *Follower) Next() (Event, error) {
	for {
		e, err := f.read()
		if err == nil {
			return e, nil
		}
		f.Close()
		cause := err
		if err = f.verdict(f.ctx, cause); err == nil {
			err = f.pause(f.ctx, cause, f.lastID)
		}
		if err != nil {
			return Event{}, err
		}
	}
}

// read returns the next event of the present connection, or how that ended: bare
// [io.EOF] when the server ended the stream.
func (f *Follower) read() (e Event, err error) {
	if f.st == nil {
		if f.st, err = f.open(f.ctx, f.lastID); err != nil {
			return Event{}, err
		}
	}
	for {
		e, ok := f.TryNext()
		if ok {
			return e, nil
		}
		if f.failed == nil {
			f.st.body.wait()
			e, f.failed = f.st.decode()
		}
		f.advance(&f.st.dec)
		switch f.failed {
		case nil:
			if f.accept(&e) {
				return e, nil
			}
		case sse.ErrWait: //nolint:errorlint // the decoder never wraps it
			f.failed = nil
		default:
			return Event{}, f.st.ended(f.failed)
		}
	}
}

// TryNext returns the next event if it has come, and ok false when only
// [Follower.Next] can tell.
func (f *Follower) TryNext() (e Event, ok bool) {
	for f.st != nil && f.st.body.try != nil && f.failed == nil {
		e, err := f.st.decode()
		f.advance(&f.st.dec)
		switch err {
		case nil:
			if f.accept(&e) {
				return e, true
			}
		case sse.ErrWait: //nolint:errorlint // the decoder never wraps it
			return Event{}, false
		default:
			f.failed = err
		}
	}
	return Event{}, false
}

// accept reports whether the event is one to return, and takes note of it.
func (f *Follower) accept(e *Event) bool {
	if e.Seq > 0 && e.Seq <= f.lastSeq {
		return false
	}
	f.lastSeq = max(f.lastSeq, e.Seq)
	f.st.body.batch = true
	return true
}

// Park is called after TryNext has returned false. When it reports true, there is
// nothing to do, wake will be called once there is, in a goroutine that must not be
// kept waiting, and the stream holds no goroutine and no buffer meanwhile; it may
// have been called already. When it reports false, Next must be called.
func (f *Follower) Park(wake func()) bool {
	if f.st == nil || f.st.body.try == nil || f.failed != nil {
		return false
	}
	f.st.dec.Release()
	return f.st.body.try.Notify(wake)
}

// Close closes the connection, if there is one.
func (f *Follower) Close() {
	if f.st != nil {
		f.st.close()
		f.st, f.failed = nil, nil
	}
}

// advance moves the point to continue at to the last whole frame that had an
// id. It never moves back: a server that repeats old events, or empties the id,
// has not taken back what was already yielded.
func (f *Follower) advance(d *sse.Decoder) {
	f.heard(d)
	id := d.LastID()
	if id == "" || id == f.lastID {
		return
	}
	if reached := parseSeq(f.lastID); reached > 0 && parseSeq(id) <= reached {
		return
	}
	f.lastID, f.stalls = id, 0
}

// verdict returns the error to end with, nil to connect again.
func (f *Follower) verdict(ctx context.Context, err error) error {
	e, ok := errors.AsType[*Error](err)
	switch {
	case err == io.EOF: //nolint:errorlint // read never wraps it
		return f.ask(ctx)
	case ok && e.kind == kindAnswer && e.StatusCode == http.StatusConflict:
		return f.ask(ctx)
	case passing(err):
		return nil
	}
	return err
}

// ask looks whether the session is one to connect to again.
func (f *Follower) ask(ctx context.Context) error {
	session, err := f.s.Get(ctx, f.id, f.opts...)
	if err != nil {
		if f.s.client.transient(err) {
			return nil // no answer is no verdict
		}
		return err
	}
	if session.Status.stopped() || session.Status == StatusSnapshotting {
		return &SessionStateError{Session: session}
	}
	return nil
}

// passing reports whether a stream that ended with err is worth another try.
func passing(err error) bool {
	e, ok := errors.AsType[*Error](err)
	if !ok || e.kind == kindCaller || e.kind == kindArgument || e.lasting {
		return false
	}
	if e.kind == kindTransport {
		return true
	}
	switch e.StatusCode {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	}
	return e.StatusCode >= http.StatusInternalServerError
}

// transient reports whether the same read might do better later.
func (c *Client) transient(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && c.retry.again(e)
}

// patience is what is left of it with a stream that breaks.
type patience struct {
	client   *Client
	o        StreamOptions
	opts     []CallOption
	request  request
	requests int           // made in all
	stalls   int           // reconnects since something new came
	retry    time.Duration // what the stream's retry field said last; 0 is nothing
}

// open connects, to continue after lastID.
func (p *patience) open(ctx context.Context, lastID string) (*stream, error) {
	p.requests++
	return p.client.open(ctx, p.request, opening{o: p.o, opts: p.opts, lastEventID: lastID, attempt: p.requests})
}

// heard notes the delay that the server asks for before the next connection.
func (p *patience) heard(d *sse.Decoder) {
	if delay, ok := d.Retry(); ok {
		p.retry = min(delay, maxRetryField)
	}
}

// pause waits before the next connection, which will continue after lastID. It
// returns the error to end with.
func (p *patience) pause(ctx context.Context, cause error, lastID string) error {
	if p.o.MaxStalls >= 0 && p.stalls >= p.o.MaxStalls {
		if cause == io.EOF { //nolint:errorlint // connection never wraps it
			cause = &Error{
				Method: http.MethodGet, Path: p.request.path, Attempts: p.requests,
				Message: "the stream ends again and again without a new event", kind: kindTransport, cause: cause,
			}
		}
		return cause
	}
	p.stalls++
	delay := p.retry + p.client.retry.backoff(p.stalls)
	if e, ok := errors.AsType[*Error](cause); ok && e.RetryAfter != nil {
		delay = max(delay, min(*e.RetryAfter, maxFollowRetryAfter))
	}
	p.client.log.InfoContext(ctx, "anyframe stream is reopened",
		"path", p.request.path, "attempt", p.requests, "wait", delay, "last_event_id", lastID, "error", cause)
	if p.o.OnReconnect != nil {
		p.o.OnReconnect(Reconnect{Attempt: p.stalls, Cause: cause, Delay: delay, LastEventID: lastID})
	}
	if err := sleep(ctx, delay); err != nil {
		return &Error{Method: http.MethodGet, Path: p.request.path, Message: err.Error(), Attempts: p.requests, kind: kindCaller, cause: err}
	}
	return nil
}
