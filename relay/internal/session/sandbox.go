package session

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/conversation"
	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/eventlog"
)

// freshFor is how long a sign of life of the sandbox is taken for granted.
const freshFor = 5 * time.Second

// sandbox is where AnyFrame's session stands.
type sandbox struct {
	// looking has one slot: whoever has it asks AnyFrame for the status, so that it is
	// asked once.
	looking chan struct{}
	// waking has one slot too, for who wakes the sandbox or puts it to sleep.
	waking chan struct{}

	mu        sync.Mutex // the status, what is known about it, and Session.view agree
	status    event.Status
	looked    bool      // AnyFrame has told the status
	confirmed time.Time // when AnyFrame last showed that the sandbox runs
	revoked   bool      // the visitor was forgotten
}

func (b *sandbox) init() {
	b.looking, b.waking = make(chan struct{}, 1), make(chan struct{}, 1)
	b.status = event.StatusNone
}

// forgetLook lets AnyFrame be asked again.
func (b *sandbox) forgetLook() { b.setLooked(false) }

func (b *sandbox) setLooked(looked bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.looked = looked
}

func (b *sandbox) hasLooked() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.looked
}

// confirm notes that AnyFrame shows that the sandbox runs.
func (b *sandbox) confirm() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.confirmed = time.Now()
}

// View is what a stream looks at. Its log is closed when the epoch ends; every other
// change notifies the session's watchers. Views can be compared.
type View struct {
	Status  event.Status
	Epoch   int64
	Log     *eventlog.Log
	Revoked bool
}

// View returns where the session stands.
func (s *Session) View() View { return *s.view.Load() }

// publish makes the view agree with the rest. The caller holds sandbox.mu.
func (s *Session) publish() {
	c := s.conv.Load()
	s.view.Store(&View{s.sandbox.status, c.Epoch(), c.Log(), s.sandbox.revoked})
}

// become makes c the present conversation, and returns the one before, nil at first.
func (s *Session) become(c *conversation.Conversation, status event.Status) (old *conversation.Conversation) {
	s.sandbox.mu.Lock()
	defer s.sandbox.mu.Unlock()
	old = s.conv.Swap(c)
	s.sandbox.status, s.sandbox.confirmed = status, time.Time{}
	s.publish()
	return old
}

// setStatus shows a change to every stream. An epoch that has ended stays so.
func (s *Session) setStatus(status event.Status) {
	b := &s.sandbox
	b.mu.Lock()
	if b.status == event.StatusEnded {
		b.mu.Unlock()
		return
	}
	changed := b.status != status
	b.status = status
	if status == event.StatusRunning {
		b.confirmed = time.Now()
	}
	s.publish()
	v := s.View()
	b.mu.Unlock()
	if changed {
		s.logger().Info("session", "status", status, "epoch", v.Epoch)
		v.Log.Notify()
	}
}

// revoke ends the visitor's streams.
func (s *Session) revoke() {
	s.sandbox.mu.Lock()
	s.sandbox.revoked = true
	s.publish()
	log := s.View().Log
	s.sandbox.mu.Unlock()
	log.Notify()
}

// confirmed is when AnyFrame last showed that the sandbox runs: by an answer, or by an
// event.
func (s *Session) confirmed() time.Time {
	s.sandbox.mu.Lock()
	at := s.sandbox.confirmed
	s.sandbox.mu.Unlock()
	if a := s.conv.Load().Activity().Active; a.After(at) {
		return a
	}
	return at
}

