package relay_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/tools/testtools"
)

// browser is one visitor that uses a bearer token.
type browser struct {
	r     *harness
	token string
}

type answer struct {
	status int
	header http.Header
	body   string
	json   map[string]any
}

func (a answer) code() string { s, _ := a.json["code"].(string); return s }

func (r *harness) visitor() *browser {
	r.t.Helper()
	a := (&browser{r: r}).do("POST", "/v1/visitor", `{"carrier":"bearer"}`)
	token, _ := a.json["token"].(string)
	if a.status != 200 || token == "" {
		r.t.Fatalf("POST /v1/visitor: got %d %s, want a token", a.status, a.body)
	}
	return &browser{r, token}
}

// do sends a request. Headers come in pairs.
func (b *browser) do(method, path, body string, headers ...string) answer {
	b.r.t.Helper()
	var in io.Reader
	if body != "" {
		in = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(context.Background(), method, b.r.web.URL+b.r.conf.BasePath+path, in)
	if err != nil {
		b.r.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if b.token != "" {
		req.Header.Set("Authorization", "Bearer "+b.token)
	}
	for pair := range slices.Chunk(headers, 2) {
		if req.Header.Set(pair[0], pair[1]); pair[0] == "Host" {
			req.Host = pair[1]
		}
	}
	res, err := testtools.Client.Transport.RoundTrip(req)
	if err != nil {
		b.r.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		b.r.t.Fatalf("%s %s: read: %v", method, path, err)
	}
	a := answer{status: res.StatusCode, header: res.Header, body: string(text)}
	_ = json.Unmarshal(text, &a.json)
	return a
}

func quote(s string) string { b, _ := json.Marshal(s); return string(b) }

// say posts a message, which must be accepted.
func (b *browser) say(text, key string) answer {
	b.r.t.Helper()
	a := b.do("POST", "/v1/messages", `{"text":`+quote(text)+`}`, "Idempotency-Key", key)
	if a.status != http.StatusAccepted {
		b.r.t.Fatalf("POST /v1/messages %q: got %d %s, want 202", text, a.status, a.body)
	}
	return a
}

// open opens a stream. The last event id is sent in the header.
func (b *browser) open(lastEventID string) *stream {
	b.r.t.Helper()
	return b.openAt("/v1/events", "Last-Event-ID", lastEventID)
}

func (b *browser) openAt(path string, headers ...string) *stream {
	b.r.t.Helper()
	x, refusal := b.tryOpenAt(path, headers...)
	if x == nil {
		b.r.t.Fatalf("GET %s: got %d %s, want 200", path, refusal.status, refusal.body)
	}
	return x
}

// tryOpen opens a stream, or returns the code of the refusal.
func (b *browser) tryOpen() (x *stream, code string) {
	b.r.t.Helper()
	x, refusal := b.tryOpenAt("/v1/events")
	return x, refusal.code()
}

func (b *browser) tryOpenAt(path string, headers ...string) (*stream, answer) {
	b.r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.r.web.URL+b.r.conf.BasePath+path, nil)
	if err != nil {
		b.r.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+b.token)
	for pair := range slices.Chunk(headers, 2) {
		if pair[1] != "" {
			req.Header.Set(pair[0], pair[1])
		}
	}
	res, err := testtools.Client.Transport.RoundTrip(req)
	if err != nil {
		cancel()
		b.r.t.Fatal(err)
	}
	if res.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		cancel()
		a := answer{status: res.StatusCode, header: res.Header, body: string(body)}
		_ = json.Unmarshal(body, &a.json)
		return nil, a
	}
	// A stream's body is not recorded by the documentation check, so record its response
	// here.
	documented().answered(http.MethodGet, "/v1/events", fmt.Sprint(res.StatusCode), res.Header, nil)
	x := &stream{t: b.r.t, cancel: cancel, res: res, done: make(chan struct{}), grew: make(chan struct{}, 1)}
	go x.read()
	b.r.t.Cleanup(x.close)
	return x, answer{}
}

// leavesWhen posts a message and cancels the request as soon as cond holds.
func (b *browser) leavesWhen(text, key string, cond func() bool) {
	b.r.t.Helper()
	ctx, leave := context.WithCancel(b.r.t.Context())
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_, _ = b.try(ctx, text, key)
	}()
	b.r.plane.WaitFor(b.r.t, cond)
	leave()
	<-gone
}

// try posts a message and returns the result, whatever it is. It may be called from any
// goroutine.
func (b *browser) try(ctx context.Context, text, key string) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.r.web.URL+"/v1/messages", strings.NewReader(`{"text":`+quote(text)+`}`))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+b.token)
	req.Header.Set("Idempotency-Key", key)
	res, err := testtools.Client.Transport.RoundTrip(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return answer{}, err
	}
	a := answer{status: res.StatusCode, header: res.Header, body: string(body)}
	return a, json.Unmarshal(body, &a.json)
}

// refused posts a message, which must be refused like this.
func (b *browser) refused(text, key string, status int, code string) answer {
	b.r.t.Helper()
	a, err := b.try(b.r.t.Context(), text, key)
	if err != nil || a.status != status || a.code() != code {
		b.r.t.Fatalf("POST /v1/messages %q: got %d %s, %v, want %d %s", text, a.status, a.body, err, status, code)
	}
	return a
}

// session returns the session's state.
func (b *browser) session() (status string, epoch int) {
	b.r.t.Helper()
	a := b.do("GET", "/v1/session", "")
	status, _ = a.json["status"].(string)
	n, _ := a.json["epoch"].(float64)
	return status, int(n)
}

func wantProblem(t *testing.T, what string, a answer, status int, code string) {
	t.Helper()
	if a.status != status || a.code() != code {
		t.Errorf("%s: got %d %s, want %d %s", what, a.status, a.body, status, code)
	}
}

// insist posts a message until it is accepted, retrying as a browser does.
func (b *browser) insist(text, key string) answer {
	b.r.t.Helper()
	for deadline := time.Now().Add(patience); ; {
		a, err := b.try(b.r.t.Context(), text, key)
		if err == nil && a.status == http.StatusAccepted {
			return a
		}
		if err != nil || a.status < 500 || time.Now().After(deadline) {
			b.r.t.Fatalf("%q: got %d %s, %v, want 202 in the end", text, a.status, a.body, err)
		}
	}
}
