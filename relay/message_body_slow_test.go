package relay_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is an in-memory network, for servers in a synctest bubble.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error { close(p.closed); return nil }

func (p *pipes) Addr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }

func (pipeAddr) String() string { return "pipe" }

// overPipes sends the bytes of a request in pieces, after a pause of the bubble's time
// before each. It returns the response and how long it took.
func overPipes(t *testing.T, h http.Handler, pause time.Duration, pieces ...string) (a answer, took time.Duration, kept bool) {
	t.Helper()
	network := &pipes{make(chan net.Conn), make(chan struct{})}
	web := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	go func() { _ = web.Serve(network) }()
	defer time.Sleep(time.Second) // in which net/http releases what it has closed
	defer web.Close()
	ours, theirs := net.Pipe()
	network.conns <- theirs
	start, over := time.Now(), make(chan struct{})
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(over)
	defer ours.Close()
	wg.Go(func() {
		for i, piece := range pieces {
			if i > 0 {
				select {
				case <-time.After(pause):
				case <-over:
					return
				}
			}
			if _, err := io.WriteString(ours, piece); err != nil {
				return
			}
		}
	})
	in := bufio.NewReader(ours)
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Errorf("%.60q…: got error %v, want an answer", pieces[0], err)
		return a, time.Since(start), false
	}
	took = time.Since(start)
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Error(err)
	}
	a = answer{status: res.StatusCode, header: res.Header, body: string(body)}
	_ = json.Unmarshal(body, &a.json)
	if res.Close {
		return a, took, false
	}
	_ = ours.SetReadDeadline(time.Now().Add(30 * time.Second))
	_, err = in.ReadByte()
	return a, took, !errors.Is(err, io.EOF)
}

func TestMessageBody_TooSlow_Refused(t *testing.T) {
	for name, tt := range map[string]struct {
		head   string
		pieces []string
		want   string
		within time.Duration
	}{
		"nothing comes":                {"POST /v1/messages", nil, "408 request_timeout", 15 * time.Second},
		"half comes":                   {"POST /v1/messages", []string{`{"text":`}, "408 request_timeout", 15 * time.Second},
		"it drips":                     {"POST /v1/messages", strings.Split(strings.Repeat("  ", 30), ""), "408 request_timeout", 15 * time.Second},
		"for a visitor":                {"POST /v1/visitor", nil, "408 request_timeout", 15 * time.Second},
		"for a session":                {"POST /v1/session", nil, "408 request_timeout", 15 * time.Second},
		"for an answer":                {"POST /v1/responses", nil, "408 request_timeout", 15 * time.Second},
		"for a rating":                 {"POST /v1/feedback", nil, "408 request_timeout", 15 * time.Second},
		"where nobody wants it":        {"GET /v1/session", nil, "408 request_timeout", 15 * time.Second},
		"and the stream":               {"GET /v1/events", nil, "408 request_timeout", 15 * time.Second},
		"refused before it is due":     {"POST /v1/nothing", nil, "404 not_found", 15 * time.Second},
		"no such method":               {"PUT /v1/messages", nil, "408 request_timeout", 15 * time.Second},
		"outside of the interface":     {"POST /widget.js", nil, "405 method_not_allowed", 15 * time.Second},
		"too large, as it says itself": {"POST /v1/visitor", nil, "413 message_too_large", 0},
		"slow, but in time":            {"POST /v1/visitor", []string{"{", " ", " ", " ", " ", "}" + strings.Repeat(" ", 94)}, "200", 12 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newOffline(t, nil)
				length := "100"
				if tt.within == 0 {
					length = "1000000"
				}
				head := tt.head + " HTTP/1.1\r\nHost: relay.test\r\nContent-Type: application/json\r\nContent-Length: " + length + "\r\nAuthorization: Bearer " + d.mint() + "\r\n\r\n"
				a, took, kept := overPipes(t, documented().watch("", d.srv.Handler()), 2*time.Second, append([]string{head}, tt.pieces...)...)
				var status int
				var code string
				if _, _ = fmt.Sscan(tt.want, &status, &code); code == "" {
					if a.status != status {
						t.Errorf("got %d %s, want %d", a.status, a.body, status)
					}
				} else {
					refused(t, tt.head, a, status, code)
				}
				if took > tt.within {
					t.Errorf("the answer took %v, want %v at most", took, tt.within)
				}
				if status != http.StatusOK && kept {
					t.Error("the connection stays open, want it closed: half a body is on it")
				}
			})
		})
	}
}

func TestMessageBody_NotNeeded_Discarded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newOffline(t, nil)
		head := "GET /v1/session HTTP/1.1\r\nHost: relay.test\r\nAuthorization: Bearer " + d.mint() + "\r\nContent-Length: 5\r\n\r\n"
		a, _, kept := overPipes(t, documented().watch("", d.srv.Handler()), time.Second, head, "hello")
		if a.status != http.StatusOK || !kept {
			t.Errorf("got %d, kept open: %v, want 200 on a connection that stays", a.status, kept)
		}
		large := strings.Replace(head, "Content-Length: 5", "Content-Length: 1000000", 1)
		a, _, _ = overPipes(t, documented().watch("", d.srv.Handler()), time.Second, large, strings.Repeat("x", 1000000))
		refused(t, "a large one", a, 413, "message_too_large")
	})
}
