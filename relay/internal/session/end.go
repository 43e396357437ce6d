package session

import (
	"context"
	"errors"

	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/store"
)

// End terminates the sandbox; the next turn begins a new epoch. Turns in flight finish
// first.
func (s *Session) End(ctx context.Context) error {
	ctx = s.calls(ctx)
	t := s.queue.Enter(func() {})
	defer t.Leave()
	<-t.First() // every earlier ticket is returned in bounded time
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
	if row, _ := s.record.Row(); c.ID() == "" || row.State == string(event.StatusEnded) { // an earlier attempt may have failed to store it
		return nil
	}
	if err := s.seat.Count(ctx); err != nil { // another process may have taken the seat
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
		s.hub.members.Go(func() { // the conversation has ended, whether or not the sandbox has
			if s.terminate(c.ID()) {
				s.releaseOnceDown(s.hub.ctx, c.ID())
			}
		})
		return nil
	}
	s.releaseOnceDown(ctx, c.ID())
	return nil
}

// terminate terminates a sandbox, retrying while AnyFrame is failing, and reports whether
// it succeeded. A sandbox that cannot be terminated falls asleep after its idle timeout.
func (s *Session) terminate(id string) (ended bool) {
	if err := s.hub.sandboxes.TerminateSoon(s.calls(s.hub.ctx), id); err != nil {
		s.logger().Warn("failed to terminate the session", "error", err)
		return false
	}
	return true
}
