package main

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// The control plane implements HTTP/2 itself. net/http's server has a goroutine and two
// goroutine switches for each event, which would dominate the measurement.

const (
	h2Window   = 65535
	h2Frame    = 16 << 10
	h2MaxQueue = 256 << 10 // bytes that wait for a window or the network before the sender blocks
)

// h2conn is one connection. Frames are collected while a write is in progress, so that
// events are written together only if the reader is behind.
type h2conn struct {
	conn    net.Conn
	handler http.Handler
	events  func(path string, lastEventID string) (*talk, int64) // nil for any other request
	framer  *http2.Framer                                        // writes into out, under mu

	mu      sync.Mutex // guards streams, windows and out
	free    *sync.Cond // something was written, a window grew, or the connection has closed
	out     []byte
	writing bool
	gone    bool
	window  int64 // of the connection
	initial int64 // of a new stream
	streams map[uint32]*h2stream
	encoder *hpack.Encoder
	block   bytes.Buffer // the encoder's output
}

// h2stream is one request. As a sink it is an event stream.
type h2stream struct {
	c      *h2conn
	id     uint32
	window int64
	queue  []byte // waits for a window
	ends   bool   // ends the stream after queue
	leave  func() // of an event stream

	req  *http.Request
	body bytes.Buffer
}

// serveH2 serves a connection until it ends.
func serveH2(conn *tls.Conn, handler http.Handler, maxStreams uint32, events func(path, lastEventID string) (*talk, int64)) {
	c := &h2conn{conn: conn, handler: handler, events: events, window: h2Window, initial: h2Window, streams: map[uint32]*h2stream{}}
	c.free = sync.NewCond(&c.mu)
	c.encoder = hpack.NewEncoder(&c.block)
	c.framer = http2.NewFramer(gather{c}, conn)
	c.framer.SetReuseFrames()
	c.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	defer c.end()
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(conn, preface); err != nil || string(preface) != http2.ClientPreface {
		return
	}
	c.write(func() error {
		return c.framer.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: maxStreams})
	})
	for {
		f, err := c.framer.ReadFrame()
		var broken http2.StreamError
		if errors.As(err, &broken) {
			c.forget(broken.StreamID)
			continue
		}
		if err != nil {
			return
		}
		c.take(f)
	}
}

// gather makes out an io.Writer.
type gather struct{ c *h2conn }

func (g gather) Write(p []byte) (int, error) {
	g.c.out = append(g.c.out, p...)
	return len(p), nil
}

// write lets put add frames to out, and makes sure that they are sent.
func (c *h2conn) write(put func() error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.gone && put() == nil {
		c.flush()
	}
}

// flush sends out, unless another goroutine is doing so. The caller holds mu.
func (c *h2conn) flush() {
	if c.writing {
		return
	}
	c.writing = true
	var spare []byte
	for len(c.out) > 0 && !c.gone {
		b := c.out
		c.out = spare[:0]
		c.mu.Unlock()
		_, err := c.conn.Write(b)
		c.mu.Lock()
		spare = b
		c.gone = c.gone || err != nil
		c.free.Broadcast()
	}
	c.writing = false
	if cap(spare) > cap(c.out) && cap(spare) <= h2Frame {
		c.out = spare[:0]
	}
}

func (c *h2conn) take(f http2.Frame) {
	switch f := f.(type) {
	case *http2.SettingsFrame:
		if f.IsAck() {
			return
		}
		c.write(func() error {
			if v, ok := f.Value(http2.SettingInitialWindowSize); ok {
				for _, st := range c.streams {
					st.window += int64(v) - c.initial
				}
				c.initial = int64(v)
			}
			return c.framer.WriteSettingsAck()
		})
	case *http2.PingFrame:
		if !f.IsAck() {
			c.write(func() error { return c.framer.WritePing(true, f.Data) })
		}
	case *http2.WindowUpdateFrame:
		c.write(func() error {
			if f.StreamID == 0 {
				c.window += int64(f.Increment)
				for _, st := range c.streams {
					st.drain()
				}
			} else if st := c.streams[f.StreamID]; st != nil {
				st.window += int64(f.Increment)
				st.drain()
			}
			c.free.Broadcast()
			return nil
		})
	case *http2.RSTStreamFrame:
		c.forget(f.StreamID)
	case *http2.MetaHeadersFrame:
		c.begin(f)
	case *http2.DataFrame:
		c.mu.Lock()
		st := c.streams[f.StreamID]
		c.mu.Unlock()
		if st != nil && st.req != nil {
			st.body.Write(f.Data())
			if f.StreamEnded() {
				go c.handle(st)
			}
		}
		if n := uint32(len(f.Data())); n > 0 { //nolint:gosec // a frame's length
			c.write(func() error { return c.framer.WriteWindowUpdate(0, n) })
		}
	}
}

