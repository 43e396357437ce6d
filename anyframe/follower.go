package anyframe

import (
	"context"

	"github.com/anyframe-relay/relay/internal/poll"
)

// Follower is [SessionsService.Follow] for a program that follows thousands of
// sessions, of which most are silent: it need not have a goroutine wait for each.
//
//	for {
//		if e, ok := f.Try(); ok {
//			…
//		} else if f.Park(again) {
//			return // again is called when there is something to go on with
//		} else if err := f.Connect(); err != nil {
//			return
//		}
//	}
//
// It is used by one goroutine at a time.
type Follower struct {
	patience
	s   *SessionsService
	ctx context.Context
	id  string

	st    *stream
	broke error // what ended the connection before
	final error // what ended it all

	lastID  string // where to continue
	lastSeq int64  // the highest seq returned
}

// Follower begins to follow a session, as [SessionsService.Follow] does. Nothing
// is sent before Next is called. It must be closed.
func (s *SessionsService) Follower(ctx context.Context, id string, o StreamOptions) *Follower {
	return &Follower{
		patience: patience{client: s.client, o: o.withDefaults(), path: s.events(id).path},
		s:        s, ctx: ctx, id: id, lastID: o.LastEventID, lastSeq: parseSeq(o.LastEventID),
	}
}

// Connect connects, or does so again if the connection broke, as often as that
// takes; while there is one, it does nothing. An error is final.
func (f *Follower) Connect() error {
	for f.final == nil && (f.st == nil || f.broke != nil) {
		cause := f.broke
		if cause == nil {
			f.st, f.broke = f.s.client.open(f.ctx, f.s.events(f.id), f.lastID, f.o)
			continue
		}
		f.Close()
		f.broke = nil
		if f.final = f.verdict(f.ctx, cause); f.final == nil {
			f.final = f.pause(f.ctx, cause, f.lastID)
		}
	}
	return f.final
}

// Next returns the next event. It waits for it, and connects as Connect does. An
// error is final.
func (f *Follower) Next() (Event, error) {
	for {
		if err := f.Connect(); err != nil {
			return Event{}, err
		}
		if e, ok := f.step(); ok {
			return e, nil
		}
		back := make(chan struct{})
		if f.Park(func() { close(back) }) { // the poller has had the connection
			<-back
		}
	}
}

// Try returns the next event if there is one, and does not wait. If there is
// none, Park is next.
func (f *Follower) Try() (Event, bool) {
	if f.st == nil || f.broke != nil {
		return Event{}, false
	}
	f.st.body.try = true
	e, ok := f.step()
	f.st.body.try = false
	return e, ok
}

// step returns the next event. Without one, broke is what ended the connection,
// or nil when reading on would wait.
func (f *Follower) step() (Event, bool) {
	for {
		e, err := f.st.next()
		f.advance(&f.st.dec)
		switch {
		case err == poll.ErrWait: //nolint:errorlint // never wrapped
			return Event{}, false
		case err != nil:
			f.broke = err
			return Event{}, false
		case e.Seq == 0:
			return e, true
		case e.Seq > f.lastSeq:
			f.lastSeq = e.Seq
			return e, true
		}
	}
}

// Park makes ready be called, once, when there is something to go on with: more
// has come, the connection broke or is silent for too long, or the context has
// ended. Until then no method may be called. Ready may be called before Park
// returns, and runs where others wait for their turn, so it must not wait; Try
// and Park do not.
//
// Park returns false if that is so already, or there is no connection: then
// Connect is next, and Try. Where the connection cannot be watched without a
// goroutine, which is under TLS and on all systems but Linux, Park has one.
func (f *Follower) Park(ready func()) bool {
	return f.st != nil && f.broke == nil && f.st.park(ready)
}

// Close ends the connection. It must not be called while the follower is parked:
// end its context instead, and call Close when ready is called.
func (f *Follower) Close() {
	if f.st != nil {
		f.st.close()
		f.st = nil
	}
}

// park is Follower's.
func (st *stream) park(ready func()) bool {
	st.ready = ready
	body := &st.body
	if body.own == nil || !body.own.take(st) {
		if st.wants == nil {
			st.wants = make(chan struct{}, 1)
			go st.wait()
		}
		st.wants <- struct{}{}
		return true
	}
	if len(body.own.early) > 0 || body.own.err != nil {
		return false
	}
	st.dec.rest()
	body.begin()
	if body.own.taken.Park() {
		return true
	}
	body.since.Store(0)
	return false
}

// Ready is called by the poller.
func (st *stream) Ready() {
	st.body.since.Store(0)
	st.ready()
}

// wait reads on a connection that cannot be watched, whenever somebody wants to
// know when more comes. Its stack is shallow while it waits. It ends with the
// stream.
func (st *stream) wait() {
	for range st.wants {
		st.dec.fill()
		st.ready()
	}
}
