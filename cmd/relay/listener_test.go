package main

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/anyframe-relay/relay/relay"
)

// oneConn is a listener for a single in-memory connection, for servers in a synctest bubble.
type oneConn struct {
	conn   chan net.Conn
	closed chan struct{}
}

func (o *oneConn) Accept() (net.Conn, error) {
	select {
	case c := <-o.conn:
		return c, nil
	case <-o.closed:
		return nil, net.ErrClosed
	}
}

func (o *oneConn) Close() error { close(o.closed); return nil }

func (o *oneConn) Addr() net.Addr { return &net.TCPAddr{} }

// visit runs the public server as the program does, in a synctest bubble, for one client.
func visit(t *testing.T, client func(conn net.Conn)) {
	synctest.Test(t, func(t *testing.T) {
		c := relay.DefaultConfig()
		c.APIKey, c.AgentID, c.BaseURL, c.Store = "afm_test_desk", 1, "http://127.0.0.1:1", "memory:"
		srv, err := relay.New(t.Context(), c, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
		if err != nil {
			t.Fatal(err)
		}
		web := publicServer(srv, slog.New(slog.DiscardHandler))
		network := &oneConn{make(chan net.Conn, 1), make(chan struct{})}
		ours, theirs := net.Pipe()
		network.conn <- theirs
		go func() { _ = web.Serve(network) }()
		client(ours)
		ours.Close()
		web.Close()
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second) // lets net/http release closed connections
	})
}

func TestListener_HeaderNeverEnds_Closed(t *testing.T) {
	for name, first := range map[string]string{"half a header": "GET / HTTP/1.1\r\nHost: relay.test\r\n", "half a line": "GE", "nothing": ""} {
		visit(t, func(conn net.Conn) {
			start := time.Now()
			stop, dripped := make(chan struct{}), make(chan struct{})
			go func() { // one byte per second until the write fails
				defer close(dripped)
				for drip := first; ; drip = "X" {
					if _, err := io.WriteString(conn, drip); err != nil || name == "nothing" {
						return
					}
					select {
					case <-time.After(time.Second):
					case <-stop:
						return
					}
				}
			}()
			_, _ = io.Copy(io.Discard, conn)
			if took := time.Since(start); took > headerTimeout+time.Second {
				t.Errorf("%s: the connection was held for %v, want %v at most", name, took, headerTimeout)
			}
			close(stop)
			conn.Close()
			<-dripped
		})
	}
}

func TestListener_HeaderTooLarge_Refused(t *testing.T) {
	visit(t, func(conn net.Conn) {
		go func() {
			_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: relay.test\r\nX: "+strings.Repeat("x", 2*maxHeaderBytes)+"\r\n\r\n")
		}()
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || res.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("got %v, %v, want 431", res, err)
		}
	})
}

// The limits that keep slow clients out must not end a stream.
func TestListener_Stream_OutlivesWriteTimeout(t *testing.T) {
	visit(t, func(conn net.Conn) {
		in := bufio.NewReader(conn)
		ask := func(request string) *http.Response {
			t.Helper()
			go func() { _, _ = io.WriteString(conn, request) }()
			res, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatal(err)
			}
			return res
		}
		res := ask("POST /v1/visitor HTTP/1.1\r\nHost: relay.test\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
		_, _ = io.Copy(io.Discard, res.Body)
		cookie := res.Cookies()[0]
		res = ask("GET /v1/events HTTP/1.1\r\nHost: relay.test\r\nCookie: " + cookie.Name + "=" + cookie.Value + "\r\n\r\n")
		start := time.Now()
		_, err := io.Copy(io.Discard, res.Body)
		if took := time.Since(start); err != nil || took < 8*time.Minute || took > 10*time.Minute {
			t.Errorf("the stream lasted %v and ended with error %v, want 8 to 10 minutes and a clean end", took, err)
		}
	})
}

func TestListener_IdleConnection_Closed(t *testing.T) {
	visit(t, func(conn net.Conn) {
		in := bufio.NewReader(conn)
		go func() { _, _ = io.WriteString(conn, "GET /healthz HTTP/1.1\r\nHost: relay.test\r\n\r\n") }()
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		start := time.Now()
		if _, err := in.ReadByte(); err == nil || time.Since(start) > idleTimeout+time.Second {
			t.Errorf("got error %v after %v, want the end after %v", err, time.Since(start), idleTimeout)
		}
	})
}
