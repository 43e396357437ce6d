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

func newPool(k *keys) (*Pool, *prometheus.Registry) {
	log, reg := slog.New(slog.DiscardHandler), prometheus.NewRegistry()
	return NewPool(PoolOptions{Transport: k, Timeout: time.Second, Metrics: telemetry.NewMetrics(reg), Log: log, Calls: log}), reg
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
		p, _ := newPool(plane)
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
		p, _ := newPool(plane)
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

// An earlier account is checked for as long as sessions may continue with it, and again if
// it is used again.
func TestWatch_NoRouteHasAccount_NotChecked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plane := &keys{}
		p, _ := newPool(plane)
		r := routed(t, p, account(0))
		plane.refused.Store(true)
		if err := use(t, r); err == nil {
			t.Fatal("got no error, want the key refused")
		}
		watched(t, p, func() {
			checked := func(want bool) {
				t.Helper()
				before := plane.asked.Load()
				time.Sleep(5 * time.Minute)
				synctest.Wait()
				if got := plane.asked.Load() > before; got != want {
					t.Errorf("checked: got %v, want %v", got, want)
				}
			}
			follow := func(a Account) {
				t.Helper()
				if err := r.Use(a); err != nil {
					t.Fatal(err)
				}
			}
			checked(true)
			for i := range maxAccounts - 1 {
				follow(account(i + 1))
			}
			checked(true)
			follow(account(maxAccounts))
			time.Sleep(time.Minute) // until the next check was due
			checked(false)
			follow(account(0))
			checked(true)
			r.Close()
			time.Sleep(time.Minute)
			checked(false)
		})
	})
}

// The metrics and the readiness probe concern the accounts of new sessions.
func TestPool_AccountReplaced_CountsNoLonger(t *testing.T) {
	plane := &keys{}
	p, reg := newPool(plane)
	want := func(when string, refused, open float64, all bool) {
		t.Helper()
		if got := gauge(t, reg, "relay_upstream_key_refused"); got != refused {
			t.Errorf("%s: keys refused: got %v, want %v", when, got, refused)
		}
		if got := gauge(t, reg, "relay_upstream_breaker_open"); got != open {
			t.Errorf("%s: breakers open: got %v, want %v", when, got, open)
		}
		if got := p.KeyRefused(); got != all {
			t.Errorf("%s: every key refused: got %v, want %v", when, got, all)
		}
	}
	want("no account", 0, 0, false)
	one, two := routed(t, p, account(1)), routed(t, p, account(1))
	plane.refused.Store(true)
	_ = use(t, one)
	one.newest().guard.breaker.failed(opMe, "", "") // as when AnyFrame does not answer
	want("both routes use it", 1, 1, true)
	if err := one.Use(account(2)); err != nil {
		t.Fatal(err)
	}
	want("one route uses it", 1, 1, false)
	two.Close()
	want("none uses it", 0, 0, false)
	if err := one.Use(account(1)); err != nil {
		t.Fatal(err)
	}
	want("it is used again", 1, 1, true)
	plane.refused.Store(false)
	_, _ = one.newest().client.Me(t.Context()) // whose response is empty, and only its status counts
	want("it works again", 0, 0, false)
}

// gauge returns the value of a gauge.
func gauge(t *testing.T, reg *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("there is no metric %s", name)
	return 0
}
