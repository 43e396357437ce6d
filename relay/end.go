package relay

import (
	"context"
	"errors"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/store"
)

// End terminates the sandbox; the next turn begins another epoch. Turns on
// their way finish first.
func (s *session) end(ctx context.Context) error {
	s.order <- struct{}{} // each holder gives it back in bounded time
	defer func() { <-s.order }()
	wait, cancel := context.WithTimeout(ctx, s.hub.config.SendWait)
	defer cancel()
	release, err := s.hub.lease(wait, "turn:"+s.visitor)
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
	s.mu.Lock()
	id, flight := s.record.UpstreamID, s.flight
	s.mu.Unlock()
	if flight != nil {
		select {
		case <-flight.done:
		case <-wait.Done():
			return problem.Booting
		}
		id = s.upstreamID()
	}
	if id == "" || s.view().status == event.StatusEnded {
		return nil
	}
	if _, err := s.countAwake(ctx, 0); err != nil { // maybe another process did
		return err
	}
	s.setStatus(event.StatusEnded) // first, so that nobody starts another pump
	s.stopPump()
	s.interrupt()
	if err := s.save(ctx, func(rec *store.Session) { rec.State = string(event.StatusEnded) }); err != nil && !errors.Is(err, store.ErrConflict) {
		return err
	}
	s.hub.tell(ctx, s.visitor)
	calling, done := context.WithTimeout(ctx, s.hub.config.UpstreamTimeout)
	defer done()
	if _, err := s.hub.client.Sessions.Terminate(calling, id); err != nil && !errors.Is(err, anyframe.ErrNotFound) && !errors.Is(err, anyframe.ErrConflict) {
		s.hub.wg.Go(func() { // the conversation is over all the same
			if s.terminate(id) {
				s.leaveOnceDown(s.hub.ctx, id)
			}
		})
		return nil
	}
	s.leaveOnceDown(calling, id)
	return nil
}

// terminate ends a sandbox, trying again while AnyFrame is in trouble, and
// reports whether it could. One that cannot be ended goes to sleep by itself
// after its idle time.
func (s *session) terminate(id string) (ended bool) {
	ctx, cancel := context.WithTimeout(s.hub.ctx, s.hub.config.IdleTimeout)
	defer cancel()
	err := s.persistently(ctx, func() error {
		_, err := s.hub.client.Sessions.Terminate(ctx, id)
		return err
	})
	if err != nil && !errors.Is(err, anyframe.ErrNotFound) && !errors.Is(err, anyframe.ErrConflict) {
		s.logger().Warn("terminate the session", "error", err)
		return false
	}
	return true
}
