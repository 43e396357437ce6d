package session

import (
	"context"
	"errors"

	"github.com/anyframe-relay/relay/relay/internal/conversation"
	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/record"
	"github.com/anyframe-relay/relay/relay/internal/stop"
	"github.com/anyframe-relay/relay/relay/internal/upstream"
)

// newStopper returns the stopper of the visitor's turns.
func (s *Session) newStopper() stop.Stopper {
	return stop.Stopper{
		Visitor: s.visitor, Desk: &s.hub.stops, Sandboxes: &s.hub.sandboxes, Courier: &s.courier, Intake: &s.intake, Log: s.logger,
		Status: func() event.Status { return s.View().Status },
		Look:   s.Look, Still: s.holdWaking,
		Alone: func(ctx context.Context) (func(), bool, error) {
			release, ok, err := s.hub.leases.Try(ctx, leaseTurn+s.visitor)
			if ok && s.standing.Conversation().Ledger().InFlight() { // leases count a process as one owner
				release()
				return nil, false, nil
			}
			return release, ok, err
		},
		Deaf: func() {
			if p, call := s.reader.Current(); p != nil && call == nil {
				p.Stop()
			}
		},
		Stopped: func(ctx context.Context, c *conversation.Conversation) {
			s.interrupt(ctx, c, true)
			s.setStatus(c, event.StatusSleeping)
			s.releaseOnceDown(ctx, c.ID())
			s.persist(ctx)
			s.hub.Publish(ctx, s.visitor)
		},
	}
}

// Stop stops a turn, if it has not ended. It returns nil once the request is stored: from
// then on, a waiting turn is never sent, and unfinished work at AnyFrame is stopped by
// this process or another. The error is [problem.TurnOver] for a turn that ended
// otherwise, and [problem.TurnUnknown] for an unknown turn.
func (s *Session) Stop(ctx context.Context, key string) error {
	ctx = s.calls(context.WithoutCancel(ctx))
	err := s.stopper.Stop(ctx, s.standing.Conversation(), key)
	result := "accepted"
	if err != nil {
		result = problem.CodeOf(err)
	}
	s.hub.Metrics.Stops.WithLabelValues(result).Inc()
	if err == nil {
		s.hub.Publish(ctx, s.visitor)
	}
	return err
}

// StopAll stops all unfinished work of an epoch at AnyFrame, including turns that the
// relay did not send. It returns nil once the request is stored, also if nothing runs.
func (h *Hub) StopAll(ctx context.Context, visitor string, epoch int64) error {
	if err := h.stops.Request(ctx, stop.Wish{Visitor: visitor, Epoch: epoch, All: true}); err != nil {
		return err
	}
	h.Publish(ctx, visitor)
	return nil
}

// StopLive calls StopAll for each visitor whose agent is working, or about to, as far as
// this process can see.
func (h *Hub) StopLive(ctx context.Context) error {
	var errs []error
	for _, s := range h.sessions.All() {
		c := s.standing.Conversation()
		keys, others := c.Unfinished()
		if len(keys) > 0 || others || c.Ledger().InFlight() {
			errs = append(errs, h.StopAll(ctx, s.visitor, c.Epoch()))
		}
	}
	return errors.Join(errs...)
}

// fulfil carries out a stored stop request.
func (h *Hub) fulfil(ctx context.Context, w stop.Wish) error {
	s, err := h.Open(ctx, w.Visitor)
	if errors.Is(err, problem.VisitorUnknown) { // the visitor was forgotten in the meantime
		rec, err := h.Store.Session(ctx, w.Visitor)
		if err != nil || rec.State != record.StateVoid || rec.UpstreamID == "" {
			return err
		}
		return h.sandboxes.Terminate(upstream.For(ctx, upstream.NewCaller(w.Visitor)), rec.UpstreamID)
	}
	if err != nil {
		return err
	}
	defer s.Close()
	c := s.standing.Conversation()
	if c.Epoch() < w.Epoch && s.reader.Waking() { // until then, refresh does not take over a new conversation
		return stop.ErrInFlight
	}
	return s.stopper.Fulfil(s.calls(ctx), c, w)
}

// holdStop keeps other replicas from processing the visitor's stop request.
func (h *Hub) holdStop(ctx context.Context, visitor string) (release func(), ok bool, err error) {
	return h.leases.Try(ctx, leaseStop+visitor)
}

// interrupt marks the unfinished turns of a conversation as ended, because the agent will
// not continue. The reason is "stopped" if stopped is set, and for turns with a stop
// request.
func (s *Session) interrupt(ctx context.Context, c *conversation.Conversation, stopped bool) {
	e := c.Interrupt(stopped)
	for _, end := range e.Ends {
		s.hub.Metrics.TurnEnds.WithLabelValues(end.Reason).Inc()
		if err := c.Ledger().PersistEnd(context.WithoutCancel(ctx), end); err != nil {
			s.logger().Warn("failed to save a turn's end", "error", err)
		}
	}
	if len(e.Ends) > 0 {
		s.noteRest(context.WithoutCancel(ctx), c)
	}
	if e.Ends = nil; !e.Empty() {
		s.writer.Add(c, e)
	}
}
