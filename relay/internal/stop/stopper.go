package stop

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/backoff"
	"github.com/anyframe-relay/relay/relay/internal/conversation"
	"github.com/anyframe-relay/relay/relay/internal/delivery"
	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/intake"
	"github.com/anyframe-relay/relay/relay/internal/ledger"
	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/sandbox"
	"github.com/anyframe-relay/relay/relay/internal/store"
)

const (
	// exactFor is how long a stop waits for what makes it exact: that the log has been
	// read to its end, and that no replica wakes the sandbox in the meantime.
	exactFor = 2 * time.Second
	// pollEvery is how often the store is polled for a waiting turn, which another
	// replica may have stopped.
	pollEvery = time.Second
)

// Stopper stops one visitor's turns. The context of a call contains the visitor.
type Stopper struct {
	Visitor   string
	Desk      *Desk
	Sandboxes *sandbox.Operator
	Courier   *delivery.Courier
	Intake    *intake.Intake
	// Log returns a logger that names the session.
	Log func() *slog.Logger
	// Status returns the sandbox's status, and Look updates it from AnyFrame.
	Status func() event.Status
	Look   func(context.Context) error
	// Still keeps the sandbox from being woken, and Alone keeps turns from being sent,
	// until release is called. Alone returns false if one is being sent.
	Still func(ctx context.Context) (release func(), err error)
	Alone func(ctx context.Context) (release func(), ok bool, err error)
	// Deaf stops reading the stream. Stopped shows and stores that all unfinished work at
	// AnyFrame was stopped, and that the sandbox sleeps.
	Deaf    func()
	Stopped func(context.Context, *conversation.Conversation)

	waiting Waiting
}

// Stop stores a stop request for a turn. It returns [problem.TurnOver] for a turn that
// ended otherwise.
func (s *Stopper) Stop(ctx context.Context, c *conversation.Conversation, key string) error {
	l := c.Ledger()
	turn, err := l.Stored(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return problem.TurnUnknown
	}
	if err != nil {
		return err
	}
	if turn.State == ledger.Sent {
		if over, err := s.over(ctx, c, turn); err != nil || over {
			return err
		}
	}
	if turn, err = l.RequestStop(ctx, key); err != nil {
		return err
	}
	s.Log().Info("stop requested", "turn", key, "waited", turn.State == ledger.Stopped)
	if turn.State == ledger.Stopped {
		s.waiting.Stop(key)
		return nil
	}
	return s.Desk.Request(ctx, Wish{Visitor: s.Visitor, Epoch: max(c.Epoch(), turn.Epoch)})
}

// over reports whether a turn that AnyFrame had was stopped, or returns
// [problem.TurnOver] if it ended otherwise.
func (s *Stopper) over(ctx context.Context, c *conversation.Conversation, turn ledger.Turn) (stopped bool, err error) {
	ended := func() (stopped bool, err error) {
		end, err := c.Ledger().StoredEnd(ctx, turn.Key)
		switch {
		case errors.Is(err, store.ErrNotFound):
			return false, nil
		case err == nil && end.Reason != event.ReasonStopped:
			return false, problem.TurnOver
		}
		return err == nil, err
	}
	if stopped, err := ended(); stopped || err != nil {
		return stopped, err
	}
	if turn.Epoch > c.Epoch() { // another replica has begun a conversation since the request arrived
		return false, nil
	}
	if turn.Epoch < c.Epoch() || s.Status() == event.StatusEnded {
		return false, problem.TurnOver
	}
	if turn.Stop || s.catchUp(ctx, c) != nil {
		return false, nil // AnyFrame is being called, or is unavailable
	}
	if stopped, err := ended(); stopped || err != nil {
		return stopped, err
	}
	if keys, _ := c.Unfinished(); !slices.Contains(keys, turn.Key) {
		return false, problem.TurnOver
	}
	return false, nil
}

// catchUp updates the session's status from AnyFrame, and waits a little until its log
// has been read up to its current end.
func (s *Stopper) catchUp(ctx context.Context, c *conversation.Conversation) error {
	ctx, cancel := context.WithTimeout(ctx, exactFor)
	defer cancel()
	if err := s.Look(ctx); err != nil {
		return err
	}
	tail, _, err := s.Intake.Tail(ctx, c, c.Log().Head())
	for ; err == nil && c.Log().Head() < tail; err = ctx.Err() {
		backoff.Sleep(ctx, 20*time.Millisecond)
	}
	if err == nil {
		s.Intake.ShowMissing(ctx, c)
	}
	return err
}

