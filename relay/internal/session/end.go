package session

import (
	"context"
	"errors"

	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/store"
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
	if _, call := s.reader.Current(); call != nil {
		select {
		case <-call.Done():
		case <-wait.Done():
			return problem.Booting
		}
	}
	c := s.standing.Conversation()
	if c.ID() == "" || s.View().Status == event.StatusEnded {
		return nil
	}
	if err := s.seat.Count(ctx); err != nil { // maybe another process did
		return err
	}
	s.setStatus(c, event.StatusEnded) // first, so that no request starts another pump
	s.reader.Stop()
	s.interrupt(ctx, c, false)
	err = s.save(ctx, c.Epoch(), func(rec *store.Session) { rec.State = string(event.StatusEnded) })
	if err != nil && !errors.Is(err, store.ErrConflict) {
		return err
	}
	s.hub.Publish(ctx, s.visitor)
	if err := s.hub.sandboxes.Terminate(ctx, c.ID()); err != nil {
		s.hub.members.Go(func() { // the conversation is over all the same
			if s.terminate(c.ID()) {
				s.releaseOnceDown(s.hub.ctx, c.ID())
			}
		})
		return nil
	}
	s.releaseOnceDown(ctx, c.ID())
	return nil
}

// terminate ends a sandbox, trying again while AnyFrame is in trouble, and reports
// whether it could. One that cannot be ended goes to sleep by itself after its idle time.
func (s *Session) terminate(id string) (ended bool) {
	if err := s.hub.sandboxes.TerminateSoon(s.calls(s.hub.ctx), id); err != nil {
		s.logger().Warn("failed to terminate the session", "error", err)
		return false
	}
	return true
}
