package main

import (
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
)

func TestShutdown_SIGTERM_GracefulAndStreamsTold(t *testing.T) {
	plane := anyframetest.Start(t)
	relay := launch(t, "serve", upstream(plane)...)
	token := mint(t, relay.url)
	body := stream(t.Context(), t, relay.url, token, "")
	defer body.Close()
	relay.signal(syscall.SIGTERM)
	got, err := io.ReadAll(body)
	if err != nil {
		t.Errorf("the stream: got %v, want a clean end", err)
	}
	if n := len(regexp.MustCompile(`(?m)^retry: \d+$`).FindAllString(string(got), -1)); n != 2 {
		t.Errorf("retry fields: got %d, want one at the start and one at the end, in %q", n, got)
	}
	if code := relay.exit(); code != exitOK {
		t.Errorf("exit code: got %d, want 0; %s", code, relay.output())
	}
	if !strings.Contains(relay.output(), `"msg":"shut down"`) {
		t.Errorf("the log does not say that it ended: %s", relay.output())
	}
}

func TestShutdown_SecondSignal_EndsAtOnce(t *testing.T) {
	plane := anyframetest.Start(t)
	relay := launch(t, "serve", upstream(plane)...)
	token := mint(t, relay.url)
	body := stream(t.Context(), t, relay.url, token, "")
	defer body.Close()
	relay.signal(syscall.SIGTERM)
	for deadline := time.Now().Add(patience); !strings.Contains(relay.output(), `"msg":"shutting down"`); {
		if time.Now().After(deadline) {
			t.Fatal("the first signal has no effect")
		}
		relay.signal(syscall.Signal(0)) // only checks that the process exists
	}
	relay.signal(syscall.SIGTERM)
	if code := relay.exit(); code != exitError || strings.Contains(relay.output(), `"msg":"shut down"`) {
		t.Errorf("got exit code %d, want 1 before the streams have ended: %s", code, relay.output())
	}
}

