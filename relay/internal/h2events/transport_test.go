package h2events

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

func TestTransport_WhatIsNoEventStream_IsTheBases(t *testing.T) {
	t.Parallel()
	var proto atomic.Value
	web := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { proto.Store(r.Proto) }))
	web.EnableHTTP2 = true
	web.StartTLS()
	t.Cleanup(web.Close)
	base, _ := web.Client().Transport.(*http.Transport)
	tr := newTransport(t, base, Options{})
	for _, c := range []struct{ method, path, accept string }{
		{http.MethodGet, "/api/me", "application/json"},
		{http.MethodGet, "/api/x/events", "application/json"},
		{http.MethodPost, "/api/x/events", "text/event-stream"},
		{http.MethodGet, "/api/x/log", "text/event-stream"},
	} {
		r, _ := http.NewRequestWithContext(t.Context(), c.method, web.URL+c.path, nil)
		r.Header.Set("Accept", c.accept)
		res, err := tr.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		if _, own := res.Body.(*stream); own || proto.Load() != "HTTP/2.0" {
			t.Errorf("%v: got our own stream, or %v", c, proto.Load())
		}
		res.Body.Close()
	}
	res := open(t, tr, web.URL+"/api/x/events")
	if _, own := res.Body.(*stream); !own {
		t.Errorf("got a %T, want our own", res.Body)
	}
	tr.CloseIdleConnections()
}

func TestTransport_ServerWithoutHTTP2_IsSpokenToInHTTP1(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(*httptest.Server){"TLS": (*httptest.Server).StartTLS, "plain": (*httptest.Server).Start} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			end := make(chan struct{})
			web := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.WriteString(w, "data: "+r.Proto+"\n\n")
				_ = http.NewResponseController(w).Flush()
				<-end
			}))
			start(web)
			t.Cleanup(web.Close)
			t.Cleanup(func() { close(end) })
			base, _ := web.Client().Transport.(*http.Transport)
			tr := newTransport(t, base, Options{})
			var all sync.WaitGroup
			for range 20 { // concurrently: none waits for another's response
				all.Go(func() {
					res, err := get(t.Context(), tr, web.URL+"/api/x/events")
					if err != nil {
						t.Error(err)
						return
					}
					t.Cleanup(func() { res.Body.Close() })
					if line, err := bufio.NewReader(res.Body).ReadString('\n'); line != "data: HTTP/1.1\n" {
						t.Errorf("got %q, %v", line, err)
					}
				})
			}
			all.Wait()
			if n := tr.Connections(); n != 0 {
				t.Errorf("got %d connections of HTTP/2, want none", n)
			}
		})
	}
}

// A server, or a proxy in front of it, may start or stop speaking HTTP/2.
func TestTransport_ServerThatChangesItsMind_IsFollowed(t *testing.T) {
	t.Parallel()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var h2 atomic.Bool
	cert := certificate()
	conf := &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		protos := []string{"http/1.1"}
		if h2.Load() {
			protos = []string{"h2"}
		}
		return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}, NextProtos: protos}, nil
	}}
	web := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) })}
	web.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){"h2": func(hs *http.Server, c *tls.Conn, h http.Handler) {
		(&http2.Server{}).ServeConn(c, &http2.ServeConnOpts{BaseConfig: hs, Handler: h}) //nolint:staticcheck // net/http cannot serve a connection that it was not given by a listener
	}}
	go func() { _ = web.Serve(tls.NewListener(ln, conf)) }()
	t.Cleanup(func() { web.Close() })
	roots := x509.NewCertPool()
	roots.AddCert(cert.Leaf)
	tr := newTransport(t, &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}, Options{})
	for _, want := range []string{"HTTP/1.1", "HTTP/2.0", "HTTP/1.1"} {
		h2.Store(want == "HTTP/2.0")
		if got := all(t, open(t, tr, "https://"+ln.Addr().String()+"/api/x/events")); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		tr.CloseIdleConnections()
	}
}

func TestTransport_CertificateOfNobody_IsRefused(t *testing.T) {
	t.Parallel()
	s := serve(t, echo)
	tr := New(&http.Transport{ForceAttemptHTTP2: true}, Options{})
	_, err := get(t.Context(), tr, s.url)
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); !ok {
		t.Errorf("got %v, want an error of the certificate", err)
	}
}

