package session

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/backoff"
	"github.com/anyframe-relay/relay/relay/internal/conversation"
	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/upstream"
)

// pump gets the sandbox running and reads its stream into the conversation's log. It is
// one goroutine, a member of the hub's group, and the only reader of AnyFrame's stream.
type pump struct {
	sess      *Session
	ctx       context.Context
	cancel    context.CancelFunc
	done      chan struct{} // closed when it has ended
	connected chan struct{} // closed once the stream is open for the first time
}

// stop ends the pump and waits for it.
func (p *pump) stop() {
	p.cancel()
	<-p.done
}

// work is the pump's goroutine. A fault of the relay's own makes it begin again.
func (p *pump) work() {
	for faults := 0; !p.sess.guard(p.run); faults++ {
		backoff.Sleep(p.ctx, backoff.Delay(faults, 10*time.Second))
	}
	p.cancel()
	close(p.done)
}

// run gets the sandbox running when somebody asked for that, reads its stream as long
// as it runs, and ends when it sleeps or nobody needs it.
func (p *pump) run() {
	s := p.sess
	defer s.persist(p.ctx)
	for first := true; ; first = false {
		call, ok := s.goesOn(p, first)
		if !ok {
			return
		}
		if call != nil {
			err := s.wake(p.ctx, call)
			s.reader.called(call, err)
			if err != nil {
				continue
			}
		}
		f := &follower{pump: p, sess: s, conv: s.conv.Load(), poisoned: -1}
		s.hub.Metrics.UpstreamOpen.Inc()
		func() {
			defer s.hub.Metrics.UpstreamOpen.Dec()
			f.follow(p.ctx)
		}()
	}
}

// follower reads the stream of one conversation.
type follower struct {
	pump *pump
	sess *Session
	conv *conversation.Conversation

	opening  func() // gives back the slot for a stream that is being opened; nil when that is done
	again    bool   // the stream was open before
	attempt  int
	holes    holes
	readAt   time.Time      // when the event came; those that come together are read one after the other
	event    upstream.Event // the one that is processed; here, so that none is allocated for each
	poisoned int64          // the event at which the relay's own code failed last
}

// follow reads the stream until the sandbox sleeps, is gone, or ctx ends.
func (f *follower) follow(ctx context.Context) {
	s := f.sess
	for ; ctx.Err() == nil; f.attempt++ {
		err := f.read(ctx)
		if large, ok := errors.AsType[*anyframe.EventTooLargeError](err); ok {
			if seq, _ := strconv.ParseInt(large.ID, 10, 64); seq > 0 {
				err = f.leaveOut(ctx, seq, large)
			}
			if err == nil {
				continue
			}
		}
		if ctx.Err() != nil || s.ended(ctx, f.conv, err) {
			return
		}
		s.logger().Warn("read the stream", "error", err, "attempt", f.attempt)
		backoff.Sleep(ctx, backoff.Delay(f.attempt, 10*time.Second))
	}
}

// read reads the stream once there is a slot for it, until it ends or AnyFrame has to be
// asked again.
func (f *follower) read(ctx context.Context) (err error) {
	s, log := f.sess, f.conv.Log()
	if f.opening, err = s.hub.reading(ctx, s.who(ctx)); err != nil {
		return err
	}
	defer f.opened()
	defer f.flush()
	opts := anyframe.StreamOptions{
		MaxStalls:    -1,
		MaxEventSize: upstream.MaxEventBytes,
		OnOpen: func() {
			f.opened()
			s.joined(ctx, f.conv, f.again)
			if !f.again && f.pump.firstStream() {
				close(f.pump.connected)
			}
			f.again = true
		},
		OnReconnect: func(r anyframe.Reconnect) {
			log.Release()
			s.hub.Metrics.UpstreamReopen.WithLabelValues(upstream.Broke(r.Cause)).Inc()
			s.logger().Debug("stream broke", "attempt", r.Attempt, "error", r.Cause)
		},
		OnIdle: f.flush,
	}
	if head := log.Head(); head > 0 {
		opts.LastEventID = strconv.FormatInt(head, 10)
	}
	for raw, err := range s.hub.Client.Sessions.Follow(ctx, f.conv.ID(), opts) {
		if err != nil {
			return err
		}
		if f.readAt.IsZero() {
			f.readAt = time.Now()
		}
		f.event = upstream.Decode(raw).At(f.readAt)
		if !s.guard(func() { err = f.process(ctx, &f.event) }) {
			err = f.retryPoisoned(ctx, f.event.Seq)
		}
		if err != nil {
			return err // AnyFrame can't tell what is missing: ask its stream again
		}
		now := time.Now()
		s.hub.Metrics.PumpLag.Observe(now.Sub(f.readAt).Seconds())
		f.readAt, f.attempt = now, 0
	}
	return nil
}

// firstStream reports whether no stream has been open yet. Only the pump's own
// goroutine closes connected.
func (p *pump) firstStream() bool {
	select {
	case <-p.connected:
		return false
	default:
		return true
	}
}

// opened gives back the slot for a stream that is being opened.
func (f *follower) opened() {
	if f.opening != nil {
		f.opening()
		f.opening = nil
	}
}

// flush lets the log's readers have what waited for more.
func (f *follower) flush() {
	f.conv.Log().Release()
	f.readAt = time.Time{}
}

// retryPoisoned is what follows when the relay's own code failed at an event: it is
// asked for again, and left out as if it were too large if that happens every time.
func (f *follower) retryPoisoned(ctx context.Context, seq int64) error {
	again := f.poisoned == seq
	f.poisoned = seq
	if again {
		return f.leaveOut(ctx, seq, problem.Internal)
	}
	return problem.Internal
}

// leaveOut takes nothing in the place of the event numbered seq.
func (f *follower) leaveOut(ctx context.Context, seq int64, why error) error {
	f.sess.logger().Warn("left out an event", "seq", seq, "error", why)
	ev := upstream.Decode(anyframe.Event{Seq: seq, Data: []byte("null")})
	return f.process(ctx, &ev)
}

// ended sets the session's status by how its stream ended. It reports false when the
// stream should be tried again.
func (s *Session) ended(ctx context.Context, c *conversation.Conversation, err error) bool {
	state, ok := errors.AsType[*anyframe.SessionStateError](err)
	if ok || errors.Is(err, anyframe.ErrStreamEnded) {
		// What a sleeping session still has to tell comes before the end of its turn, not
		// with the next one.
		if err := s.sync(ctx, c); err != nil {
			s.logger().Warn("read the transcript", "error", err)
		}
	}
	status := event.StatusSleeping
	switch {
	case ok && state.Session != nil && state.Session.Status == anyframe.StatusError:
		status = event.StatusFailed
	case errors.Is(err, anyframe.ErrNotFound):
		status = event.StatusEnded
	case !ok && !errors.Is(err, anyframe.ErrStreamEnded):
		return false
	}
	c.Interrupt()
	s.setStatus(status)
	s.releaseOnceDown(ctx, c.ID())
	return true
}
