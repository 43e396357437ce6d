package session

import (
	"context"
	"errors"
	"time"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/backoff"
	"github.com/anyframe-relay/relay/relay/internal/event"
)

// Replicas share nothing but the store. What another one did to a visitor's session is
// read from there: at each request, at intervals for as long as a stream is open, when
// AnyFrame's stream shows a turn or an answer that nobody here knows of, and at once when
// the store can pass on a hint.

// untilResync is when the session's record is to be read again, less up to a fifth so that
// sessions do not move together.
func (s *Session) untilResync() time.Duration {
	d := s.hub.Tuning.ResyncQuiet
	if s.reader.busy() {
		d = s.hub.Tuning.ResyncLive
	}
	return d - backoff.Jitter(d/5)
}

// resyncTick reads the session's record again and takes over what changed, as long as
// somebody holds the session.
func (s *Session) resyncTick() {
	h := s.hub
	if !s.held() || !h.members.Add() {
		return
	}
	defer h.members.Done()
	if who := s.who(h.ctx); h.checks.Take(who, 1) == nil { // else the store has enough to do
		s.resync()
		h.checks.Give(who, 1)
	}
	next := s.untilResync()
	h.mu.Lock()
	defer h.mu.Unlock()
	if s.life.refs > 0 && !h.closed {
		s.life.resync.Reset(next)
	}
}

// held reports whether somebody holds the session.
func (s *Session) held() bool {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	return s.life.refs > 0 && !s.hub.closed
}

// Publish gives other replicas a hint that something of the visitor's has changed. If
// that fails they find out when they read it again.
func (h *Hub) Publish(ctx context.Context, visitor string) {
	if h.Notifier == nil {
		return
	}
	if err := h.Notifier.Publish(context.WithoutCancel(ctx), visitor); err != nil {
		h.Log.Debug("publish a hint", "error", err)
	}
}

// Subscribe takes other replicas' hints until ctx ends.
func (h *Hub) Subscribe(ctx context.Context) {
	if h.Notifier != nil {
		h.Notifier.Subscribe(ctx, h.hinted)
	}
}

// hinted lets the visitor's session be read again now, if somebody holds it.
func (h *Hub) hinted(visitor string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s := h.sessions[visitor]; s != nil && s.life.refs > 0 && !h.closed {
		s.life.resync.Reset(0)
	}
}

// resync takes over what other replicas did to the session.
func (s *Session) resync() {
	ctx, cancel := context.WithTimeout(s.hub.ctx, storeTimeout)
	s.checkDevices(ctx)
	err := s.refresh(ctx)
	if c := s.conv.Load(); err == nil && c.Ledger().AnyWaiting() {
		_, err = c.Refresh(ctx) // answered elsewhere, and the agent is silent
	}
	cancel()
	if err == nil {
		ctx, cancel = context.WithTimeout(s.hub.ctx, s.hub.UpstreamTimeout)
		if err = s.Look(ctx); err == nil {
			err = s.probe(ctx)
		}
		s.seat.RenewIfDue(ctx)
		cancel()
	}
	if err != nil {
		s.logger().Debug("read the session again", "error", err)
	}
}

// probe asks AnyFrame whether the sandbox of a silent session still runs, and ends the
// pump of one that does not.
func (s *Session) probe(ctx context.Context) error {
	ctx = s.calls(ctx)
	p, call := s.reader.current()
	c := s.conv.Load()
	if p == nil || call != nil || s.View().Status != event.StatusRunning || time.Since(s.confirmed()) <= s.hub.Tuning.ProbeAfter {
		return nil
	}
	up, err := s.hub.Client.Sessions.Get(ctx, c.ID())
	switch {
	case err == nil && (up.Status == anyframe.StatusRunning || up.Status == anyframe.StatusBooting):
		s.sandbox.confirm()
		return nil
	case err == nil:
		err = &anyframe.SessionStateError{Session: up}
	case !errors.Is(err, anyframe.ErrNotFound):
		return err
	}
	p.stop()
	s.ended(ctx, c, err)
	s.persist(ctx)
	return nil
}
