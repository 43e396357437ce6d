package h2events

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

const (
	// streamWindow is how many bytes the server may send on a stream before its reader
	// has taken them (section 6.9). It bounds the memory of a stream.
	streamWindow = 64 << 10
	// connWindow is the same for all streams of a connection together. It is replenished
	// as soon as bytes arrive, so that no stream waits for another's reader.
	connWindow = 1 << 20
	// maxHeaders is the maximum size of a response's header list, as defined in section
	// 6.5.2.
	maxHeaders = 64 << 10
	// maxFrame is the maximum size of a frame, and maxBlock of a header block including
	// the frames over which it is spread: readers see a block only as a whole.
	maxFrame = 16 << 10
	maxBlock = maxFrame + 3*maxHeaders
	// maxUseless is how many useless frames may arrive between two checks by the
	// connection's timer: PING, SETTINGS, empty DATA, or any frame on an ended stream.
	// Keepalives on a quiet stream carry data and do not count.
	maxUseless = 20_000
	// maxUnsent is the maximum size of pending writes. Most of them answer such frames.
	maxUnsent = 1 << 20
	// closeWait bounds the final writes on a connection.
	closeWait = time.Second
	// guessedStreams is how many streams are assumed to be allowed until the server's
	// SETTINGS arrive.
	guessedStreams = 100
)

// conn is one connection. Its reader is its only permanent goroutine; another one writes
// while there is something to write.
type conn struct {
	o     Options
	nc    net.Conn
	in    *bufio.Reader
	limit *io.LimitedReader // limits in to the frame being read
	fr    *http2.Framer     // reads from limit; writes to out, under mu
	born  time.Time
	timer *time.Timer
	heard atomic.Int64 // when the last frame arrived, in ns after born
	ready []*stream    // streams to notify; used by the reader only

	mu       sync.Mutex // never held across I/O or a stream's callback
	streams  map[uint32]*stream
	reserved int    // streams, including those about to be opened
	next     uint32 // id of the next stream
	allowed  uint32 // MAX_CONCURRENT_STREAMS
	largest  uint32 // MAX_FRAME_SIZE that we may send
	headers  uint64 // MAX_HEADER_LIST_SIZE that we may send
	initial  int64  // INITIAL_WINDOW_SIZE for what we send on a stream
	window   int64  // bytes we may send on the connection
	received int64  // DATA bytes on the connection not yet returned to the window
	enc      *hpack.Encoder
	block    bytes.Buffer  // enc's output
	out      bytes.Buffer  // frames to be written
	writing  bool          // a goroutine is writing the content of out
	useless  int           // useless frames since the timer's last check
	pinged   time.Duration // when the last PING was sent, after born
	served   bool          // it has carried a stream
	retired  bool          // it accepts no more streams
	idle     time.Time     // since when it has had none
	err      error         // why it is closed; nil while it is open
}

// newConn starts reading a connection, and sends the preface (section 3.4).
func newConn(nc net.Conn, o Options) *conn {
	c := &conn{
		o: o, nc: nc, born: time.Now(), in: bufio.NewReaderSize(nc, maxFrame), streams: map[uint32]*stream{}, next: 1,
		allowed: guessedStreams, largest: maxFrame, headers: 1 << 62, initial: 65535, window: 65535,
	}
	c.idle = c.born
	c.limit = &io.LimitedReader{R: c.in}
	c.fr = http2.NewFramer(&c.out, c.limit)
	c.fr.SetReuseFrames()
	c.fr.SetMaxReadFrameSize(maxFrame)
	c.fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	c.fr.MaxHeaderListSize = maxHeaders
	c.enc = hpack.NewEncoder(&c.block)

	c.mu.Lock()
	defer c.mu.Unlock()
	c.out.WriteString(http2.ClientPreface)
	_ = c.fr.WriteSettings( // writes to a buffer never fail
		http2.Setting{ID: http2.SettingEnablePush, Val: 0},
		http2.Setting{ID: http2.SettingInitialWindowSize, Val: streamWindow},
		http2.Setting{ID: http2.SettingMaxHeaderListSize, Val: maxHeaders},
	)
	_ = c.fr.WriteWindowUpdate(0, connWindow-65535)
	c.o.MaxAge -= time.Duration(rand.Int64N(int64(o.MaxAge)/5 + 1)) //nolint:gosec // jitter needs no secrecy
	c.timer = time.AfterFunc(o.PingAfter, c.look)
	c.flush()
	go c.read()
	return c
}

// read is the reader's goroutine.
func (c *conn) read() {
	for first := true; ; first = false {
		if !c.frameBuffered() { // the next read may block
			c.deliver()
		}
		c.limit.N = maxBlock
		f, err := c.fr.ReadFrame()
		if reset, ok := errors.AsType[http2.StreamError](err); ok {
			err = c.malformed(reset)
		} else if err == nil {
			err = c.take(f, first)
		}
		if err != nil {
			c.fail(c.explain(err))
			c.deliver()
			return
		}
		c.heard.Store(int64(time.Since(c.born)))
	}
}

