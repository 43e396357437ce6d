package anyframetest_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
)

// send makes a request to a server with TLS over the client's connections.
func send(ctx context.Context, client *http.Client, cp *anyframetest.Server, method, path, body string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, cp.URL()+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+cp.Key())
	r.Header.Set("Content-Type", "application/json")
	return client.Do(r)
}

// secureClient is a client of a server with TLS.
func secureClient(t *testing.T, cp *anyframetest.Server) *http.Client {
	t.Helper()
	client := cp.Client()
	t.Cleanup(client.CloseIdleConnections)
	return client
}

// secureSession creates a session and waits until it runs.
func secureSession(t *testing.T, client *http.Client, cp *anyframetest.Server) string {
	t.Helper()
	res, err := send(t.Context(), client, cp, "POST", "/api/sessions", `{"agent_id":4242}`)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != 202 {
		t.Fatalf("create: got %d, want 202", res.StatusCode)
	}
	id := cp.Sessions()[0].ID
	cp.Wake(id)
	waitUntilRunning(t, cp, id)
	return id
}

// secureStream opens a session's event stream.
func secureStream(t *testing.T, client *http.Client, cp *anyframetest.Server, id string) *listener {
	t.Helper()
	res, err := send(t.Context(), client, cp, "GET", "/api/sessions/"+id+"/events", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	if res.StatusCode != 200 {
		t.Fatalf("open the stream: got %d, want 200", res.StatusCode)
	}
	return &listener{t: t, res: res, lines: bufio.NewReader(res.Body)}
}

func TestTLS_Client_SpeaksHTTP2(t *testing.T) {
	cp := anyframetest.Start(t, anyframetest.WithTLS())
	if !strings.HasPrefix(cp.URL(), "https://127.0.0.1:") {
		t.Errorf("got URL %s, want https on loopback", cp.URL())
	}
	client := secureClient(t, cp)
	l := secureStream(t, client, cp, secureSession(t, client, cp))
	if l.res.ProtoMajor != 2 {
		t.Errorf("got %s, want HTTP/2", l.res.Proto)
	}
	if got := cp.Requests()[0].Proto; got != "HTTP/2.0" {
		t.Errorf("got a request by %s, want HTTP/2.0", got)
	}
	cp.Post(cp.Sessions()[0].ID, map[string]any{"type": "note"})
	if got := l.take(1)[0]; got.seq() != 1 || kind(t, got.data) != "note" {
		t.Errorf("got %+v, want the note with number 1", got)
	}
	cp.EndStreams()
	l.wantEnd()
}

func TestTLS_ClientWithoutHTTP2_SpeaksHTTP1(t *testing.T) {
	cp := anyframetest.Start(t, anyframetest.WithTLS())
	client := secureClient(t, cp)
	client.Transport.(*http.Transport).ForceAttemptHTTP2 = false
	res, err := send(t.Context(), client, cp, "GET", "/api/me", "")
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.ProtoMajor != 1 || res.StatusCode != 200 {
		t.Errorf("got %s %d, want HTTP/1.1 and 200", res.Proto, res.StatusCode)
	}
}

func TestTLS_ClientWithoutTheCertificate_Refuses(t *testing.T) {
	cp := anyframetest.Start(t, anyframetest.WithTLS())
	stranger := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}}}
	res, err := send(t.Context(), stranger, cp, "GET", "/api/me", "")
	if err == nil {
		_ = res.Body.Close()
	}
	if _, is := errors.AsType[*tls.CertificateVerificationError](err); !is {
		t.Errorf("got %v, want a certificate that is not trusted", err)
	}
}

func TestTLS_OwnCertificate_IsShown(t *testing.T) {
	cert, err := anyframetest.NewCertificate()
	if err != nil {
		t.Fatal(err)
	}
	one, two := anyframetest.Start(t, anyframetest.WithTLS(cert)), anyframetest.Start(t, anyframetest.WithTLS(cert))
	client := secureClient(t, one) // of both
	for _, cp := range []*anyframetest.Server{one, two} {
		res, err := send(t.Context(), client, cp, "GET", "/api/me", "")
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if got := res.TLS.PeerCertificates[0]; !got.Equal(cert.Leaf) || !got.Equal(cp.Certificate()) {
			t.Errorf("got the certificate of %s, want the given one", got.Subject)
		}
	}
}

func TestTLS_NotAsked_HasNoCertificate(t *testing.T) {
	cp := anyframetest.Start(t)
	if got := cp.Certificate(); got != nil {
		t.Errorf("got a certificate of %s, want none", got.Subject)
	}
	res, err := send(t.Context(), secureClient(t, cp), cp, "GET", "/api/me", "")
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.TLS != nil || res.StatusCode != 200 {
		t.Errorf("got TLS %v and %d, want plain HTTP and 200", res.TLS, res.StatusCode)
	}
}

// Over HTTP/2 a fault of one request does not affect the other requests on its
// connection.
func TestTLS_FaultOfOneRequest_ResetsItsStreamOnly(t *testing.T) {
	cp := anyframetest.Start(t, anyframetest.WithTLS())
	client := secureClient(t, cp)
	id := secureSession(t, client, cp)
	l := secureStream(t, client, cp, id)
	for _, kind := range []anyframetest.Kind{anyframetest.Refuse, anyframetest.LoseAnswer, anyframetest.CutAfterEvents} {
		cp.Inject(anyframetest.Fault{Kind: kind, Op: anyframetest.OpEvents, Times: 1})
		res, err := send(t.Context(), client, cp, "GET", "/api/sessions/"+id+"/events", "")
		if err == nil {
			_, err = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
		}
		if err == nil || !strings.Contains(err.Error(), "stream error") {
			t.Errorf("fault %d: got %v, want an HTTP/2 stream error", kind, err)
		}
	}
	cp.Post(id, map[string]any{"type": "note"})
	l.take(1)
	cp.CutStreams()
	l.wantCut()
}

func TestCutConnections_RequestsOnOneConnection_AllFail(t *testing.T) {
	for name, opts := range map[string][]anyframetest.Option{"plain": nil, "TLS": {anyframetest.WithTLS()}} {
		t.Run(name, func(t *testing.T) {
			cp := anyframetest.Start(t, opts...)
			client := secureClient(t, cp)
			id := secureSession(t, client, cp)
			listeners := []*listener{secureStream(t, client, cp, id), secureStream(t, client, cp, id)}
			cp.CutConnections()
			for _, l := range listeners {
				if _, err := l.rest(); !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("got %v, want %v", err, syscall.ECONNRESET)
				}
			}
			l := secureStream(t, client, cp, id)
			cp.Post(id, map[string]any{"type": "note"})
			l.take(1)
		})
	}
}

func TestTLS_DownAndUp_KeepsThePortAndTheCertificate(t *testing.T) {
	cp := anyframetest.Start(t, anyframetest.WithTLS())
	client := secureClient(t, cp)
	id := secureSession(t, client, cp)
	l := secureStream(t, client, cp, id)
	url := cp.URL()
	cp.Down()
	l.wantCut()
	if res, err := send(t.Context(), client, cp, "GET", "/api/me", ""); !errors.Is(err, syscall.ECONNREFUSED) {
		if err == nil {
			_ = res.Body.Close()
		}
		t.Errorf("got %v, want %v", err, syscall.ECONNREFUSED)
	}
	if err := cp.Up(); err != nil {
		t.Fatal(err)
	}
	if got := cp.URL(); got != url {
		t.Errorf("got URL %s, want %s", got, url)
	}
	secureStream(t, client, cp, id)
}
