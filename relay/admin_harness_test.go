package relay_test

import (
	"context"
	"net/http"
	"runtime/pprof"
	"sync"
	"testing"
)

// admin asks a relay's admin listener, as the handler has it. Headers come in pairs.
func (r *harness) admin(method, path, body string, headers ...string) answer {
	r.t.Helper()
	pprof.SetGoroutineLabels(pprof.WithLabels(r.t.Context(), r.label)) // what an order starts is this relay's
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

// operates is admin, and wants it done.
func (r *harness) operates(method, path, body string) answer {
	r.t.Helper()
	a := r.admin(method, path, body)
	if a.status/100 != 2 {
		r.t.Fatalf("%s %s: got %d %s, want it done", method, path, a.status, a.body)
	}
	return a
}

// runs lets relays do what they do besides answering, until the test ends.
func runs(t *testing.T, all ...*harness) {
	t.Helper()
	var running sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	for _, r := range all {
		running.Go(func() {
			pprof.SetGoroutineLabels(pprof.WithLabels(ctx, r.label)) // what it starts is its own
			r.srv.Run(ctx)
		})
	}
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
}
