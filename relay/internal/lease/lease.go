// Package lease holds leases of the store for as long as their work takes. Over all
// replicas, only the holder of a lease may do the work that it stands for. If a replica
// crashes, its leases block the others until they expire.
package lease

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/backoff"
	"github.com/anyframe-relay/relay/relay/internal/store"
)

// Holder takes leases for one process.
type Holder struct {
	Store store.LeaseStore
	Owner string        // identifies the process to other replicas
	TTL   time.Duration // how long a lease is valid without renewal
	Log   *slog.Logger
}

// Wait takes the named lease, waiting for another replica to release it or for it to
// expire. The lease is renewed until release is called.
func (h *Holder) Wait(ctx context.Context, name string) (release func(), err error) {
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, 500*time.Millisecond) {
		release, ok, err := h.Try(ctx, name)
		if err != nil || ok {
			return release, err
		}
		backoff.Sleep(ctx, wait)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
}

// Try takes the named lease if it is free. It is renewed until release is called. All
// callers in this process count as one owner.
func (h *Holder) Try(ctx context.Context, name string) (release func(), ok bool, err error) {
	_, ok, err = h.Store.Acquire(ctx, name, h.Owner, h.TTL)
	if err != nil || !ok {
		return nil, false, err
	}
	l := &held{holder: h, name: name, ctx: context.WithoutCancel(ctx), turn: make(chan struct{}, 1)}
	l.mu.Lock() // renew may be called before timer is set
	defer l.mu.Unlock()
	l.timer = time.AfterFunc(h.TTL/3, l.renew)
	return l.release, true, nil
}

// held renews a lease of this process.
type held struct {
	holder *Holder
	name   string
	ctx    context.Context

	// turn is a slot for one holder, which calls the store, so that the release comes
	// after a renewal in progress.
	turn chan struct{}

	mu       sync.Mutex // released and timer change together
	released bool
	timer    *time.Timer
}

func (l *held) renew() {
	l.turn <- struct{}{}
	defer func() { <-l.turn }()
	l.mu.Lock()
	released := l.released
	l.mu.Unlock()
	if released {
		return
	}
	ctx, cancel := context.WithTimeout(l.ctx, l.holder.TTL/3)
	defer cancel()
	if _, _, err := l.holder.Store.Acquire(ctx, l.name, l.holder.Owner, l.holder.TTL); err != nil {
		l.holder.Log.Warn("failed to renew lease", "error", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.released {
		l.timer.Reset(l.holder.TTL / 3)
	}
}

func (l *held) release() {
	l.mu.Lock()
	l.released = true
	l.timer.Stop()
	l.mu.Unlock()
	l.turn <- struct{}{} // held for one call to the store, in bounded time
	defer func() { <-l.turn }()
	ctx, cancel := context.WithTimeout(l.ctx, l.holder.TTL/3)
	defer cancel()
	if err := l.holder.Store.Release(ctx, l.name, l.holder.Owner); err != nil {
		l.holder.Log.Warn("failed to release lease", "error", err)
	}
}
