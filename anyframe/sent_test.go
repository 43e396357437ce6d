package anyframe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// post sends one message to base over a real socket and returns its error.
func say(t *testing.T, base string, transport *http.Transport, opts ...Option) (*Error, error) {
	t.Helper()
	t.Cleanup(transport.CloseIdleConnections)
	c := newClient(t, append([]Option{
		WithBaseURL(base), WithHTTPClient(&http.Client{Transport: transport}), WithRetry(RetryPolicy{MaxRetries: -1}),
	}, opts...)...)
	_, err := c.Sessions.Message(t.Context(), "x", Message{Prompt: "hi"})
	e, ok := errors.AsType[*Error](err)
	if !ok {
		t.Fatalf("got %v, want an *Error", err)
	}
	return e, err
}

// listen accepts connections and passes each to serve.
func listen(t *testing.T, serve func(net.Conn)) (base string) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serve(conn)
			conn.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return "http://" + l.Addr().String()
}

func TestSent_RefusedDial_False(t *testing.T) {
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close() // nothing listens there now
	e, err := say(t, "http://"+l.Addr().String(), DefaultTransport())
	if e.Sent() || !errors.Is(err, ErrTransport) {
		t.Errorf("got %v, sent %v, want a transport error, not sent", err, e.Sent())
	}
}

func TestSent_UnknownHost_False(t *testing.T) {
	transport := DefaultTransport()
	transport.DialContext = func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.DNSError{Err: "no such host", Name: "api.example", IsNotFound: true}
	}
	if e, err := say(t, "https://api.example", transport); e.Sent() || !errors.Is(err, ErrTransport) {
		t.Errorf("got %v, sent %v, want a transport error, not sent", err, e.Sent())
	}
}

func TestSent_TLSFailure_False(t *testing.T) {
	hits := make(chan struct{}, 1)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits <- struct{}{} }))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	t.Cleanup(srv.Close)
	e, err := say(t, srv.URL, DefaultTransport()) // which does not trust the test's authority
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); !ok || e.Sent() || len(hits) != 0 {
		t.Errorf("got %v, sent %v, want an unknown authority, not sent", err, e.Sent())
	}
}

func TestSent_DialTimeout_False(t *testing.T) {
	transport := DefaultTransport()
	transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	e, err := say(t, "http://127.0.0.1:1", transport, WithTimeout(10*time.Millisecond))
	if e.Sent() || !errors.Is(err, ErrTransport) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, sent %v, want a timeout, not sent", err, e.Sent())
	}
}

func TestSent_ResetAfterRequestRead_True(t *testing.T) {
	base := listen(t, func(conn net.Conn) {
		if _, err := conn.Read(make([]byte, 1)); err != nil {
			t.Error(err)
		}
		if err := conn.(*net.TCPConn).SetLinger(0); err != nil { // a close now resets the connection
			t.Error(err)
		}
	})
	if e, err := say(t, base, DefaultTransport()); !e.Sent() || !errors.Is(err, ErrTransport) {
		t.Errorf("got %v, sent %v, want a transport error, sent", err, e.Sent())
	}
}

func TestSent_ResponseTimeout_True(t *testing.T) {
	over := make(chan struct{})
	c := newServer(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // so that the server detects that the client left
		<-r.Context().Done()
		close(over)
	}, WithTimeout(50*time.Millisecond), WithRetry(RetryPolicy{MaxRetries: 5}))
	_, err := c.Sessions.Message(t.Context(), "x", Message{Prompt: "hi"})
	e, ok := errors.AsType[*Error](err)
	if !ok || !e.Sent() || e.Attempts != 1 || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want one attempt that timed out and counts as sent", err)
	}
	<-over
}

func TestSent_BodyCutShort_True(t *testing.T) {
	c := newServer(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		if _, err := w.Write([]byte(`{"ok":tr`)); err != nil {
			t.Error(err)
		}
	}, WithRetry(RetryPolicy{MaxRetries: -1}))
	_, err := c.Sessions.Message(t.Context(), "x", Message{Prompt: "hi"})
	e, ok := errors.AsType[*Error](err)
	if !ok || !e.Sent() || !errors.Is(err, ErrTransport) || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v, want a cut answer that counts as sent", err)
	}
}

func TestMessage_FailedResponse_NeverReadTwice(t *testing.T) {
	answers := map[string]http.HandlerFunc{
		"500":   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) },
		"503":   func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Retry-After", "0"); w.WriteHeader(503) },
		"408":   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(408) },
		"reset": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"cut": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "9")
			w.WriteHeader(200)
		},
	}
	retry := WithRetry(RetryPolicy{MaxRetries: 5, BaseDelay: 1})
	for name, answer := range answers {
		hits := make(chan struct{}, 10)
		h := func(w http.ResponseWriter, r *http.Request) {
			hits <- struct{}{}
			answer(w, r)
		}
		for version, c := range map[string]*Client{"1": newServer(t, h, retry), "2": newHTTP2Server(t, h, retry)} {
			_, err := c.Sessions.Message(t.Context(), "x", Message{Prompt: "hi"})
			e, ok := errors.AsType[*Error](err)
			if !ok || !e.Sent() || len(hits) != 1 {
				t.Errorf("%s over HTTP/%s: got %d requests, %v, want one that failed and counts as sent", name, version, len(hits), err)
			}
			for len(hits) > 0 {
				<-hits
			}
		}
	}
}

// newHTTP2Server is newServer with TLS and HTTP/2.
func newHTTP2Server(t *testing.T, h http.HandlerFunc, opts ...Option) *Client {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	srv.EnableHTTP2 = true
	srv.StartTLS()
	t.Cleanup(srv.Close)
	transport := DefaultTransport()
	t.Cleanup(transport.CloseIdleConnections)
	pool := x509.NewCertPool()
	pool.AddCert(srv.Certificate())
	transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	return newClient(t, append([]Option{WithBaseURL(srv.URL), WithHTTPClient(&http.Client{Transport: transport})}, opts...)...)
}

func TestTransport_TLS_HTTP2(t *testing.T) {
	c := newHTTP2Server(t, func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 {
			t.Errorf("got HTTP/%d, want HTTP/2", r.ProtoMajor)
		}
		if _, err := io.WriteString(w, sessionJSON); err != nil {
			t.Error(err)
		}
	})
	if _, err := c.Sessions.Get(t.Context(), "x"); err != nil {
		t.Fatal(err)
	}
	if h2 := DefaultTransport().HTTP2; h2 == nil || h2.SendPingTimeout <= 0 || h2.PingTimeout <= 0 {
		t.Errorf("got %+v, want pings, or a dead peer is never noticed", h2)
	}
}

func TestStream_HTTP2_ResumesAndEndsWhenLeft(t *testing.T) {
	left := make(chan struct{})
	c := newHTTP2Server(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		last := r.Header.Get("Last-Event-Id")
		if last == "" {
			last = "0"
		}
		if _, err := io.WriteString(w, "id: "+last+"1\ndata: {}\n\nid: 9999\nda"); err != nil {
			t.Error(err)
		}
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
		if last == "0" {
			panic(http.ErrAbortHandler) // resets the stream
		}
		<-r.Context().Done()
		close(left)
	}, WithRetry(RetryPolicy{BaseDelay: 1}))
	var ids []string
	for e, err := range c.Sessions.Follow(t.Context(), "x", StreamOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		if ids = append(ids, e.ID); len(ids) == 2 {
			break
		}
	}
	if len(ids) != 2 || ids[0] != "01" || ids[1] != "011" {
		t.Errorf("got %q, want 01 and then 011", ids)
	}
	<-left // otherwise the test never ends
}
