package session

import (
	"context"
	"errors"
	"time"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/admission"
	"github.com/anyframe-relay/relay/relay/internal/conversation"
	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/pump"
	"github.com/anyframe-relay/relay/relay/internal/sandbox"
)

// freshFor is how long the last sign of life proves that the sandbox runs.
const freshFor = 5 * time.Second

// lookAgain has the status of c's sandbox requested from AnyFrame in the next round.
func (s *Session) lookAgain(c *conversation.Conversation) {
	s.standing.SetLooked(c, false)
	s.hub.resync.Check(s)
}

// Look requests the session's status from AnyFrame, once, and starts reading its stream
// if the sandbox is awake. It never wakes the sandbox. While the end of what a sleeping
// sandbox did is read and stored, no replica wakes it: a turn that began meanwhile would
// be taken for interrupted.
func (s *Session) Look(ctx context.Context) error {
	ctx = s.calls(ctx)
	select {
	case s.standing.Looking <- struct{}{}:
		defer func() { <-s.standing.Looking }()
	case <-ctx.Done():
		return ctx.Err()
	}
	c, status := s.standing.Conversation(), s.View().Status
	if s.reader.Busy() || c.ID() == "" || status == event.StatusEnded {
		return nil
	}
	if s.standing.Looked() {
		if status == event.StatusRunning {
			s.reader.Follow()
		}
		return nil
	}
	up, err := s.hub.Client.Sessions.Get(ctx, c.ID())
	if sandbox.Stopped(up, err) {
		release, ok, held := s.tryHoldWaking(ctx)
		if held != nil || !ok {
			return held // it is being woken or put to sleep
		}
		defer release()
		if s.reader.Busy() {
			return nil // it was woken in the meantime
		}
		up, err = s.hub.Client.Sessions.Get(ctx, c.ID()) // another replica may have woken it
	}
	if c != s.standing.Conversation() {
		return nil // another epoch has begun; the answer does not apply to it
	}
	switch {
	case errors.Is(err, anyframe.ErrNotFound):
		s.setStatus(c, event.StatusEnded)
		s.releaseHeld(ctx, c.ID())
	case err != nil:
		if status == event.StatusRunning || status == event.StatusBooting {
			s.reader.Follow() // it was awake when last seen; the pump finds out whether it still is
		}
		return err
	case up.Status == anyframe.StatusRunning:
		s.setStatus(c, event.StatusRunning)
		s.seat.Renew(ctx)
		s.reader.Follow()
	case up.Status == anyframe.StatusBooting:
		s.setStatus(c, event.StatusBooting)
		if err := s.seat.Count(ctx); err != nil {
			return err
		}
		s.reader.Wake(admission.Claim{}) // it is booting anyway: wait for it
	case up.Status == anyframe.StatusError:
		s.setStatus(c, event.StatusFailed)
		s.releaseHeld(ctx, c.ID())
	default:
		if err := s.intake.Sync(ctx, c); err != nil {
			return err
		}
		if _, err := c.Refresh(ctx); err != nil { // another replica may have stored that it was stopped
			return err
		}
		s.interrupt(ctx, c, false)
		s.setStatus(c, event.StatusSleeping)
		s.releaseHeld(ctx, c.ID())
	}
	s.standing.SetLooked(c, true)
	return nil
}

// Ensure returns nil if the sandbox runs, else the call that gets it running. A new
// session counts against the limit of the claim's address. Ensure returns a refusal
// immediately if one is already known.
func (s *Session) Ensure(ctx context.Context, claim admission.Claim) (call *pump.Call, err error) {
	ctx = s.calls(ctx)
	if call := s.reader.Join(claim); call != nil {
		return call, nil
	}
	if s.none() {
		if err := s.hub.Pause.Paused(); err != nil {
			return nil, err
		}
		// A nil refusal here is no guarantee that the wake call succeeds.
		claim.Solved, err = s.hub.Admission.Begin(ctx, admission.Turn{Visitor: s.visitor, Claim: claim, Room: s.hub.gate})
		if err != nil {
			return nil, err
		}
		return s.reader.Wake(claim), nil
	}
	if runs, err := s.runs(ctx); runs || err != nil {
		return nil, err
	}
	if err := s.hub.Pause.Paused(); err != nil {
		return nil, err
	}
	if err := s.seat.MayWake(ctx); err != nil {
		return nil, err
	}
	return s.reader.Wake(claim), nil
}

// Wake is Ensure for a visitor who has sent nothing. It creates no sandbox, and waking an
// existing one counts as a message. It also returns nil if there is nothing to wake.
func (s *Session) Wake(ctx context.Context) (*pump.Call, error) {
	if call := s.reader.Join(admission.Claim{}); call != nil || s.none() {
		return call, nil
	}
	if runs, err := s.runs(ctx); runs || err != nil {
		return nil, err
	}
	if err := s.hub.Pause.Paused(); err != nil {
		return nil, err
	}
	undo, err := s.hub.Quota.Message(ctx, s.visitor)
	if err != nil {
		return nil, err
	}
	if err := s.seat.MayWake(ctx); err != nil {
		return nil, errors.Join(err, undo())
	}
	return s.reader.Wake(admission.Claim{}), nil
}

// none reports whether there is no session whose sandbox could run: it never began, or it
// has ended.
func (s *Session) none() bool {
	return s.standing.Conversation().ID() == "" || s.View().Status == event.StatusEnded
}

// runs reports whether the sandbox runs. It asks AnyFrame unless that was confirmed
// within freshFor.
func (s *Session) runs(ctx context.Context) (bool, error) {
	if s.View().Status != event.StatusRunning {
		return false, nil
	}
	if c := s.standing.Conversation(); time.Since(s.standing.Confirmed()) >= freshFor {
		up, err := s.hub.Client.Sessions.Get(ctx, c.ID())
		switch {
		case errors.Is(err, anyframe.ErrNotFound):
			return false, nil
		case err != nil:
			return false, err
		case up.Status != anyframe.StatusRunning:
			return false, nil
		}
		s.setStatus(c, event.StatusRunning)
	}
	s.reader.Follow()
	return true, nil
}