// explain translates an error of the framer.
func (c *conn) explain(err error) error {
	code, isCode := errors.AsType[http2.ConnectionError](err)
	switch {
	case isCode:
		if detail := c.fr.ErrorDetail(); detail != nil {
			return &Error{Code: http2.ErrCode(code), What: detail.Error()}
		}
		return &Error{Code: http2.ErrCode(code), What: "a malformed frame"}
	case errors.Is(err, http2.ErrFrameTooLarge):
		return &Error{Code: http2.ErrCodeFrameSize, What: "a frame that is too large"}
	case c.limit.N <= 0:
		return &Error{Code: http2.ErrCodeEnhanceYourCalm, What: "a header block that is too large"}
	case err == io.EOF: //nolint:errorlint // the framer never wraps it
		return errClosed
	}
	return err
}

// frameBuffered reports whether a whole frame can be read without blocking.
func (c *conn) frameBuffered() bool {
	const header = 9
	if c.in.Buffered() < header {
		return false
	}
	length, _ := c.in.Peek(3)
	return c.in.Buffered() >= header+int(length[0])<<16+int(length[1])<<8+int(length[2])
}

// deliver notifies the streams on which something has arrived.
func (c *conn) deliver() {
	for i, s := range c.ready {
		c.ready[i] = nil
		s.tell()
	}
	c.ready = c.ready[:0]
}

// flush starts writing what is pending in out. The caller holds mu.
func (c *conn) flush() {
	if !c.writing && c.out.Len() > 0 {
		c.writing = true
		go c.write()
	}
}

// write writes until nothing is pending, and at the end closes the connection. The reader
// never writes: with a server that reads nothing, it would block forever.
func (c *conn) write() {
	var frames bytes.Buffer
	for {
		c.mu.Lock()
		frames, c.out = c.out, frames
		c.writing = frames.Len() > 0
		writing, over := c.writing, c.err != nil
		if !over {
			_ = c.nc.SetWriteDeadline(time.Now().Add(c.o.PingAfter + c.o.PingTimeout))
		}
		c.mu.Unlock()
		if !writing {
			if over {
				_ = c.nc.Close()
			}
			return
		}
		if _, err := frames.WriteTo(c.nc); err != nil {
			c.fail(fmt.Errorf("h2events: write: %w", err))
			_ = c.nc.Close()
			return
		}
	}
}

// look is called by the timer: it finds connections that are dead, old or idle.
func (c *conn) look() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	c.useless = 0
	now, heard := time.Since(c.born), time.Duration(c.heard.Load())
	if now >= c.o.MaxAge || c.reserved == 0 && time.Since(c.idle) >= c.o.IdleTimeout {
		c.retired = true
	}
	var next time.Duration
	switch {
	case c.retired && c.reserved == 0:
		go c.fail(errRetired)
		return
	case c.pinged > heard: // and nothing has arrived since
		next = c.pinged + c.o.PingTimeout - now
		if next <= 0 {
			go c.fail(errSilent)
			return
		}
	case now < heard+c.o.PingAfter:
		next = heard + c.o.PingAfter - now
	default:
		_ = c.fr.WritePing(false, [8]byte{})
		c.flush()
		c.pinged, next = now, c.o.PingTimeout
	}
	c.timer.Reset(min(next, c.o.PingAfter))
}

// fail ends the streams, and closes the connection after its final writes.
func (c *conn) fail(err error) {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return
	}
	c.err, c.retired = err, true
	c.timer.Stop()
	streams := c.streams
	c.streams = nil
	for _, s := range streams {
		s.end(err)
	}
	code := http2.ErrCodeNo
	if own, ok := errors.AsType[*Error](err); ok && !own.Remote {
		code = own.Code
	}
	_ = c.fr.WriteGoAway(0, code, nil)
	_ = c.nc.SetDeadline(time.Now().Add(closeWait)) // also for a blocked write
	c.flush()
	c.mu.Unlock()
	for _, s := range streams {
		s.tell()
	}
}

// closeIdle closes the connection if it has no streams.
func (c *conn) closeIdle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.retired = c.retired || c.reserved == 0
	c.unused()
}

// retire makes the connection accept no more streams, and closes it once it has none.
func (c *conn) retire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.retired = true
	c.unused()
}

// unused closes a retired connection without streams. The caller holds mu.
func (c *conn) unused() {
	if c.reserved == 0 {
		c.idle = time.Now()
		if c.retired && c.err == nil {
			go c.fail(errRetired)
		}
	}
}

// closed reports whether the connection can no longer be used.
func (c *conn) closed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err != nil
}

// load returns how many streams the connection has, whether it has room for another, and
// whether it accepts any at all.
func (c *conn) load() (streams int, room, takes bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reserved, c.room(), !c.retired
}

func (c *conn) room() bool {
	return !c.retired && c.reserved < c.o.Streams && c.reserved < int(c.allowed)
}

// reserve reserves the place for a stream.
func (c *conn) reserve() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.room() {
		return false
	}
	c.reserved++
	return true
}
