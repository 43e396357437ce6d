package anyframe

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anyframe-relay/relay/internal/poll"
)

// maxHead bounds the heads of one answer, in bytes.
const maxHead = 1 << 20

// transport is net/http's, but for event streams: each has a connection of its
// own that speaks HTTP/1.1 and is closed with it. net/http holds two goroutines
// and two buffers for such a connection besides whoever reads it, for as long as
// that waits. What is no plain request for a stream, or goes through a proxy, is
// left to net/http, and so is a server that speaks HTTP/2: over TLS that costs no
// more memory, and less of everything else.
type transport struct {
	*http.Transport

	spoke  atomic.Int32               // the version that net/http spoke last over TLS; 0 is none yet
	config atomic.Pointer[tls.Config] // of the host that streams came from last
}

var (
	heads = sync.Pool{New: func() any { return bufio.NewReader(nil) }}
	asks  = sync.Pool{New: func() any { return bufio.NewWriterSize(nil, 1<<10) }}
)

// RoundTrip makes one request.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if !t.own(r) {
		resp, err := t.Transport.RoundTrip(r)
		if err == nil && resp.TLS != nil {
			t.spoke.Store(int32(resp.ProtoMajor)) //nolint:gosec // 1 or 2
		}
		return resp, err
	}
	ctx := r.Context()
	trace := httptrace.ContextClientTrace(ctx)
	if trace == nil {
		trace = &httptrace.ClientTrace{}
	}
	port := r.URL.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[r.URL.Scheme]
	}
	addr := net.JoinHostPort(r.URL.Hostname(), port)
	if trace.GetConn != nil {
		trace.GetConn(addr)
	}
	conn, err := t.connect(ctx, r, addr, trace)
	if err != nil {
		return nil, err
	}
	if trace.GotConn != nil {
		trace.GotConn(httptrace.GotConnInfo{Conn: conn})
	}
	b := &streamBody{conn: conn, ctx: ctx}
	b.stop = context.AfterFunc(ctx, b.shut)
	resp, err := t.exchange(b, r, trace)
	if err != nil {
		err = b.reason(err)
		_ = b.Close() // never fails
		return nil, err
	}
	return resp, nil
}

// own reports whether the request is a plain one for a stream, with nothing
// about it that net/http would refuse or do more for.
func (t *transport) own(r *http.Request) bool {
	if r.Method != http.MethodGet || r.Header.Get("Accept") != "text/event-stream" || r.Body != nil || r.URL.User != nil ||
		r.URL.Scheme != "http" && (r.URL.Scheme != "https" || t.spoke.Load() != 1) || r.URL.Hostname() == "" || r.Host != r.URL.Host || r.Header["Upgrade"] != nil {
		return false
	}
	if t.Proxy != nil {
		if proxy, err := t.Proxy(r); proxy != nil || err != nil {
			return false
		}
	}
	for name, values := range r.Header {
		if strings.Trim(name, "-ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789") != "" || name == "" {
			return false
		}
		for _, value := range values {
			if strings.ContainsFunc(value, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }) {
				return false
			}
		}
	}
	return true
}

// connect dials, and shakes hands where the URL says https.
func (t *transport) connect(ctx context.Context, r *http.Request, addr string, trace *httptrace.ClientTrace) (net.Conn, error) {
	conn, err := t.DialContext(ctx, "tcp", addr)
	if err != nil || r.URL.Scheme == "http" {
		return conn, err
	}
	secure := tls.Client(conn, t.secure(r.URL.Hostname()))
	limited, cancel := context.WithTimeoutCause(ctx, t.TLSHandshakeTimeout, errors.New("TLS handshake timeout"))
	defer cancel()
	if trace.TLSHandshakeStart != nil {
		trace.TLSHandshakeStart()
	}
	err = secure.HandshakeContext(limited)
	if trace.TLSHandshakeDone != nil {
		trace.TLSHandshakeDone(secure.ConnectionState(), err)
	}
	if err != nil {
		_ = conn.Close() // the handshake's error counts
		if limited.Err() != nil {
			err = context.Cause(limited)
		}
		return nil, err
	}
	return secure, nil
}

