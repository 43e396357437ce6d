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

// oldWait is how long a new sandbox waits for the visitor's previous one to go down.
const oldWait = 5 * time.Second

// wake gets the visitor a running sandbox, an existing or a new one. Only one goroutine
// over all replicas does that at a time.
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
		err = problem.Booting // another process is waking it and takes longer
	}
	if err != nil {
		s.failBooting()
		if id := s.standing.Conversation().ID(); id != "" { // it may have been counted for this attempt
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

// wakeHeld is wake for a caller that holds the waking lease. It returns the kind of boot
// that it attempted, for the metrics.
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
		if err := s.seat.Count(ctx); err != nil { // it is already up, whether or not there is capacity
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
	if claim.Addr == "" { // the caller did not ask for a new sandbox, only for the existing one
		return kind, cause
	}
	return telemetry.BootNew, s.create(ctx, rec, claim)
}

// resume gets the existing sandbox running.
func (s *Session) resume(ctx context.Context, id string) error {
	c := s.standing.Conversation()
	s.setStatus(c, event.StatusBooting)
	wasDown, err := s.hub.sandboxes.Resume(ctx, id)
	if err == nil {
		c.SetMidway(!wasDown) // if it was up, another client woke it, perhaps for a turn
	}
	return err
}

// reread reads the record under the lease, because another replica may have changed it.
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

// create starts the visitor's next epoch on a new sandbox. The sandbox counts against the
// limit of the claim's address unless it could not be created.
func (s *Session) create(ctx context.Context, rec store.Session, claim admission.Claim) error {
	if err := s.hub.History.Keep(ctx, s.visitor, rec); err != nil { // otherwise no row would name it any more
		return err
	}
	undo, err := s.hub.Admission.Count(ctx, s.visitor, claim)
	if err != nil {
		return err
	}
	if rec.UpstreamID != "" { // the previous sandbox may still be up
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

// begin stores the epoch after rec's and adopts it. It stores the id before anything else
// can fail: a sandbox that no record names would stay awake unused.
func (s *Session) begin(ctx context.Context, rec store.Session, id string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	unlock, err := s.record.Lock(ctx)
	if err != nil {
		s.discard(id)
		return err
	}
	if rec.Epoch == 0 { // or the row has expired before the history of the visitor's conversations
		rec.Epoch, err = s.hub.History.Newest(ctx, s.visitor)
	}
	var saved store.Session
	if err == nil {
		saved, err = s.record.Begin(ctx, rec, id)
	}
	if err != nil {
		unlock()
		s.discard(id)
		if errors.Is(err, store.ErrConflict) { // our lease had expired, and another replica was faster
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
		return problem.Booting // ended by another replica in the meantime
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

// discard terminates a sandbox that belongs to no session.
func (s *Session) discard(id string) {
	ctx, cancel := context.WithTimeout(s.calls(context.Background()), s.hub.UpstreamTimeout)
	defer cancel()
	if err := s.hub.sandboxes.Down(ctx, id); err != nil {
		s.logger().Warn("failed to terminate a sandbox", "error", err)
		s.hub.gate.CountStray(ctx)
	}
}

// afterFailedWake prepares the session for the next attempt. The caller holds the waking
// lease.
func (s *Session) afterFailedWake(err error) {
	v, id := s.View(), s.standing.Conversation().ID()
	_, timedOut := errors.AsType[*anyframe.WaitTimeoutError](err)
	switch {
	case v.Status == event.StatusRunning:
	case id == "":
		s.seat.Release()
	case v.Status != event.StatusBooting: // the previous sandbox may still be up; the goroutine that ended it waits for it to go down
		if s.seat.Held() {
			s.releaseIfDown(s.calls(s.hub.ctx), id)
		}
	case timedOut || upstream.Lost(err):
		s.discard(id) // it never booted and would stay awake unused
		s.seat.Release()
	default: // it may still boot and counts as awake; the next look asks AnyFrame
		s.lookAgain(s.standing.Conversation())
	}
	s.failBooting()
}

// failBooting sets the status of a booting sandbox to failed.
func (s *Session) failBooting() {
	if v := s.View(); v.Epoch > 0 && v.Status == event.StatusBooting {
		s.setStatus(s.standing.Conversation(), event.StatusFailed)
	}
}
