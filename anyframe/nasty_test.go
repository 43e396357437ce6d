package anyframe

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// counted is a TLS server of HTTP/1.1 and HTTP/2 that counts its connections.
func counted(t *testing.T, h http.HandlerFunc) (srv *httptest.Server, conns *atomic.Int32) {
	t.Helper()
	conns = new(atomic.Int32)
	srv = httptest.NewUnstartedServer(h)
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			conns.Add(1)
		}
	}
	srv.EnableHTTP2 = true
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return srv, conns
}

func trusting(srv *httptest.Server) *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(srv.Certificate())
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
}

func sayOneEvent(w http.ResponseWriter, r *http.Request) {
	if strings.HasSuffix(r.URL.Path, "/events") {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "id: 1\ndata: {}\n\n")
		return
	}
	fmt.Fprintf(w, `{"id":1,"login":"HTTP/%d"}`, r.ProtoMajor)
}

func TestRetry_PermanentError_NotRetried(t *testing.T) {
	srv, conns := counted(t, sayOneEvent)
	plain := httptest.NewUnstartedServer(http.HandlerFunc(sayOneEvent))
	var plainConns, alerts atomic.Int32
	plain.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			plainConns.Add(1)
		}
	}
	plain.Start()
	t.Cleanup(plain.Close)
	alerting := listen(t, func(conn net.Conn) { // as OpenSSL responds to plain HTTP
		alerts.Add(1)
		if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
			_, _ = conn.Write([]byte{0x15, 3, 1, 0, 2, 2, 0x46})
		}
	})
	otherName := trusting(srv)
	otherName.ServerName = "other.example"
	expired := trusting(srv)
	expired.Time = func() time.Time { return time.Now().AddDate(200, 0, 0) }
	mutual := httptest.NewUnstartedServer(http.HandlerFunc(sayOneEvent))
	mutual.Config.ErrorLog = log.New(io.Discard, "", 0)
	var mutualConns atomic.Int32
	mutual.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			mutualConns.Add(1)
		}
	}
	mutual.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS12}
	mutual.StartTLS()
	t.Cleanup(mutual.Close)
	for name, test := range map[string]struct {
		opts  []Option
		conns *atomic.Int32
		says  string
	}{
		"an unknown authority":      {[]Option{WithBaseURL(srv.URL)}, conns, "certificate is not valid"},
		"another name":              {[]Option{WithBaseURL(srv.URL), WithTLSConfig(otherName)}, conns, "certificate is not valid"},
		"an expired certificate":    {[]Option{WithBaseURL(srv.URL), WithTLSConfig(expired)}, conns, "certificate is not valid"},
		"TLS to a plain port":       {[]Option{WithBaseURL(strings.Replace(plain.URL, "http", "https", 1))}, &plainConns, "does not speak TLS"},
		"plain HTTP to a TLS port":  {[]Option{WithBaseURL(alerting)}, &alerts, "must begin with https"},
		"no certificate of our own": {[]Option{WithBaseURL(mutual.URL), WithTLSConfig(trusting(mutual))}, &mutualConns, "refuses the TLS connection"},
	} {
		c := newClient(t, append(test.opts, WithRetry(RetryPolicy{BaseDelay: -1}))...)
		for how, call := range map[string]func() error{
			"call":   func() error { return value(c.Me(t.Context())) },
			"stream": func() error { return firstError(c.Sessions.Follow(t.Context(), "x", StreamOptions{})) },
		} {
			test.conns.Store(0)
			err := call()
			e, ok := errors.AsType[*Error](err)
			if !ok || !errors.Is(err, ErrTransport) || !strings.Contains(err.Error(), test.says) || e.Attempts != 1 {
				t.Errorf("%s, %s: got %v, want one attempt and %q", name, how, err, test.says)
			}
			if n := test.conns.Load(); n != 1 {
				t.Errorf("%s, %s: got %d connections, want 1", name, how, n)
			}
		}
	}
}

