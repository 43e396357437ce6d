package session

import (
	"context"
	"errors"

	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/store"
	"github.com/anyframe-relay/relay/relay/internal/upstream"
)

// End terminates the sandbox; the next turn begins another epoch. Turns on their way
// finish first.
func (s *Session) End(ctx context.Context) error {
	ctx = s.calls(ctx)
	t := s.queue.Enter(func() {})
	defer t.Leave()
	<-t.First() // each ticket before it is given back in bounded time
	wait, cancel := context.WithTimeout(ctx, s.hub.SendWait)
	defer cancel()
	release, err := s.hub.leases.Wait(wait, leaseTurn+s.visitor)
	if err != nil {
		if wait.Err() != nil {
			return problem.Booting
		}
		return err
	}
	defer release()
	if err := s.refresh(ctx); err != nil {
		return err
	}
	if _, call := s.reader.current(); call != nil {
		select {
		case <-call.done:
		case <-wait.Done():
			return problem.Booting
		}
	}
	c := s.conv.Load()
	if c.ID() == "" || s.View().Status == event.StatusEnded {
		return nil
	}
	if err := s.seat.Count(ctx); err != nil { // maybe another process did
		return err
	}
	s.setStatus(event.StatusEnded) // first, so that nobody starts another pump
	s.stopPump()
	c.Interrupt()
	err = s.save(ctx, c.Epoch(), func(rec *store.Session) { rec.State = string(event.StatusEnded) })
	if err != nil && !errors.Is(err, store.ErrConflict) {
		return err
	}
	s.hub.Publish(ctx, s.visitor)
	calling, done := context.WithTimeout(ctx, s.hub.UpstreamTimeout)
	defer done()
	if _, err := s.hub.Client.Sessions.Terminate(calling, c.ID()); err != nil && !alreadyDown(err) {
		s.hub.members.Go(func() { // the conversation is over all the same
			if s.terminate(c.ID()) {
				s.releaseOnceDown(s.hub.ctx, c.ID())
			}
		})
		return nil
	}
	s.releaseOnceDown(calling, c.ID())
	return nil
}

// terminate ends a sandbox, trying again while AnyFrame is in trouble, and reports
// whether it could. One that cannot be ended goes to sleep by itself after its idle time.
func (s *Session) terminate(id string) (ended bool) {
	ctx, cancel := context.WithTimeout(s.calls(s.hub.ctx), s.hub.IdleTimeout)
	defer cancel()
	err := upstream.Retry(ctx, func() error {
		_, err := s.hub.Client.Sessions.Terminate(ctx, id)
		return err
	})
	if err != nil && !alreadyDown(err) {
		s.logger().Warn("terminate the session", "error", err)
		return false
	}
	return true
}
