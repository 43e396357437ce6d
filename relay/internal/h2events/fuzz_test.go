package h2events

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// outcome is the result of a server's frames in a client.
type outcome struct {
	status int
	header string
	body   string
	err    error
}

func (o outcome) String() string {
	return fmt.Sprintf("status %d, %s, body %q, error %v", o.status, o.header, o.body, o.err)
}

// answering is the connection to a server that waits for a request, sends the given
// frames, and nothing more. It accepts everything that is sent to it.
type answering struct {
	net.Conn // nil: other methods are not called

	mu     sync.Mutex
	got    bytes.Buffer // what the client sent and has not been examined
	begun  bool         // the preface has arrived
	frames *bytes.Reader

	asked, closed         chan struct{}
	askedOnce, closedOnce sync.Once
}

func newAnswering(frames []byte) *answering {
	return &answering{frames: bytes.NewReader(frames), asked: make(chan struct{}), closed: make(chan struct{})}
}

func (a *answering) Read(p []byte) (int, error) {
	select {
	case <-a.asked:
		return a.frames.Read(p)
	case <-a.closed:
		return 0, net.ErrClosed
	}
}

func (a *answering) Write(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.got.Write(p)
	if !a.begun && a.got.Len() >= len(http2.ClientPreface) {
		a.got.Next(len(http2.ClientPreface))
		a.begun = true
	}
	for a.begun && a.got.Len() >= 9 {
		head := a.got.Bytes()[:9]
		length := 9 + int(head[0])<<16 + int(head[1])<<8 + int(head[2])
		if a.got.Len() < length {
			break
		}
		if http2.FrameType(head[3]) == http2.FrameHeaders {
			a.askedOnce.Do(func() { close(a.asked) })
		}
		a.got.Next(length)
	}
	return len(p), nil
}

func (a *answering) Close() error {
	a.closedOnce.Do(func() { close(a.closed) })
	return nil
}

func (*answering) SetDeadline(time.Time) error      { return nil }
func (*answering) SetReadDeadline(time.Time) error  { return nil }
func (*answering) SetWriteDeadline(time.Time) error { return nil }
func (*answering) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (*answering) RemoteAddr() net.Addr             { return &net.TCPAddr{} }

func outcomeOf(res *http.Response, err error) (o outcome) {
	if err != nil {
		return outcome{err: err}
	}
	defer res.Body.Close()
	o.status, o.header = res.StatusCode, res.Header.Get("X")
	body, err := io.ReadAll(res.Body)
	o.body, o.err = string(body), err
	return o
}

// ourOutcome returns the result of frames in this package.
func ourOutcome(ctx context.Context, frames []byte) outcome {
	c := newConn(newAnswering(frames), Options{}.withDefaults())
	defer c.fail(errRetired)
	c.reserve()
	r, _ := http.NewRequestWithContext(ctx, http.MethodGet, "https://x/events", nil)
	return outcomeOf(c.roundTrip(r, nil))
}

// netOutcome returns their result in net/http.
func netOutcome(ctx context.Context, frames []byte) outcome {
	var only http.Protocols
	only.SetUnencryptedHTTP2(true)
	used := false
	tr := &http.Transport{Protocols: &only, DisableCompression: true, DialContext: func(context.Context, string, string) (net.Conn, error) {
		if used {
			return nil, errors.New("a second connection")
		}
		used = true
		return newAnswering(frames), nil
	}}
	defer tr.CloseIdleConnections()
	r, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://x/events", nil)
	return outcomeOf(tr.RoundTrip(r))
}

// writer turns bytes into frames that represent a server's behavior, most of it valid.
type writer struct {
	bytes.Buffer
	fr    *http2.Framer
	block bytes.Buffer
	enc   *hpack.Encoder
}