// Look asks AnyFrame where the session stands, once, and starts to read its stream if
// it is awake. It never wakes it.
func (s *Session) Look(ctx context.Context) error {
	ctx = s.calls(ctx)
	select {
	case s.sandbox.looking <- struct{}{}:
		defer func() { <-s.sandbox.looking }()
	case <-ctx.Done():
		return ctx.Err()
	}
	c, status := s.conv.Load(), s.View().Status
	if s.reader.busy() || c.ID() == "" || status == event.StatusEnded {
		return nil
	}
	if s.sandbox.hasLooked() {
		if status == event.StatusRunning {
			s.follow()
		}
		return nil
	}
	up, err := s.hub.Client.Sessions.Get(ctx, c.ID())
	switch {
	case errors.Is(err, anyframe.ErrNotFound):
		s.setStatus(event.StatusEnded)
		s.seat.Release(time.Now())
	case err != nil:
		if status == event.StatusRunning || status == event.StatusBooting {
			s.follow() // it was awake when we last knew; the pump finds out
		}
		return err
	case up.Status == anyframe.StatusRunning:
		s.setStatus(event.StatusRunning)
		s.seat.Renew(ctx)
		s.follow()
	case up.Status == anyframe.StatusBooting:
		s.setStatus(event.StatusBooting)
		if err := s.seat.Count(ctx); err != nil {
			return err
		}
		s.wakeUp("") // it comes up anyway: wait for it
	case up.Status == anyframe.StatusError:
		s.setStatus(event.StatusFailed)
		s.seat.Release(time.Now())
	default:
		if err := s.intake.Sync(ctx, c); err != nil {
			return err
		}
		c.Interrupt()
		s.setStatus(event.StatusSleeping)
		s.releaseOnceDown(ctx, c.ID())
	}
	s.sandbox.setLooked(true)
	return nil
}

// Ensure returns nil when the sandbox runs, else the call that gets it running. A new
// session counts against those that addr may have. What can be refused at once is.
func (s *Session) Ensure(ctx context.Context, addr string) (*Call, error) {
	ctx = s.calls(ctx)
	if call := s.reader.join(addr); call != nil {
		return call, nil
	}
	if s.none() {
		if err := s.mayBegin(ctx, addr); err != nil {
			return nil, err
		}
		return s.wakeUp(addr), nil
	}
	if runs, err := s.runs(ctx); runs || err != nil {
		return nil, err
	}
	if err := s.seat.MayWake(ctx); err != nil {
		return nil, err
	}
	return s.wakeUp(addr), nil
}

// Wake is Ensure for a visitor who has sent nothing: it makes no sandbox, and to wake the
// one there is counts as a message. It returns nil also when there is nothing to wake.
func (s *Session) Wake(ctx context.Context) (*Call, error) {
	if call := s.reader.join(""); call != nil || s.none() {
		return call, nil
	}
	if runs, err := s.runs(ctx); runs || err != nil {
		return nil, err
	}
	if err := s.hub.Quota.Message(ctx, s.visitor); err != nil {
		return nil, err
	}
	if err := s.seat.MayWake(ctx); err != nil {
		return nil, errors.Join(err, s.hub.Quota.GiveBackMessage(ctx, s.visitor))
	}
	return s.wakeUp(""), nil
}

// none reports whether there is no session, or none any more, whose sandbox could run.
func (s *Session) none() bool {
	return s.conv.Load().ID() == "" || s.View().Status == event.StatusEnded
}

// runs reports whether the sandbox runs. AnyFrame is asked if that was not seen just now.
func (s *Session) runs(ctx context.Context) (bool, error) {
	if s.View().Status != event.StatusRunning {
		return false, nil
	}
	if time.Since(s.confirmed()) >= freshFor {
		up, err := s.hub.Client.Sessions.Get(ctx, s.conv.Load().ID())
		switch {
		case errors.Is(err, anyframe.ErrNotFound):
			return false, nil
		case err != nil:
			return false, err
		case up.Status != anyframe.StatusRunning:
			return false, nil
		}
		s.setStatus(event.StatusRunning)
	}
	s.follow()
	return true, nil
}

// mayBegin refuses, before anything is written, a new session that addr may not have
// or for which there is no room. That it returns nil is no promise.
func (s *Session) mayBegin(ctx context.Context, addr string) error {
	if err := s.hub.Quota.NewSession(ctx, addr); err != nil {
		return err
	}
	return s.hub.gate.MayBegin(ctx)
}
