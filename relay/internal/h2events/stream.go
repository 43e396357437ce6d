package h2events

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/net/http2"
)

// errBodyClosed is the error of reads after Close.
var errBodyClosed = errors.New("h2events: read of a closed body")

// stream is one request, and the body of its response. All fields are guarded by c.mu.
type stream struct {
	c  *conn
	id uint32

	answered      bool
	announced     bool // it is in c.ready
	informational uint8
	head          *http.Response // until roundTrip returns it
	wake          func()         // called once something arrives; nil while no reader waits
	stop          func() bool    // stops watching the caller's context

	in       *bytes.Buffer // unread bytes; nil if there are none
	err      error         // returned after the unread bytes; nil while the stream is open
	window   int64         // bytes that the server may still send
	credit   int64         // bytes taken, or never kept, and not yet returned to the window
	handed   int64         // bytes returned by the last read, which its reader may still be processing
	left     int64         // of the content-length; -1 if there is none
	mayStill int64         // bytes that we may send; we send none
}

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// put keeps what has arrived until it is read.
func (s *stream) put(data []byte) {
	if s.in == nil {
		s.in, _ = buffers.Get().(*bytes.Buffer)
	}
	s.in.Write(data)
}

// drop discards unread bytes.
func (s *stream) drop() {
	if s.in != nil && s.in.Cap() <= maxFrame {
		s.in.Reset()
		buffers.Put(s.in)
	}
	s.in = nil
}

// accept takes the header of the response.
func (s *stream) accept(status int, f *http2.MetaHeadersFrame) {
	h := make(http.Header, len(f.Fields))
	for _, field := range f.RegularFields() {
		name := http.CanonicalHeaderKey(field.Name)
		h[name] = append(h[name], field.Value)
	}
	s.answered = true
	if length := h["Content-Length"]; len(length) == 1 && !strings.HasPrefix(length[0], "+") {
		if n, err := strconv.ParseInt(length[0], 10, 64); err == nil && n >= 0 {
			s.left = n
		}
	}
	s.head = &http.Response{
		Status: strconv.Itoa(status) + " " + http.StatusText(status), StatusCode: status, Proto: "HTTP/2.0", ProtoMajor: 2,
		Header: h, ContentLength: s.left, Body: s,
	}
}

// response waits for the header and returns the response.
func (s *stream) response(r *http.Request) (*http.Response, error) {
	ctx := r.Context()
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if s.head == nil {
		return nil, s.err
	}
	res := s.head
	s.head, res.Request = nil, r
	if s.err == nil {
		s.stop = context.AfterFunc(ctx, func() { s.abort(ctx.Err()) })
	}
	return res, nil
}

// end ends the stream; err is read after everything that arrived. The caller holds c.mu.
func (s *stream) end(err error) {
	if s.err != nil {
		return
	}
	s.err = err
	if s.stop != nil {
		s.stop()
		s.stop = nil
	}
	delete(s.c.streams, s.id)
	s.c.reserved--
	s.c.unused()
}

// tell calls the reader that waits for the stream.
func (s *stream) tell() {
	s.c.mu.Lock()
	wake := s.wake
	s.wake, s.announced = nil, false
	s.c.mu.Unlock()
	if wake != nil {
		wake()
	}
}

// Notify calls ready once TryRead returns something, in the goroutine that reads the
// connection, which must not be blocked. If TryRead already returns something, Notify
// returns false and does not call ready.
func (s *stream) Notify(ready func()) bool { return s.notify(ready) }

func (s *stream) notify(ready func()) bool {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if s.in != nil || s.err != nil || s.head != nil {
		return false
	}
	s.wake = ready
	return true
}

// TryRead reads what has arrived. Instead of blocking, it returns 0 and no error. Calling
// it again confirms that the bytes it returned before are in the log: only then is the
// server's window replenished by as much.
func (s *stream) TryRead(p []byte) (n int, err error) {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	s.credit += s.handed
	s.handed = 0
	if s.err == nil && s.credit >= streamWindow/2 {
		_ = c.fr.WriteWindowUpdate(s.id, uint32(s.credit)) //nolint:gosec // below the window
		s.window += s.credit
		s.credit = 0
		c.flush()
	}
	if s.in == nil {
		return 0, s.err
	}
	n, _ = s.in.Read(p)
	s.handed = int64(n)
	if s.in.Len() == 0 {
		s.drop()
	}
	return n, nil
}

// Read is TryRead for a goroutine that may block.
func (s *stream) Read(p []byte) (int, error) {
	for {
		n, err := s.TryRead(p)
		if n > 0 || err != nil || len(p) == 0 {
			return n, err
		}
		ready := make(chan struct{})
		if s.notify(func() { close(ready) }) {
			<-ready
		}
	}
}

// Close ends the stream. Unread bytes are dropped, and the waiting reader is notified.
func (s *stream) Close() error {
	s.abort(errBodyClosed)
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.err = errBodyClosed
	s.drop()
	return nil
}

// abort resets an open stream, and ends it with err.
func (s *stream) abort(err error) {
	c := s.c
	c.mu.Lock()
	if s.err == nil && c.err == nil {
		_ = c.fr.WriteRSTStream(s.id, http2.ErrCodeCancel)
		c.flush()
	}
	s.end(err)
	c.mu.Unlock()
	s.tell()
}