func script(program []byte) []byte {
	var w writer
	w.fr, w.enc = http2.NewFramer(&w.Buffer, nil), hpack.NewEncoder(&w.block)
	w.fr.AllowIllegalWrites = true
	next := func() byte {
		if len(program) == 0 {
			return 0
		}
		b := program[0]
		program = program[1:]
		return b
	}
	encode := func(pairs ...string) []byte {
		w.block.Reset()
		for i := 0; i < len(pairs); i += 2 {
			_ = w.enc.WriteField(hpack.HeaderField{Name: pairs[i], Value: pairs[i+1]})
		}
		return bytes.Clone(w.block.Bytes())
	}
	_ = w.fr.WriteSettings()
	for len(program) > 0 {
		op, arg := next(), next()
		id := uint32(1)
		if arg%16 == 15 {
			id = uint32(next() % 5)
		}
		ended := arg&1 == 1
		switch op % 20 {
		case 0, 1, 2:
			pairs := [][]string{
				{":status", "200", "x", "y"},
				{":status", "200", "content-length", "3"},
				{":status", "404", "x", "z"},
				{":status", "103", "x", "early"},
				{"x", "trailer"},
				{":status", "200", "x", strings.Repeat("v", int(next())*64)},
				{":status", "abc"},
				{":status", "100"},
				{":path", "/"},
				{":status", "200", "X", "upper"},
				{"x", "y", ":status", "200"},
				{":status", "204"},
				{":status", "200", "content-length", "x"},
			}[int(arg/2)%13]
			block := encode(pairs...)
			if split := int(next()); split%4 == 0 && len(block) > 1 {
				_ = w.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block[:1], EndStream: ended})
				_ = w.fr.WriteContinuation(id, true, block[1:])
			} else {
				_ = w.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block, EndStream: ended, EndHeaders: true, PadLength: uint8(split)})
			}
		case 3, 4, 5, 6:
			_ = w.fr.WriteData(id, ended, bytes.Repeat([]byte{'a' + arg%26}, int(next()%16)))
		case 7:
			_ = w.fr.WriteDataPadded(id, ended, []byte("padded"), make([]byte, next()))
		case 8:
			_ = w.fr.WritePing(ended, [8]byte{arg})
		case 9:
			_ = w.fr.WriteSettings(http2.Setting{ID: http2.SettingID(next() % 8), Val: uint32(next()) << (arg % 32)})
		case 10:
			_ = w.fr.WriteWindowUpdate(id, uint32(next())<<(arg%32))
		case 11:
			_ = w.fr.WriteRSTStream(id, http2.ErrCode(next()%15))
		case 12:
			_ = w.fr.WriteGoAway(uint32(next()%4), http2.ErrCode(next()%15), nil)
		case 13:
			_ = w.fr.WriteRawFrame(http2.FrameType(next()), http2.Flags(arg), id, bytes.Repeat([]byte{arg}, int(next()%16)))
		case 14:
			_ = w.fr.WritePriority(id, http2.PriorityParam{StreamDep: uint32(arg)})
		case 15:
			_, _ = w.Write(program[:min(len(program), int(arg%8))])
		case 16:
			_ = w.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: encode(":status", "200", "x", "y"), EndHeaders: true})
			_ = w.fr.WriteData(1, true, []byte("done"))
		}
	}
	return w.Bytes()
}

// disagree returns in what the two clients wrongly differ. If one reads a response to its
// end, so must the other, with the same content. If something is invalid, one may have
// read more than the other before it detected that.
func disagree(ours, nets outcome) string {
	switch {
	case ours.err == nil && nets.err == nil:
		if ours != nets {
			return "both read it, and not the same"
		}
	case ours.err == nil:
		return "net/http finds something wrong"
	case nets.err == nil && !stricter(ours.err):
		return "net/http finds nothing wrong"
	}
	return ""
}

// stricter reports whether an error is required by RFC 9113 and not reported by net/http.
func stricter(err error) bool {
	for _, what := range []string{
		"never opened", // net/http treats DATA on stream 2 as late
		"REFUSED_STREAM",
		"goes away", // net/http may accept the response on a stream that was refused just before
	} {
		if strings.Contains(err.Error(), what) {
			return true
		}
	}
	return false
}

func differ(t *testing.T, program []byte) bool {
	t.Helper()
	return compare(t, script(program), fmt.Sprintf("%x", program))
}

// compare reports whether both clients ended.
func compare(t *testing.T, frames []byte, what string) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ours := ourOutcome(ctx, frames)
	if ctx.Err() != nil {
		t.Fatalf("%s: we wait for ever", what)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	read := make(chan outcome, 1)
	go func() { read <- netOutcome(ctx, frames) }()
	var nets outcome
	select {
	case nets = <-read:
	case <-ctx.Done(): // net/http blocks forever in some races, regardless of its context
		return false
	}
	if wrong := disagree(ours, nets); wrong != "" {
		t.Errorf("%s: %s\nours: %v\nnet/http: %v\nframes: %x", what, wrong, ours, nets, frames)
	}
	return true
}

func TestDifferential_RandomServers_AreUnderstoodAsByNetHTTP(t *testing.T) {
	t.Parallel()
	const programs = 1200
	rng := rand.New(rand.NewPCG(7, 540))
	work := make(chan []byte)
	var compared atomic.Int32
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for program := range work {
				if !t.Failed() && differ(t, program) {
					compared.Add(1)
				}
			}
		})
	}
	for range programs {
		program := make([]byte, 2+rng.IntN(24))
		for i := range program {
			program[i] = byte(rng.Uint32())
		}
		if rng.IntN(2) == 0 { // otherwise most end before the response
			program = append([]byte{0, 0, 1}, program...)
		}
		work <- program
	}
	close(work)
	all.Wait()
	if n := compared.Load(); n < programs/4 {
		t.Errorf("only %d were compared", n)
	}
}

func FuzzFrames(f *testing.F) {
	f.Add([]byte{16, 0})
	f.Add([]byte{0, 0, 1, 3, 0, 5, 7, 0, 9, 3, 1, 2})
	f.Add([]byte{0, 6, 4, 0, 2, 1, 3, 1, 3})
	f.Add([]byte{0, 0, 1, 12, 0, 1, 0, 11, 0, 8})
	f.Fuzz(func(t *testing.T, program []byte) { differ(t, program) })
}

// Bytes that are not frames, or half of one.
func FuzzBytes(f *testing.F) {
	f.Add(script([]byte{16, 0}))
	f.Add(script([]byte{0, 0, 4, 3, 0, 5, 7, 0, 9, 3, 1, 2}))
	f.Fuzz(func(t *testing.T, frames []byte) { compare(t, frames, "bytes") })
}
