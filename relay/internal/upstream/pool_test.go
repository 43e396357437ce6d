package upstream

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/anyframe-relay/relay/relay/internal/telemetry"
)

// keys simulates AnyFrame for many accounts, whose keys are all good or all refused.
type keys struct {
	refused atomic.Bool
	asked   atomic.Int64 // calls of GET /api/me
}

// RoundTrip implements [http.RoundTripper].
func (k *keys) RoundTrip(r *http.Request) (*http.Response, error) {
	if operation(r.Method, r.URL.Path) == opMe {
		k.asked.Add(1)
	}
	res := &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody, Request: r}
	if k.refused.Load() {
		res.StatusCode = http.StatusUnauthorized
	}
	return res, nil
}

func (*keys) Close() {}

func newPool(k *keys) *Pool {
	log := slog.New(slog.DiscardHandler)
	return NewPool(PoolOptions{Transport: k, Timeout: time.Second, Metrics: telemetry.NewMetrics(prometheus.NewRegistry()), Log: log, Calls: log})
}

// account returns the account with a key of this number.
func account(i int) Account {
	return Account{"http://127.0.0.1", fmt.Sprint("afm_account_", i)}
}

// routed returns a route to an account.
func routed(t *testing.T, p *Pool, a Account) *Route {
	t.Helper()
	r, _, err := p.Route(a)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// use sends a call with the newest account of a route.
func use(t *testing.T, r *Route) error {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://127.0.0.1/api/sessions", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := r.send(req)
	if err == nil {
		_ = res.Body.Close()
	}
	return err
}

// watched runs a test while the pool is watched.
func watched(t *testing.T, p *Pool, test func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.Watch(ctx, nil)
	}()
	test()
	cancel()
	<-done
}

// However many keys are refused, and whenever: each is checked until it is good again.
func TestWatch_ManyKeysRefusedBefore_AllRecover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plane := &keys{}
		p := newPool(plane)
		plane.refused.Store(true)
		var routes []*Route
		for i := range 20 {
			routes = append(routes, routed(t, p, account(i)))
			if err := use(t, routes[i]); err == nil {
				t.Fatal("got no error, want the key refused")
			}
		}
		plane.refused.Store(false)
		watched(t, p, func() {
			time.Sleep(retryKey)
			synctest.Wait()
			for i, r := range routes {
				if err := use(t, r); err != nil {
					t.Errorf("account %d: got %v, want its key accepted again", i, err)
				}
			}
		})
	})
}

// A check has found that the key is good, and ends, while the key is refused again.
func TestWatch_RefusedWhileCheckEnds_CheckedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plane := &keys{}
		p := newPool(plane)
		r := routed(t, p, account(1))
		e := r.newest()
		e.watched = true // until unwatch
		watched(t, p, func() {
			plane.refused.Store(true)
			if err := use(t, r); err == nil {
				t.Fatal("got no error, want the key refused")
			}
			synctest.Wait()
			p.unwatch(e)
			plane.refused.Store(false)
			time.Sleep(retryKey)
			synctest.Wait()
			if err := use(t, r); err != nil {
				t.Errorf("got %v, want the key accepted again", err)
			}
		})
	})
}
