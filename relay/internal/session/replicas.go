package session

import (
	"context"
	"errors"
	"time"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/limits"
	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/resync"
	"github.com/anyframe-relay/relay/relay/internal/sandbox"
	"github.com/anyframe-relay/relay/relay/internal/store"
)

// Replicas share only the store. A replica reads another one's changes to a visitor's
// session from there:
//
//   - at each request;
//   - when the hub's [resync.Loop] finds that the visitor's rows have changed;
//   - when AnyFrame's stream shows a turn or an answer that this replica does not
//     have;
//   - immediately, if the store delivers hints.

// Publish sends other replicas a hint that the visitor's rows have changed.
func (h *Hub) Publish(ctx context.Context, visitor string) {
	resync.Hints{Notifier: h.Notifier, Log: h.Log}.Publish(ctx, visitor)
}

// Hinted schedules a reread of the visitor's session, if it is in memory: another replica
// has changed it.
func (h *Hub) Hinted(visitor string) {
	if s, ok := h.sessions.Get(visitor); ok {
		h.resync.Hint(s)
	}
}

// CloseDevice ends this process's streams that were opened with the visitor's token.
// Other replicas end theirs at their next check.
func (h *Hub) CloseDevice(visitor, token string) {
	if s, ok := h.sessions.Get(visitor); ok && s.devices.Revoke(token) {
		s.View().Log.Notify()
	}
}

// Place implements [resync.Member], as do the methods below.
func (s *Session) Place() *resync.Place { return &s.place }

// Who returns the party that reads of this session are accounted to.
func (s *Session) Who() limits.Who { return s.who(s.hub.ctx) }

// Mark returns the versions of the visitor's rows that this process has. Notes are
// included only while the agent waits for an answer, which may be given on another
// replica. Everything else in the notes also appears in AnyFrame's stream.
func (s *Session) Mark() store.Mark {
	row, _ := s.record.Row()
	m := store.Mark{Visitor: s.visitor, Version: row.Version, Notes: -1, Tokens: s.devices.Tokens()}
	for i, token := range m.Tokens {
		m.Tokens[i] = s.hub.TokenKey(token)
	}
	if l := s.standing.Conversation().Ledger(); l.AnyWaiting() {
		m.Notes = l.Cursor()
	}
	return m
}

// Reread applies what other replicas did to the session.
func (s *Session) Reread(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	waking := s.reader.Waking()
	revoked, err := s.devices.Check(ctx, s.hub.TokenValid)
	if revoked {
		s.View().Log.Notify()
	}
	err = errors.Join(err, s.refresh(ctx))
	if err == nil && waking {
		err = problem.Booting // nothing was taken over, and the goroutine that wakes the sandbox may have read an older row
	}
	if c := s.standing.Conversation(); err == nil && c.Ledger().AnyWaiting() {
		_, err = c.Refresh(ctx) // answered on another replica, while the agent is silent
	}
	if err != nil {
		s.logger().Debug("failed to reload the session", "error", err)
	}
	return err
}

// Due reports whether the session's status must be requested from AnyFrame, or its stream
// be opened. Whatever makes it due before the returned time has the loop check it.
func (s *Session) Due() (due bool, again time.Time) {
	v, c := s.View(), s.standing.Conversation()
	p, call := s.reader.Current()
	again = time.Now().Add(s.hub.Tuning.ProbeAfter)
	switch {
	case c.ID() == "" || v.Revoked || v.Status == event.StatusEnded:
		return false, again
	case call != nil:
		return false, time.Time{}
	case p == nil:
		return v.Status == event.StatusRunning || !s.standing.Looked(), again
	}
	probe := s.probeAt(v.Status)
	for _, at := range []time.Time{probe, s.seat.RenewAt()} {
		if at.Before(again) {
			again = at
		}
	}
	return !probe.After(time.Now()), again
}

// Tend implements [resync.Member].
func (s *Session) Tend(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, s.hub.UpstreamTimeout)
	defer cancel()
	if err := errors.Join(s.Look(ctx), s.probe(ctx)); err != nil {
		s.logger().Debug("failed to look up the session status", "error", err)
	}
}

// probeAt returns when AnyFrame must be asked about a running sandbox whose stream stays
// silent. Another sandbox is not asked about.
func (s *Session) probeAt(status event.Status) time.Time {
	if status != event.StatusRunning {
		return time.Now().Add(s.hub.Tuning.ProbeAfter)
	}
	a := s.standing.Conversation().Activity()
	silence := sandbox.Silence{Active: a.Active, Confirmed: s.standing.Confirmed(), AtWork: a.Busy, IdleTimeout: s.hub.IdleTimeout}
	return silence.ProbeAt(s.hub.Tuning.ProbeAfter)
}

// probe asks AnyFrame whether the sandbox of a silent session still runs, and stops the
// pump if it does not.
func (s *Session) probe(ctx context.Context) error {
	ctx = s.calls(ctx)
	p, call := s.reader.Current()
	c := s.standing.Conversation()
	if p == nil || call != nil || s.probeAt(s.View().Status).After(time.Now()) {
		return nil
	}
	up, err := s.hub.Client.Sessions.Get(ctx, c.ID())
	if sandbox.Stopped(up, err) {
		release, ok, held := s.tryHoldWaking(ctx)
		if held != nil || !ok {
			return held // it is being woken or put to sleep
		}
		defer release()
		if now, call := s.reader.Current(); now != p || call != nil {
			return nil // it was woken in the meantime
		}
		up, err = s.hub.Client.Sessions.Get(ctx, c.ID()) // another replica may have woken it
	}
	switch {
	case err == nil && (up.Status == anyframe.StatusRunning || up.Status == anyframe.StatusBooting):
		s.standing.Confirm()
		return nil
	case err == nil:
		err = &anyframe.SessionStateError{Session: up}
	case !errors.Is(err, anyframe.ErrNotFound):
		return err
	}
	p.Stop()
	s.ended(ctx, c, err)
	s.persist(ctx)
	return nil
}
