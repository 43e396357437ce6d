package upstream

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/backoff"
	"github.com/anyframe-relay/relay/relay/internal/group"
	"github.com/anyframe-relay/relay/relay/internal/telemetry"
)

// Account is AnyFrame's address and the key to use there.
type Account struct{ BaseURL, Key string }

// Valid reports whether a client can be made for the account. It asks the client itself,
// so that no setting is valid here and refused later.
func (a Account) Valid() bool {
	_, err := anyframe.New(anyframe.WithAPIKey(a.Key), anyframe.WithBaseURL(a.BaseURL), anyframe.WithDotEnv(""), anyframe.WithLogger(slog.New(slog.DiscardHandler)))
	return err == nil
}

// PoolOptions configures a Pool.
type PoolOptions struct {
	// Transport makes the calls, over connections that all accounts share.
	Transport interface {
		http.RoundTripper
		Close()
	}
	Timeout time.Duration // of one call
	Calls   *slog.Logger  // gets a line for every call
	Metrics *telemetry.Metrics
	Log     *slog.Logger
	// Refused is called each time that AnyFrame refuses the key of an account. It may be
	// nil.
	Refused func(context.Context, Account)
}

// Pool has a guard for each account that a site of the process uses, and the connections,
// which all sites with the same base URL share. It is safe for concurrent use.
type Pool struct {
	PoolOptions
	look chan struct{} // one slot: a refused key may have nothing that checks it

	mu  sync.Mutex // guarantees one endpoint per account; never held when taking another lock
	all map[Account]*endpoint
}

// endpoint is an account with its guard and clients.
type endpoint struct {
	account Account
	base    *url.URL
	guard   *Guard
	send    http.RoundTripper
	client  *anyframe.Client // for calls that concern the account and no site

	// Guarded by Pool.mu.
	newest  int  // how many routes create sessions with it: then it is in use
	routes  int  // how many routes have it among their accounts
	watched bool // a goroutine checks the key
}

// NewPool returns a pool without connections. It starts nothing.
func NewPool(o PoolOptions) *Pool {
	return &Pool{PoolOptions: o, look: make(chan struct{}, 1), all: map[Account]*endpoint{}}
}

// client returns a client whose calls go through wrap.
func (p *Pool) client(a Account, wrap func(http.RoundTripper) http.RoundTripper) (*anyframe.Client, error) {
	return anyframe.New(
		anyframe.WithAPIKey(a.Key),
		anyframe.WithBaseURL(a.BaseURL),
		anyframe.WithDotEnv(""), // the program has already read it
		anyframe.WithTimeout(p.Timeout),
		anyframe.WithUserAgent("anyframe-relay"),
		anyframe.WithHTTPClient(&http.Client{Transport: p.Transport}),
		anyframe.WithMiddleware(wrap),
		anyframe.WithLogger(p.Calls),
	)
}

// endpoint returns the endpoint of an account, creating it if necessary.
func (p *Pool) endpoint(a Account) (*endpoint, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e := p.all[a]; e != nil {
		return e, nil
	}
	e := &endpoint{account: a, guard: NewGuard(p.Metrics, p.Log, p.changed)}
	e.send = e.guard.Middleware(p.Transport)
	var err error
	if e.client, err = p.client(a, func(http.RoundTripper) http.RoundTripper { return e.send }); err != nil {
		return nil, err
	}
	at := a.BaseURL
	if at == "" {
		at = anyframe.DefaultBaseURL
	}
	if e.base, err = url.Parse(strings.TrimSuffix(at, "/")); err != nil {
		return nil, fmt.Errorf("base URL: %w", err)
	}
	p.all[a] = e
	return e, nil
}

// replace notes that a route has the accounts now instead of those before, both newest
// first.
func (p *Pool) replace(before, now []*endpoint) {
	p.mu.Lock()
	for i, e := range before {
		e.routes--
		if i == 0 {
			e.newest--
		}
	}
	for i, e := range now {
		e.routes++
		if i == 0 {
			e.newest++
		}
	}
	p.mu.Unlock()
	p.changed()
}

