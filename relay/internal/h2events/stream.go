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

// errBodyClosed is what is read from a body after its Close.
var errBodyClosed = errors.New("h2events: read of a closed body")

// stream is one request, and the body of its answer. All of it is guarded by c.mu.
type stream struct {
	c  *conn
	id uint32

	answered      bool
	announced     bool // it is among c.ready
	informational uint8
	head          *http.Response // until roundTrip returns it
	wake          func()         // is called once something comes; nil while no reader waits
	stop          func() bool    // no longer watch the caller's context

	in       *bytes.Buffer // what came and was not read; nil when there is nothing
	err      error         // what is read after that; nil while the stream is open
	window   int64         // what the server may still send
	credit   int64         // what was taken, or never had to be, and not yet given back to the window
	handed   int64         // what the last read returned: its reader may still be at it
	left     int64         // of the content-length; -1 without one
	mayStill int64         // what we may send, and never do
}

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// put keeps what came until it is read.
func (s *stream) put(data []byte) {
	if s.in == nil {
		s.in, _ = buffers.Get().(*bytes.Buffer)
	}
	s.in.Write(data)
}

// drop forgets what was not read.
func (s *stream) drop() {
	if s.in != nil && s.in.Cap() <= maxFrame {
		s.in.Reset()
		buffers.Put(s.in)
	}
	s.in = nil
}

// accept takes the header of the answer.
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

// response returns the answer, once something has come.
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

// end ends the stream with what is to be read after all that came. The caller holds c.mu.
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

// tell calls who waits for the stream.
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
// connection, which must not be kept waiting. It reports false, and forgets ready, if
// TryRead does so already.
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

// TryRead reads what has come. It returns 0 and no error in place of waiting. To call it
// again is to say that what it returned before is in the log: only then is the server
// given room for as much.
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

// Read is TryRead for a goroutine that waits.
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

// Close ends the stream. What was not read is dropped, and the waiting reader is notified.
func (s *stream) Close() error {
	s.abort(errBodyClosed)
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.err = errBodyClosed
	s.drop()
	return nil
}

// abort resets a stream that is open, and ends it with err.
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
