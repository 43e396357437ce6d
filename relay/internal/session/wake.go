package session

import (
	"context"
	"errors"
	"time"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/redact"
	"github.com/anyframe-relay/relay/relay/internal/store"
	"github.com/anyframe-relay/relay/relay/internal/telemetry"
	"github.com/anyframe-relay/relay/relay/internal/upstream"
)

// oldWait is how long a new sandbox waits for the visitor's last one to be down.
const oldWait = 5 * time.Second

// wake gets the visitor a running sandbox: the one there is, or a new one. Over all
// replicas only one does that at a time.
func (s *Session) wake(ctx context.Context, call *Call) (err error) {
	started, kind := time.Now(), telemetry.BootResume
	ctx, cancel := context.WithTimeout(ctx, s.hub.BootTimeout)
	defer cancel()
	defer func() {
		result := telemetry.BootOK
		if err != nil {
			result = problem.CodeOf(err)
			s.logger().Warn("wake", "error", err)
			s.afterFailedWake(err)
		} else {
			s.hub.Metrics.BootSeconds.WithLabelValues(kind).Observe(time.Since(started).Seconds())
		}
		s.hub.Metrics.Boots.WithLabelValues(kind, result).Inc()
	}()

	select {
	case s.sandbox.waking <- struct{}{}: // or it is being put to sleep
		defer func() { <-s.sandbox.waking }()
	case <-ctx.Done():
		return ctx.Err()
	}
	release, err := s.hub.leases.Wait(ctx, leaseWake+s.visitor)
	if err != nil {
		return err
	}
	defer release()
	rec, err := s.reread(ctx)
	if err != nil {
		return err
	}
	if err := s.seat.Acquire(ctx, s.who(ctx).Addr); err != nil {
		return err
	}
	ended := event.Status(rec.State) == event.StatusEnded || s.View().Status == event.StatusEnded
	cause := error(problem.Booting)
	if rec.UpstreamID != "" && !ended {
		if cause = s.resume(ctx, rec.UpstreamID); cause == nil {
			return s.running(ctx)
		}
		if !upstream.Lost(cause) {
			return cause
		}
		s.logger().Info("session lost", "epoch", rec.Epoch, "error", cause)
	}
	addr := s.reader.decide(call)
	if addr == "" { // nobody has asked for a sandbox: the one there was would have done
		return cause
	}
	kind = telemetry.BootNew
	return s.create(ctx, rec, addr)
}

// resume gets the sandbox that there is running.
func (s *Session) resume(ctx context.Context, id string) error {
	s.setStatus(event.StatusBooting)
	var found anyframe.SessionStatus
	err := upstream.Retry(ctx, func() error {
		_, err := s.hub.Client.Sessions.EnsureRunning(ctx, id, anyframe.WaitOptions{
			OnPoll: func(status string, _ time.Duration) {
				if found == "" {
					found = anyframe.SessionStatus(status)
				}
			},
		})
		return err
	})
	if err == nil {
		s.conv.Load().SetMidway(!found.Resumable()) // somebody else woke it, to a turn maybe
	}
	return err
}

// reread reads the record under the lease: another replica may have been here.
func (s *Session) reread(ctx context.Context) (store.Session, error) {
	unlock, err := s.record.lock(ctx)
	if err != nil {
		return store.Session{}, err
	}
	defer unlock()
	rec, err := s.hub.Store.Session(ctx, s.visitor)
	switch {
	case err != nil:
		return rec, err
	case rec.State == stateVoid:
		return rec, problem.VisitorUnknown
	}
	if rec, err = s.reconcile(ctx, rec); err == nil && rec.Epoch != s.conv.Load().Epoch() {
		err = s.adopt(ctx, rec, event.Status(rec.State), true)
	}
	return rec, err
}