// secure returns how to speak TLS to host: one for all streams, so that they
// share memory, and handshakes are short when they come back.
func (t *transport) secure(host string) *tls.Config {
	if config := t.config.Load(); config != nil && config.ServerName == host {
		return config
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.TLSClientConfig != nil {
		config = t.TLSClientConfig.Clone()
	}
	config.ServerName = host
	config.NextProtos = []string{"http/1.1"}
	config.ClientSessionCache = tls.NewLRUClientSessionCache(0)
	t.config.Store(config)
	return config
}

// exchange sends the request and reads the answer up to its body.
func (t *transport) exchange(b *streamBody, r *http.Request, trace *httptrace.ClientTrace) (*http.Response, error) {
	ask := asks.Get().(*bufio.Writer)
	defer asks.Put(ask)
	ask.Reset(b.conn)
	defer ask.Reset(nil)
	if err := r.Write(ask); err != nil {
		return nil, err
	}
	if err := ask.Flush(); err != nil {
		return nil, err
	}
	if err := b.conn.SetReadDeadline(time.Now().Add(t.ResponseHeaderTimeout)); err != nil {
		return nil, err
	}
	limit := &io.LimitedReader{R: b.conn, N: maxHead}
	head := heads.Get().(*bufio.Reader)
	defer heads.Put(head)
	head.Reset(limit)
	defer head.Reset(nil)
	if _, err := head.Peek(1); err == nil && trace.GotFirstResponseByte != nil {
		trace.GotFirstResponseByte()
	}
	for {
		resp, err := http.ReadResponse(head, r)
		if err != nil {
			if limit.N == 0 {
				err = fmt.Errorf("the answer's head is over %d bytes", maxHead)
			}
			return nil, unended(err)
		}
		if resp.StatusCode >= 200 || resp.StatusCode == http.StatusSwitchingProtocols {
			b.begin(resp, head)
			return resp, b.conn.SetReadDeadline(time.Time{})
		}
		if trace.Got1xxResponse != nil {
			if err := trace.Got1xxResponse(resp.StatusCode, textproto.MIMEHeader(resp.Header)); err != nil {
				return nil, err
			}
		}
	}
}

// streamBody is the body of an answer, read from the connection without a
// buffer between.
type streamBody struct {
	mu    sync.Mutex // held while conn becomes polled, or ends
	conn  net.Conn
	taken *poll.Conn // what conn has become; nil as long as reading it waits
	never bool       // conn cannot be polled

	ctx  context.Context
	stop func() bool // what the end of ctx would do

	early   []byte // what came with the head
	chunked bool
	chunks  chunks
	left    int64 // bytes of a body whose length was told; -1 until the connection ends
	err     error // what ended it
}

// begin makes b the body of resp, of which head may have read more.
func (b *streamBody) begin(resp *http.Response, head *bufio.Reader) {
	b.chunked = len(resp.TransferEncoding) > 0 // net/http takes chunked and nothing else
	b.left = resp.ContentLength
	if resp.Body == http.NoBody {
		b.err = io.EOF
	}
	if n := head.Buffered(); n > 0 {
		b.early = make([]byte, n)
		_, _ = io.ReadFull(head, b.early) // it is there
	}
	if secure, ok := b.conn.(*tls.Conn); ok {
		resp.TLS = new(secure.ConnectionState())
	}
	resp.Body = b
}

// Read reads what has come, and waits if that is nothing.
func (b *streamBody) Read(p []byte) (n int, err error) {
	waits := false
	for n == 0 && b.err == nil && len(p) > 0 && !waits {
		n, waits = b.read(p)
	}
	switch {
	case n > 0:
		return n, nil
	case waits:
		return 0, poll.ErrWait
	}
	return 0, b.err
}

// receive reads the connection. One that the poller has had returns at once.
func (b *streamBody) receive(p []byte) (int, error) {
	if b.taken != nil {
		return b.taken.Read(p)
	}
	return b.conn.Read(p)
}

// waits reports whether Read might wait.
func (b *streamBody) waits() bool { return b.taken == nil && len(b.early) == 0 && b.err == nil }

// take has the poller look after the connection, and reports whether it does.
func (b *streamBody) take(owner poll.Waiter) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.taken == nil && !b.never {
		taken, err := poll.Take(b.conn, owner)
		if b.never = err != nil; !b.never {
			b.taken, b.conn = taken, nil
		}
	}
	return b.taken != nil
}

// shut ends the connection, and with it a read in progress.
func (b *streamBody) shut() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.taken != nil {
		b.taken.Shut()
		return
	}
	_ = b.conn.Close() // nothing was written that could get lost
}

// read reads once and sets b.err at the end, behind what it returns. It reports
// whether there is nothing to read at the moment.
func (b *streamBody) read(p []byte) (n int, waits bool) {
	if !b.chunked && b.left >= 0 {
		p = p[:min(int64(len(p)), b.left)]
	}
	var err error
	if len(b.early) > 0 {
		n = copy(p, b.early)
		if b.early = b.early[n:]; len(b.early) == 0 {
			b.early = nil
		}
	} else {
		n, err = b.receive(p)
	}
	switch {
	case err == poll.ErrWait: //nolint:errorlint // never wrapped
		return 0, true
	case b.chunked:
		var done bool
		var fault error
		if n, done, fault = b.chunks.decode(p[:n]); done {
			fault = io.EOF
		}
		b.err = fault
		if fault == nil && err != nil {
			b.err = b.reason(unended(err))
		}
	case b.left >= 0:
		if b.left -= int64(n); b.left == 0 {
			b.err = io.EOF
		} else if err != nil {
			b.err = b.reason(unended(err))
		}
	case err != nil:
		b.err = b.reason(err)
	}
	return n, false
}

// reason is err, or why the request was over that made the connection end.
func (b *streamBody) reason(err error) error {
	if b.ctx.Err() != nil {
		return context.Cause(b.ctx)
	}
	return err
}

// Close closes the connection.
func (b *streamBody) Close() error {
	if b.stop() {
		b.shut()
	}
	if b.taken != nil {
		b.taken.Close()
	}
	return nil
}
