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

// Limits on the waits that a server may request from Follow.
const (
	maxRetryField       = 30 * time.Second // in the stream's retry field
	maxFollowRetryAfter = 10 * time.Minute // in a Retry-After header
)

// Follow reads the session's stream. Whenever the connection breaks, it reconnects
// after the last complete event, so that every numbered event is yielded once and
// in order. An event whose number is not higher than the previous one's is dropped;
// an event without a number is always yielded.
//
// Follow ends, and yields the error last, if ctx ends, if the server refuses (401,
// 403, 404, any other 4xx that is not about timing, or 204, see [ErrStreamEnded]),
// if the response is not an event stream, if an event is over MaxEventSize
// ([*EventTooLargeError]), and after MaxStalls reconnects without a new event.
// After a 409, or when the server ends the stream, Follow polls the session. A
// session that is stopped or stopping ends Follow with a [*SessionStateError];
// otherwise it reconnects.
//
// Otherwise it behaves like [SessionsService.Events]: it is lazy, and ends when the
// loop is left.
func (s *SessionsService) Follow(
	ctx context.Context, id string, o StreamOptions, opts ...CallOption,
) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		f := s.Follower(ctx, id, o, opts...)
		defer f.Close()
		for {
			e, err := f.Next()
			if !yield(e, err) || err != nil {
				if err == nil { // otherwise read has called OnIdle
					f.st.body.idleNow()
				}
				return
			}
		}
	}
}

// Follower reads a session's stream like [SessionsService.Follow], one event at a
// time. It is for callers with thousands of streams who cannot afford a goroutine
// for each idle one:
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
// A stream can be parked if the response's body has the methods
//
//	TryRead(p []byte) (n int, err error) // 0 and nil in place of waiting
//	Notify(ready func()) bool            // calls ready once TryRead has more to say
//
// The transport must provide them ([WithHTTPClient]); net/http's does not, so that
// Next blocks. A Follower must not be used by several goroutines at the same time.
type Follower struct {
	patience
	ctx     context.Context
	s       *SessionsService
	id      string
	lastID  string  // where to continue
	lastSeq int64   // the highest seq returned
	st      *stream // nil while no connection is open
	failed  error   // how the decoder ended, until Next has reported it
	final   error   // what Next has returned
}

// Follower returns a reader of the session's stream. Nothing is sent until
// [Follower.Next] is called. ctx applies to all of the Follower's operations. The
// caller must close it.
func (s *SessionsService) Follower(ctx context.Context, id string, o StreamOptions, opts ...CallOption) *Follower {
	return &Follower{
		patience: patience{client: s.client, o: o.withDefaults(), opts: opts, request: s.events(id)},
		ctx:      ctx, s: s, id: id, lastID: o.LastEventID, lastSeq: parseSeq(o.LastEventID),
	}
}

// Next returns the next event. It connects, reconnects after the stream breaks, and
// blocks until there is an event. An error is final: later calls return it too.
func (f *Follower) Next() (Event, error) {
	for f.final == nil {
		e, err := f.read()
		if err == nil {
			return e, nil
		}
		f.Close()
		cause := err
		if err = f.verdict(f.ctx, cause); err == nil {
			err = f.pause(f.ctx, cause, f.lastID)
		}
		f.final = err
	}
	return Event{}, f.final
}

// read returns the next event of the current connection, or the error that ended
// it: bare [io.EOF] if the server ended the stream.
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

// TryNext returns the next event if it has arrived. If ok is false, call Park or
// [Follower.Next].
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

// accept reports whether the event is to be returned, and advances the cursor.
func (f *Follower) accept(e *Event) bool {
	if e.Seq > 0 && e.Seq <= f.lastSeq {
		return false
	}
	f.lastSeq = max(f.lastSeq, e.Seq)
	f.st.body.batch = true
	return true
}

// Park is called after TryNext has returned false. If it returns true, there is
// nothing to do yet: wake is called when there is, in a goroutine that must not be
// blocked, and possibly before Park returns. Meanwhile the stream holds no
// goroutine and no buffer. If Park returns false, call Next.
func (f *Follower) Park(wake func()) bool {
	if f.st == nil || f.st.body.try == nil || f.failed != nil {
		return false
	}
	f.st.dec.Release()
	return f.st.body.try.Notify(wake)
}

// Close closes the connection, if there is one. It does not call OnIdle.
func (f *Follower) Close() {
	if f.st != nil {
		f.st.close()
		f.st, f.failed = nil, nil
	}
}

// advance moves the cursor to the last complete frame with an id. It never moves
// back: if a server repeats old events or empties the id, they have still been
// yielded.
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

// verdict returns the final error, or nil to reconnect.
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

// ask polls whether the session allows a reconnect.
func (f *Follower) ask(ctx context.Context) error {
	session, err := f.s.Get(ctx, f.id, f.opts...)
	if err != nil {
		if f.s.client.transient(err) {
			return nil // no response is no decision
		}
		return err
	}
	if session.Status.stopped() || session.Status == StatusSnapshotting {
		return &SessionStateError{Session: session}
	}
	return nil
}

// passing reports whether a reconnect may succeed after a stream that ended with
// err.
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

// transient reports whether a retry of the same poll may succeed.
func (c *Client) transient(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && c.retry.again(e)
}

// patience counts failed reconnects of a stream.
type patience struct {
	client   *Client
	o        StreamOptions
	opts     []CallOption
	request  request
	requests int           // total requests
	stalls   int           // reconnects since the last new event
	retry    time.Duration // last value of the stream's retry field; 0 if none
}

// open connects, to continue after lastID.
func (p *patience) open(ctx context.Context, lastID string) (*stream, error) {
	p.requests++
	return p.client.open(ctx, p.request, opening{o: p.o, opts: p.opts, lastEventID: lastID, attempt: p.requests})
}

// heard records the reconnect delay that the server requests.
func (p *patience) heard(d *sse.Decoder) {
	if delay, ok := d.Retry(); ok {
		p.retry = min(delay, maxRetryField)
	}
}

// pause waits before the next connection, which will continue after lastID. It
// returns the final error, if any.
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