// changed updates the metrics after the state of an account has changed, or its use.
func (p *Pool) changed() {
	p.mu.Lock()
	_, refused, open := p.inUse()
	p.Metrics.KeyRefused.Set(float64(refused))
	p.Metrics.BreakerOpen.Set(float64(open))
	p.mu.Unlock()
	p.wake()
}

// inUse counts the accounts in use: all, those whose key is refused, and those whose
// breaker is open. An account that only earlier sessions belong to is not in use. The
// caller holds mu.
func (p *Pool) inUse() (all, refused, open int) {
	for _, e := range p.all {
		if e.newest == 0 {
			continue
		}
		all++
		if e.guard.KeyRefused() {
			refused++
		}
		if e.guard.Open() {
			open++
		}
	}
	return all, refused, open
}

// KeyRefused reports whether AnyFrame refuses the key of every account in use.
func (p *Pool) KeyRefused() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	all, refused, _ := p.inUse()
	return all > 0 && refused == all
}

// Close closes the connections as soon as they are idle. No call may follow.
func (p *Pool) Close() { p.Transport.Close() }

// A refused key is retried every retryKey for the first quickKeyTries times, and every
// minute after that.
const (
	retryKey      = 10 * time.Second
	quickKeyTries = 30
)

// Watch checks first's account, and that of every refused key for as long as it is
// refused and a route has it, so that replacing a key at AnyFrame needs no restart. It
// makes no calls for an account whose key works. It ends with ctx.
func (p *Pool) Watch(ctx context.Context, first *Route) {
	var g group.Group
	defer g.Close()
	if first != nil {
		p.watch(ctx, &g, first.newest(), 0)
	}
	for {
		for _, e := range p.unwatched() {
			p.watch(ctx, &g, e, retryKey)
		}
		select {
		case <-p.look:
		case <-ctx.Done():
			return
		}
	}
}

// wake makes Watch look for refused keys that are not checked. It never blocks.
func (p *Pool) wake() {
	select {
	case p.look <- struct{}{}:
	default:
	}
}

// unwatched returns the endpoints of routes whose key is refused and not checked.
func (p *Pool) unwatched() (some []*endpoint) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.all {
		if e.guard.KeyRefused() && e.routes > 0 && !e.watched {
			some = append(some, e)
		}
	}
	return some
}

// watch starts checking an account after wait, unless that is already in progress.
func (p *Pool) watch(ctx context.Context, g *group.Group, e *endpoint, wait time.Duration) {
	p.mu.Lock()
	began := !e.watched
	e.watched = true
	p.mu.Unlock()
	if !began {
		return
	}
	g.Go(func() {
		defer p.unwatch(e) // also if ctx ends before the result is known
		backoff.Sleep(ctx, wait)
		for attempt := 0; ctx.Err() == nil && p.routed(e); attempt++ {
			_, err := e.client.Me(ctx, anyframe.CallRetries(-1))
			if e.guard.KeyRefused() && p.Refused != nil {
				p.Refused(ctx, e.account)
			}
			var next time.Duration
			switch {
			case e.guard.KeyRefused() && attempt < quickKeyTries:
				next = retryKey
			case e.guard.KeyRefused():
				next = time.Minute
			case err != nil:
				next = backoff.Delay(attempt, time.Minute) // AnyFrame is not reachable yet
			}
			if next == 0 {
				return
			}
			backoff.Sleep(ctx, next)
		}
	})
}

// routed reports whether a route has e among its accounts.
func (p *Pool) routed(e *endpoint) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return e.routes > 0
}

// unwatch notes that e is no longer checked. Its key may have been refused again since
// the last check: Watch skips an endpoint that is being checked, so it must look again.
func (p *Pool) unwatch(e *endpoint) {
	p.mu.Lock()
	e.watched = false
	p.mu.Unlock()
	p.wake()
}