// begin processes a new request.
func (c *h2conn) begin(f *http2.MetaHeadersFrame) {
	st := &h2stream{c: c, id: f.StreamID}
	c.mu.Lock()
	st.window = c.initial
	c.streams[f.StreamID] = st
	c.mu.Unlock()
	path, last := f.PseudoValue("path"), ""
	header := http.Header{}
	for _, h := range f.RegularFields() {
		header.Add(h.Name, h.Value)
		if h.Name == "last-event-id" {
			last = h.Value
		}
	}
	if t, since := c.events(path, last); t != nil {
		st.head(http.StatusOK, "text/event-stream", false)
		t.listen(st, since)
		return
	}
	u, err := url.ParseRequestURI(path)
	if err != nil {
		u = &url.URL{Path: "/"}
	}
	st.req = &http.Request{Method: f.PseudoValue("method"), URL: u, RequestURI: path, Header: header, Body: io.NopCloser(&st.body)}
	if f.StreamEnded() {
		go c.handle(st)
	}
}

// handle responds to a request. The handlers do not block.
func (c *h2conn) handle(st *h2stream) {
	a := &h2answer{code: http.StatusOK, header: http.Header{}}
	c.handler.ServeHTTP(a, st.req)
	st.head(a.code, a.header.Get("Content-Type"), true)
	c.mu.Lock()
	st.ends = true
	st.queue = a.body.Bytes()
	st.drain()
	c.flush()
	c.mu.Unlock()
}

type h2answer struct {
	code   int
	header http.Header
	body   bytes.Buffer
}

func (a *h2answer) Header() http.Header         { return a.header }
func (a *h2answer) WriteHeader(code int)        { a.code = code }
func (a *h2answer) Write(p []byte) (int, error) { return a.body.Write(p) }

// head sends a response's headers.
func (st *h2stream) head(code int, contentType string, more bool) {
	c := st.c
	c.write(func() error {
		c.block.Reset()
		_ = c.encoder.WriteField(hpack.HeaderField{Name: ":status", Value: strconv.Itoa(code)})
		_ = c.encoder.WriteField(hpack.HeaderField{Name: "content-type", Value: contentType})
		if !more {
			_ = c.encoder.WriteField(hpack.HeaderField{Name: "cache-control", Value: "no-store"})
		}
		return c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: st.id, BlockFragment: c.block.Bytes(), EndHeaders: true})
	})
}

// send implements [sink]. It blocks while the reader is far behind.
func (st *h2stream) send(event []byte, left func()) error {
	c := st.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if left != nil {
		st.leave = left
	}
	for len(st.queue) > h2MaxQueue/4 || len(c.out) > h2MaxQueue {
		if c.gone || c.streams[st.id] != st {
			return net.ErrClosed
		}
		c.free.Wait()
	}
	if c.gone || c.streams[st.id] != st {
		return net.ErrClosed
	}
	st.queue = append(st.queue, event...)
	st.drain()
	c.flush()
	return nil
}

// drain moves bytes from the queue to out, as far as the windows allow. The caller holds
// c.mu.
func (st *h2stream) drain() {
	c := st.c
	for len(st.queue) > 0 {
		n := min(int64(len(st.queue)), st.window, c.window, h2Frame)
		if n <= 0 {
			return
		}
		last := st.ends && n == int64(len(st.queue))
		_ = c.framer.WriteData(st.id, last, st.queue[:n])
		st.window, c.window = st.window-n, c.window-n
		st.queue = append(st.queue[:0], st.queue[n:]...)
		if last {
			delete(c.streams, st.id)
		}
	}
	if len(st.queue) == 0 && cap(st.queue) > h2Frame {
		st.queue = nil
	}
}

// forget removes a stream that the peer has ended.
func (c *h2conn) forget(id uint32) {
	c.mu.Lock()
	st := c.streams[id]
	delete(c.streams, id)
	c.free.Broadcast()
	c.mu.Unlock()
	if st != nil && st.leave != nil {
		st.leave()
	}
}

// end removes all streams of a closed connection.
func (c *h2conn) end() {
	_ = c.conn.Close()
	c.mu.Lock()
	c.gone = true
	all := c.streams
	c.streams = map[uint32]*h2stream{}
	c.free.Broadcast()
	c.mu.Unlock()
	for _, st := range all {
		if st.leave != nil {
			st.leave()
		}
	}
}
