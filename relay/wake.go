package relay

import (
	"context"
	"errors"
	"time"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/store"
)

// oldWait is how long a new sandbox waits for the visitor's last one to be down.
const oldWait = 5 * time.Second

// freshFor is how long a sign of life of the sandbox is taken for granted.
const freshFor = 5 * time.Second

// ensure returns nil when the sandbox runs, else the flight that brings it up.
// A new session counts against those that addr may have. What can be refused at
// once is.
func (s *session) ensure(ctx context.Context, addr string) (*flight, error) {
	s.mu.Lock()
	st, id, fresh, f := s.status, s.record.UpstreamID, time.Since(s.confirmed) < freshFor, s.flight
	if f != nil {
		f.addr = addr
	}
	s.mu.Unlock()
	if f != nil {
		return f, nil
	}
	if id == "" || st == statusEnded {
		if err := s.mayBegin(ctx, addr); err != nil {
			return nil, err
		}
		return s.startPump(true, addr), nil
	}
	if st == statusRunning {
		if !fresh {
			up, err := s.hub.client.Sessions.Get(ctx, id)
			switch {
			case err == nil && up.Status == anyframe.StatusRunning:
				s.setStatus(statusRunning)
				fresh = true
			case err != nil && !errors.Is(err, anyframe.ErrNotFound):
				return nil, err
			}
		}
		if fresh {
			s.startPump(false, addr)
			return nil, nil
		}
	}
	if err := s.mayWake(ctx); err != nil {
		return nil, err
	}
	return s.startPump(true, addr), nil
}

