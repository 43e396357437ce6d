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
	o = o.withDefaults()
	return func(yield func(Event, error) bool) {
		f := follow{
			patience: patience{client: s.client, o: o, opts: opts, request: s.events(id)},
			s:        s, id: id, lastID: o.LastEventID, lastSeq: parseSeq(o.LastEventID),
		}
		for {
			err := f.connection(ctx, yield)
			if err == nil {
				return
			}
			cause := err
			if err = f.verdict(ctx, cause); err == nil {
				err = f.pause(ctx, cause, f.lastID)
			}
			if err != nil {
				yield(Event{}, err)
				return
			}
		}
	}
}

// follow is one range over Follow.
type follow struct {
	patience
	s       *SessionsService
	id      string
	lastID  string // where to continue
	lastSeq int64  // the highest seq yielded
}

// connection reads one connection to its end, which it returns; nil when the
// consumer left, and bare [io.EOF] when the server ended the stream.
func (f *follow) connection(ctx context.Context, yield func(Event, error) bool) error {
	st, err := f.open(ctx, f.lastID)
	if err != nil {
		return err
	}
	defer st.close()
	for {
		e, err := st.next()
		f.advance(st.dec)
		if err != nil {
			return err
		}
		if e.Seq > 0 && e.Seq <= f.lastSeq {
			continue
		}
		f.lastSeq = max(f.lastSeq, e.Seq)
		if !yield(e, nil) {
			return nil
		}
		st.body.batch = true
	}
}

// advance moves the point to continue at to the last whole frame that had an
// id. It never moves back: a server that repeats old events, or empties the id,
// has not taken back what was already yielded.
func (f *follow) advance(d *sse.Decoder) {
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
func (f *follow) verdict(ctx context.Context, err error) error {
	e, ok := errors.AsType[*Error](err)
	switch {
	case err == io.EOF: //nolint:errorlint // connection never wraps it
		return f.ask(ctx)
	case ok && e.kind == kindAnswer && e.StatusCode == http.StatusConflict:
		return f.ask(ctx)
	case passing(err):
		return nil
	}
	return err
}

// ask looks whether the session is one to connect to again.
func (f *follow) ask(ctx context.Context) error {
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

// heard takes note of how long the server wants to be left alone.
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
