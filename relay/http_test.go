package relay_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/relay"
)

// wire sends raw bytes and returns the responses until the relay closes the connection,
// which one of the requests must cause.
func (r *harness) wire(request string) (answers []answer) {
	r.t.Helper()
	conn, err := new(net.Dialer).DialContext(r.t.Context(), "tcp", strings.TrimPrefix(r.web.URL, "http://"))
	if err != nil {
		r.t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, request); err != nil {
		r.t.Fatal(err)
	}
	in := bufio.NewReader(conn)
	for {
		if _, err := in.Peek(1); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				r.t.Errorf("%.60q: the connection stays open after %d answers", request, len(answers))
			}
			return answers
		}
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			r.t.Fatalf("%.60q: got error %v, want an answer", request, err)
		}
		body, err := io.ReadAll(res.Body)
		if err != nil {
			r.t.Fatal(err)
		}
		answers = append(answers, answer{status: res.StatusCode, header: res.Header, body: string(body)})
	}
}

// A proxy that uses Content-Length takes the second request for the first one's body, and
// the attacker gets the next visitor's response.
func TestHTTP_ConflictingLengths_NoRequestSmuggled(t *testing.T) {
	r := newHarness(t, nil)
	const smuggled = "GET /healthz HTTP/1.1\r\nHost: relay.test\r\nConnection: close\r\n\r\n"
	for name, lengths := range map[string]string{
		"both lengths":                 "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
		"both, the other way round":    "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
		"a coding with a tab":          "Content-Length: 4\r\nTransfer-Encoding:\tchunked\r\n",
		"only chunks, as browsers may": "Transfer-Encoding: chunked\r\n",
	} {
		for path, want := range map[string]int{"POST /v1/visitor": 200, "DELETE /v1/visitor": 401, "GET /healthz": 200, "POST /nothing": 404} {
			answers := r.wire(path + " HTTP/1.1\r\nHost: relay.test\r\nContent-Type: application/json\r\n" + lengths + "\r\n2\r\n{}\r\n0\r\n\r\n" + smuggled)
			if len(answers) != 1 || answers[0].status != want {
				t.Errorf("%s, %s: got %d answers, want one of %d", path, name, len(answers), want)
			}
		}
	}
	if answers := r.wire("POST /v1/visitor HTTP/1.1\r\nHost: relay.test\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}" + smuggled); len(answers) != 2 {
		t.Errorf("one length: got %d answers, want both requests answered", len(answers))
	}
}

func TestHTTP_MalformedRequest_Refused(t *testing.T) {
	r := newHarness(t, nil)
	const host = "Host: relay.test\r\nConnection: close\r\n"
	for name, tt := range map[string]struct {
		request string
		want    int
	}{
		"HTTP/2 by its preface":         {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 405},
		"TRACE of a file":               {"TRACE / HTTP/1.1\r\n" + host + "X-Mine: xyzzy\r\n\r\n", 405},
		"TRACE of the interface":        {"TRACE /v1/session HTTP/1.1\r\n" + host + "X-Mine: xyzzy\r\n\r\n", 405},
		"CONNECT elsewhere":             {"CONNECT 127.0.0.1:9091 HTTP/1.1\r\n" + host + "\r\n", 405},
		"CONNECT to a path":             {"CONNECT /v1/session HTTP/1.1\r\n" + host + "\r\n", 405},
		"somebody else's address":       {"GET http://127.0.0.1:9091/metrics HTTP/1.1\r\n" + host + "\r\n", 404},
		"no address":                    {"GET * HTTP/1.1\r\n" + host + "\r\n", 404},
		"two lengths":                   {"POST /v1/visitor HTTP/1.1\r\n" + host + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400},
		"a length with a sign":          {"POST /v1/visitor HTTP/1.1\r\n" + host + "Content-Length: +2\r\n\r\n{}", 400},
		"a coding that nobody knows":    {"POST /v1/visitor HTTP/1.1\r\n" + host + "Transfer-Encoding: xchunked\r\n\r\n", 501},
		"two codings":                   {"POST /v1/visitor HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked, gzip\r\n\r\n", 501},
		"no host":                       {"GET /healthz HTTP/1.1\r\n\r\n", 400},
		"two hosts":                     {"GET /healthz HTTP/1.1\r\n" + host + "Host: evil.example\r\n\r\n", 400},
		"a space before the colon":      {"GET /healthz HTTP/1.1\r\nHost : relay.test\r\n\r\n", 400},
		"a NUL in a header":             {"GET /healthz HTTP/1.1\r\n" + host + "X-A: a\x00b\r\n\r\n", 400},
		"a line end in the target":      {"GET /healthz\rX: y HTTP/1.1\r\n" + host + "\r\n", 400},
		"an expectation nobody has":     {"POST /v1/visitor HTTP/1.1\r\n" + host + "Expect: 200-maybe\r\nContent-Length: 0\r\n\r\n", 417},
		"a version that does not exist": {"GET /healthz HTTP/9.9\r\n" + host + "\r\n", 505},
		"an upgrade to HTTP/2":          {"GET /healthz HTTP/1.1\r\n" + host + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n", 200},
	} {
		answers := r.wire(tt.request)
		if len(answers) == 0 || answers[0].status != tt.want {
			t.Errorf("%s: got %v, want %d", name, answers, tt.want)
			continue
		}
		if all := fmt.Sprint(answers); strings.Contains(all, "xyzzy") || strings.Contains(all, "HTTP/2") {
			t.Errorf("%s: got %s, want nothing of what was sent", name, all)
		}
	}
}

func TestHTTP_HostHeader_NotUsedInLinks(t *testing.T) {
	d := newOffline(t, func(c *relay.Config) { c.BasePath = "/chat" })
	for _, path := range []string{"/chat", "/chat/", "/chat/widget.js", "/chat/v1/session", "/chat/v1/visitor", "/nothing", "/chat/readyz"} {
		for _, method := range []string{"GET", "HEAD", "POST", "OPTIONS"} {
			a := d.ask(method, path, "", "Host", "evil.example", "X-Forwarded-Host", "evil.example", "Forwarded", "host=evil.example")
			if all := a.body + fmt.Sprint(a.header); strings.Contains(all, "evil") {
				t.Errorf("%s %s: got %s, want nothing of the host", method, path, all)
			}
		}
	}
	for _, method := range []string{"GET", "HEAD"} {
		if a := d.ask(method, "/chat", ""); a.status != http.StatusPermanentRedirect || a.header.Get("Location") != "/chat/" {
			t.Errorf("%s /chat: got %d to %q, want 308 to /chat/", method, a.status, a.header.Get("Location"))
		}
	}
}