// mayBegin refuses, before anything is written, a new session that addr may not
// have or for which there is no room. That it returns nil is no promise.
func (s *session) mayBegin(ctx context.Context, addr string) error {
	if err := s.hub.limits.newSession(ctx, addr); err != nil {
		return err
	}
	if time.Now().UnixNano() < s.hub.fullUntil.Load() {
		return s.hub.full()
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	n, err := s.hub.store.CountAwake(ctx)
	if err != nil || n < s.hub.config.MaxSessions {
		return err
	}
	return s.hub.anyIdle(ctx)
}

// mayWake is the same for a session that there is. Its sandbox may be counted
// already, and then needs no more room.
func (s *session) mayWake(ctx context.Context) error {
	ok, err := s.countAwake(ctx, s.hub.config.MaxSessions)
	if ok || err != nil {
		return err
	}
	return s.hub.anyIdle(ctx)
}

// wake gets the visitor a running sandbox: the one there is, or a new one. Over
// all replicas only one does that at a time.
func (s *session) wake(ctx context.Context) (err error) {
	started, kind := time.Now(), bootResume
	ctx, cancel := context.WithTimeout(ctx, s.hub.config.BootTimeout)
	defer cancel()
	defer func() {
		result := bootOK
		if err != nil {
			result = problemOf(err).code
			s.logger().Warn("wake", "error", err)
			s.afterFailedWake(err)
		} else {
			s.hub.metrics.bootSeconds.WithLabelValues(kind).Observe(time.Since(started).Seconds())
		}
		s.hub.metrics.boots.WithLabelValues(kind, result).Inc()
	}()

	select {
	case s.waking <- struct{}{}: // or it is being put to sleep
		defer func() { <-s.waking }()
	case <-ctx.Done():
		return ctx.Err()
	}
	release, err := s.hub.lease(ctx, "wake:"+s.visitor)
	if err != nil {
		return err
	}
	defer release()
	rec, err := s.reread(ctx)
	if err != nil {
		return err
	}
	if err := s.takeRoom(ctx); err != nil {
		return err
	}
	ended := status(rec.State) == statusEnded || s.view().status == statusEnded
	cause := error(errBooting)
	if rec.UpstreamID != "" && !ended {
		s.setStatus(statusBooting)
		var found anyframe.SessionStatus
		err := s.persistently(ctx, func() error {
			_, err := s.hub.client.Sessions.EnsureRunning(ctx, rec.UpstreamID, anyframe.WaitOptions{
				OnPoll: func(status string, _ time.Duration) {
					if found == "" {
						found = anyframe.SessionStatus(status)
					}
				},
			})
			return err
		})
		if err == nil {
			s.mu.Lock()
			s.midway = !found.Resumable() // somebody else woke it, to a turn maybe
			s.mu.Unlock()
			return s.running(ctx)
		}
		if !lost(err) {
			return err
		}
		s.logger().Info("session lost", "epoch", rec.Epoch, "error", err)
		cause = err
	}
	s.mu.Lock()
	addr := s.flight.addr
	s.mu.Unlock()
	if addr == "" { // nobody has asked for a sandbox: the one there was would have done
		return cause
	}
	kind = bootNew
	return s.create(ctx, rec, addr)
}

// reread reads the record under the lease: another replica may have been here.
func (s *session) reread(ctx context.Context) (store.Session, error) {
	s.loadMu.Lock()
	defer s.loadMu.Unlock()
	rec, err := s.hub.store.Session(ctx, s.visitor)
	switch {
	case err != nil:
		return rec, err
	case rec.State == stateVoid:
		return rec, errVisitorUnknown
	}
	if rec, err = s.reconcile(ctx, rec); err == nil && rec.Epoch != s.view().epoch {
		err = s.adopt(ctx, rec, status(rec.State), true)
	}
	return rec, err
}

// lost reports that AnyFrame will not bring this session back: it is gone, in
// error, or its resume was refused.
func lost(err error) bool {
	if _, ok := errors.AsType[*anyframe.SessionStateError](err); ok {
		return true
	}
	if errors.Is(err, anyframe.ErrUnauthorized) || errors.Is(err, anyframe.ErrForbidden) || errors.Is(err, anyframe.ErrRateLimited) {
		return false
	}
	e, ok := errors.AsType[*anyframe.Error](err)
	return ok && !e.Sent() && e.StatusCode >= 400
}

// create starts the visitor's next epoch on a new sandbox, which counts against
// those that addr may have unless it came to nothing.
func (s *session) create(ctx context.Context, rec store.Session, addr string) error {
	undo, err := s.hub.limits.beginSession(ctx, addr)
	if err != nil {
		return err
	}
	if rec.UpstreamID != "" { // the sandbox before it may still be up
		waiting, cancel := context.WithTimeout(ctx, oldWait)
		if err := s.hub.waitDown(waiting, rec.UpstreamID); err != nil {
			s.hub.countStray(ctx)
		}
		cancel()
	}
	var up *anyframe.Session
	err = s.persistently(ctx, func() (err error) {
		up, err = s.hub.client.Sessions.Create(ctx, anyframe.CreateSessionParams{
			AgentID: s.hub.config.AgentID, IdleTimeout: new(s.hub.config.IdleTimeout),
		})
		if err != nil && !neverSent(err) {
			return final{err} // it may exist: asking again could make a second one
		}
		return err
	})
	if err != nil {
		if _, unsure := errors.AsType[final](err); unsure {
			s.hub.countStray(ctx)
		} else if undoErr := undo(); undoErr != nil {
			s.logger().Warn("give back to a quota", "error", undoErr)
		}
		return err
	}
	// The id is saved before anything else can go wrong: a sandbox that nobody
	// remembers would stay awake for nothing.
	rec.Epoch++
	rec.UpstreamID, rec.State, rec.LastSeq = up.ID, string(statusBooting), 0
	rec.ExpiresAt = time.Now().Add(s.hub.config.VisitorTTL)
	saveCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	s.loadMu.Lock()
	saved, err := s.hub.store.SaveSession(saveCtx, rec)
	if err != nil {
		s.loadMu.Unlock()
		s.discard(up.ID)
		if errors.Is(err, store.ErrConflict) { // our lease had run out, and another replica was faster
			return errBooting
		}
		return err
	}
	s.hub.log.Info("session created", "visitor", short(s.visitor), "session", short(up.ID), "epoch", saved.Epoch)
	err = s.adopt(saveCtx, saved, statusBooting, false)
	s.loadMu.Unlock()
	if err != nil {
		return err
	}
	s.hub.tell(ctx, s.visitor)
	err = s.persistently(ctx, func() error {
		_, err := s.hub.client.Sessions.WaitUntilRunning(ctx, up.ID, anyframe.WaitOptions{})
		return err
	})
	if err != nil {
		return err
	}
	return s.running(ctx)
}

func (s *session) running(ctx context.Context) error {
	err := s.save(ctx, func(rec *store.Session) { rec.State = string(statusRunning) })
	if errors.Is(err, store.ErrConflict) {
		return errBooting // ended meanwhile by another replica
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.looked = true
	s.mu.Unlock()
	s.setStatus(statusRunning)
	s.hub.tell(ctx, s.visitor)
	s.stayAwake(ctx)
	return nil
}

// discard terminates a sandbox that is nobody's.
func (s *session) discard(id string) {
	ctx, cancel := context.WithTimeout(context.Background(), s.hub.config.UpstreamTimeout)
	defer cancel()
	if err := s.hub.down(ctx, id); err != nil {
		s.logger().Warn("terminate a sandbox", "error", err)
		s.hub.countStray(ctx)
	}
}

// afterFailedWake leaves the session so that the next try does better.
func (s *session) afterFailedWake(err error) {
	v := s.view()
	if v.epoch == 0 || v.status != statusBooting {
		if v.status != statusRunning {
			s.leave(time.Now())
		}
		return
	}
	s.mu.Lock()
	id := s.record.UpstreamID
	s.mu.Unlock()
	_, timedOut := errors.AsType[*anyframe.WaitTimeoutError](err)
	if timedOut || lost(err) {
		s.discard(id) // it never came up, and would stay awake for nothing
		s.leave(time.Now())
	} // else it may come up yet, and counts
	s.setStatus(statusFailed)
}

// final marks an error that trying again would make worse.
type final struct{ error }

func (f final) Unwrap() error { return f.error }

// persistently calls f until it succeeds, fails for good, or ctx ends. AnyFrame
// restarting, slow or busy is waited for; AnyFrame known to be down is not.
func (s *session) persistently(ctx context.Context, f func() error) error {
	for attempt := 0; ; attempt++ {
		err := f()
		if err == nil || unavailable(err) || ctx.Err() != nil {
			return err
		}
		e, ok := errors.AsType[*anyframe.Error](err)
		if _, done := errors.AsType[final](err); done || !ok {
			return err
		}
		wait := backoff(attempt, 10*time.Second)
		switch {
		case errors.Is(err, anyframe.ErrRateLimited):
			if e.RetryAfter != nil {
				wait += *e.RetryAfter
			}
		case e.StatusCode == 0 && !errors.Is(err, anyframe.ErrTransport), e.StatusCode >= 400 && e.StatusCode < 500:
			return err
		}
		if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < wait {
			return err
		}
		pause(ctx, wait)
	}
}
