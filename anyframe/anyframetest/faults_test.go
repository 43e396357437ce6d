package anyframetest_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
)

func TestFault_Selectors_OnlyMatchingRequests(t *testing.T) {
	cp := anyframetest.Start(t)
	one, two := running(t, cp), running(t, cp)
	cp.Inject(anyframetest.Fault{
		Kind: anyframetest.Respond, Op: anyframetest.OpGet, Session: one, After: 1, Times: 2, Status: 503,
	})
	for _, c := range []struct {
		path   string
		status int
	}{
		{"/api/sessions/" + two, 200},
		{"/api/sessions/" + one + "/transcript", 200},
		{"/api/sessions/" + one, 200}, // the one that succeeds first
		{"/api/sessions/" + one, 503},
		{"/api/sessions/" + two, 200},
		{"/api/sessions/" + one, 503},
		{"/api/sessions/" + one, 200}, // the fault is used up
	} {
		callRaw(t, cp, "GET", c.path, nil, c.status)
	}
	if got := cp.FaultsHit(); got != 2 {
		t.Errorf("got %d faults hit, want 2", got)
	}
}

func TestFault_Several_InOrderOfInjection(t *testing.T) {
	cp := anyframetest.Start(t)
	cp.Inject(
		anyframetest.Fault{Kind: anyframetest.CutAfterEvents}, // not for calls
		anyframetest.Fault{Kind: anyframetest.Respond, Status: 502, Times: 1},
		anyframetest.Fault{Kind: anyframetest.Respond},
	)
	for _, status := range []int{502, 500, 500} {
		callRaw(t, cp, "GET", "/api/me", nil, status)
	}
	cp.ClearFaults()
	callRaw(t, cp, "GET", "/api/me", nil, 200)
}

func TestFault_Respond_AnyAnswer(t *testing.T) {
	cp := anyframetest.Start(t)
	cp.Inject(anyframetest.Fault{
		Kind: anyframetest.Respond, Status: 429, RetryAfter: "in a while", ContentType: "text/plain", Body: "slow down", Times: 1,
	})
	res, err := request(t, cp, "POST", "/api/sessions", map[string]any{"agent_id": cp.AgentID()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != 429 || string(body) != "slow down" {
		t.Errorf("got %d %q, want 429 slow down", res.StatusCode, body)
	}
	if got := res.Header.Get("Retry-After") + ", " + res.Header.Get("Content-Type"); got != "in a while, text/plain" {
		t.Errorf("got headers %q, want what was injected", got)
	}
	if n := len(cp.Sessions()); n != 0 {
		t.Errorf("got %d sessions, want the refused request to have made none", n)
	}
}

func TestFault_RefuseAndLoseAnswer_BeforeOrAfterEffect(t *testing.T) {
	for _, c := range []struct {
		kind     anyframetest.Kind
		sessions int
	}{{anyframetest.Refuse, 0}, {anyframetest.LoseAnswer, 1}} {
		cp := anyframetest.Start(t)
		cp.Inject(anyframetest.Fault{Kind: c.kind, Times: 1})
		res, err := request(t, cp, "POST", "/api/sessions", map[string]any{"agent_id": cp.AgentID()})
		if err == nil {
			_ = res.Body.Close()
			t.Errorf("got %d, want no answer", res.StatusCode)
		}
		if got := len(cp.Sessions()); got != c.sessions {
			t.Errorf("got %d sessions, want %d", got, c.sessions)
		}
		if got := cp.Count(anyframetest.OpCreate); got != 1 {
			t.Errorf("got %d requests, want 1", got)
		}
	}
}

func TestFault_StreamRefused_ConnectionReset(t *testing.T) {
	cp := anyframetest.Start(t)
	id := running(t, cp)
	for _, kind := range []anyframetest.Kind{anyframetest.Refuse, anyframetest.LoseAnswer} {
		cp.Inject(anyframetest.Fault{Kind: kind, Op: anyframetest.OpEvents, Times: 1})
		res, err := request(t, cp, "GET", "/api/sessions/"+id+"/events", nil)
		if err == nil {
			_ = res.Body.Close()
			t.Errorf("got %d, want no answer", res.StatusCode)
		} else if !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("got %v, want %v", err, syscall.ECONNRESET)
		}
	}
}

// do sends a request that ends with ctx.
func do(ctx context.Context, cp *anyframetest.Server, method, path string) (*http.Response, error) {
	body := strings.NewReader(`{"agent_id":4242}`)
	r, err := http.NewRequestWithContext(ctx, method, cp.URL()+path, body)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+cp.Key())
	r.Header.Set("Content-Type", "application/json")
	return http.DefaultTransport.RoundTrip(r)
}

func TestFault_Hang_UntilClientLeaves(t *testing.T) {
	cp := anyframetest.Start(t)
	cp.Inject(anyframetest.Fault{Kind: anyframetest.Hang, Times: 1})
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() {
		res, err := do(ctx, cp, "POST", "/api/sessions")
		if err == nil {
			_ = res.Body.Close()
		}
		failed <- err
	}()
	cp.WaitFor(t, func() bool { return cp.Count(anyframetest.OpCreate) == 1 })
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	if n := len(cp.Sessions()); n != 0 {
		t.Errorf("got %d sessions, want none", n)
	}
}

