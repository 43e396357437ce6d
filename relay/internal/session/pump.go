package session

import (
	"context"
	"errors"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/conversation"
	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/pump"
)

// newReader returns the reader that gets the sandbox running and reads its stream.
func (s *Session) newReader() *pump.Reader {
	return pump.NewReader(pump.Hooks{
		Join:    s.hub.members.Add,
		Leave:   s.hub.members.Done,
		Context: func() context.Context { return s.calls(s.hub.ctx) },
		Running: func() bool { return s.View().Status == event.StatusRunning },
		Guard:   s.guard,
		Wake:    s.wake,
		Follow: func(ctx context.Context, opened func()) pump.Follower {
			c := s.standing.Conversation()
			return s.intake.Follow(ctx, c, opened, func(err error) bool { return s.ended(ctx, c, err) })
		},
		Left: func(ctx context.Context) {
			s.hub.resync.Check(s)
			s.persist(ctx)
		},
	})
}

// ended sets the session's status according to how its stream ended. It returns false if
// the stream should be opened again.
func (s *Session) ended(ctx context.Context, c *conversation.Conversation, err error) bool {
	state, ok := errors.AsType[*anyframe.SessionStateError](err)
	if ok || errors.Is(err, anyframe.ErrStreamEnded) {
		// Read the rest of a sleeping session's transcript now, so that it is shown
		// before the end of its turn and not with the next one.
		if err := s.intake.Sync(ctx, c); err != nil {
			s.logger().Warn("failed to read the transcript", "error", err)
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
	if _, err := c.Refresh(ctx); err != nil { // another replica may have stored that it was stopped
		s.logger().Warn("failed to reload the notes", "error", err)
	}
	s.interrupt(ctx, c, false)
	s.setStatus(c, status)
	s.releaseOnceDown(ctx, c.ID())
	return true
}
