package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/anyframe-relay/relay/relay/internal/telemetry"
)

var errReset = errors.New("connection reset by peer")

// plane simulates AnyFrame: the response to each kind of call.
type plane struct {
	guard *Guard
	http  http.RoundTripper
	asked atomic.Int64 // calls of GET /api/me
	calls atomic.Int64 // all calls

	mu     sync.Mutex
	status int   // of calls
	me     int   // the status of GET /api/me
	err    error // of calls, instead of a status
	used   bool  // the connection of a call has served earlier calls
	noConn bool  // a call gets no connection
	delay  time.Duration
}

func newPlane() *plane {
	p := &plane{status: http.StatusOK, me: http.StatusOK}
	p.guard = NewGuard(telemetry.NewMetrics(prometheus.NewRegistry()), slog.New(slog.DiscardHandler), func() {})
	p.http = p.guard.Middleware(roundTripper(p.answer))
	return p
}

func (p *plane) answer(r *http.Request) (*http.Response, error) {
	p.mu.Lock()
	status, err, used, noConn, delay := p.status, p.err, p.used, p.noConn, p.delay
	me := strings.HasSuffix(r.URL.Path, "/api/me")
	if me {
		status = p.me
		if status != 0 {
			err = nil
		}
	}
	p.mu.Unlock()
	p.calls.Add(1)
	if me {
		p.asked.Add(1)
	}
	if trace := httptrace.ContextClientTrace(r.Context()); !noConn {
		trace.GotConn(httptrace.GotConnInfo{Reused: used})
	}
	time.Sleep(delay)
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader("{}"))}, nil
}

// is changes how AnyFrame responds.
func (p *plane) is(change func(*plane)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(p)
}

// call makes a call for a visitor on a network, or for no visitor if they are empty.
func (p *plane) call(t *testing.T, method, path, visitor, network string) error {
	t.Helper()
	ctx := t.Context()
	if visitor != "" {
		c := NewCaller(visitor)
		if network != "" {
			c.From(network)
		}
		ctx = For(ctx, c)
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://anyframe.test/base/api/"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer k")
	res, err := p.http.RoundTrip(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", res.StatusCode)
	}
	return nil
}

func (p *plane) message(t *testing.T, visitor, network string) error {
	t.Helper()
	return p.call(t, http.MethodPost, "sessions/s/message", visitor, network)
}

func TestGuard_ManyCallsForbiddenAtOnce_MeAskedOnce(t *testing.T) {
	for name, c := range map[string]struct {
		me      int
		refused bool
	}{"a good key": {200, false}, "a refused key": {401, true}, "no word of the key": {429, false}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPlane()
				p.is(func(p *plane) { p.status, p.me, p.delay = 403, c.me, time.Second })
				var all sync.WaitGroup
				for range 20 {
					all.Go(func() {
						if err := p.message(t, "v", "n"); err == nil || errors.Is(err, ErrKeyRefused) != c.refused {
							t.Errorf("got %v, want the key refused: %v", err, c.refused)
						}
					})
				}
				all.Wait()
				if got := p.asked.Load(); got != 1 {
					t.Errorf("calls of GET /api/me: got %d, want 1", got)
				}
				if got := p.guard.KeyRefused(); got != c.refused {
					t.Errorf("key refused: got %v, want %v", got, c.refused)
				}
				calls := p.calls.Load()
				_ = p.message(t, "w", "m")
				if made := p.calls.Load() > calls; made == c.refused {
					t.Errorf("the next call made: got %v, want %v", made, !c.refused)
				}
			})
		})
	}
}

