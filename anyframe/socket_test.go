package anyframe

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// answering returns a client of a server that sends text on every connection,
// whatever the request, and closes it.
func answering(t *testing.T, text string) *Client {
	t.Helper()
	base := listen(t, func(conn net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(conn)); err != nil {
			return // the client left before its request
		}
		_, _ = io.WriteString(conn, text) // the client may leave before it has everything
	})
	return newClient(t, WithBaseURL(base))
}

const (
	tooMuch     = 2 << 20 // of response headers
	streamHead  = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
	chunkedHead = streamHead + "Transfer-Encoding: chunked\r\n\r\n"
	twoEvents   = "id: 1\ndata: x\n\nid: 2\ndata: y\n\n"
)

func inChunks(parts ...string) string {
	var b strings.Builder
	for _, part := range parts {
		fmt.Fprintf(&b, "%x\r\n%s\r\n", len(part), part)
	}
	return b.String() + "0\r\n\r\n"
}

func TestStream_AnyBodyFraming_Read(t *testing.T) {
	isolate(t)
	for name, test := range map[string]struct {
		text string
		want error // nil means the stream's own end
		ids  int
	}{
		"chunks":                     {chunkedHead + inChunks(twoEvents[:5], twoEvents[5:20], twoEvents[20:]), nil, 2},
		"a length":                   {streamHead + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(twoEvents), twoEvents), nil, 2},
		"the connection's end":       {streamHead + "\r\n" + twoEvents, nil, 2},
		"Connection: close":          {streamHead + "Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n" + inChunks(twoEvents), nil, 2},
		"HTTP/1.0":                   {"HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + twoEvents, nil, 2},
		"other answers first":        {"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" + chunkedHead + inChunks(twoEvents), nil, 2},
		"bytes after the last chunk": {chunkedHead + inChunks(twoEvents) + "id: 3\ndata: z\n\n", nil, 2},
		"bytes after the length":     {streamHead + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(twoEvents), twoEvents+twoEvents), nil, 2},
		"extensions and trailers":    {chunkedHead + "8;a=b\r\ndata: x\n\r\n1\r\n\n\r\n0\r\nA: b\r\n\r\n", nil, 1},
		"no body":                    {streamHead + "Content-Length: 0\r\n\r\n", nil, 0},
		"204":                        {"HTTP/1.1 204 No Content\r\n\r\n", ErrStreamEnded, 0},
		"a refusal":                  {"HTTP/1.1 404 Not Found\r\nContent-Length: 14\r\n\r\n{\"detail\":\"x\"}", ErrNotFound, 0},
		"cut between two chunks":     {chunkedHead + strings.TrimSuffix(inChunks(twoEvents), "0\r\n\r\n"), io.ErrUnexpectedEOF, 2},
		"cut in a chunk":             {chunkedHead + "ff\r\n" + twoEvents, io.ErrUnexpectedEOF, 2},
		"cut before its length":      {streamHead + "Content-Length: 99\r\n\r\n" + twoEvents, io.ErrUnexpectedEOF, 2},
		"a wrong chunk":              {chunkedHead + "1e\r\n" + twoEvents + "xx", ErrTransport, 2},
		"two lengths":                {streamHead + "Content-Length: 5\r\nContent-Length: 6\r\n\r\n" + twoEvents, ErrTransport, 0},
		"another encoding":           {streamHead + "Transfer-Encoding: gzip, chunked\r\n\r\n" + inChunks(twoEvents), ErrTransport, 0},
		"no HTTP":                    {"SSH-2.0-OpenSSH_9.2\r\n", ErrTransport, 0},
		"a huge head":                {streamHead + strings.Repeat("A: "+strings.Repeat("b", 1000)+"\r\n", tooMuch/1000) + "\r\n", ErrTransport, 0},
		"answers without end":        {strings.Repeat("HTTP/1.1 103 Early Hints\r\nA: "+strings.Repeat("b", 1000)+"\r\n\r\n", tooMuch/1000), ErrTransport, 0},
	} {
		ids, err := collect(answering(t, test.text).Sessions.Events(t.Context(), "x", StreamOptions{}))
		if len(ids) != test.ids || !errors.Is(err, test.want) {
			t.Errorf("%s: got %d events, %v, want %d, %v", name, len(ids), err, test.ids, test.want)
		}
	}
}

func TestStream_RedirectOrOtherProtocol_Refused(t *testing.T) {
	isolate(t)
	for status, head := range map[int]string{
		http.StatusTemporaryRedirect:  "HTTP/1.1 307 Temporary Redirect\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n",
		http.StatusSwitchingProtocols: "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
	} {
		err := firstError(answering(t, head).Sessions.Events(t.Context(), "x", StreamOptions{}))
		if e, ok := errors.AsType[*Error](err); !ok || e.StatusCode != status {
			t.Errorf("got %v, want a refusal with %d", err, status)
		}
	}
}

func TestStream_HeadersCutAnywhere_Error(t *testing.T) {
	isolate(t)
	for n := range len(chunkedHead) {
		ids, err := collect(answering(t, chunkedHead[:n]).Sessions.Events(t.Context(), "x", StreamOptions{}))
		e, ok := errors.AsType[*Error](err)
		if !ok || len(ids) != 0 || !errors.Is(err, ErrTransport) || !e.Sent() {
			t.Fatalf("%q: got %v, want a transport error, sent", chunkedHead[:n], err)
		}
	}
}

