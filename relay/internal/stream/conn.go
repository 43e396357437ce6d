package stream

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/eventlog"
	"github.com/anyframe-relay/relay/relay/internal/poll"
)

const (
	// batch is how many events are read from the log at a time.
	batch = 64
	// maxReceived is how many bytes a browser may send on a stream, where it needs to
	// send none.
	maxReceived = 4 << 10
	// maxChunk is how many bytes are buffered before they are written: a slow browser has
	// writeTimeout for each chunk.
	maxChunk = 16 << 10
	// maxPiece is the same for a larger frame. It is written in pieces, from the log and
	// not from a copy.
	maxPiece = 64 << 10
	// headroom is the length of the longest chunk size line, for which space is left in
	// front of the frames.
	headroom = 10
)

// conn is what a stream writes to: a connection hijacked from net/http, or the response
// if that is not possible.
type conn struct {
	net      net.Conn        // nil if there is a response
	response *response       // nil if the connection was hijacked
	raw      syscall.RawConn // nil if nothing can be written without blocking
	watch    *poll.Watch     // nil if a goroutine detects that the browser disconnects

	scratch  *scratch  // nil unless borrowed
	pending  []byte    // the rest of a partly written chunk
	wrote    time.Time // time of the last write
	received int       // in bytes
	sent     int       // in bytes of frames
}

// response is a stream's request, for a stream that stays in its handler.
type response struct {
	w    http.ResponseWriter
	rc   *http.ResponseController
	ctx  context.Context
	wake chan struct{} // starts the next step
}

func newResponse(ctx context.Context, w http.ResponseWriter) *response {
	return &response{w, http.NewResponseController(w), ctx, make(chan struct{}, 1)}
}

func (r *response) write(frames []byte) error {
	if err := r.rc.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	if _, err := r.w.Write(frames); err != nil {
		return err
	}
	return r.rc.Flush()
}

// hijack hijacks the connection and prepares the response header. If that is not
// possible, it returns false, and nothing has changed.
func (c *conn) hijack(w http.ResponseWriter, r *http.Request) (bool, error) {
	if r.ProtoMajor != 1 || r.ProtoMinor < 1 || r.TLS != nil || r.ContentLength != 0 {
		return false, nil
	}
	taken, _, err := http.NewResponseController(w).Hijack()
	if errors.Is(err, http.ErrNotSupported) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	c.net = taken
	if sys, ok := taken.(syscall.Conn); ok && canTry {
		c.raw, _ = sys.SyscallConn() // if that fails, only steps write
	}
	var head bytes.Buffer
	head.WriteString("HTTP/1.1 200 OK\r\n")
	_ = w.Header().Write(&head) // a buffer: cannot fail
	head.WriteString("Date: " + time.Now().UTC().Format(http.TimeFormat) + "\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n")
	c.pending = head.Bytes()
	return true, nil
}

// close closes the connection, if it was hijacked.
func (c *conn) close() {
	if c.watch != nil {
		c.watch.Remove()
	}
	if c.net != nil {
		_ = c.net.Close() // the stream has ended either way
	}
}

// finish ends the response. net/http does that for a stream in its handler.
func (c *conn) finish() error {
	if c.net == nil {
		return nil
	}
	c.pending = append(c.pending, "0\r\n\r\n"...)
	return c.flush()
}

// flush writes everything. It blocks for at most writeTimeout.
func (c *conn) flush() error {
	out := &c.scratch.out
	if len(c.pending) == 0 && len(*out) == 0 {
		return nil
	}
	var err error
	if c.response != nil {
		err = c.response.write((*out)[headroom:])
	} else {
		err = c.writeAll(out)
	}
	*out, c.pending, c.wrote = (*out)[:0], nil, time.Now()
	return err
}

func (c *conn) writeAll(out *[]byte) error {
	if err := c.net.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	bufs := net.Buffers{}
	if len(c.pending) > 0 {
		bufs = append(bufs, c.pending)
	}
	if len(*out) > 0 {
		bufs = append(bufs, sealChunk(out))
	}
	if _, err := bufs.WriteTo(c.net); err != nil {
		return err
	}
	return c.net.SetWriteDeadline(time.Time{})
}

