package limits

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"sync"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/problem"
)

const (
	storeTimeout = 5 * time.Second
	// repeatFor is how long a quota's refusal is repeated without asking the
	// store again: what another process gives back counts a moment late.
	repeatFor = 5 * time.Second
	// maxRefused bounds how many refusals are remembered. It saves calls to the
	// store and decides nothing, so that all are forgotten when it is full.
	maxRefused = 10_000
)

// quota is what somebody may do so often, over all processes and restarts.
type quota struct {
	name    string
	rate    Rate
	who     string // a visitor or an address; empty for all together
	refusal *problem.Problem
}

// quotas count what must hold in total, in the store.
type quotas struct {
	store  Store
	secret []byte // so that addresses cannot be read from the store

	mu      sync.Mutex // guards refused; never held across a call of the store
	refused map[string]refused
}

// refused is a refusal that is repeated until until; there is room again at retryAt.
type refused struct{ until, retryAt time.Time }

func newQuotas(secret string, st Store) *quotas {
	return &quotas{store: st, secret: []byte("quotas " + secret), refused: map[string]refused{}}
}

// key is what the store knows the quota by. All processes with the same
// secret make the same of it.
func (q *quotas) key(of quota) string {
	mac := hmac.New(sha256.New, q.secret)
	_, _ = fmt.Fprintf(mac, "%s %d %s", of.name, of.rate.Window.Milliseconds(), of.who) // a hash takes everything
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:18])
}

// ask returns the refusal if the quota is used up, and with take counts one
// more if it is not. A refusal that is repeated costs no call to the store.
func (q *quotas) ask(ctx context.Context, of quota, take bool) error {
	if of.rate.Limit <= 0 {
		return nil
	}
	key, now := q.key(of), time.Now()
	q.mu.Lock()
	r, known := q.refused[key]
	q.mu.Unlock()
	if known && now.Before(r.until) {
		return of.refusal.After(r.retryAt.Sub(now))
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	call := q.store.Look
	if take {
		call = q.store.Take
	}
	wait, err := call(ctx, key, 1, of.rate.Limit, of.rate.Window)
	if err != nil || wait == 0 {
		return err
	}
	now = time.Now()
	q.mu.Lock()
	if len(q.refused) >= maxRefused {
		clear(q.refused)
	}
	q.refused[key] = refused{now.Add(min(wait, repeatFor)), now.Add(wait)}
	q.mu.Unlock()
	return of.refusal.After(wait)
}

// giveBack undoes one take that came to nothing.
func (q *quotas) giveBack(ctx context.Context, of quota) error {
	if of.rate.Limit <= 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	key := q.key(of)
	err := q.store.GiveBack(ctx, key, 1, of.rate.Window)
	q.mu.Lock()
	delete(q.refused, key)
	q.mu.Unlock()
	return err
}
