package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// The floor is a program that only forwards bytes. One goroutine per connection to the
// control plane reads the frames of all its streams and writes them to the browsers, and a
// stream is a struct. It shows the minimum cost of a program in Go. It detects a closed
// browser connection only on a write, checks nothing, waits for slow browsers, and supports
// only GET.

// floor holds the connections to the control plane.
type floor struct {
	upstream string
	mu       sync.Mutex // of two concurrent requests, one opens the next connection
	conns    []*floorConn
}

// floorConn is one connection to the control plane.
type floorConn struct {
	conn   net.Conn
	framer *http2.Framer

	mu      sync.Mutex // held while frames are written
	next    uint32     // the id of the next stream
	most    int        // maximum number of concurrent streams
	streams map[uint32]net.Conn
	encoder *hpack.Encoder
	block   bytes.Buffer
	taken   uint32 // bytes read since the connection's window was last updated
	owed    map[uint32]uint32
}

// floorWindow is the window of each stream; a connection's is sixteen times as large.
const floorWindow = 1 << 20

func serveFloor(addr, upstream string) error {
	l, err := net.Listen("tcp", addr) //nolint:noctx // for minutes
	if err != nil {
		return err
	}
	f := &floor{upstream: upstream}
	for {
		browser, err := l.Accept()
		if err != nil {
			return err
		}
		go f.serve(browser)
	}
}

// serve reads one request and opens its stream. The reader does the rest.
func (f *floor) serve(browser net.Conn) {
	req, err := http.ReadRequest(bufio.NewReaderSize(browser, 512))
	if err != nil {
		_ = browser.Close()
		return
	}
	if err := f.open(browser, req.URL.RequestURI(), req.Header.Get("Last-Event-ID")); err != nil {
		_, _ = fmt.Fprintf(browser, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
		_ = browser.Close()
	}
}

// open opens a stream on the first connection with room for one.
func (f *floor) open(browser net.Conn, path, lastEventID string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.conns {
		if c.begin(browser, path, lastEventID) {
			return nil
		}
	}
	c, err := f.dial()
	if err != nil {
		return err
	}
	f.conns = append(f.conns, c)
	if !c.begin(browser, path, lastEventID) {
		return errors.New("the control plane takes no streams")
	}
	return nil
}

func (f *floor) dial() (*floorConn, error) {
	conn, err := tls.Dial("tcp", f.upstream, &tls.Config{NextProtos: []string{"h2"}}) //nolint:noctx // for minutes
	if err != nil {
		return nil, err
	}
	c := &floorConn{conn: conn, next: 1, streams: map[uint32]net.Conn{}, owed: map[uint32]uint32{}}
	c.encoder = hpack.NewEncoder(&c.block)
	c.framer = http2.NewFramer(conn, bufio.NewReaderSize(conn, 32<<10))
	c.framer.SetReuseFrames()
	c.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if _, err := conn.Write([]byte(http2.ClientPreface)); err != nil {
		return nil, err
	}
	err = errors.Join(
		c.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: floorWindow}, http2.Setting{ID: http2.SettingEnablePush}),
		c.framer.WriteWindowUpdate(0, 15*floorWindow))
	if err != nil {
		return nil, err
	}
	first, err := c.framer.ReadFrame()
	settings, ok := first.(*http2.SettingsFrame)
	if err != nil || !ok {
		return nil, fmt.Errorf("no settings: %w", err)
	}
	most, ok := settings.Value(http2.SettingMaxConcurrentStreams)
	if c.most = int(most); !ok {
		c.most = 1 << 30
	}
	go c.read()
	return c, c.framer.WriteSettingsAck()
}

// begin opens a stream if there is room.
func (c *floorConn) begin(browser net.Conn, path, lastEventID string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.streams) >= c.most {
		return false
	}
	c.block.Reset()
	for _, h := range [][2]string{
		{":method", "GET"},
		{":scheme", "https"},
		{":authority", "localhost"},
		{":path", path},
		{"accept", "text/event-stream"},
		{"authorization", "Bearer " + planeKey},
		{"last-event-id", lastEventID},
	} {
		if h[1] != "" {
			_ = c.encoder.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]})
		}
	}
	id := c.next
	c.next += 2
	c.streams[id] = browser
	return c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: c.block.Bytes(), EndStream: true, EndHeaders: true}) == nil
}

// read forwards frames until the connection ends.
func (c *floorConn) read() {
	var chunk []byte
	for {
		frame, err := c.framer.ReadFrame()
		if err != nil {
			return
		}
		c.mu.Lock()
		browser := c.streams[frame.Header().StreamID]
		c.mu.Unlock()
		switch frame := frame.(type) {
		case *http2.MetaHeadersFrame:
			head := "HTTP/1.1 " + frame.PseudoValue("status") + " OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
			c.pass(frame.StreamID, browser, []byte(head), 0)
		case *http2.DataFrame:
			data := frame.Data()
			chunk = strconv.AppendInt(chunk[:0], int64(len(data)), 16)
			chunk = append(append(append(chunk, '\r', '\n'), data...), '\r', '\n')
			c.pass(frame.StreamID, browser, chunk, uint32(len(data))) //nolint:gosec // a frame's length
		case *http2.PingFrame:
			c.mu.Lock()
			_ = c.framer.WritePing(true, frame.Data)
			c.mu.Unlock()
		}
	}
}

// pass writes to a browser, and returns n bytes of the windows in batches.
func (c *floorConn) pass(id uint32, browser net.Conn, b []byte, n uint32) {
	gone := false
	if browser != nil {
		_, err := browser.Write(b)
		gone = err != nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if n == 0 && !gone {
		return
	}
	if c.taken += n; c.taken >= floorWindow {
		_ = c.framer.WriteWindowUpdate(0, c.taken)
		c.taken = 0
	}
	if c.owed[id] += n; c.owed[id] >= floorWindow/2 {
		_ = c.framer.WriteWindowUpdate(id, c.owed[id])
		delete(c.owed, id)
	}
	if gone {
		delete(c.streams, id)
		delete(c.owed, id)
		_ = c.framer.WriteRSTStream(id, http2.ErrCodeCancel)
		_ = browser.Close()
	}
}
