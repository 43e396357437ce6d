package limits

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/problem"
)

const (
	storeTimeout = 5 * time.Second
	// repeatFor is how long a quota's refusal is repeated without asking the store. What
	// another process gives back therefore counts a little late.
	repeatFor = 5 * time.Second
	// maxRefused is the maximum number of cached refusals. The cache only saves calls to
	// the store, so it is cleared when it is full.
	maxRefused = 10_000
	// keepDay is how long a day's counter is kept after its day, for units that are given
	// back late.
	keepDay = time.Hour
)

// quota is how often a key may do something, over all processes and restarts.
type quota struct {
	name    string
	rate    Rate
	who     string // a visitor or an address; empty for all together
	refusal *problem.Problem
	address bool // who is an address
}

// quotas counts, in the store, what is limited in total.
type quotas struct {
	store  Store
	secret []byte                                                    // so that addresses cannot be derived from the store
	spent  func(ctx context.Context, budget string, used, limit int) // may be nil
	daily  map[string]int                                            // the daily budgets, by the quotas' names; 0 is none

	mu      sync.Mutex // guards refused; never held across a call to the store
	refused map[string]refused
}

// refused is a refusal at a limit. It is repeated until until; there is room again at
// retryAt. The limit is kept because the same key may be used with another one.
type refused struct {
	limit          int
	until, retryAt time.Time
}

func newQuotas(secret string, st Store) *quotas {
	return &quotas{store: st, secret: []byte("quotas " + secret), refused: map[string]refused{}}
}

// of sets the budgets of o, whose use q reports.
func (q *quotas) of(o *Options) {
	q.spent, q.daily = o.Spent, map[string]int{"turns": o.TurnsPerDay, "sessions": o.SessionsPerDay}
}

// tell reports how much of a day's budget is used, if the quota is part of one.
func (q *quotas) tell(ctx context.Context, of quota, used int) {
	if limit := q.daily[of.name]; q.spent != nil && limit > 0 && of.who == "" {
		q.spent(ctx, of.name, used, limit)
	}
}

// key returns the quota's key in the store, the same in all processes. Only the key of an
// address depends on the secret, so that all other counts survive a change of it. A daily
// quota has a different key every day.
func (q *quotas) key(of quota, now time.Time) string {
	secret := []byte("quotas")
	if of.address {
		secret = q.secret
	}
	mac := hmac.New(sha256.New, secret)
	_, _ = fmt.Fprintf(mac, "%s %d %s", of.name, of.rate.Window.Milliseconds(), of.who) // writes to a hash never fail
	if of.rate.daily() {
		began, _ := dayOf(now)
		_, _ = fmt.Fprintf(mac, " %d", began.Unix())
	}
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:18])
}

// nothing is an undo function that does nothing.
func nothing() error { return nil }

// take counts one unit of every quota, or of none if one refuses. A repeated refusal
// costs no call to the store.
func (q *quotas) take(ctx context.Context, all ...quota) (undo func() error, err error) {
	now := time.Now()
	for _, of := range all {
		if err := q.repeat(of, now); err != nil {
			return nil, err
		}
	}
	var undoes []func() error
	undo = func() error {
		var errs []error
		for _, u := range undoes {
			errs = append(errs, u())
		}
		return errors.Join(errs...)
	}
	for _, of := range all {
		u, err := q.ask(ctx, of, 1)
		if err != nil {
			return nil, errors.Join(err, undo())
		}
		undoes = append(undoes, u)
	}
	return undo, nil
}

// look returns the refusal that take would, and counts nothing.
func (q *quotas) look(ctx context.Context, all ...quota) error {
	for _, of := range all {
		if _, err := q.ask(ctx, of, 0); err != nil {
			return err
		}
	}
	return nil
}

// repeat returns the cached refusal of a quota, if there is one.
func (q *quotas) repeat(of quota, now time.Time) error {
	if of.rate.Limit <= 0 {
		return nil
	}
	q.mu.Lock()
	r, known := q.refused[q.key(of, now)]
	q.mu.Unlock()
	if known && r.limit == of.rate.Limit && now.Before(r.until) {
		return of.refusal.After(r.retryAt.Sub(now))
	}
	return nil
}

// ask returns the refusal if the quota is used up. Otherwise it counts n, zero or one,
// and returns a function that undoes that.
func (q *quotas) ask(ctx context.Context, of quota, n int) (undo func() error, err error) {
	if of.rate.Limit <= 0 {
		return nothing, nil
	}
	now := time.Now()
	if err := q.repeat(of, now); err != nil {
		return nil, err
	}
	asking, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	key := q.key(of, now)
	wait, err := q.call(asking, key, of, n, now)
	if err != nil {
		return nil, err
	}
	if wait == 0 {
		return func() error { return q.giveBack(ctx, key, of, n, now) }, nil
	}
	return nil, q.refuse(of, key, wait)
}

// refuse returns the refusal of a quota that has room after wait, and caches it.
func (q *quotas) refuse(of quota, key string, wait time.Duration) error {
	now := time.Now()
	q.mu.Lock()
	if len(q.refused) >= maxRefused {
		clear(q.refused)
	}
	q.refused[key] = refused{of.rate.Limit, now.Add(min(wait, repeatFor)), now.Add(wait)}
	q.mu.Unlock()
	return of.refusal.After(wait)
}

// call calls the store, and returns how long to wait if there is no room.
func (q *quotas) call(ctx context.Context, key string, of quota, n int, now time.Time) (wait time.Duration, err error) {
	switch {
	case of.rate.daily():
		_, over := dayOf(now)
		total, ok, err := q.store.Count(ctx, key, n, of.rate.Limit, over.Add(keepDay))
		if err == nil {
			q.tell(ctx, of, total)
		}
		if err == nil && (!ok || n == 0 && total >= of.rate.Limit) {
			wait = max(over.Sub(now), time.Millisecond)
		}
		return wait, err
	case n == 0:
		return q.store.Look(ctx, key, 1, of.rate.Limit, of.rate.Window)
	default:
		return q.store.Take(ctx, key, n, of.rate.Limit, of.rate.Window)
	}
}

// giveBack undoes one ask of n at the given time.
func (q *quotas) giveBack(ctx context.Context, key string, of quota, n int, at time.Time) (err error) {
	if n == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	if of.rate.daily() {
		_, over := dayOf(at)
		_, _, err = q.store.Count(ctx, key, -n, 0, over.Add(keepDay))
	} else {
		err = q.store.GiveBack(ctx, key, n, of.rate.Window)
	}
	q.mu.Lock()
	delete(q.refused, key)
	q.mu.Unlock()
	return err
}