func TestTransport_Proxy_IsAskedForATunnel(t *testing.T) {
	t.Parallel()
	s := serve(t, echo)
	var asked atomic.Value
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Store(r.Method + " " + r.Host)
		to, err := new(net.Dialer).DialContext(r.Context(), "tcp", r.Host)
		if err != nil {
			t.Error(err)
			return
		}
		from, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(from, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { _, _ = io.Copy(to, from); to.Close() }()
		_, _ = io.Copy(from, to)
		from.Close()
	}))
	t.Cleanup(proxy.Close)
	base := s.base()
	to, _ := url.Parse(proxy.URL)
	base.Proxy = http.ProxyURL(to)
	tr := newTransport(t, base, Options{})
	read(t, open(t, tr, s.url), "1")
	host, _ := url.Parse(s.url)
	if got, want := asked.Load(), "CONNECT "+host.Host; got != want {
		t.Errorf("the proxy was asked for %v, want %s", got, want)
	}
}

func TestTransport_NoConnection_IsTheSameErrorForAllWhoWait(t *testing.T) {
	t.Parallel()
	var dials atomic.Int32
	failure := errors.New("no route")
	waiting, fail := make(chan struct{}, 100), make(chan struct{})
	tr := New(&http.Transport{ForceAttemptHTTP2: true, DialContext: func(context.Context, string, string) (net.Conn, error) {
		dials.Add(1)
		<-fail
		return nil, failure
	}}, Options{})
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			var got atomic.Bool
			ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
				GetConn: func(string) { waiting <- struct{}{} }, GotConn: func(httptrace.GotConnInfo) { got.Store(true) },
			})
			if _, err := get(ctx, tr, "https://127.0.0.1:1/api/x/events"); !errors.Is(err, failure) || got.Load() {
				t.Errorf("got %v, a connection %v, want no route", err, got.Load())
			}
		})
	}
	for range 100 {
		<-waiting
	}
	wait(t, func() bool {
		p := tr.pool("127.0.0.1:1")
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.waiting == 99
	})
	close(fail)
	all.Wait()
	if n := dials.Load(); n != 1 {
		t.Errorf("got %d dials, want 1", n)
	}
}

// A caller that cancels its request while it opens a connection for others must not fail
// theirs.
func TestTransport_WhoOpensTheConnectionGivesUp_TheOthersGoOn(t *testing.T) {
	t.Parallel()
	s := serve(t, echo)
	base := s.base()
	dialing, goOn := make(chan struct{}, 10), make(chan struct{})
	base.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		dialing <- struct{}{}
		select {
		case <-goOn:
			return new(net.Dialer).DialContext(ctx, network, addr)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	tr := newTransport(t, base, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	var both sync.WaitGroup
	both.Go(func() {
		if _, err := get(ctx, tr, s.url); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want canceled", err)
		}
	})
	<-dialing
	both.Go(func() {
		res, err := get(t.Context(), tr, s.url)
		if err != nil {
			t.Error(err)
			return
		}
		res.Body.Close()
	})
	wait(t, func() bool {
		p := tr.pool(hostOf(s.url))
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.waiting == 1
	})
	cancel()
	close(goOn)
	both.Wait()
}

// A closed transport leaves nothing behind: neither a connection that is being opened at
// that time, nor one whose stream ends later.
func TestTransport_Closed_LeavesNoConnection(t *testing.T) {
	t.Parallel()
	s := serve(t, echo)
	base := s.base()
	dialing, goOn := make(chan struct{}, 10), make(chan struct{})
	base.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		dialing <- struct{}{}
		<-goOn
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
	late, early := New(base, Options{IdleTimeout: time.Hour}), New(s.base(), Options{IdleTimeout: time.Hour})
	var one sync.WaitGroup
	one.Go(func() {
		if res, err := get(t.Context(), late, s.url); err == nil {
			t.Error("got a stream of a transport that was closed before")
			res.Body.Close()
		}
	})
	<-dialing
	res := open(t, early, s.url)
	late.Close()
	early.Close()
	if n := early.Connections(); n != 1 {
		t.Errorf("got %d connections, want that of the stream", n)
	}
	close(goOn)
	one.Wait()
	res.Body.Close()
	wait(t, func() bool { return late.Connections() == 0 && early.Connections() == 0 })
}

func hostOf(raw string) string {
	u, _ := url.Parse(raw)
	return u.Host
}

func TestTransport_Trace_TellsOfTheConnection(t *testing.T) {
	t.Parallel()
	s := serve(t, echo)
	tr := s.client(Options{})
	for _, reused := range []bool{false, true} {
		var asked, got, first atomic.Int32
		var info httptrace.GotConnInfo
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
			GetConn: func(string) { asked.Add(1) }, GotConn: func(i httptrace.GotConnInfo) { got.Add(1); info = i }, GotFirstResponseByte: func() { first.Add(1) },
		})
		res, err := get(ctx, tr, s.url)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if asked.Load() == 0 || got.Load() != 1 || first.Load() != 1 || info.Reused != reused {
			t.Errorf("got %d, %d, %d, reused %v, want reused %v", asked.Load(), got.Load(), first.Load(), info.Reused, reused)
		}
	}
}
