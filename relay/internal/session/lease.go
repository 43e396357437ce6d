package session

import (
	"context"
	"sync"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/backoff"
)

// The leases, by what their holder alone may do, over all replicas.
const (
	leaseWake = "wake:" // get the visitor's sandbox running, or put it to sleep
	leaseTurn = "turn:" // send the visitor's turns
)

// lease takes the named lease, waiting for another replica to let go of it or die. It is
// renewed until release is called.
func (h *Hub) lease(ctx context.Context, name string) (release func(), err error) {
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, 500*time.Millisecond) {
		release, ok, err := h.tryLease(ctx, name)
		if err != nil || ok {
			return release, err
		}
		backoff.Sleep(ctx, wait)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
}

// tryLease takes the named lease if nobody has it. It is renewed until release is called.
// This process counts as one owner, whoever in it asks.
func (h *Hub) tryLease(ctx context.Context, name string) (release func(), ok bool, err error) {
	_, ok, err = h.Store.Acquire(ctx, name, h.owner, h.Tuning.Lease)
	if err != nil || !ok {
		return nil, false, err
	}
	l := &heldLease{hub: h, name: name, ctx: context.WithoutCancel(ctx), turn: make(chan struct{}, 1)}
	l.mu.Lock() // renew may be called before timer is set
	defer l.mu.Unlock()
	l.timer = time.AfterFunc(h.Tuning.Lease/3, l.renew)
	return l.release, true, nil
}

// heldLease renews a lease that this process holds.
type heldLease struct {
	hub  *Hub
	name string
	ctx  context.Context

	// turn has one slot: whoever has it calls the store, so that the release comes
	// after a renewal that is under way.
	turn chan struct{}

	mu       sync.Mutex // released and timer change together
	released bool
	timer    *time.Timer
}

func (l *heldLease) renew() {
	l.turn <- struct{}{}
	defer func() { <-l.turn }()
	l.mu.Lock()
	released := l.released
	l.mu.Unlock()
	if released {
		return
	}
	ctx, cancel := context.WithTimeout(l.ctx, l.hub.Tuning.Lease/3)
	defer cancel()
	if _, _, err := l.hub.Store.Acquire(ctx, l.name, l.hub.owner, l.hub.Tuning.Lease); err != nil {
		l.hub.Log.Warn("renew lease", "error", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.released {
		l.timer.Reset(l.hub.Tuning.Lease / 3)
	}
}

func (l *heldLease) release() {
	l.mu.Lock()
	l.released = true
	l.timer.Stop()
	l.mu.Unlock()
	l.turn <- struct{}{} // held for one call to the store, in bounded time
	defer func() { <-l.turn }()
	ctx, cancel := context.WithTimeout(l.ctx, l.hub.Tuning.Lease/3)
	defer cancel()
	if err := l.hub.Store.Release(ctx, l.name, l.hub.owner); err != nil {
		l.hub.Log.Warn("release lease", "error", err)
	}
}