func TestGuard_Failures_OpenTheBreakerWhenEverybodys(t *testing.T) {
	t.Parallel()
	type call struct{ visitor, network string }
	one, two, three := call{"v1", "n1"}, call{"v2", "n2"}, call{"v3", "n3"}
	for name, c := range map[string]struct {
		how    func(*plane)
		calls  []call
		opened bool
	}{
		"three visitors, 5xx":           {func(p *plane) { p.status = 503 }, []call{one, two, three}, true},
		"three visitors, no connection": {func(p *plane) { p.err, p.noConn = errReset, true }, []call{one, two, three}, true},
		"three visitors, too late":      {func(p *plane) { p.err = context.DeadlineExceeded }, []call{one, two, three}, true},
		"three visitors, 4xx":           {func(p *plane) { p.status = 429 }, []call{one, two, three}, false},
		"two visitors":                  {func(p *plane) { p.status = 503 }, []call{one, two, one, two, one, two, one}, false},
		"one visitor at three networks": {func(p *plane) { p.status = 503 }, []call{{"v1", "n1"}, {"v1", "n2"}, {"v1", "n3"}, {"v1", "n4"}, {"v1", "n5"}}, false},
		"three visitors at one network": {func(p *plane) { p.status = 503 }, []call{{"v1", "n1"}, {"v2", "n1"}, {"v3", "n1"}, {"v4", "n1"}, {"v5", "n1"}}, false},
		"visitors at no known network":  {func(p *plane) { p.status = 503 }, []call{{"v1", ""}, {"v2", ""}, {"v3", ""}}, false},
		"nobody":                        {func(p *plane) { p.status = 503 }, []call{{}, {}, {}, {}, {}, {}}, false},
		"nobody, and me fails":          {func(p *plane) { p.status, p.me = 503, 503 }, []call{{}, {}, {}, {}, {}}, true},
		"one visitor, and me fails":     {func(p *plane) { p.status, p.me = 503, 503 }, []call{one, one, one, one, one}, true},
		"used connections lost":         {func(p *plane) { p.err, p.used = errReset, true }, []call{one, two, three, one, two, three}, false},
		"new connections lost again":    {func(p *plane) { p.err = errReset }, []call{one, one, two, three}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlane()
			p.is(c.how)
			for _, call := range c.calls {
				if err := p.message(t, call.visitor, call.network); err == nil {
					t.Fatal("got no error, want one")
				}
			}
			err := p.message(t, "other", "elsewhere")
			if _, open := BreakerWait(err); open != c.opened {
				t.Errorf("got %v, want the breaker open: %v", err, c.opened)
			}
			if NeverSent(err) != c.opened {
				t.Errorf("%v: never sent: got %v, want %v", err, !c.opened, c.opened)
			}
		})
	}
}

// All connections that are lost at the same time count as one failure, whether calls
// share a connection or have one each.
func TestGuard_NewConnectionsLostTogether_BreakerStaysClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlane()
		p.is(func(p *plane) { p.err, p.delay = errReset, time.Second })
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() { _ = p.message(t, fmt.Sprint("v", i), fmt.Sprint("n", i)) })
		}
		all.Wait()
		if _, open := BreakerWait(p.message(t, "v", "n")); open {
			t.Error("got the breaker open, want it closed")
		}
	})
}

func TestGuard_SuccessOrTimeBetweenFailures_BreakerStaysClosed(t *testing.T) {
	for name, between := range map[string]func(t *testing.T, p *plane){
		"a success of the same kind": func(t *testing.T, p *plane) {
			t.Helper()
			p.is(func(p *plane) { p.status = 200 })
			if err := p.message(t, "w", "m"); err != nil {
				t.Error(err)
			}
			p.is(func(p *plane) { p.status = 503 })
		},
		"the window": func(*testing.T, *plane) { time.Sleep(breakerWindow + time.Second) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPlane()
				p.is(func(p *plane) { p.status = 503 })
				_, _ = p.message(t, "v1", "n1"), p.message(t, "v2", "n2")
				between(t, p)
				_ = p.message(t, "v3", "n3")
				if _, open := BreakerWait(p.message(t, "v1", "n1")); open {
					t.Error("got the breaker open, want it closed")
				}
			})
		})
	}
}

// While the breaker is open, GET /api/me is the trial, and no visitor's call is: a
// visitor whose calls always fail would keep it open.
func TestGuard_BreakerOpen_ClosedByMeWhateverCallsDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlane()
		p.is(func(p *plane) { p.status, p.me = 503, 503 })
		for i := range 3 {
			_ = p.message(t, fmt.Sprint("v", i), fmt.Sprint("n", i))
		}
		calls := p.calls.Load()
		for range 100 { // in 20 s
			time.Sleep(200 * time.Millisecond)
			if _, open := BreakerWait(p.message(t, "v1", "n1")); !open {
				t.Fatal("got the breaker closed while GET /api/me fails")
			}
		}
		if got := p.calls.Load() - calls; got != p.asked.Load() || got > 4 {
			t.Errorf("calls while it is open: got %d, %d of them GET /api/me, want 4 at most, all of them that", got, p.asked.Load())
		}
		p.is(func(p *plane) { p.me = 200 })
		time.Sleep(breakerOpenFor)
		for range 4 {
			if _, open := BreakerWait(p.message(t, "v1", "n1")); open {
				t.Error("got the breaker open for a visitor whose calls fail, want it closed")
			}
		}
		p.is(func(p *plane) { p.status = 200 })
		if err := p.message(t, "v2", "n2"); err != nil {
			t.Errorf("got %v, want no error", err)
		}
	})
}
