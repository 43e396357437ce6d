package session

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/backoff"
	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/store"
)

// Over all replicas, one goroutine at a time wakes a visitor's sandbox or puts it to
// sleep. It holds the slot [standing.Standing.Waking] and, inside it, the lease
// leaseWake: leases count a process as one owner, so the slot is also needed. A sandbox
// is removed from the count only under both.

// holdWaking keeps all replicas from waking the sandbox or putting it to sleep.
func (s *Session) holdWaking(ctx context.Context) (release func(), err error) {
	select {
	case s.standing.Waking <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	free, err := s.hub.leases.Wait(ctx, leaseWake+s.visitor)
	if err != nil {
		<-s.standing.Waking
		return nil, err
	}
	return s.letWake(free), nil
}

// tryHoldWaking is holdWaking without waiting: it returns false if the sandbox is
// currently being woken or put to sleep.
func (s *Session) tryHoldWaking(ctx context.Context) (release func(), ok bool, err error) {
	select {
	case s.standing.Waking <- struct{}{}:
	default:
		return nil, false, nil
	}
	free, ok, err := s.hub.leases.Try(ctx, leaseWake+s.visitor)
	if err != nil || !ok {
		<-s.standing.Waking
		return nil, false, err
	}
	return s.letWake(free), true, nil
}

// letWake releases what holdWaking took.
func (s *Session) letWake(free func()) (release func()) {
	return func() {
		free()
		<-s.standing.Waking
	}
}

// reserve keeps all replicas, including this one, from sending the session a turn or
// waking it until release is called. It returns false if one of them is doing so now.
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

// releaseOnceDown removes the sandbox from the count when AnyFrame reports that it is
// down, which takes as long as its snapshot. It checks once before it returns, unless the
// sandbox is being woken or put to sleep.
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
	s.releaseLater(id)
}

// releaseHeld is releaseOnceDown for a caller that holds the waking lease.
func (s *Session) releaseHeld(ctx context.Context, id string) {
	if s.seat.Held() && !s.releaseIfDown(ctx, id) {
		s.releaseLater(id)
	}
}

// releaseLater asks AnyFrame until it reports that the sandbox is down.
func (s *Session) releaseLater(id string) {
	s.hub.members.Go(func() {
		ctx, cancel := context.WithTimeout(s.calls(s.hub.ctx), s.hub.IdleTimeout)
		defer cancel()
		present, err := s.hub.hold(s.visitor) // a different object if this one was dropped in the meantime
		if err != nil {
			return // the count expires by itself, also in the case below
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
				return // or it was woken in the meantime, and its next end is handled separately
			}
			backoff.Sleep(ctx, min(100*time.Millisecond<<min(attempt, 10), 2*time.Second))
		}
	})
}

// releaseIfDown asks AnyFrame once. It reports whether the sandbox was down and is no
// longer counted, or a newer sandbox holds the count. The caller keeps all replicas from
// waking it: an answer older than a wake would uncount a sandbox that is awake.
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
