package session

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/backoff"
	"github.com/anyframe-relay/relay/relay/internal/conversation"
	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/record"
	"github.com/anyframe-relay/relay/relay/internal/store"
	"github.com/anyframe-relay/relay/relay/internal/upstream"
)

// sleepWait is how long a pump may take to find its sandbox down.
const sleepWait = 3 * time.Second

// putToSleep puts a sandbox to sleep unless it is in use, and reports whether it did. The
// turn that comes next resumes it.
func (h *Hub) putToSleep(ctx context.Context, a store.Awake) (slept bool, err error) {
	if a.Foreign {
		return h.SleepForeign(ctx, a)
	}
	return h.PutToSleep(ctx, a)
}

// PutToSleep puts a sandbox of the hub's own site to sleep unless it is in use, and
// reports whether it did.
func (h *Hub) PutToSleep(ctx context.Context, a store.Awake) (slept bool, err error) {
	rec, err := h.Store.Session(ctx, a.Visitor)
	if err != nil {
		return false, err
	}
	if rec.State == record.StateVoid && rec.UpstreamID != "" { // no session can use it any more
		ctx := upstream.For(ctx, upstream.NewCaller(a.Visitor))
		if err := h.sandboxes.Down(ctx, rec.UpstreamID); err != nil {
			return false, err
		}
		return true, h.Store.Leave(ctx, a.Visitor, a.Ticket)
	}
	s, err := h.Open(ctx, a.Visitor)
	if err != nil {
		return false, err
	}
	defer s.Close()
	ctx = s.calls(ctx)
	release, ok, err := s.reserve(ctx)
	if err != nil || !ok {
		return false, err
	}
	defer release()
	if err := s.refresh(ctx); err != nil {
		return false, err
	}
	c := s.standing.Conversation()
	if c.ID() == "" {
		return false, nil // it was about to be made by a process that died
	}
	p, _ := s.reader.Current()
	if s.View().Status != event.StatusEnded {
		if idle, err := s.Idle(ctx, c); err != nil || !idle {
			return false, err
		}
	}
	if err := h.sandboxes.Down(ctx, c.ID()); err != nil {
		return false, err
	}
	s.logger().Info("put to sleep to make room")
	if p != nil { // it finds out by itself; one that wakes the sandbox is another, and waits for us
		select {
		case <-p.Done():
		case <-time.After(sleepWait):
			p.Stop()
		}
	}
	if s.View().Status == event.StatusRunning {
		s.ended(ctx, c, &anyframe.SessionStateError{})
		s.persist(ctx)
	}
	return true, h.Store.Leave(ctx, a.Visitor, a.Ticket)
}

// reserve keeps all replicas, this one included, from sending the session a turn or
// waking it, until release is called. It reports false if one of them does so just now.
func (s *Session) reserve(ctx context.Context) (release func(), ok bool, err error) {
	var undo []func()
	giveBack := func() {
		for _, f := range slices.Backward(undo) {
			f()
		}
	}
	defer func() {
		if !ok {
			giveBack()
		}
	}()
	t := s.queue.TryEnter()
	if t == nil {
		return nil, false, nil
	}
	undo = append(undo, t.Leave)
	free, got, err := s.tryHoldWaking(ctx)
	if err != nil || !got {
		return nil, false, err
	}
	undo = append(undo, free)
	free, got, err = s.hub.leases.Try(ctx, leaseTurn+s.visitor)
	if err != nil || !got {
		return nil, false, err
	}
	undo = append(undo, free)
	return giveBack, true, nil
}

// Idle reports whether the agent is done with all that it was told. What is in its
// transcript decides: another process may have sent the last turn, or the operator.
func (s *Session) Idle(ctx context.Context, c *conversation.Conversation) (bool, error) {
	if _, err := c.Refresh(ctx); err != nil {
		return false, err
	}
	if s.Works() {
		return false, nil
	}
	_, idle, err := s.intake.Tail(ctx, c, c.Log().Head())
	return idle, err
}

// releaseOnceDown ends the count of the sandbox when AnyFrame says that it is down, which
// takes as long as its snapshot. It looks once before it returns, unless the sandbox is
// being woken or put to sleep. A caller that holds these, see [Session.holdWaking], calls
// the seat itself.
func (s *Session) releaseOnceDown(ctx context.Context, id string) {
	if !s.seat.Held() {
		return
	}
	if release, ok, err := s.tryHoldWaking(ctx); err == nil && ok {
		down := s.releaseIfDown(ctx, id)
		release()
		if down {
			return
		}
	}
	s.hub.members.Go(func() {
		ctx, cancel := context.WithTimeout(s.calls(s.hub.ctx), s.hub.IdleTimeout)
		defer cancel()
		present, err := s.hub.hold(s.visitor) // which is another object if this one was dropped meanwhile
		if err != nil {
			return // the time of the count ends by itself, as it does below
		}
		defer present.Close()
		for attempt := 0; ; attempt++ {
			release, err := present.holdWaking(ctx)
			if err != nil {
				return
			}
			down := s.releaseIfDown(ctx, id)
			release()
			if status := s.View().Status; down || status == event.StatusRunning || status == event.StatusBooting {
				return // or it was woken since, and its next end is another
			}
			backoff.Sleep(ctx, min(100*time.Millisecond<<min(attempt, 10), 2*time.Second))
		}
	})
}

// releaseIfDown asks AnyFrame once, and reports whether the sandbox was down and is no
// longer counted, or the count is that of a later one. The caller keeps all replicas from
// waking it: an answer that is older than a wake would end the count of a sandbox that is
// awake.
func (s *Session) releaseIfDown(ctx context.Context, id string) bool {
	rec, err := s.hub.Store.Session(ctx, s.visitor)
	if err == nil && rec.UpstreamID != "" && rec.UpstreamID != id {
		return true
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return false
	}
	if down, err := s.hub.sandboxes.IsDown(ctx, id); err != nil || !down {
		return false
	}
	s.seat.Release()
	return true
}
