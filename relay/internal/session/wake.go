package session

import (
	"context"
	"errors"
	"time"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/admission"
	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/pump"
	"github.com/anyframe-relay/relay/relay/internal/redact"
	"github.com/anyframe-relay/relay/relay/internal/store"
	"github.com/anyframe-relay/relay/relay/internal/telemetry"
	"github.com/anyframe-relay/relay/relay/internal/upstream"
)

// oldWait is how long a new sandbox waits for the visitor's last one to be down.
const oldWait = 5 * time.Second

// wake gets the visitor a running sandbox: the one there is, or a new one. Over all
// replicas only one does that at a time.
func (s *Session) wake(ctx context.Context, call *pump.Call) (err error) {
	started, kind := time.Now(), telemetry.BootResume
	ctx, cancel := context.WithTimeout(ctx, s.hub.BootTimeout)
	defer cancel()
	defer func() {
		result := telemetry.BootOK
		if err != nil {
			result = problem.CodeOf(err)
			s.logger().Warn("failed to wake the sandbox", "error", err)
		} else {
			s.hub.Metrics.BootSeconds.WithLabelValues(kind).Observe(time.Since(started).Seconds())
		}
		s.hub.Metrics.Boots.WithLabelValues(kind, result).Inc()
	}()

	release, err := s.holdWaking(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = problem.Booting // another process is at it, and takes its time
	}
	if err != nil {
		s.failBooting()
		if id := s.standing.Conversation().ID(); id != "" { // which may have been counted for this
			s.releaseOnceDown(s.calls(s.hub.ctx), id)
		}
		return err
	}
	defer release()
	kind, err = s.wakeHeld(ctx, call)
	if err != nil {
		s.afterFailedWake(err)
	}
	return err
}

// wakeHeld is wake for a caller that keeps all others from it. It returns what it was about
// to do, for the metrics.
func (s *Session) wakeHeld(ctx context.Context, call *pump.Call) (kind string, err error) {
	kind = telemetry.BootResume
	rec, err := s.reread(ctx)
	if err != nil {
		return kind, err
	}
	ended := event.Status(rec.State) == event.StatusEnded || s.View().Status == event.StatusEnded
	if err := s.seat.Acquire(ctx, s.who(ctx).Addr); err != nil {
		if !errors.Is(err, problem.Capacity) || rec.UpstreamID == "" || ended || !s.hub.sandboxes.IsUp(ctx, rec.UpstreamID) {
			return kind, err
		}
		if err := s.seat.Count(ctx); err != nil { // it is up already, room or not
			return kind, err
		}
	}
	cause := error(problem.Booting)
	if rec.UpstreamID != "" && !ended {
		if cause = s.resume(ctx, rec.UpstreamID); cause == nil {
			return kind, s.running(ctx)
		}
		if !upstream.Lost(cause) {
			return kind, cause
		}
		s.logger().Info("session lost", "epoch", rec.Epoch, "error", cause)
	}
	claim := s.reader.Decide(call)
	if claim.Addr == "" { // no new sandbox was asked for: the one there was would have done
		return kind, cause
	}
	return telemetry.BootNew, s.create(ctx, rec, claim)
}

// resume gets the sandbox that there is running.
func (s *Session) resume(ctx context.Context, id string) error {
	c := s.standing.Conversation()
	s.setStatus(c, event.StatusBooting)
	wasDown, err := s.hub.sandboxes.Resume(ctx, id)
	if err == nil {
		c.SetMidway(!wasDown) // if it was up, another client woke it, perhaps for a turn
	}
	return err
}

// reread reads the record under the lease: another replica may have been here.
func (s *Session) reread(ctx context.Context) (store.Session, error) {
	unlock, err := s.record.Lock(ctx)
	if err != nil {
		return store.Session{}, err
	}
	defer unlock()
	rec, err := s.record.Read(ctx)
	if err != nil {
		return rec, err
	}
	if rec, err = s.reconcile(ctx, rec); err == nil && rec.Epoch != s.standing.Conversation().Epoch() {
		err = s.adopt(ctx, rec, event.Status(rec.State), true)
	}
	return rec, err
}