// secureServer returns a server with TLS, and a transport that trusts it.
func secureServer(t *testing.T, h http.HandlerFunc, http2 bool) (base string, own *http.Transport) {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.EnableHTTP2 = http2
	srv.StartTLS()
	t.Cleanup(srv.Close)
	own = DefaultTransport()
	t.Cleanup(own.CloseIdleConnections)
	pool := x509.NewCertPool()
	pool.AddCert(srv.Certificate())
	own.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	return srv.URL, own
}

// once sends one event, and then nothing until the client leaves.
func once(t *testing.T, seen func(*http.Request)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		seen(r)
		w.Header().Set("Content-Type", "text/event-stream")
		if _, err := io.WriteString(w, "id: 1\ndata: {}\n\n"); err != nil {
			t.Error(err)
		}
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
		<-r.Context().Done()
	}
}

// firstEvent reads one event and leaves the loop.
func firstEvent(t *testing.T, c *Client) {
	t.Helper()
	for e, err := range c.Sessions.Events(t.Context(), "x", StreamOptions{}) {
		if err != nil || e.ID != "1" {
			t.Errorf("got %+v, %v, want the event", e, err)
		}
		break
	}
}

func TestStream_NoConnection_NotSent(t *testing.T) {
	isolate(t)
	base, _ := secureServer(t, func(http.ResponseWriter, *http.Request) { t.Error("got a request, want none") }, false)
	stranger := DefaultTransport()
	own := DefaultTransport()
	own.DialContext = func(context.Context, string, string) (net.Conn, error) { return nil, refusedDial }
	slow := DefaultTransport()
	slow.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	for name, c := range map[string]*Client{
		"an unknown authority": newClient(t, WithBaseURL(base), WithHTTPClient(&http.Client{Transport: stranger})),
		"a refused dial":       newClient(t, WithHTTPClient(&http.Client{Transport: own})),
		"a slow dial":          newClient(t, WithHTTPClient(&http.Client{Transport: slow}), WithTimeout(10*time.Millisecond)),
	} {
		err := firstError(c.Sessions.Events(t.Context(), "x", StreamOptions{}))
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Sent() || !errors.Is(err, ErrTransport) {
			t.Errorf("%s: got %v, want a transport error, not sent", name, err)
		}
	}
}

func TestStream_NoHeaders_TimesOutAndSent(t *testing.T) {
	isolate(t)
	over := make(chan struct{})
	base := listen(t, func(conn net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(conn)); err != nil {
			t.Error(err) // a response before the request is none
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n")
		_, _ = io.Copy(io.Discard, conn) // until the client leaves
		close(over)
	})
	c := newClient(t, WithBaseURL(base), WithTimeout(50*time.Millisecond))
	err := firstError(c.Sessions.Events(t.Context(), "x", StreamOptions{}))
	e, ok := errors.AsType[*Error](err)
	if !ok || !e.Sent() || !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, ErrTransport) {
		t.Errorf("got %v, want a timeout, sent", err)
	}
	<-over
}

// TestStream_NoTimeout_HeadersStillBounded covers callers who disabled timeouts.
func TestStream_NoTimeout_HeadersStillBounded(t *testing.T) {
	isolate(t)
	base := listen(t, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
	own := DefaultTransport()
	own.ResponseHeaderTimeout = 50 * time.Millisecond
	c := newClient(t, WithBaseURL(base), WithHTTPClient(&http.Client{Transport: own}), WithTimeout(-1))
	if err := firstError(c.Sessions.Events(t.Context(), "x", StreamOptions{})); !errors.Is(err, ErrTransport) {
		t.Errorf("got %v, want a transport error", err)
	}
}

func TestStream_ContextEnds_ReadEnds(t *testing.T) {
	isolate(t)
	left := make(chan struct{}, 1)
	h := once(t, func(*http.Request) {})
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h(w, r); left <- struct{}{} }))
	t.Cleanup(plain.Close)
	secure, own := secureServer(t, func(w http.ResponseWriter, r *http.Request) { h(w, r); left <- struct{}{} }, false)
	for _, c := range []*Client{
		newClient(t, WithBaseURL(plain.URL)),
		newClient(t, WithBaseURL(secure), WithHTTPClient(&http.Client{Transport: own})),
	} {
		why := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		defer cancel(nil)
		var last error
		for _, err := range c.Sessions.Events(ctx, "x", StreamOptions{}) {
			if last = err; err == nil {
				go cancel(why) // the next read is blocked, or is about to be
			}
		}
		if !errors.Is(last, context.Canceled) || !errors.Is(last, why) || errors.Is(last, ErrTransport) {
			t.Errorf("got %v, want the caller's own end", last)
		}
		<-left // otherwise the connection stays open
	}
}

func TestStream_Proxy_Used(t *testing.T) {
	isolate(t)
	var asked atomic.Pointer[string]
	proxy := httptest.NewServer(once(t, func(r *http.Request) { asked.Store(new(r.RequestURI)) }))
	t.Cleanup(proxy.Close)
	own := DefaultTransport()
	to, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	own.Proxy = http.ProxyURL(to)
	t.Cleanup(own.CloseIdleConnections)
	firstEvent(t, newClient(t, WithBaseURL("http://localhost:1"), WithHTTPClient(&http.Client{Transport: own})))
	if got := asked.Load(); got == nil || !strings.HasPrefix(*got, "http://localhost:1/") {
		t.Errorf("got %v, want the whole URL at the proxy", got)
	}
}
