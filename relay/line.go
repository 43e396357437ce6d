package relay

import (
	"bytes"
	"errors"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"

	"github.com/anyframe-relay/relay/internal/poll"
	"github.com/anyframe-relay/relay/relay/internal/eventlog"
)

// A parked stream costs what is kept for it while nothing happens, and an event
// what it takes to wake somebody who writes it. So a stream on HTTP/1.1 takes
// its connection over from net/http, whose buffers, request and deep stack go
// with the request's goroutine, and while there is nothing to do it has none of
// its own: whoever appends to the log writes to the connection, as long as that
// takes it without waiting; the hub's clock writes heartbeats and tells when the
// stream's time has come; the process's poller tells when the browser has left.
// For all else a step of the stream is run, in a goroutine that ends with it.

// maxChatter is how many bytes a browser may send on a stream, which is none.
const maxChatter = 4 << 10

// What a stream on a connection of ours does. In between it waits for the clock.
type lineState uint8

const (
	working lineState = iota // a step is under way, or has been the last
	resting                  // it waits for its time, whatever changes
	parked                   // it waits for anything, and all it knows may be used under mu
)

// line is a connection taken over from net/http.
type line struct {
	conn  net.Conn
	raw   syscall.RawConn // nil where nothing can be written without waiting
	watch *poll.Watch     // nil where a goroutine waits for the browser to leave

	out     []byte        // the frames to be written, behind room for a chunk's size
	rest    []byte        // of a chunk of which the connection took a part
	wrote   time.Time     // when it was last written to
	silence time.Duration // how long it may be silent
	ends    time.Time     // when the stream has had its time
	drained time.Time     // when it ends because the relay does; zero while that isn't so
	chatter int           // bytes that came

	mu    sync.Mutex // held to look or set, and while somebody else than a step writes
	state lineState
	poked bool      // something changed since the last step looked
	gone  bool      // the browser has left
	due   time.Time // when there is more to do than a heartbeat
	tick  int64     // of the clock, at which it is looked after; 0 is none. Guarded by clock.mu
	place int       // among those of that tick; guarded by clock.mu
}

// takeLine takes the connection over and writes the answer's head. It returns
// nil, and nothing has happened, where that can't be done.
func takeLine(w http.ResponseWriter, r *http.Request) (*line, error) {
	if r.ProtoMajor != 1 || r.ProtoMinor < 1 || r.TLS != nil || r.ContentLength != 0 {
		return nil, nil
	}
	conn, _, err := http.NewResponseController(w).Hijack()
	if errors.Is(err, http.ErrNotSupported) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	l := &line{conn: conn}
	if c, ok := conn.(syscall.Conn); ok && canTry {
		l.raw, _ = c.SyscallConn() // else without
	}
	var head bytes.Buffer
	head.WriteString("HTTP/1.1 200 OK\r\n")
	_ = w.Header().Write(&head) // a buffer: cannot fail
	head.WriteString("Date: " + time.Now().UTC().Format(http.TimeFormat) + "\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n")
	l.rest = head.Bytes()
	return l, nil
}

// maxChunk is how much is gathered before it is written, in bytes: a slow
// browser has writeTimeout for all of it.
const maxChunk = 16 << 10

// room is what a chunk's size takes in front of it at most.
const room = 10

// put adds a frame to what is to be written.
func (l *line) put(frame []byte) (int, error) {
	if len(l.out) == 0 {
		l.out = append(l.out, make([]byte, room)...)
	}
	l.out = append(l.out, frame...)
	if len(l.out) > maxChunk {
		return len(frame), l.flush()
	}
	return len(frame), nil
}

// flush writes all there is, waiting for the browser as long as it may.
func (l *line) flush() error {
	if len(l.rest) == 0 && len(l.out) == 0 {
		return nil
	}
	if err := l.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	bufs := net.Buffers{}
	if len(l.rest) > 0 {
		bufs = append(bufs, l.rest)
	}
	if len(l.out) > 0 {
		bufs = append(bufs, seal(&l.out))
	}
	_, err := bufs.WriteTo(l.conn)
	l.out, l.rest, l.wrote = l.out[:0], nil, time.Now()
	if err == nil {
		err = l.conn.SetWriteDeadline(time.Time{})
	}
	return err
}

// seal makes frames behind room a chunk of HTTP/1.1 (RFC 9112, section 7.1).
func seal(b *[]byte) []byte {
	const digits = "0123456789abcdef"
	n := len(*b) - room
	*b = append(*b, "\r\n"...)
	at := room - 2
	copy((*b)[at:], "\r\n")
	for {
		at--
		(*b)[at] = digits[n&15]
		if n >>= 4; n == 0 {
			return (*b)[at:]
		}
	}
}

// scratch is what it takes to write, and nobody needs who waits.
type scratch struct {
	entries [batch]eventlog.Entry
	out     []byte

	try  func(fd uintptr) bool // writes data
	take func(fd uintptr) bool // reads into got
	data []byte
	n    int // bytes written or read

	got   [256]byte
	empty bool // there was nothing to read
}

var scratches = sync.Pool{New: func() any {
	c := &scratch{}
	c.try, c.take = c.write, c.read
	return c
}}

func (c *scratch) giveBack() {
	clear(c.entries[:])
	if c.data = nil; cap(c.out) > 64<<10 {
		c.out = nil
	}
	scratches.Put(c)
}

// try writes a chunk, and keeps what the connection does not take at once: then
// it reports false. The caller holds mu, and raw is not nil.
func (l *line) try(c *scratch, chunk []byte) bool {
	c.data, c.n = chunk, 0
	if l.raw.Write(c.try) != nil {
		c.n = 0
	}
	l.wrote = time.Now()
	if c.n == len(chunk) {
		return true
	}
	l.rest = bytes.Clone(chunk[c.n:])
	return false
}

// Decode reads what the browser has sent, which is nothing, without waiting. It
// reports false when the browser has left.
func (l *line) hear() bool {
	c := scratches.Get().(*scratch)
	defer c.giveBack()
	for l.chatter <= maxChatter {
		if c.n = 0; l.raw.Read(c.take) != nil || (c.n == 0 && !c.empty) {
			return false
		}
		if c.empty {
			return true
		}
		l.chatter += c.n
	}
	return false
}