func TestRedirect_Error_NamesTargetWithoutSecret(t *testing.T) {
	for location, want := range map[string]string{
		"https://api.anyframe.dev/api/me?token=hidden#x": "redirects to https://api.anyframe.dev/api/me, which is not followed",
		"/elsewhere":                    "redirects to http://localhost/elsewhere, which is not followed",
		"https://u:hidden@evil.example": "redirects to https://evil.example, which is not followed",
		"https://a.example/" + testKey:  "redirects to https://a.example/[redacted], which is not followed",
		"":                              "Permanent Redirect",
	} {
		c := newClient(t, WithHTTPClient(&http.Client{Transport: newScript(reply(308, "", "Location", location))}))
		for how, err := range map[string]error{
			"call": value(c.Me(t.Context())), "stream": firstError(c.Sessions.Events(t.Context(), "x", StreamOptions{})),
		} {
			e, ok := errors.AsType[*Error](err)
			if !ok || e.StatusCode != 308 || e.Message != want {
				t.Errorf("%s, %s: got %v, want %q", location, how, err, want)
			}
		}
	}
}

// Whatever the secret is, the response is decoded before redaction.
func TestRedaction_Response_Unchanged(t *testing.T) {
	for _, secret := range []string{`"detail"`, `"detail":`, `{"detail":"`, `validation`, `"msg":"bad`, `\u0061bcdef`, `12345678`, `a"b\c<d>é`} {
		quoted, err := json.Marshal("so: " + secret)
		if err != nil {
			t.Fatal(err)
		}
		list := fmt.Sprintf(`{"detail":[{"loc":["body",%s,12345678],"msg":%s,"type":"t"}],"code":12345678}`, quoted, quoted)
		for body, want := range map[string]string{
			fmt.Sprintf(`{"detail":%s}`, quoted): "so: [redacted]",
			list:                                 "validation failed (1 issue(s))",
			fmt.Sprintf(`{"detail":{"a":%s}}`, quoted):         `{"a":"so: [redacted]"}`,
			fmt.Sprintf(`{"no":%s}`, quoted):                   `{"no":"so: [redacted]"}`,
			"text: " + secret:                                  "text: [redacted]",
			`{"cut":"` + secret + " " + secret[:len(secret)-1]: "[redacted]",
			`{"detail":null,"a":` + string(quoted) + `}`:       "Bad Request",
			fmt.Sprintf(`{"detail":"%s"}`, uescaped(secret)):   "[redacted]",
			fmt.Sprintf(`{"detail":["%s"]}`, uescaped(secret)): "validation failed (1 issue(s))",
			fmt.Sprintf(`{"%s":{"b":"c"}}`, uescaped(secret)):  `{"[redacted]":{"b":"c"}}`,
			fmt.Sprintf(`["%s",{"d":5}]`, uescaped(secret)):    `["[redacted]",{"d":5}]`,
		} {
			c := newClient(t, WithHTTPClient(&http.Client{Transport: newScript(reply(400, body, "X-Echo", secret))}))
			e, ok := errors.AsType[*Error](c.Credentials.SetClaude(t.Context(), NewSecret(secret)))
			if !ok || !strings.Contains(e.Message, want) {
				t.Errorf("%s in %s: got %+v, want %q", secret, body, e, want)
				continue
			}
			if body == list && (len(e.Fields) != 1 || e.Fields[0].Msg != "so: [redacted]" || e.Fields[0].Type != "t" || e.Fields[0].Loc[0] != "body") {
				t.Errorf("%s in %s: got %+v, want the field", secret, body, e.Fields)
			}
			var decoded any
			_ = json.Unmarshal(e.Body, &decoded)
			if shown := fmt.Sprintf("%s %v %v %v %v", e, decoded, e.Fields, e.Header, e.RequestID); strings.Contains(strings.ReplaceAll(shown, "validation failed (", ""), secret) {
				t.Errorf("%s in %s: got %s, want no secret", secret, body, shown)
			}
			if json.Valid([]byte(body)) != json.Valid(e.Body) {
				t.Errorf("%s in %s: got body %s, want JSON to stay JSON", secret, body, e.Body)
			}
		}
	}
}

