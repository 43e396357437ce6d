package relay_test

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/anyframe-relay/relay/relay"
)

// offline is a relay without a network: its handler is called directly, and AnyFrame's
// address is not reachable. It can live in a synctest bubble.
type offline struct {
	t    *testing.T
	srv  *relay.Server
	logs *lockedBuffer
	reg  *prometheus.Registry
	base string
	addr string // the client's address
	tls  bool
}

func newOffline(t *testing.T, change func(*relay.Config)) *offline {
	t.Helper()
	c := relay.DefaultConfig()
	c.APIKey, c.AgentID, c.BaseURL, c.Store = "afm_test_offline", 1, "http://127.0.0.1:1", "memory:"
	c.RateMessages, c.RateIP, c.RateSessions = nil, nil, nil
	if change != nil {
		change(&c)
	}
	d := &offline{t: t, logs: &lockedBuffer{}, reg: prometheus.NewRegistry(), base: c.BasePath, addr: "192.0.2.1:1234"}
	log := slog.New(slog.NewJSONHandler(d.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	srv, err := relay.New(t.Context(), c, log, d.reg)
	if err != nil {
		t.Fatal(err)
	}
	d.srv = srv
	t.Cleanup(func() {
		if err := srv.Close(); err != nil {
			t.Error("close:", err)
		}
	})
	return d
}

// ask sends a request. Headers come in pairs; Host is one of them.
func (d *offline) ask(method, target, body string, headers ...string) answer {
	d.t.Helper()
	return ask(d.t, documented().watch(d.base, d.srv.Handler()), d.addr, d.tls, method, target, body, headers...)
}

func ask(t *testing.T, h http.Handler, addr string, secure bool, method, target, body string, headers ...string) answer {
	t.Helper()
	var in io.Reader
	if body != "" {
		in = strings.NewReader(body)
	}
	scheme := "http://"
	if secure {
		scheme = "https://"
	}
	req := httptest.NewRequestWithContext(t.Context(), method, scheme+"relay.test"+target, in)
	req.RemoteAddr = addr
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for pair := range slices.Chunk(headers, 2) {
		if req.Header.Add(pair[0], pair[1]); pair[0] == "Host" {
			req.Host = pair[1]
		}
		if pair[0] == "Content-Type" {
			req.Header["Content-Type"] = []string{pair[1]}
		}
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, req)
	res := rec.Result()
	a := answer{status: res.StatusCode, header: res.Header, body: rec.Body.String()}
	_ = json.Unmarshal(rec.Body.Bytes(), &a.json)
	return a
}

func (a answer) token() string { s, _ := a.json["token"].(string); return s }

// cookies returns the cookies that the response sets.
func (a answer) cookies() []*http.Cookie { return (&http.Response{Header: a.header}).Cookies() }

// mint introduces a new visitor, by bearer token.
func (d *offline) mint() (token string) {
	d.t.Helper()
	a := d.ask("POST", "/v1/visitor", `{"carrier":"bearer"}`)
	if a.status != http.StatusOK || len(a.token()) != 43 {
		d.t.Fatalf("POST /v1/visitor: got %d %s, want 200 with a token", a.status, a.body)
	}
	return a.token()
}

// refused fails the test unless a is the complete problem called code.
func refused(t *testing.T, what string, a answer, status int, code string) {
	t.Helper()
	if a.status != status || a.code() != code {
		t.Errorf("%s: got %d %s, want %d %s", what, a.status, a.body, status, code)
		return
	}
	if got := a.header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("%s: got content type %q, want application/problem+json", what, got)
	}
	for _, member := range []string{"title", "detail"} {
		if s, _ := a.json[member].(string); s == "" {
			t.Errorf("%s: got %s, want a %s", what, a.body, member)
		}
	}
	if got := a.json["status"]; got != float64(status) {
		t.Errorf("%s: got status %v in the body, want %d", what, got, status)
	}
	header, inBody := a.header.Get("Retry-After"), ""
	if n, ok := a.json["retry_after"].(float64); ok {
		inBody = strconv.FormatFloat(n, 'f', -1, 64)
	}
	if header != inBody || header == "0" {
		t.Errorf("%s: got Retry-After %q and retry_after %q, want them equal and above 0", what, header, inBody)
	}
	if strings.HasPrefix(code, "rate_") && header == "" {
		t.Errorf("%s: got no Retry-After, want one", what)
	}
}

func bearer(token string) []string { return []string{"Authorization", "Bearer " + token} }
