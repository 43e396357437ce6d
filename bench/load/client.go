package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// marker begins the text of each counted event. The time of the event follows, in
// nanoseconds, and its number in the session.
const marker = "@"

var textMarker = []byte(`"text":"` + marker)

// sources is the number of client addresses: one address has ports for only about
// 28,000 connections.
const sources = 8

// fleet is all streams of one run.
type fleet struct {
	addr    string
	streams []*tab
	latency histogram

	got, lost, repeated atomic.Int64
	broken              atomic.Int64 // streams that ended although the client did not end them
}

// tab is one stream.
type tab struct {
	fleet  *fleet
	number int
	path   string
	token  string
	idPath string // before the seq in an event's id
	last   int64  // the number of the last event, 0 before the first

	conn    net.Conn
	closing atomic.Bool
	done    chan struct{}
	body    dechunker
	line    []byte // the incomplete line
}

// openAll opens all streams, a limited number at a time, and returns how long it
// took.
func (f *fleet) openAll(ctx context.Context, at int, resume func(*tab) string) (time.Duration, error) {
	start := time.Now()
	var wg sync.WaitGroup
	var failed atomic.Pointer[error]
	slots := make(chan struct{}, at)
	for _, t := range f.streams {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			id := ""
			if resume != nil {
				id = resume(t)
			}
			if err := t.open(ctx, id); err != nil {
				failed.Store(&err)
			}
		})
	}
	wg.Wait()
	if err := failed.Load(); err != nil {
		return 0, *err
	}
	return time.Since(start), nil
}

// closeAll closes all streams.
func (f *fleet) closeAll() {
	for _, t := range f.streams {
		t.closing.Store(true)
		if t.conn != nil {
			_ = t.conn.Close()
		}
	}
	for _, t := range f.streams {
		if t.done != nil {
			<-t.done
		}
	}
}

const firstByteWait = 30 * time.Second

func (t *tab) open(ctx context.Context, lastEventID string) error {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+t.number%sources))}, Timeout: firstByteWait}
	conn, err := d.DialContext(ctx, "tcp", t.fleet.addr)
	if err != nil {
		return err
	}
	var req strings.Builder
	fmt.Fprintf(&req, "GET %s HTTP/1.1\r\nHost: %s\r\nAccept: text/event-stream\r\nAuthorization: Bearer %s\r\n", t.path, t.fleet.addr, t.token)
	if lastEventID != "" {
		fmt.Fprintf(&req, "Last-Event-ID: %s\r\n", lastEventID)
	}
	if _, err := conn.Write([]byte(req.String() + "\r\n")); err != nil {
		return err
	}
	_ = conn.SetReadDeadline(time.Now().Add(firstByteWait))
	buf, n := make([]byte, 8<<10), 0
	for {
		m, err := conn.Read(buf[n:])
		if err != nil {
			return fmt.Errorf("read the answer's head: %w; got %q", err, buf[:n])
		}
		n += m
		head, rest, whole := bytes.Cut(buf[:n], []byte("\r\n\r\n"))
		if !whole {
			continue
		}
		if !bytes.HasPrefix(head, []byte("HTTP/1.1 200 ")) {
			return fmt.Errorf("got %q %q, want 200", head, rest)
		}
		_ = conn.SetReadDeadline(time.Time{})
		t.body = dechunker{plain: !bytes.Contains(bytes.ToLower(head), []byte("transfer-encoding: chunked"))}
		t.line = nil
		t.conn, t.done = conn, make(chan struct{})
		t.closing.Store(false)
		rest = bytes.Clone(rest)
		go t.read(rest)
		return nil
	}
}

// read reads the stream until it ends.
func (t *tab) read(buf []byte) {
	defer close(t.done)
	t.take(buf)
	buf = make([]byte, 4<<10)
	for {
		n, err := t.conn.Read(buf)
		t.take(buf[:n])
		if n == len(buf) && n < 64<<10 {
			buf = make([]byte, 4*n)
		}
		if err != nil {
			if !t.closing.Load() {
				t.fleet.broken.Add(1)
			}
			return
		}
	}
}

