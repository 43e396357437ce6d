package session

import (
	"context"
	"errors"
	"time"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/backoff"
	"github.com/anyframe-relay/relay/relay/internal/conversation"
	"github.com/anyframe-relay/relay/relay/internal/event"
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
		c := s.conv.Load()
		s.intake.Follow(p.ctx, c, p.opened, func(err error) bool { return s.ended(p.ctx, c, err) })
	}
}

// opened says that a stream is open. Only the pump's own goroutine calls it.
func (p *pump) opened() {
	select {
	case <-p.connected:
	default:
		close(p.connected)
	}
}

// ended sets the session's status by how its stream ended. It reports false when the
// stream should be tried again.
func (s *Session) ended(ctx context.Context, c *conversation.Conversation, err error) bool {
	state, ok := errors.AsType[*anyframe.SessionStateError](err)
	if ok || errors.Is(err, anyframe.ErrStreamEnded) {
		// What a sleeping session still has to tell comes before the end of its turn, not
		// with the next one.
		if err := s.intake.Sync(ctx, c); err != nil {
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