// Fulfil carries out a wish.
func (s *Stopper) Fulfil(ctx context.Context, c *conversation.Conversation, w Wish) error {
	if c.Epoch() != w.Epoch || c.ID() == "" || s.Status() == event.StatusEnded {
		return nil
	}
	if _, err := c.Refresh(ctx); err != nil {
		return err
	}
	exact := s.catchUp(ctx, c) == nil
	if w.All { // first: a replica that sees the sandbox asleep must find the reason
		keys, _ := c.Unfinished()
		for _, key := range keys {
			if _, err := c.Ledger().RequestStop(ctx, key); err != nil && !errors.Is(err, store.ErrNotFound) {
				return err
			}
		}
	}
	unsure := c.Ledger().WantedStopped()
	switch status := s.Status(); {
	case status == event.StatusRunning && (!exact || wanted(c, w) || len(unsure) > 0):
		if err := s.terminate(ctx, c); err != nil {
			return err
		}
	case status != event.StatusRunning && status != event.StatusBooting && wanted(c, w):
		s.Stopped(ctx, c) // it fell asleep by itself
	}
	for _, turn := range unsure {
		if err := s.settle(ctx, c, turn.Key); err != nil {
			return err
		}
	}
	return nil
}

// wanted reports whether a wish applies to unfinished work at AnyFrame.
func wanted(c *conversation.Conversation, w Wish) bool {
	keys, others := c.Unfinished()
	if w.All && (others || len(keys) > 0) {
		return true
	}
	return slices.ContainsFunc(keys, func(key string) bool {
		turn, ok := c.Ledger().Turn(key)
		return ok && turn.Stop
	})
}

// terminate stops unfinished work at AnyFrame. It is the only function that does. It puts
// the sandbox to sleep, because AnyFrame offers no other way. Permission prompts are
// denied first, so that nothing that waits for one is executed when the sandbox runs
// again.
func (s *Stopper) terminate(ctx context.Context, c *conversation.Conversation) error {
	waiting, cancel := context.WithTimeout(ctx, exactFor)
	defer cancel()
	release, err := s.Still(waiting)
	if err != nil {
		return errors.Join(ErrInFlight, err)
	}
	defer release()
	for _, p := range c.Ledger().WaitingBy(1 << 62) {
		if !p.Approval {
			continue
		}
		if err := s.Courier.Deny(ctx, c, p.ID); err != nil {
			s.Log().Warn("failed to deny a prompt of a stopped turn", "error", err)
		}
	}
	if err := s.Sandboxes.Terminate(ctx, c.ID()); err != nil {
		return err
	}
	s.Deaf()
	if err := s.Intake.Sync(ctx, c); err != nil { // the remaining events come before the end
		s.Log().Warn("failed to read the transcript", "error", err)
	}
	s.Stopped(ctx, c)
	return nil
}

// settle determines the outcome of a turn with a stop request that was in flight to
// AnyFrame, once no replica sends it any more. A turn that AnyFrame does not have is
// never sent.
func (s *Stopper) settle(ctx context.Context, c *conversation.Conversation, key string) error {
	release, ok, err := s.Alone(ctx)
	if err != nil || !ok {
		return errors.Join(ErrInFlight, err)
	}
	defer release()
	turn, err := c.Ledger().Stored(ctx, key)
	if err != nil || turn.State == ledger.Stopped {
		return err
	}
	if turn.State != ledger.Sent {
		found, err := s.Courier.Settle(ctx, c, &turn)
		if errors.Is(err, problem.TurnStopped) {
			return nil
		}
		if !found {
			return err
		}
	}
	s.Intake.ShowMissing(ctx, c)
	s.Stopped(ctx, c)
	return nil
}

// Watch calls stopped with [problem.TurnStopped] when a waiting turn is stopped, in this
// process or on another replica; for the latter, a goroutine per turn polls the store. It
// runs until ctx ends. The caller must call leave before that.
func (s *Stopper) Watch(ctx context.Context, l *ledger.Ledger, key string, stopped context.CancelCauseFunc) (leave func()) {
	leave = s.waiting.Add(key, func() { stopped(problem.TurnStopped) })
	s.Desk.Go(func() {
		for {
			if backoff.Sleep(ctx, pollEvery); ctx.Err() != nil {
				return
			}
			if turn, err := l.Stored(ctx, key); err == nil && turn.State == ledger.Stopped {
				stopped(problem.TurnStopped)
				return
			}
		}
	})
	return leave
}