// take searches the received bytes for events.
func (t *tab) take(raw []byte) {
	if len(raw) == 0 {
		return
	}
	now := time.Now().UnixNano()
	text := t.body.decode(raw)
	if len(t.line) > 0 {
		t.line = append(t.line, text...)
		text = t.line
	}
	for {
		line, rest, whole := bytes.Cut(text, []byte("\n"))
		if !whole {
			break
		}
		text = rest
		if i := bytes.Index(line, textMarker); i >= 0 {
			t.count(line[i+len(textMarker):], now)
		}
	}
	t.line = append(t.line[:0], text...)
}

func (t *tab) count(mark []byte, now int64) {
	made, rest := number(mark)
	n, _ := number(rest[1:])
	f := t.fleet
	switch {
	case n <= t.last:
		f.repeated.Add(1)
		return
	case n > t.last+1:
		f.lost.Add(n - t.last - 1)
	}
	t.last = n
	f.got.Add(1)
	f.latency.add(time.Duration(now - made))
}

// number parses the digits at the start of b.
func number(b []byte) (n int64, rest []byte) {
	for i, c := range b {
		if c < '0' || c > '9' {
			return n, b[i:]
		}
		n = n*10 + int64(c-'0')
	}
	return n, nil
}

// await waits until that many events have arrived, or none has for a while.
func (f *fleet) await(want int64, patience time.Duration) error {
	last, since := int64(-1), time.Now()
	for {
		got := f.got.Load()
		if got >= want {
			return nil
		}
		if got != last {
			last, since = got, time.Now()
		}
		if time.Since(since) > patience {
			return fmt.Errorf("got %d events, want %d, and %d were lost before others", got, want, f.lost.Load())
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// inSixteen calls a function n times, sixteen at a time, until one call fails.
func inSixteen(n int, do func(i int) error) error {
	var wg sync.WaitGroup
	var next atomic.Int64
	var failed atomic.Pointer[error]
	for range 16 {
		wg.Go(func() {
			for failed.Load() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if err := do(i); err != nil {
					failed.Store(&err)
				}
			}
		})
	}
	wg.Wait()
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}

// dechunker removes the chunked encoding of HTTP/1.1, however the network splits
// it.
type dechunker struct {
	plain bool
	left  int // remaining bytes of the chunk, including the line end after it
	size  []byte
	out   []byte
}

// decode returns the content of the bytes, valid until the next call.
func (d *dechunker) decode(b []byte) []byte {
	if d.plain {
		return b
	}
	d.out = d.out[:0]
	for len(b) > 0 {
		if d.left > 0 {
			n := min(d.left, len(b))
			if text := min(n, max(d.left-2, 0)); text > 0 {
				d.out = append(d.out, b[:text]...)
			}
			d.left -= n
			b = b[n:]
			continue
		}
		line, rest, whole := bytes.Cut(b, []byte("\n"))
		d.size = append(d.size, line...)
		b = rest
		if whole {
			n, _ := strconv.ParseInt(strings.TrimSpace(string(d.size)), 16, 32)
			d.left, d.size = int(n)+2, d.size[:0]
		}
	}
	return d.out
}

// histogram counts times in steps of about 3 %.
type histogram struct{ counts [1024]atomic.Int64 }

const stepsPerOctave = 24

func (h *histogram) add(d time.Duration) {
	i := 0
	if d > time.Microsecond {
		i = int(math.Log2(float64(d)/float64(time.Microsecond)) * stepsPerOctave)
	}
	h.counts[min(i, len(h.counts)-1)].Add(1)
}

// quantile returns the time below which a fraction of all lies, in microseconds.
func (h *histogram) quantile(q float64) float64 {
	var total, seen int64
	for i := range h.counts {
		total += h.counts[i].Load()
	}
	for i := range h.counts {
		if seen += h.counts[i].Load(); float64(seen) >= q*float64(total) && seen > 0 {
			return math.Exp2((float64(i) + 0.5) / stepsPerOctave)
		}
	}
	return 0
}

func (h *histogram) reset() {
	for i := range h.counts {
		h.counts[i].Store(0)
	}
}

var errNoPeer = errors.New("is not installed")