// uescaped escapes every character in a form that JSON allows.
func uescaped(s string) string {
	var b strings.Builder
	for _, c := range s {
		fmt.Fprintf(&b, `\u%04x`, c)
	}
	return b.String()
}

func TestAttempts_Stream_CountsRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		unavailable, gone := reply(503, ""), reply(404, "")
		build := func(s *SessionsService, o StreamOptions) error {
			return last(s.client.Agents.StreamBuild(t.Context(), 1, 2, o))
		}
		follow := func(s *SessionsService, o StreamOptions) error { return last(s.Follow(t.Context(), "x", o)) }
		events := func(s *SessionsService, o StreamOptions) error { return last(s.Events(t.Context(), "x", o)) }
		for name, test := range map[string]struct {
			call  func(*SessionsService, StreamOptions) error
			steps []func(*http.Request) (*http.Response, error)
			want  int
		}{
			"events refused":        {events, []func(*http.Request) (*http.Response, error){gone}, 1},
			"events without answer": {events, []func(*http.Request) (*http.Response, error){fail(refusedDial)}, 1},
			"events broken":         {events, []func(*http.Request) (*http.Response, error){cut(event(1))}, 1},
			"follow refused":        {follow, []func(*http.Request) (*http.Response, error){gone}, 1},
			"follow gives up":       {follow, []func(*http.Request) (*http.Response, error){unavailable}, 4},
			"follow without answer": {follow, []func(*http.Request) (*http.Response, error){fail(reset)}, 4},
			"follow after breaks":   {follow, []func(*http.Request) (*http.Response, error){cut(event(1)), cut(event(2)), gone}, 3},
			"follow no stream":      {follow, []func(*http.Request) (*http.Response, error){unavailable, reply(200, "")}, 2},
			"follow ended":          {follow, []func(*http.Request) (*http.Response, error){unavailable, unavailable, ended}, 3},
			"build gives up":        {build, []func(*http.Request) (*http.Response, error){unavailable}, 4},
			"build after a break":   {build, []func(*http.Request) (*http.Response, error){unavailable, gone}, 2},
		} {
			s, transport := scripted(t, nil, test.steps...)
			e, ok := errors.AsType[*Error](test.call(s, StreamOptions{MaxStalls: 3}))
			if !ok || e.Attempts != test.want || transport.count() != test.want {
				t.Errorf("%s: got %+v after %d requests, want %d attempts", name, e, transport.count(), test.want)
			}
		}
	})
}

func TestAttempts_Error_OnlyRequestsMade(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s, transport := scripted(t, nil, reply(200, sessionJSON))
	for name, err := range map[string]error{"call": value(s.Get(ctx, "x")), "stream": last(s.Follow(ctx, "x", StreamOptions{}))} {
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Attempts != 0 || transport.count() != 0 || !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %+v, %v after %d requests, want no attempt", name, e, err, transport.count())
		}
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		s, transport := scripted(t, []Option{WithRetry(RetryPolicy{BaseDelay: time.Hour, MaxDelay: time.Hour})}, reply(503, ""))
		time.AfterFunc(time.Second, cancel)
		_, err := s.Get(ctx, "x")
		if e, ok := errors.AsType[*Error](err); !ok || e.Attempts != transport.count() {
			t.Errorf("got %+v, want %d attempts", e, transport.count())
		}
	})
}

