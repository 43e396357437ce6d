package session

import (
	"context"
	"errors"

	"github.com/anyframe-relay/relay/relay/internal/conversation"
	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/store"
)

// End terminates the sandbox; the next turn begins a new epoch. Turns in flight finish
// first.
func (s *Session) End(ctx context.Context) error {
	return s.end(ctx, func(context.Context, *conversation.Conversation) (bool, error) { return true, nil })
}

// EndEpoch is End if the epoch is still the current one once no turn is in flight. With
// idle, it ends nothing while the agent works, and reports that.
func (s *Session) EndEpoch(ctx context.Context, epoch int64, idle bool) (busy bool, err error) {
	if s.View().Epoch > epoch {
		return false, nil
	}
	err = s.end(ctx, func(ctx context.Context, c *conversation.Conversation) (bool, error) {
		if c.Epoch() != epoch || !idle {
			return c.Epoch() == epoch, nil
		}
		if err := s.Look(ctx); err != nil {
			return false, err
		}
		if status := s.View().Status; status != event.StatusRunning && status != event.StatusBooting {
			return true, nil
		}
		done, err := s.Idle(ctx, c)
		busy = !done
		return done, err
	})
	return busy, err
}

// end is End if may returns true for the conversation, whose turns are not in flight then.
func (s *Session) end(ctx context.Context, may func(context.Context, *conversation.Conversation) (bool, error)) error {
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
	if ok, err := may(ctx, c); err != nil || !ok {
		return err
	}
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
