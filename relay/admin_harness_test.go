package relay_test

import (
	"context"
	"net/http"
	"runtime/pprof"
	"sync"
	"testing"
)

// admin sends a request to the relay's admin handler. Headers come in pairs.
func (r *harness) admin(method, path, body string, headers ...string) answer {
	r.t.Helper()
	pprof.SetGoroutineLabels(pprof.WithLabels(r.t.Context(), r.label)) // work that the request starts belongs to this relay
	return askAdmin(r.t, r.srv.AdminHandler, method, path, body, headers...)
}

func (d *offline) admin(method, path, body string, headers ...string) answer {
	d.t.Helper()
	return askAdmin(d.t, d.srv.AdminHandler, method, path, body, headers...)
}

func askAdmin(t *testing.T, handler func(open, debug http.Handler) http.Handler, method, path, body string, headers ...string) answer {
	t.Helper()
	says := func(text string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(text)) })
	}
	headers = append([]string{"Host", "localhost"}, headers...)
	return ask(t, handler(says("open"), says("debug")), "192.0.2.1:1234", false, method, path, body, headers...)
}

// operates is admin, and fails the test unless the request succeeds.
func (r *harness) operates(method, path, body string) answer {
	r.t.Helper()
	a := r.admin(method, path, body)
	if a.status/100 != 2 {
		r.t.Fatalf("%s %s: got %d %s, want it done", method, path, a.status, a.body)
	}
	return a
}

// runs runs the relays' background work until the test ends.
func runs(t *testing.T, all ...*harness) {
	t.Helper()
	var running sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	for _, r := range all {
		running.Go(func() {
			pprof.SetGoroutineLabels(pprof.WithLabels(ctx, r.label)) // what it starts belongs to it
			r.srv.Run(ctx)
		})
	}
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
}