// create starts the visitor's next epoch on a new sandbox, which counts against those
// that the claim's address may have unless it could not be created.
func (s *Session) create(ctx context.Context, rec store.Session, claim admission.Claim) error {
	if err := s.hub.History.Keep(ctx, s.visitor, rec); err != nil { // or nothing would name it any more
		return err
	}
	undo, err := s.hub.Admission.Count(ctx, s.visitor, claim)
	if err != nil {
		return err
	}
	if rec.UpstreamID != "" { // the sandbox before it may still be up
		waiting, cancel := context.WithTimeout(ctx, oldWait)
		if err := s.hub.sandboxes.WaitDown(waiting, rec.UpstreamID); err != nil {
			s.hub.gate.CountStray(ctx)
		}
		cancel()
	}
	id, unsure, err := s.hub.sandboxes.Create(ctx)
	if err != nil {
		if unsure {
			s.hub.gate.CountStray(ctx)
		} else if undoErr := undo(); undoErr != nil {
			s.logger().Warn("failed to give back to a quota", "error", undoErr)
		}
		return err
	}
	if err := s.begin(ctx, rec, id); err != nil {
		return err
	}
	s.hub.Publish(ctx, s.visitor)
	if err := s.hub.sandboxes.AwaitRunning(ctx, id); err != nil {
		return err
	}
	return s.running(ctx)
}

// begin saves the epoch after rec's and adopts it. The id is saved before anything else
// can go wrong: a sandbox that no record names would stay awake for nothing.
func (s *Session) begin(ctx context.Context, rec store.Session, id string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	unlock, err := s.record.Lock(ctx)
	if err != nil {
		s.discard(id)
		return err
	}
	if rec.Epoch == 0 { // or its row has expired before what is known of its conversations
		rec.Epoch, err = s.hub.History.Newest(ctx, s.visitor)
	}
	var saved store.Session
	if err == nil {
		saved, err = s.record.Begin(ctx, rec, id)
	}
	if err != nil {
		unlock()
		s.discard(id)
		if errors.Is(err, store.ErrConflict) { // our lease had run out, and another replica was faster
			return problem.Booting
		}
		return err
	}
	defer unlock()
	s.noteHistory(s.hub.History.Keep(ctx, s.visitor, saved))
	s.hub.Log.Info("session created", "visitor", redact.ID(s.visitor), "session", redact.ID(id), "epoch", saved.Epoch)
	return s.adopt(ctx, saved, event.StatusBooting, false)
}

func (s *Session) running(ctx context.Context) error {
	c := s.standing.Conversation()
	err := s.save(ctx, c.Epoch(), func(rec *store.Session) { rec.State = string(event.StatusRunning) })
	if errors.Is(err, store.ErrConflict) {
		return problem.Booting // ended meanwhile by another replica
	}
	if err != nil {
		return err
	}
	s.standing.SetLooked(c, true)
	s.setStatus(c, event.StatusRunning)
	s.hub.Publish(ctx, s.visitor)
	s.seat.Renew(ctx)
	return nil
}

// discard terminates a sandbox that no session has.
func (s *Session) discard(id string) {
	ctx, cancel := context.WithTimeout(s.calls(context.Background()), s.hub.UpstreamTimeout)
	defer cancel()
	if err := s.hub.sandboxes.Down(ctx, id); err != nil {
		s.logger().Warn("failed to terminate a sandbox", "error", err)
		s.hub.gate.CountStray(ctx)
	}
}

// afterFailedWake leaves the session so that the next try does better. The caller keeps
// all others from waking the sandbox.
func (s *Session) afterFailedWake(err error) {
	v, id := s.View(), s.standing.Conversation().ID()
	_, timedOut := errors.AsType[*anyframe.WaitTimeoutError](err)
	switch {
	case v.Status == event.StatusRunning:
	case id == "":
		s.seat.Release()
	case v.Status != event.StatusBooting: // the sandbox there was may still be up: then who ended it waits for that
		if s.seat.Held() {
			s.releaseIfDown(s.calls(s.hub.ctx), id)
		}
	case timedOut || upstream.Lost(err):
		s.discard(id) // it never came up, and would stay awake for nothing
		s.seat.Release()
	default: // it may come up yet, and counts; AnyFrame is asked again
		s.standing.SetLooked(s.standing.Conversation(), false)
	}
	s.failBooting()
}

// failBooting says that a sandbox that was about to come up did not.
func (s *Session) failBooting() {
	if v := s.View(); v.Epoch > 0 && v.Status == event.StatusBooting {
		s.setStatus(s.standing.Conversation(), event.StatusFailed)
	}
}
