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

// Holder takes leases for one process. It must not be copied after first use.
type Holder struct {
	Store store.LeaseStore
	Owner string        // identifies the process to other replicas
	TTL   time.Duration // how long a lease is valid without renewal
	Log   *slog.Logger

	mu   sync.Mutex
	held map[string]*held // by name, while it has users
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
// callers in this process count as one owner: each of them gets the lease, and other
// replicas do not before the last one has called release.
func (h *Holder) Try(ctx context.Context, name string) (release func(), ok bool, err error) {
	l := h.use(name)
	l.turn <- struct{}{}
	if ok, err = l.acquire(ctx); ok && err == nil {
		l.keep(ctx)
		<-l.turn
		return sync.OnceFunc(func() {
			l.turn <- struct{}{}
			l.leave()
		}), true, nil
	}
	l.leave()
	return nil, false, err
}

// Held reports whether this process still has the named lease. It is false once another
// process has taken it, or no renewal has succeeded for a TTL. Work without a bounded
// duration must check that before each step, and release a lease that is lost.
func (h *Holder) Held(name string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	l := h.held[name]
	return l != nil && time.Now().Before(l.until)
}

// use returns the state of the named lease, with one more user.
func (h *Holder) use(name string) *held {
	h.mu.Lock()
	defer h.mu.Unlock()
	l := h.held[name]
	if l == nil {
		l = &held{holder: h, name: name, turn: make(chan struct{}, 1)}
		if h.held == nil {
			h.held = map[string]*held{}
		}
		h.held[name] = l
	}
	l.users++
	return l
}

// held is a lease that this process holds or tries to take.
type held struct {
	holder *Holder
	name   string

	// Guarded by the holder's mu.
	users int       // callers that have not left yet
	until time.Time // when the lease expires in the store; zero while it is not held

	// turn is a slot for one goroutine, which calls the store once, in bounded time. So a
	// release comes after a renewal in progress, and before the next attempt. It guards
	// the fields below.
	turn  chan struct{}
	timer *time.Timer // of the next renewal; nil while the lease is not held
	ctx   context.Context
}

// acquire takes or renews the lease. The caller holds turn.
func (l *held) acquire(ctx context.Context) (ok bool, err error) {
	h := l.holder
	until := time.Now().Add(h.TTL) // from before the call: the store's TTL begins later
	if _, ok, err = h.Store.Acquire(ctx, l.name, h.Owner, h.TTL); err != nil {
		return false, err
	}
	if !ok {
		until = time.Time{}
	}
	if was := l.setUntil(until); !ok && !was.IsZero() {
		h.Log.Warn("lost lease to another process")
	}
	return ok, nil
}

func (l *held) setUntil(t time.Time) (was time.Time) {
	l.holder.mu.Lock()
	defer l.holder.mu.Unlock()
	was, l.until = l.until, t
	return was
}

// keep has the lease renewed until the last user leaves. The caller holds turn.
func (l *held) keep(ctx context.Context) {
	if l.timer != nil {
		return
	}
	l.ctx = context.WithoutCancel(ctx)
	l.timer = time.AfterFunc(l.holder.TTL/3, l.renew)
}

// renew renews the lease. A lost lease is taken again if it becomes free: the work of a
// turn continues without it, because every write is a compare-and-set, and others should
// wait for the end of that work.
func (l *held) renew() {
	l.turn <- struct{}{}
	defer func() { <-l.turn }()
	if l.timer == nil {
		return
	}
	ctx, cancel := context.WithTimeout(l.ctx, l.holder.TTL/3)
	defer cancel()
	if _, err := l.acquire(ctx); err != nil {
		l.holder.Log.Warn("failed to renew lease", "error", err)
	}
	l.timer.Reset(l.holder.TTL / 3)
}

// leave ends one use, and releases the lease with the last one. The caller holds turn,
// which leave gives back. A user who arrives during the release waits for turn and takes
// the lease again.
func (l *held) leave() {
	defer func() { <-l.turn }()
	h := l.holder
	h.mu.Lock()
	last := l.users == 1
	h.mu.Unlock()
	if last && l.timer != nil {
		l.timer.Stop()
		l.timer = nil
		l.setUntil(time.Time{})
		ctx, cancel := context.WithTimeout(l.ctx, h.TTL/3)
		defer cancel()
		if err := h.Store.Release(ctx, l.name, h.Owner); err != nil {
			h.Log.Warn("failed to release lease", "error", err)
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if l.users--; l.users == 0 {
		delete(h.held, l.name)
	}
}
