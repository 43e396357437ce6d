package relay_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
)

func TestHealth_Liveness_SaysNothingElse(t *testing.T) {
	d := newOffline(t, nil)
	a := d.ask("GET", "/healthz", "")
	if a.status != http.StatusOK || a.body != "ok\n" || a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("got %d %q %v, want 200 ok, not cached", a.status, a.body, a.header)
	}
	if a := d.ask("GET", "/readyz", ""); a.status != http.StatusOK || a.body != `{"ready":true,"reasons":[]}`+"\n" || a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("got %d %q %v, want 200, ready, not cached", a.status, a.body, a.header)
	}
}

// reasons waits until /readyz gives exactly these reasons for not being ready.
func (r *harness) reasons(want ...string) {
	r.t.Helper()
	body := func() string {
		a := (&browser{r: r}).do("GET", "/readyz", "")
		if ready := a.json["ready"] == true; ready != (a.status == http.StatusOK) || (!ready && a.status != http.StatusServiceUnavailable) {
			r.t.Errorf("got %d %s, want 200 when ready and 503 when not", a.status, a.body)
		}
		return a.body
	}
	list, _ := json.Marshal(append([]string{}, want...))
	expected := fmt.Sprintf(`{"ready":%v,"reasons":%s}`+"\n", len(want) == 0, list)
	deadline := time.Now().Add(patience)
	for got := body(); got != expected; got = body() {
		if time.Now().After(deadline) {
			r.t.Fatalf("readyz: got %s, want %s", got, expected)
		}
	}
}

func TestHealth_Draining_NotReady(t *testing.T) {
	r := newHarness(t, nil)
	v := r.visitor()
	r.reasons()
	r.srv.Drain(t.Context())
	r.reasons("draining")
	for _, call := range []struct{ method, path, body string }{
		{"POST", "/v1/messages", `{"text":"hi"}`}, {"POST", "/v1/session", ""}, {"GET", "/v1/events", ""}, {"POST", "/v1/responses", `{"id":"p1-1","answer":"x"}`},
	} {
		a := v.do(call.method, call.path, call.body)
		refused(t, call.method+" "+call.path, a, 503, "draining")
		if a.header.Get("Retry-After") == "" {
			t.Errorf("%s %s: got no Retry-After, want one", call.method, call.path)
		}
	}
	refused(t, "a new visitor", (&browser{r: r}).do("POST", "/v1/visitor", `{}`), 503, "draining")
	for _, path := range []string{"/healthz", "/", "/v1/session"} {
		if a := v.do("GET", path, ""); a.status != http.StatusOK {
			t.Errorf("%s: got %d, want 200", path, a.status)
		}
	}
}

func TestHealth_StoreUnreachable_NotReady(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "relay.db")
	r := newHarness(t, func(c *relay.Config) { c.Store = "sqlite:" + path })
	v := r.visitor()
	r.reasons()

	db, err := sql.Open("sqlite", path) // with the driver that the store registers
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil { // no other connection can write
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 5 { // concurrent probes cause one ping of the store
		wg.Go(func() { r.reasons("the store cannot be reached") })
	}
	wg.Wait()
	if a := v.do("GET", "/healthz", ""); a.status != http.StatusOK {
		t.Errorf("healthz: got %d, want 200", a.status)
	}
	if _, err := conn.ExecContext(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	r.reasons()
	v.say("all is well again", "k1")
	logs := r.logs.String()
	if a, b := strings.Count(logs, `"the store cannot be reached"`), strings.Count(logs, `"the store is reachable again"`); a != 1 || b != 1 {
		t.Errorf("log: got %d times that the store is gone and %d times that it is back, want each once", a, b)
	}
}

func TestHealth_KeyRefused_NotReadyAndLoggedOnce(t *testing.T) {
	const canary = "the-words-of-anyframe"
	r := newHarness(t, nil, anyframetest.WithAgent(1, talk))
	v := r.visitor()
	v.say("hello", "k1")
	x := v.open("")
	x.turnEnds(1)

	for _, status := range []int{401, 403} {
		r.plane.Inject(anyframetest.Fault{Kind: anyframetest.Respond, Status: status, Body: `{"detail":"` + canary + `"}`})
		watch, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { r.srv.Run(watch) })
		r.reasons("AnyFrame rejects the API key")
		before := r.plane.Count(anyframetest.OpAny)
		for i := range 10 {
			v := v
			if i%2 == 1 {
				v = r.visitor()
			}
			a := v.do("POST", "/v1/messages", `{"text":"hi"}`)
			if v.token == "" || a.status == http.StatusAccepted {
				t.Errorf("a message: got %d %s, want it refused", a.status, a.body)
			}
			refused(t, "a message", a, 503, "upstream_unavailable")
			if a.header.Get("Retry-After") == "" || strings.Contains(a.body, canary) {
				t.Errorf("a message: got %s, want when to come back and nothing of AnyFrame's words", a.body)
			}
		}
		if n := r.plane.Count(anyframetest.OpAny) - before; n > 1 {
			t.Errorf("requests with a refused key: got %d, want none but the one that tries it", n)
		}
		stop()
		wg.Wait()

		// The key is valid again: the next call detects it.
		r.plane.ClearFaults()
		watch, stop = context.WithCancel(t.Context())
		wg.Go(func() { r.srv.Run(watch) })
		r.reasons()
		if a := v.do("POST", "/v1/messages", `{"text":"hi again"}`); a.status != http.StatusAccepted {
			t.Errorf("with a good key: got %d %s, want 202", a.status, a.body)
		}
		stop()
		wg.Wait()
	}
	logs := r.logs.String()
	if a, b := strings.Count(logs, "AnyFrame rejects the key"), strings.Count(logs, "AnyFrame accepts the key again"); a != 2 || b != 2 {
		t.Errorf("log: got %d times that the key is refused and %d times that it is good again, want each twice", a, b)
	}
}