// create starts the visitor's next epoch on a new sandbox, which counts against those
// that addr may have unless it came to nothing.
func (s *Session) create(ctx context.Context, rec store.Session, addr string) error {
	undo, err := s.hub.Quota.BeginSession(ctx, addr)
	if err != nil {
		return err
	}
	if rec.UpstreamID != "" { // the sandbox before it may still be up
		waiting, cancel := context.WithTimeout(ctx, oldWait)
		if err := s.hub.waitDown(waiting, rec.UpstreamID); err != nil {
			s.hub.gate.CountStray(ctx)
		}
		cancel()
	}
	var up *anyframe.Session
	err = upstream.Retry(ctx, func() (err error) {
		up, err = s.hub.Client.Sessions.Create(ctx, anyframe.CreateSessionParams{AgentID: s.hub.AgentID, IdleTimeout: new(s.hub.IdleTimeout)})
		if err != nil && !upstream.NeverSent(err) {
			return upstream.DoNotRetry(err) // it may exist: asking again could make a second one
		}
		return err
	})
	if err != nil {
		if _, unsure := errors.AsType[upstream.Permanent](err); unsure {
			s.hub.gate.CountStray(ctx)
		} else if undoErr := undo(); undoErr != nil {
			s.logger().Warn("give back to a quota", "error", undoErr)
		}
		return err
	}
	if err := s.begin(ctx, rec, up.ID); err != nil {
		return err
	}
	s.hub.Publish(ctx, s.visitor)
	err = upstream.Retry(ctx, func() error {
		_, err := s.hub.Client.Sessions.WaitUntilRunning(ctx, up.ID, anyframe.WaitOptions{})
		return err
	})
	if err != nil {
		return err
	}
	return s.running(ctx)
}

// begin saves the epoch after rec's and adopts it. The id is saved before anything else
// can go wrong: a sandbox that nobody remembers would stay awake for nothing.
func (s *Session) begin(ctx context.Context, rec store.Session, id string) error {
	rec.Epoch++
	rec.UpstreamID, rec.State, rec.LastSeq = id, string(event.StatusBooting), 0
	rec.ExpiresAt = time.Now().Add(s.hub.VisitorTTL)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	unlock, err := s.record.lock(ctx)
	if err != nil {
		s.discard(id)
		return err
	}
	saved, err := s.hub.Store.SaveSession(ctx, rec)
	if err != nil {
		unlock()
		s.discard(id)
		if errors.Is(err, store.ErrConflict) { // our lease had run out, and another replica was faster
			return problem.Booting
		}
		return err
	}
	defer unlock()
	s.hub.Log.Info("session created", "visitor", redact.ID(s.visitor), "session", redact.ID(id), "epoch", saved.Epoch)
	return s.adopt(ctx, saved, event.StatusBooting, false)
}

func (s *Session) running(ctx context.Context) error {
	err := s.save(ctx, s.conv.Load().Epoch(), func(rec *store.Session) { rec.State = string(event.StatusRunning) })
	if errors.Is(err, store.ErrConflict) {
		return problem.Booting // ended meanwhile by another replica
	}
	if err != nil {
		return err
	}
	s.sandbox.setLooked(true)
	s.setStatus(event.StatusRunning)
	s.hub.Publish(ctx, s.visitor)
	s.seat.Renew(ctx)
	return nil
}

// discard terminates a sandbox that is nobody's.
func (s *Session) discard(id string) {
	ctx, cancel := context.WithTimeout(s.calls(context.Background()), s.hub.UpstreamTimeout)
	defer cancel()
	if err := s.hub.down(ctx, id); err != nil {
		s.logger().Warn("terminate a sandbox", "error", err)
		s.hub.gate.CountStray(ctx)
	}
}

// afterFailedWake leaves the session so that the next try does better.
func (s *Session) afterFailedWake(err error) {
	v := s.View()
	if v.Epoch == 0 || v.Status != event.StatusBooting {
		if v.Status != event.StatusRunning {
			s.seat.Release(time.Now())
		}
		return
	}
	_, timedOut := errors.AsType[*anyframe.WaitTimeoutError](err)
	if timedOut || upstream.Lost(err) {
		s.discard(s.conv.Load().ID()) // it never came up, and would stay awake for nothing
		s.seat.Release(time.Now())
	} // else it may come up yet, and counts
	s.setStatus(event.StatusFailed)
}