func TestShutdown_SIGTERMWithStreamsAndTurn_NothingLost(t *testing.T) {
	const streams = 20
	plane := anyframetest.Start(t)
	path := filepath.Join(t.TempDir(), "relay.db")
	relay := launch(t, "serve", append(upstream(plane), "RELAY_STORE=sqlite:"+path, "RELAY_STREAMS_PER_VISITOR=100", "RELAY_RATE_IP=off")...)
	token := mint(t, relay.url)
	if r := ask(t, "POST", relay.url+"/v1/messages", token, `{"text":"before"}`); r.code != http.StatusAccepted {
		t.Fatalf("POST /v1/messages: got %d %s, %v, want 202", r.code, r.body, r.err)
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	ends := make(chan reply, streams)
	for range streams {
		body := stream(t.Context(), t, relay.url, token, "")
		wg.Go(func() {
			defer body.Close()
			text, err := io.ReadAll(body)
			ends <- reply{http.StatusOK, string(text), err}
		})
	}
	// AnyFrame receives the turn but responds late.
	plane.Inject(anyframetest.Fault{Kind: anyframetest.Late, Delay: 2 * time.Second, Op: anyframetest.OpMessage, Times: 1})
	turn := make(chan reply, 1)
	wg.Go(func() {
		turn <- ask(t, "POST", relay.url+"/v1/messages", token, `{"text":"in flight"}`, "Idempotency-Key", "k1")
	})
	plane.WaitFor(t, func() bool { return len(plane.Messages(plane.Sessions()[0].ID)) == 2 })

	relay.signal(syscall.SIGTERM)
	begin := time.Now()
	for { // immediately, while streams are still open
		r := ask(t, "GET", relay.url+"/readyz", token, "")
		if r.err != nil || time.Since(begin) > patience {
			t.Fatalf("readyz while draining: got %d %s, %v, want 503", r.code, r.body, r.err)
		}
		if r.code == http.StatusServiceUnavailable {
			if !strings.Contains(r.body, `"draining"`) {
				t.Errorf("readyz while draining: got %s, want the reason", r.body)
			}
			break
		}
	}
	if len(ends) == streams {
		t.Error("all streams had ended before the relay was not ready")
	}
	for _, c := range []struct{ method, path, body string }{
		{"POST", "/v1/messages", `{"text":"new"}`},
		{"POST", "/v1/session", ""},
		{"GET", "/v1/events", ""},
		{"POST", "/v1/responses", `{"id":"p1-1","answer":"a"}`},
	} {
		if r := ask(t, c.method, relay.url+c.path, token, c.body); r.code != http.StatusServiceUnavailable || !strings.Contains(r.body, `"draining"`) {
			t.Errorf("%s %s while draining: got %d %s, %v, want 503 draining", c.method, c.path, r.code, r.body, r.err)
		}
	}
	if r := ask(t, "GET", relay.url+"/healthz", "", ""); r.code != http.StatusOK {
		t.Errorf("healthz while draining: got %d, %v, want 200: it is alive", r.code, r.err)
	}
	if r := <-turn; r.code != http.StatusAccepted || !strings.Contains(r.body, `"turn":"k1"`) {
		t.Errorf("the turn in flight: got %d %s, %v, want 202", r.code, r.body, r.err)
	}
	for range streams {
		if r := <-ends; r.err != nil || strings.Count(r.body, "\nretry: ") != 2 {
			t.Errorf("a stream: got %v, %q, want a clean end and a second time to come back", r.err, r.body)
		}
	}
	if code := relay.exit(); code != exitOK {
		t.Errorf("exit code: got %d, want 0; %s", code, relay.output())
	}
	wantClosed(t, path)

	// The next relay has the turn, and the response for a client that retries.
	next := launch(t, "serve", append(upstream(plane), "RELAY_STORE=sqlite:"+path)...)
	if r := ask(t, "POST", next.url+"/v1/messages", token, `{"text":"in flight"}`, "Idempotency-Key", "k1"); r.code != http.StatusAccepted {
		t.Errorf("sent again: got %d %s, %v, want 202", r.code, r.body, r.err)
	}
	if got := len(plane.Messages(plane.Sessions()[0].ID)); got != 2 {
		t.Errorf("messages that AnyFrame took: got %d, want 2", got)
	}
}

// wantClosed checks that the store's file is intact and has no files next to it, as after
// the store was closed.
func wantClosed(t *testing.T, path string) {
	t.Helper()
	beside, err := filepath.Glob(path + "-*")
	if err != nil || len(beside) != 0 {
		t.Errorf("beside the store's file: got %q, %v, want nothing", beside, err)
	}
	db, err := sql.Open("sqlite", "file:"+path+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var verdict string
	if err := db.QueryRowContext(t.Context(), "PRAGMA integrity_check").Scan(&verdict); err != nil || verdict != "ok" {
		t.Errorf("the store's file: got %s, %v, want ok", verdict, err)
	}
}

func TestShutdown_SIGTERMDuringBoot_EndsInTime(t *testing.T) {
	plane := anyframetest.Start(t, anyframetest.WithBootDelay(time.Hour))
	path := filepath.Join(t.TempDir(), "relay.db")
	relay := launch(t, "serve", append(upstream(plane), "RELAY_STORE=sqlite:"+path)...)
	token := mint(t, relay.url)
	turn := make(chan reply, 1)
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { turn <- ask(t, "POST", relay.url+"/v1/messages", token, `{"text":"hello"}`) })
	plane.WaitFor(t, func() bool { return len(plane.Sessions()) == 1 })
	relay.signal(syscall.SIGTERM)
	if r := <-turn; r.code != http.StatusServiceUnavailable || !strings.Contains(r.body, `"draining"`) {
		t.Errorf("the turn that waits for a sandbox: got %d %s, %v, want 503 draining", r.code, r.body, r.err)
	}
	if code := relay.exit(); code != exitOK {
		t.Errorf("exit code: got %d, want 0; %s", code, relay.output())
	}
	wantClosed(t, path)
	if got := fmt.Sprint(len(plane.Messages(plane.Sessions()[0].ID)), plane.Count(anyframetest.OpCreate)); got != "0 1" {
		t.Errorf("messages and sandboxes: got %s, want 0 1", got)
	}
}