func TestFault_HangAfterHeaders_AfterEffect(t *testing.T) {
	cp := anyframetest.Start(t)
	cp.Inject(anyframetest.Fault{Kind: anyframetest.HangAfterHeaders, Times: 1})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	res, err := do(ctx, cp, "POST", "/api/sessions")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if got := len(cp.Sessions()); got != 1 || res.StatusCode != 202 {
		t.Errorf("got %d and %d sessions, want 202 and 1", res.StatusCode, got)
	}
	cancel()
	if _, err := io.ReadAll(res.Body); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}

func TestFault_ServerCloses_HangEnds(t *testing.T) {
	cp := anyframetest.Start(t)
	cp.Inject(
		anyframetest.Fault{Kind: anyframetest.Hang, Op: anyframetest.OpMe},
		anyframetest.Fault{Kind: anyframetest.Late, Op: anyframetest.OpList, Delay: time.Hour},
		anyframetest.Fault{Kind: anyframetest.SlowBody, Op: anyframetest.OpCreate, Delay: time.Hour},
	)
	over := make(chan struct{}, 3)
	for _, c := range [][2]string{{"GET", "/api/me"}, {"GET", "/api/sessions"}, {"POST", "/api/sessions"}} {
		go func() {
			defer func() { over <- struct{}{} }()
			res, err := do(t.Context(), cp, c[0], c[1])
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
		}()
	}
	cp.WaitFor(t, func() bool { return cp.Count(anyframetest.OpAny) == 3 && len(cp.Sessions()) == 1 })
	cp.Close()
	for range 3 {
		<-over
	}
}

func TestFault_Late_AfterEffect(t *testing.T) {
	cp := anyframetest.Start(t)
	cp.Inject(anyframetest.Fault{Kind: anyframetest.Late, Delay: time.Millisecond, Times: 1})
	create(t, cp)
	cp.Inject(anyframetest.Fault{Kind: anyframetest.Late, Delay: time.Hour, Times: 1})
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() {
		res, err := do(ctx, cp, "POST", "/api/sessions")
		if err == nil {
			_ = res.Body.Close()
		}
		failed <- err
	}()
	cp.WaitFor(t, func() bool { return len(cp.Sessions()) == 2 })
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}

func TestFault_SlowBody_Complete(t *testing.T) {
	cp := anyframetest.Start(t)
	id := noted(t, cp, 3)
	cp.Sleep(id)
	cp.Inject(anyframetest.Fault{Kind: anyframetest.SlowBody, N: 7, Delay: time.Microsecond})
	if got := call(t, cp, "GET", "/api/sessions/"+id, nil, 200)["id"]; got != id {
		t.Errorf("got id %v, want %s", got, id)
	}
	wantSeqs(t, listen(t, cp, id, "").wantEnd(), upTo(1, 3))
}

func TestFault_WrongType_ContentTypeSent(t *testing.T) {
	cp := anyframetest.Start(t)
	id := noted(t, cp, 3)
	cp.Sleep(id)
	cp.Inject(
		anyframetest.Fault{Kind: anyframetest.WrongType, Op: anyframetest.OpEvents},
		anyframetest.Fault{Kind: anyframetest.WrongType, ContentType: "image/png"},
	)
	l := listen(t, cp, id, "")
	if got := l.res.Header.Get("Content-Type"); got != "text/html" {
		t.Errorf("got content type %q, want text/html", got)
	}
	wantSeqs(t, l.wantEnd(), upTo(1, 3))
	res, err := request(t, cp, "GET", "/api/me", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if got := res.Header.Get("Content-Type"); got != "image/png" {
		t.Errorf("got content type %q, want image/png", got)
	}
}

func TestFault_Garbage_BodySent(t *testing.T) {
	cp := anyframetest.Start(t)
	cp.Inject(
		anyframetest.Fault{Kind: anyframetest.Garbage, Times: 1},
		anyframetest.Fault{Kind: anyframetest.Garbage, Body: "\x00\xff", Times: 1},
	)
	if got := callRaw(t, cp, "POST", "/api/sessions", map[string]any{"agent_id": cp.AgentID()}, 200); json.Valid(got) || len(got) == 0 {
		t.Errorf("got %q, want no JSON", got)
	}
	if got := callRaw(t, cp, "GET", "/api/me", nil, 200); string(got) != "\x00\xff" {
		t.Errorf("got %q, want what was injected", got)
	}
	if n := len(cp.Sessions()); n != 0 {
		t.Errorf("got %d sessions, want none", n)
	}
}

func TestServer_DownAndUp_SessionsKept(t *testing.T) {
	cp := anyframetest.Start(t)
	id := noted(t, cp, 2)
	l := listen(t, cp, id, "")
	l.take(2)
	url := cp.URL()
	cp.Down()
	l.wantCut()
	if res, err := request(t, cp, "GET", "/api/me", nil); !errors.Is(err, syscall.ECONNREFUSED) {
		if err == nil {
			_ = res.Body.Close()
		}
		t.Errorf("got %v, want %v", err, syscall.ECONNREFUSED)
	}
	cp.UserMessage(id, "meanwhile")
	if err := cp.Up(); err != nil {
		t.Fatal(err)
	}
	if got := cp.URL(); got != url {
		t.Errorf("got URL %s, want %s", got, url)
	}
	if got := listen(t, cp, id, "2").take(1)[0]; kind(t, got.data) != "user_message" {
		t.Errorf("got %+v, want the message from meanwhile", got)
	}
}