func TestLog_Retries_AttemptAndEachRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		logger := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
		s, _ := scripted(t, []Option{WithLogger(logger)}, reply(503, testKey), fail(reset), reply(200, sessionJSON), cut(event(1)), ended)
		if _, err := s.Get(t.Context(), "x"); err != nil {
			t.Fatal(err)
		}
		_ = last(s.Follow(t.Context(), "x", StreamOptions{}))
		for _, want := range []string{
			`level=DEBUG msg="anyframe request" method=GET path=/api/sessions/x attempt=1`, "status=503",
			`level=INFO msg="anyframe request is retried" method=GET path=/api/sessions/x attempt=1 wait=`,
			`level=DEBUG msg="anyframe request" method=GET path=/api/sessions/x attempt=2`,
			`level=INFO msg="anyframe request is retried" method=GET path=/api/sessions/x attempt=2 wait=`,
			`level=DEBUG msg="anyframe request" method=GET path=/api/sessions/x attempt=3`,
			`level=INFO msg="anyframe stream is reopened" path=/api/sessions/x/events attempt=1 wait=`,
			`level=DEBUG msg="anyframe request" method=GET path=/api/sessions/x/events attempt=2`,
		} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("got no %s in\n%s", want, &out)
			}
		}
		if n := strings.Count(out.String(), "is retried"); n != 2 || strings.Contains(out.String(), testKey) {
			t.Errorf("got %d retries, want 2 and no key:\n%s", n, &out)
		}
	})
}

func TestElsewhere_DomainUnreachable_OtherNamed(t *testing.T) {
	moved := func(r *http.Request) (*http.Response, error) {
		to := AlternateBaseURL
		if strings.HasSuffix(to, r.URL.Host) {
			to = DefaultBaseURL
		}
		return reply(308, "", "Location", to+r.URL.Path)(r)
	}
	noHost := &net.DNSError{Err: "no such host", Name: "api", IsNotFound: true}
	for name, test := range map[string]struct {
		step func(*http.Request) (*http.Response, error)
		want bool
	}{
		"no such host":    {fail(&net.OpError{Op: "dial", Net: "tcp", Err: noHost}), true},
		"refused":         {fail(refusedDial), true},
		"parked page":     {reply(200, "<html>for sale</html>"), true},
		"404 of a server": {reply(404, "<html>nothing here</html>"), true},
		"404 of the API":  {reply(404, `{"detail":"Not Found"}`), false},
		"401":             {reply(401, ""), false},
		"reset":           {fail(reset), false},
		"moved":           {moved, true},
		"moved elsewhere": {reply(308, "", "Location", "https://login.example/"), false},
		"odd answer":      {reply(200, `{}`), false},
	} {
		for base, other := range map[string]string{
			DefaultBaseURL: AlternateBaseURL, AlternateBaseURL + "/": DefaultBaseURL, "https://proxy.example": "",
		} {
			c := newClient(t, WithBaseURL(base), WithRetry(RetryPolicy{MaxRetries: -1}), WithHTTPClient(&http.Client{Transport: newScript(test.step)}))
			_, err := c.Me(t.Context())
			if err == nil || strings.Contains(err.Error(), "the API may be at "+other) != (test.want && other != "") {
				t.Errorf("%s at %s: got %v, want the other named: %v", name, base, err, test.want && other != "")
			}
			if e, ok := errors.AsType[*Error](err); !ok || e.Elsewhere() != map[bool]string{true: other}[test.want] {
				t.Errorf("%s at %s: got %+v, want %q elsewhere", name, base, e, other)
			}
		}
	}
}

func TestFailure_Reason_WithoutKey(t *testing.T) {
	s, _ := scripted(t, nil, reply(200, `{"id":"x","status":"error","error_reason":"no capacity; key `+testKey+`","driver_user_id":"5"}`))
	session, err := s.WaitUntilRunning(t.Context(), "x", WaitOptions{})
	state, ok := errors.AsType[*SessionStateError](err)
	if session != nil || !ok || err.Error() != "anyframe: session x is error: no capacity; key [redacted]" || *state.Session.DriverUserID != 5 {
		t.Errorf("got %v, want the reason without the key", err)
	}
	build := &BuildFailedError{&BuildStatus{AgentID: 1, State: BuildStateFailed, Error: strings.Repeat("x", 9000) + testKey}}
	if got := build.Error(); strings.Contains(got, testKey) || len(got) > 600 {
		t.Errorf("got %s, want it short and without the key", got)
	}
}
