package relay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"github.com/anyframe-relay/relay/relay/eventlog"
)

// A parked stream costs what is kept for it while nothing happens, and an event
// what it takes to wake somebody who writes it. So a stream on HTTP/1.1 takes
// its connection over from net/http, whose buffers, request and deep stack go
// with the request's goroutine. The stream's own waits in a read, which ends
// when the browser leaves; whoever appends to the log writes to the connection
// itself, as long as that takes it without waiting. For all else the goroutine
// is woken, by the read's deadline.

// maxChatter is how many bytes a browser may send on a stream, which is none.
const maxChatter = 4 << 10

// line is a connection taken over from net/http.
type line struct {
	conn net.Conn
	raw  syscall.RawConn // nil where nothing can be written without waiting

	out     []byte    // the frames to be written, behind room for a chunk's size
	rest    []byte    // of a chunk of which the connection took a part
	wrote   time.Time // when it was last written to
	chatter int       // bytes that came
	peek    [16]byte

	mu     sync.Mutex // held while somebody else than the stream's goroutine writes
	parked bool       // the goroutine waits, and all it knows may be used under mu
	poked  bool       // something changed since the goroutine looked
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

// wait waits until something changes or the time has come. With idle, others
// may write meanwhile. It reports false when the browser has gone.
func (l *line) wait(until time.Time, idle bool) bool {
	l.mu.Lock()
	if l.poked {
		l.mu.Unlock()
		return true
	}
	l.parked = idle
	err := l.conn.SetReadDeadline(until)
	l.mu.Unlock()
	if err == nil {
		var n int
		n, err = l.conn.Read(l.peek[:])
		l.chatter += n
	}
	l.mu.Lock()
	l.parked = false
	l.mu.Unlock()
	return (err == nil || errors.Is(err, os.ErrDeadlineExceeded)) && l.chatter <= maxChatter
}

// rouse makes the stream's goroutine look again. The caller holds mu.
func (l *line) rouse() {
	l.poked = true
	if l.parked {
		_ = l.conn.SetReadDeadline(time.Unix(1, 0)) // fails only when it's over
	}
}

// scratch is what it takes to write, and nobody needs who waits.
type scratch struct {
	entries [batch]eventlog.Entry
	out     []byte

	try  func(fd uintptr) bool // writes data
	data []byte
	n    int
}

var scratches = sync.Pool{New: func() any {
	c := &scratch{}
	c.try = c.write
	return c
}}

func (c *scratch) giveBack() {
	clear(c.entries[:])
	if c.data = nil; cap(c.out) > 64<<10 {
		c.out = nil
	}
	scratches.Put(c)
}

// poke tells the session's parked streams of a change.
func (s *session) poke() {
	s.tabsMu.Lock()
	defer s.tabsMu.Unlock()
	for _, sub := range s.tabs {
		sub.poke()
	}
}

// rouse wakes the session's parked streams: something else has changed than the
// session.
func (s *session) rouse() {
	s.tabsMu.Lock()
	defer s.tabsMu.Unlock()
	for _, sub := range s.tabs {
		sub.line.mu.Lock()
		sub.line.rouse()
		sub.line.mu.Unlock()
	}
}

// park makes the session tell sub of changes, until leave is called.
func (s *session) park(sub *subscriber) (leave func()) {
	s.tabsMu.Lock()
	defer s.tabsMu.Unlock()
	sub.at = len(s.tabs)
	s.tabs = append(s.tabs, sub)
	return func() {
		s.tabsMu.Lock()
		defer s.tabsMu.Unlock()
		last := len(s.tabs) - 1
		s.tabs[sub.at] = s.tabs[last]
		s.tabs[sub.at].at = sub.at
		s.tabs[last] = nil
		s.tabs = s.tabs[:last]
	}
}

// poke writes what is new in the log, if there is nothing else to do and the
// connection takes it at once. Else it wakes the stream's goroutine.
func (sub *subscriber) poke() {
	l := sub.line
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.parked || l.poked || l.raw == nil || !sub.writeOn() {
		l.rouse()
	}
}

// writeOn reports false when there is more to do. The caller holds the line's
// mu, and the stream's goroutine waits.
func (sub *subscriber) writeOn() bool {
	l := sub.line
	if sub.look() != sub.view || sub.pos < 0 || sub.asked || sub.ahead {
		return false
	}
	c := scratches.Get().(*scratch)
	defer c.giveBack()
	n, next, err := sub.view.log.Read(sub.pos, c.entries[:])
	if err != nil || n == batch {
		return false
	}
	c.out = append(c.out[:0], make([]byte, room)...)
	frames := 0
	for _, e := range c.entries[:n] {
		if sub.passes(e) {
			c.out = append(c.out, e.Frame...)
			frames++
		}
	}
	sub.pos = next
	if frames == 0 {
		return true
	}
	sub.server.metrics.eventsSent.Add(float64(frames))
	sub.server.metrics.bytesSent.Add(float64(len(c.out) - room))
	sub.bytes += len(c.out) - room
	chunk := seal(&c.out)
	c.data, c.n = chunk, 0
	if l.raw.Write(c.try) != nil {
		c.n = 0
	}
	l.wrote = time.Now()
	if c.n < len(chunk) {
		l.rest = bytes.Clone(chunk[max(c.n, 0):])
		return false
	}
	sub.sess.firstWord.sent()
	return true
}

// attend is run for a stream whose connection is ours.
func (sub *subscriber) attend(ctx context.Context) (reason string) {
	s, l := sub.server, sub.line
	defer l.conn.Close()
	over := time.Now().Add(s.config.StreamLifetime - jitter(s.config.StreamLifetime/5))
	var drained time.Time
	if err := sub.write([]byte(": hello\n" + retryField(3*time.Second))); err != nil {
		return endOf(err)
	}
	s.lookBriefly(ctx, sub.sess)
	for {
		l.mu.Lock()
		l.poked = false
		l.mu.Unlock()
		if err := l.flush(); err != nil { // what somebody else could not
			return endOf(err)
		}
		again, wrote, err := sub.turn(ctx)
		if err != nil {
			return sub.hangUp(err)
		}
		now := time.Now()
		switch {
		case ctx.Err() != nil:
			return endGone
		case !drained.IsZero() && !now.Before(drained):
			return sub.hangUp(errDraining)
		case !now.Before(over):
			return sub.hangUp(nil)
		case drained.IsZero() && s.hub.isDraining():
			drained = now.Add(jitter(drainSpread))
		case !wrote && now.Sub(l.wrote) >= heartbeat:
			if err := sub.write([]byte(":\n\n")); err != nil {
				return endOf(err)
			}
		}
		if wrote {
			continue // there may be more
		}
		until := l.wrote.Add(heartbeat)
		for _, t := range []time.Time{over, drained, again} {
			if !t.IsZero() && t.Before(until) {
				until = t
			}
		}
		if !l.wait(until, again.IsZero()) {
			return endGone
		}
	}
}

// turn writes what there is to write now. When AnyFrame cannot be asked for
// what is missing, it says when to try again.
func (sub *subscriber) turn(ctx context.Context) (again time.Time, wrote bool, err error) {
	c := scratches.Get().(*scratch)
	sub.buf, sub.line.out = c.entries[:], c.out[:0]
	defer func() {
		c.out = sub.line.out
		sub.buf, sub.line.out = nil, nil
		c.giveBack()
	}()
	sub.view = sub.look()
	wrote, err = sub.advance(ctx)
	if err == nil || errors.Is(err, errWrite) || errors.Is(err, errVisitorUnknown) || ctx.Err() != nil {
		return again, wrote, err
	}
	return time.Now().Add(time.Second + jitter(2*time.Second)), false, sub.warn(err)
}

// hangUp ends the answer and returns why the stream ended: no error is that its
// time was over.
func (sub *subscriber) hangUp(err error) (reason string) {
	reason = endLifetime
	switch {
	case errors.Is(err, errWrite):
		return endOf(err)
	case errors.Is(err, errVisitorUnknown):
		reason = endVoided
	case errors.Is(err, errDraining):
		reason = endDrained
		_ = sub.write([]byte(retryField(10 * time.Second))) // ends either way
	case err != nil:
		return endGone
	}
	sub.line.rest = append(sub.line.rest, "0\r\n\r\n"...)
	_ = sub.line.flush() // as above
	return reason
}

// carryOn runs the stream on after its request, in a goroutine that the hub
// owns. A panic ends this stream and no other.
func (sub *subscriber) carryOn(t *trail) {
	s := sub.server
	defer func() {
		if cause := recover(); cause != nil {
			s.metrics.panics.Inc()
			s.log.Error("panic", "request", t.request, "cause", fmt.Sprint(cause), "stack", string(debug.Stack()))
		}
	}()
	t.ended = sub.attend(s.hub.ctx)
	t.bytes = sub.bytes
}