// writeLarge writes a frame piece by piece, without copying it. Everything before it must
// have been written.
func (c *conn) writeLarge(frame []byte) error {
	for len(frame) > 0 {
		piece := frame[:min(len(frame), maxPiece)]
		frame = frame[len(piece):]
		if err := c.writePiece(piece); err != nil {
			return err
		}
		c.wrote = time.Now()
	}
	return nil
}

func (c *conn) writePiece(piece []byte) error {
	if c.response != nil {
		return c.response.write(piece)
	}
	if err := c.net.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	bufs := net.Buffers{strconv.AppendInt(nil, int64(len(piece)), 16), []byte("\r\n"), piece, []byte("\r\n")}
	if _, err := bufs.WriteTo(c.net); err != nil {
		return err
	}
	return c.net.SetWriteDeadline(time.Time{})
}

// try writes the content of scratch without blocking. If the connection does not accept
// all of it, try keeps the rest and returns false. There must be a raw connection, and
// the caller holds the stream's mu.
func (c *conn) try() bool {
	chunk, scratch := sealChunk(&c.scratch.out), c.scratch
	scratch.data, scratch.n = chunk, 0
	if c.raw.Write(scratch.try) != nil {
		scratch.n = 0
	}
	c.wrote = time.Now()
	if scratch.n == len(chunk) {
		return true
	}
	c.pending = bytes.Clone(chunk[scratch.n:])
	return false
}

// readAvailable reads what the browser has sent, without blocking. It returns false if
// the browser has disconnected or has sent too much. The caller holds the stream's mu.
func (c *conn) readAvailable() bool {
	s := scratches.Get().(*scratch)
	defer s.giveBack()
	for c.received <= maxReceived {
		if s.n = 0; c.raw.Read(s.take) != nil || (s.n == 0 && !s.empty) {
			return false
		}
		if s.empty {
			return true
		}
		c.received += s.n
	}
	return false
}

// readUntilGone reads until the browser has disconnected, has sent too much, or the
// connection is closed.
func (c *conn) readUntilGone() {
	var p [16]byte
	for received := 0; received <= maxReceived; {
		n, err := c.net.Read(p[:])
		if err != nil {
			return
		}
		received += n
	}
}

// borrow takes the buffers that writing requires, until giveBack.
func (c *conn) borrow() *scratch {
	c.scratch = scratches.Get().(*scratch)
	return c.scratch
}

func (c *conn) giveBack() {
	c.scratch.giveBack()
	c.scratch = nil
}

// scratch holds the buffers that writing to a stream requires and an idle stream does
// without.
type scratch struct {
	entries [batch]eventlog.Entry
	out     []byte // frames after headroom; empty or longer than that

	try  func(fd uintptr) bool // writes data; a method value created once
	take func(fd uintptr) bool // reads into got; likewise
	data []byte
	n    int // number of bytes written or read

	got   [256]byte
	empty bool // there was nothing to read
}

var scratches = sync.Pool{New: func() any {
	s := &scratch{}
	s.try, s.take = s.write, s.read
	return s
}}

func (s *scratch) giveBack() {
	clear(s.entries[:]) // because they keep frames in memory
	s.data, s.out = nil, s.out[:0]
	if cap(s.out) > 64<<10 {
		s.out = nil
	}
	scratches.Put(s)
}

// add appends a frame.
func (s *scratch) add(frame []byte) {
	if len(s.out) == 0 {
		s.out = append(s.out, make([]byte, headroom)...)
	}
	s.out = append(s.out, frame...)
}

// size returns how many bytes were added.
func (s *scratch) size() int { return max(len(s.out)-headroom, 0) }

// sealChunk turns the frames after headroom into a chunk of HTTP/1.1 (RFC 9112, section
// 7.1).
func sealChunk(b *[]byte) []byte {
	const digits = "0123456789abcdef"
	n := len(*b) - headroom
	*b = append(*b, "\r\n"...)
	at := headroom - 2
	copy((*b)[at:], "\r\n")
	for {
		at--
		(*b)[at] = digits[n&15]
		if n >>= 4; n == 0 {
			return (*b)[at:]
		}
	}
}
