package anyframe

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestTransport_Options_Applied(t *testing.T) {
	srv, _ := counted(t, sayOneEvent)
	target, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	var dialed, proxied atomic.Int32
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		dialed.Add(1)
		return new(net.Dialer).DialContext(ctx, network, target.Host)
	}
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		proxied.Add(1)
		if r.URL.Host != "anyframe.internal" {
			t.Errorf("got a request for %s at the proxy", r.URL)
		}
		sayOneEvent(w, r)
	}))
	t.Cleanup(proxy.Close)
	through, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	for name, opts := range map[string][]Option{
		"roots":            {WithBaseURL(srv.URL), WithTLSConfig(trusting(srv))},
		"roots and dialer": {WithBaseURL("https://example.com"), WithTLSConfig(trusting(srv)), WithDialContext(dial)},
		"proxy":            {WithBaseURL("http://anyframe.internal"), WithPlainHTTP(), WithProxy(http.ProxyURL(through))},
		"a client without a transport": {
			WithBaseURL(srv.URL), WithTLSConfig(trusting(srv)), WithHTTPClient(&http.Client{Timeout: time.Minute}),
		},
	} {
		c := newClient(t, opts...)
		me, err := c.Me(t.Context())
		want := "HTTP/2"
		if name == "proxy" {
			want = "HTTP/1"
		}
		if err != nil || me.Login != want {
			t.Errorf("%s: got %+v, %v, want an answer by %s", name, me, err, want)
		}
		if ids, err := collect(c.Sessions.Events(t.Context(), "x", StreamOptions{})); err != nil || len(ids) != 1 {
			t.Errorf("%s: got %v, %v, want the event", name, ids, err)
		}
		c.CloseIdleConnections()
	}
	if dialed.Load() == 0 || proxied.Load() != 2 {
		t.Errorf("got %d dials and %d requests at the proxy, want some and 2", dialed.Load(), proxied.Load())
	}
}

func TestTransport_OptionsWithOwnClient_Refused(t *testing.T) {
	isolate(t)
	own := WithHTTPClient(&http.Client{Transport: DefaultTransport()})
	opts := []Option{WithAPIKey(testKey), own}
	for name, opt := range map[string]Option{
		"WithTLSConfig": WithTLSConfig(&tls.Config{MinVersion: tls.VersionTLS12}), "WithDialContext": WithDialContext((&net.Dialer{}).DialContext),
		"WithProxy": WithProxy(http.ProxyFromEnvironment),
	} {
		if _, err := New(WithAPIKey(testKey), own, opt); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v, want an error that names it", name, err)
		}
		opts = append(opts, opt)
	}
	if _, err := New(opts...); err == nil || strings.Count(err.Error(), ": the client of WithHTTPClient") != 3 {
		t.Errorf("got %v, want an error that names all three", err)
	}
	a, b := DefaultTransport(), DefaultTransport()
	if a == b || a.MaxIdleConnsPerHost < 100 || a.HTTP2 == nil || a.ResponseHeaderTimeout == 0 {
		t.Errorf("got %+v, want a transport of one's own, set up", a)
	}
}

func TestTransport_Callers_NamedInLog(t *testing.T) {
	isolate(t)
	for want, opts := range map[string][]Option{
		"transport=*http.Transport middleware=0":        nil,
		"transport=anyframe.roundTripper middleware=0":  {WithHTTPClient(&http.Client{Transport: roundTripper(hang)})},
		"transport=*http.Transport middleware=1":        {WithMiddleware(func(rt http.RoundTripper) http.RoundTripper { return rt })},
		"transport=anyframe.roundTripper middleware=2 ": {WithHTTPClient(&http.Client{Transport: roundTripper(hang)}), WithMiddleware(unchanged, unchanged)},
	} {
		var out bytes.Buffer
		if _, err := New(append(opts, WithAPIKey(testKey), WithLogger(slog.New(slog.NewTextHandler(&out, nil))))...); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), strings.TrimSpace(want)) {
			t.Errorf("got %s, want %s", &out, want)
		}
	}
}

func unchanged(rt http.RoundTripper) http.RoundTripper { return rt }

// A transport that hides httptrace: a POST that was never sent is not retried
// unless the error proves it.
func TestTransport_NoTrace_POSTNotRetried(t *testing.T) {
	failing := func(traced bool, err error) func(*http.Request) (*http.Response, error) {
		return func(r *http.Request) (*http.Response, error) {
			if traced {
				c := newClient(t, WithDialContext(func(context.Context, string, string) (net.Conn, error) { return nil, err }))
				return c.transport.RoundTrip(r)
			}
			return nil, err
		}
	}
	odd := errors.New("no route in the mesh")
	for name, test := range map[string]struct {
		step func(*http.Request) (*http.Response, error)
		want int
	}{
		"traced": {failing(true, odd), 3}, "hidden": {failing(false, odd), 1}, "hidden, but shown": {failing(false, refusedDial), 3},
	} {
		s := newScript(test.step)
		c := newClient(t, WithHTTPClient(&http.Client{Transport: s}), WithRetry(RetryPolicy{BaseDelay: -1}))
		if _, err := c.Sessions.Message(t.Context(), "x", Message{Prompt: "hi"}); err == nil || s.count() != test.want {
			t.Errorf("%s: got %d requests, %v, want %d", name, s.count(), err, test.want)
		}
	}
}
