package session

import (
	"context"
	"errors"
	"time"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/backoff"
	"github.com/anyframe-relay/relay/relay/internal/conversation"
	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/upstream"
)

// Replicas share nothing but the store. What another one did to a visitor's session is
// read from there: at each request, at intervals for as long as a stream is open, when
// AnyFrame's stream shows a turn or an answer that nobody here knows of, and at once when
// the store can pass on a hint.

// notesPause is how long to wait for another replica's note to change.
const notesPause = 50 * time.Millisecond

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

// awaitPeerNotes reads what other replicas know about an event before the conversation
// gets it: whose turn it is, or who answered the prompt after which the agent goes on. A
// message that another replica is about to have accepted goes before what the agent says
// to it.
func (s *Session) awaitPeerNotes(ctx context.Context, c *conversation.Conversation, ev *upstream.Event, busy bool) {
	unheard := c.TakeUnheard()
	l := c.Ledger()
	switch {
	case ev.User:
		if _, known := l.Recognize(ev.Seq, ev.Members.UserText()); known {
			return
		}
	case !conversation.Speaks(ev.Kind):
		return
	case busy && !unheard && !l.AnyWaiting():
		return
	}
	for deadline := time.Now().Add(placeWait); ; backoff.Sleep(ctx, notesPause) {
		if _, err := c.Refresh(ctx); err != nil {
			s.logger().Warn("read the notes again", "error", err)
			return
		}
		if ev.User || !l.AwaitElsewhere(time.Now().After(deadline)) {
			return
		}
	}
}
