package h2events

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
)

// patience is how long a test waits for something that should happen almost immediately.
const patience = time.Minute

// peer is the server's side of one connection, whose frames the test writes directly.
type peer struct {
	t      testing.TB
	n      int // the number of the connection, from 1
	nc     net.Conn
	fr     *http2.Framer
	block  bytes.Buffer
	enc    *hpack.Encoder
	frames chan sent // what the client sent; closed at the end
	kept   []sent    // what arrived before the awaited frame
}

// sent is a frame from the client.
type sent struct {
	http2.FrameHeader
	fields    map[string]string // of HEADERS
	code      http2.ErrCode     // of RST_STREAM and GOAWAY
	increment uint32            // of WINDOW_UPDATE
	settings  []http2.Setting   // of SETTINGS
	ping      [8]byte           // of PING
}

// begin reads the preface and starts reading frames.
func (p *peer) begin() bool {
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(p.nc, preface); err != nil || string(preface) != http2.ClientPreface {
		return false
	}
	p.fr = http2.NewFramer(p.nc, p.nc)
	p.fr.AllowIllegalWrites = true
	p.fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	p.enc = hpack.NewEncoder(&p.block)
	p.frames = make(chan sent, 1000)
	go func() {
		defer close(p.frames)
		for {
			f, err := p.fr.ReadFrame()
			if err != nil {
				return
			}
			s := sent{FrameHeader: f.Header()}
			switch f := f.(type) {
			case *http2.MetaHeadersFrame:
				s.fields = map[string]string{}
				for _, field := range f.Fields {
					s.fields[field.Name] = field.Value
				}
			case *http2.RSTStreamFrame:
				s.code = f.ErrCode
			case *http2.GoAwayFrame:
				s.code = f.ErrCode
			case *http2.WindowUpdateFrame:
				s.increment = f.Increment
			case *http2.SettingsFrame:
				_ = f.ForeachSetting(func(set http2.Setting) error { s.settings = append(s.settings, set); return nil })
			case *http2.PingFrame:
				s.ping = f.Data
			}
			p.frames <- s
		}
	}()
	return true
}

// await returns the first frame that match accepts and that no await has returned, or a
// zero frame when the connection ends.
func (p *peer) await(match func(sent) bool) sent {
	for i, s := range p.kept {
		if match(s) {
			p.kept = slices.Delete(p.kept, i, i+1)
			return s
		}
	}
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		select {
		case s, ok := <-p.frames:
			if !ok || match(s) {
				return s
			}
			p.kept = append(p.kept, s)
		case <-timeout.C:
			p.t.Error("the client did not send what was waited for")
			return sent{}
		}
	}
}

func (p *peer) awaitType(kind http2.FrameType) sent {
	return p.await(func(s sent) bool { return s.Type == kind })
}

// request waits for a request and returns its stream.
func (p *peer) request() uint32 { return p.awaitType(http2.FrameHeaders).StreamID }

// settings sends the server's first frame.
func (p *peer) settings(set ...http2.Setting) { _ = p.fr.WriteSettings(set...) }

// headers writes a header block in one frame. Pairs are names and values.
func (p *peer) headers(id uint32, ended bool, pairs ...string) {
	_ = p.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: p.encode(pairs...), EndHeaders: true, EndStream: ended})
}

func (p *peer) encode(pairs ...string) []byte {
	p.block.Reset()
	for i := 0; i < len(pairs); i += 2 {
		_ = p.enc.WriteField(hpack.HeaderField{Name: pairs[i], Value: pairs[i+1]})
	}
	return bytes.Clone(p.block.Bytes())
}

// open answers with an event stream.
func (p *peer) open(id uint32) {
	p.headers(id, false, ":status", "200", "content-type", "text/event-stream")
}

func (p *peer) data(id uint32, text string) { _ = p.fr.WriteData(id, false, []byte(text)) }

// end sends the last bytes of a stream.
func (p *peer) end(id uint32, text string) { _ = p.fr.WriteData(id, true, []byte(text)) }

// server is a listener whose connections are served by a script.
type server struct {
	t    testing.TB
	url  string
	cert tls.Certificate
	mu   sync.Mutex
	all  []net.Conn
	n    int
}

var certificate = sync.OnceValue(func() tls.Certificate {
	cert, err := anyframetest.NewCertificate()
	if err != nil {
		panic(err)
	}
	return cert
})

// serve starts a server. It passes each connection on which h2 was chosen to script, and
// closes it when script returns.
func serve(t testing.TB, script func(*peer)) *server {
	t.Helper()
	s := &server{t: t, cert: certificate()}
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{s.cert}, NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	s.url = "https://" + ln.Addr().String() + "/api/sessions/x/events"
	var scripts sync.WaitGroup
	t.Cleanup(func() {
		_ = ln.Close()
		timer := time.AfterFunc(patience/4, func() {
			t.Error("the client has left a connection open")
			s.cut()
		})
		scripts.Wait()
		timer.Stop()
	})
	scripts.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.n++
			p := &peer{t: t, nc: nc, n: s.n}
			s.all = append(s.all, nc)
			s.mu.Unlock()
			scripts.Go(func() {
				defer nc.Close()
				if p.begin() {
					script(p)
				}
			})
		}
	})
	return s
}

// cut closes all connections.
func (s *server) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, nc := range s.all {
		_ = nc.Close()
	}
}

// connections returns how many connections there have been.
func (s *server) connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.n
}

// base returns a net/http transport that trusts the server.
func (s *server) base() *http.Transport {
	roots := x509.NewCertPool()
	roots.AddCert(s.cert.Leaf)
	return &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
}

func (s *server) client(o Options) *Transport { return newTransport(s.t, s.base(), o) }

// newTransport returns a transport that is closed after the test. Closing idle connections
// would not do: one may still be in the course of being opened, for a request that has
// ended or has found room elsewhere.
func newTransport(t testing.TB, base *http.Transport, o Options) *Transport {
	tr := New(base, o)
	t.Cleanup(tr.Close)
	return tr
}

// get requests an event stream.
func get(ctx context.Context, tr http.RoundTripper, url string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", "text/event-stream")
	r.Header.Set("Authorization", "Bearer afm_key")
	return tr.RoundTrip(r)
}

// open requests an event stream, which must succeed.
func open(t testing.TB, tr http.RoundTripper, url string) *http.Response {
	t.Helper()
	res, err := get(t.Context(), tr, url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	return res
}

// all reads a body to its end.
func all(t testing.TB, res *http.Response) string {
	t.Helper()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Errorf("read %q, then: %v", body, err)
	}
	return string(body)
}

// read reads as many bytes as text has, which must equal text.
func read(t testing.TB, res *http.Response, text string) {
	t.Helper()
	got := make([]byte, len(text))
	if _, err := io.ReadFull(res.Body, got); err != nil || string(got) != text {
		t.Fatalf("got %q, %v, want %q", got, err, text)
	}
}

// ends reads a body to its end, which must be an error that contains what.
func ends(t testing.TB, res *http.Response, what string) {
	t.Helper()
	_, err := io.Copy(io.Discard, res.Body)
	if err == nil || !strings.Contains(err.Error(), what) {
		t.Errorf("got %v, want an error with %q", err, what)
	}
}

// code returns the code of an HTTP/2 error.
func code(err error) http2.ErrCode {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return http2.ErrCodeNo
}
