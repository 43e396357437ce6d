package session

import (
	"context"
	"time"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/conversation"
	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/record"
	"github.com/anyframe-relay/relay/relay/internal/store"
	"github.com/anyframe-relay/relay/relay/internal/upstream"
)

// sleepWait is how long a pump may take to notice that its sandbox is down.
const sleepWait = 3 * time.Second

// putToSleep puts a sandbox to sleep unless it is in use, and reports whether it did. The
// next turn resumes it.
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
		return false, nil // a process crashed before it created the sandbox
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
	s.logger().Info("sandbox put to sleep to make room")
	if p != nil { // it detects that itself; a pump that wakes the sandbox is a different one, which waits for this
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

// Idle reports whether the agent has finished all its turns. The transcript decides,
// because another process or the operator may have sent the last turn.
func (s *Session) Idle(ctx context.Context, c *conversation.Conversation) (bool, error) {
	if _, err := c.Refresh(ctx); err != nil {
		return false, err
	}
	if s.Works() {
		return false, nil
	}
	tail, idle, err := s.intake.Tail(ctx, c, c.Log().Head())
	return idle && !c.Ledger().InFlight() && !c.Ledger().Unanswered(tail), err
}
