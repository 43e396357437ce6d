// Package sse decodes server-sent events as the HTML standard defines them (section
// 9.2.6, "Interpreting an event stream"), with two differences: a frame cut off by
// the end of the stream is an error, and the size of a frame is bounded. It does
// not depend on HTTP or on the content of the data.
package sse

import (
	"bytes"
	"errors"
	"io"
	"math"
	"sync"
	"time"
)

// ErrTooLarge is returned for a frame over the decoder's limit.
var ErrTooLarge = errors.New("sse: frame too large")

// ErrWait is returned by a decoder's reader, without bytes, if it would block.
// [Decoder.Next] then returns it too. It is not final: a later Next continues where
// this one stopped.
var ErrWait = errors.New("sse: no more bytes yet")

// Buffer sizes of a decoder, in bytes. Most streams are idle, so a decoder owns
// only a small buffer. A busy one borrows a larger buffer from a pool. A buffer
// that a single large event has grown is dropped after that event.
const (
	ownBuffer  = 1 << 10
	lentBuffer = 16 << 10
)

var lentBuffers = sync.Pool{New: func() any { return new([lentBuffer]byte) }}

// Frame is one dispatched event.
type Frame struct {
	ID   string // as sent in this frame; "" if it had none
	Name string // of the event field; "" if it had none
	Data []byte // owned by the caller; nil if empty
}

// Decoder reads one stream. It is not safe for concurrent use.
type Decoder struct {
	r   io.Reader
	max int // maximum bytes of one frame

	buf        []byte // buf[start:end] is read and not yet used
	own        []byte // the buffer to return to after a borrowed one
	lent       *[lentBuffer]byte
	start, end int
	got        int   // bytes of the last read
	scanned    int   // bytes after start known to contain no line end
	readErr    error // from r, returned when buf is used up
	shared     bool  // it was released once, and since then uses only borrowed buffers

	begun      bool // past the position of a byte order mark
	skipLF     bool // the last line ended in CR: an LF now belongs to it
	inComment  bool // in a comment longer than the bytes read so far
	inFrame    bool // a field has arrived since the last blank line
	size       int  // bytes of lines since the last blank line
	data       []byte
	hasData    bool
	name       string
	id         string // of the current frame so far
	hasID      bool
	names      string // the last name, reused if the next frame has the same
	lastID     string // sticky: of the last frame that had one
	retry      time.Duration
	retryGiven bool
}

// NewDecoder returns a decoder that reads r and accepts frames of up to maxFrame
// bytes, as sent.
func NewDecoder(r io.Reader, maxFrame int) *Decoder {
	d := new(Decoder)
	d.Init(r, maxFrame)
	return d
}

// Init initializes an embedded decoder like NewDecoder.
func (d *Decoder) Init(r io.Reader, maxFrame int) { d.r, d.max = r, maxFrame }

// LastID returns the id of the last complete frame that had one.
func (d *Decoder) LastID() string { return d.lastID }

// PartialID returns the id of the frame that is being read; "" if it has not
// arrived yet.
func (d *Decoder) PartialID() string { return d.id }

// Retry returns the last reconnection delay that the stream requested.
func (d *Decoder) Retry() (delay time.Duration, ok bool) { return d.retry, d.retryGiven }

// Next returns the next event. It returns [io.EOF] at the end of the stream,
// [io.ErrUnexpectedEOF] if the end cuts off a frame, and [ErrTooLarge]. These and
// all errors of the reader except [ErrWait] are final.
func (d *Decoder) Next() (Frame, error) {
	for {
		line, err := d.line()
		if err != nil {
			return Frame{}, err
		}
		if len(line) > 0 {
			if err := d.field(line); err != nil {
				return Frame{}, err
			}
			continue
		}
		if f, ok := d.dispatch(); ok {
			return f, nil
		}
	}
}

// line returns the next line without its end, valid until the next call. It skips
// comments of any length.
func (d *Decoder) line() ([]byte, error) {
	for {
		d.skip()
		rest := d.buf[d.start+d.scanned : d.end]
		if i := lineEnd(rest); i >= 0 {
			line := d.buf[d.start : d.start+d.scanned+i]
			d.skipLF = rest[i] == '\r'
			d.start += d.scanned + i + 1
			d.scanned = 0
			if d.inComment || len(line) > 0 && line[0] == ':' {
				d.inComment = false
				continue
			}
			return line, nil
		}
		d.scanned = d.end - d.start
		if d.inComment || d.scanned > 0 && d.buf[d.start] == ':' {
			d.inComment = true
			d.start, d.end, d.scanned = 0, 0, 0
		}
		if d.size+d.scanned > d.max {
			return nil, ErrTooLarge
		}
		if d.readErr != nil {
			return nil, d.finalError()
		}
		if !d.fill() {
			return nil, ErrWait
		}
	}
}

// lineEnd finds the first CR or LF. It searches for LF first, because
// [bytes.IndexByte] does so fastest; a CR can then only be before it.
func lineEnd(b []byte) int {
	lf := bytes.IndexByte(b, '\n')
	if lf >= 0 {
		b = b[:lf]
	}
	if cr := bytes.IndexByte(b, '\r'); cr >= 0 {
		return cr
	}
	return lf
}

// skip skips bytes that belong to no line: the byte order mark at the start, and
// the LF of a CRLF whose CR has already ended its line. That LF may still be
// unread, since the line must not wait for it.
func (d *Decoder) skip() {
	const mark = "\ufeff"
	if !d.begun {
		have := d.buf[d.start:d.end]
		if len(have) < len(mark) && d.readErr == nil && bytes.HasPrefix([]byte(mark), have) {
			return // not decided yet; the start of the mark contains no line end
		}
		d.begun = true
		if bytes.HasPrefix(have, []byte(mark)) {
			d.start += len(mark)
			d.scanned = 0
		}
	}
	if d.skipLF && d.start < d.end {
		d.skipLF = false
		if d.buf[d.start] == '\n' {
			d.start++
		}
	}
}

// fill makes room and reads once. It returns false if the reader would block.
func (d *Decoder) fill() bool {
	if d.start > 0 {
		copy(d.buf, d.buf[d.start:d.end])
		d.end -= d.start
		d.start = 0
	}
	switch {
	case len(d.buf) == 0 && d.shared:
		d.borrow()
	case len(d.buf) == 0:
		d.own = make([]byte, ownBuffer)
		d.buf = d.own
	case len(d.buf) < lentBuffer && (d.end == len(d.buf) || d.got == len(d.buf)): // more bytes were available
		d.borrow()
	case d.end == len(d.buf):
		d.move(make([]byte, 2*len(d.buf)))
	case !d.shared && len(d.buf) > ownBuffer && d.got < ownBuffer && d.end < ownBuffer && !d.inFrame:
		d.move(d.own)
	}
	// A reader may return no bytes and no error, but not forever.
	const mostEmptyReads = 100
	for range mostEmptyReads {
		n, err := d.r.Read(d.buf[d.end:])
		d.end += n
		if n == 0 && err == ErrWait { //nolint:errorlint // an own reader's, which never wraps it
			return false
		}
		d.got, d.readErr = n, err
		if n > 0 || err != nil {
			return true
		}
	}
	d.readErr = io.ErrNoProgress
	return true
}

// Release frees all memory that is not needed while the stream is idle. Call it
// after [ErrWait].
func (d *Decoder) Release() {
	d.shared = true
	switch left := d.buf[d.start:d.end]; {
	case len(left) == 0:
		d.start, d.end = 0, 0
		d.move(nil)
		d.own = nil
	case d.lent != nil && len(left) <= ownBuffer:
		d.start, d.end = 0, copy(d.buf, left)
		d.move(make([]byte, ownBuffer))
	}
}

// borrow continues in a buffer from the pool.
func (d *Decoder) borrow() {
	lent, _ := lentBuffers.Get().(*[lentBuffer]byte)
	d.move(lent[:])
	d.lent = lent
}

// move continues in another buffer, and returns a borrowed one to the pool.
func (d *Decoder) move(to []byte) {
	copy(to, d.buf[:d.end])
	d.buf = to
	if d.lent != nil {
		lentBuffers.Put(d.lent)
		d.lent = nil
	}
}

func (d *Decoder) finalError() error {
	if d.readErr == io.EOF && (d.inFrame || d.scanned > 0) { //nolint:errorlint // a reader's EOF is never wrapped
		return io.ErrUnexpectedEOF
	}
	return d.readErr
}

// field processes a line that is neither blank nor a comment.
func (d *Decoder) field(line []byte) error {
	d.inFrame = true
	d.size += len(line)
	if d.size > d.max {
		return ErrTooLarge
	}
	name, value, colon := bytes.Cut(line, []byte(":"))
	if colon && len(value) > 0 && value[0] == ' ' {
		value = value[1:]
	}
	switch string(name) {
	case "data":
		if d.hasData {
			d.data = append(d.data, '\n')
		}
		d.data = append(d.data, value...)
		d.hasData = true
	case "event":
		if string(value) != d.names {
			d.names = string(value)
		}
		d.name = d.names
	case "id":
		if bytes.IndexByte(value, 0) < 0 {
			d.id, d.hasID = string(value), true
		}
	case "retry":
		if delay, ok := digits(value); ok {
			d.retry, d.retryGiven = delay, true
		}
	}
	return nil
}

// digits parses milliseconds written in ASCII digits only.
func digits(value []byte) (time.Duration, bool) {
	const most = math.MaxInt64 / int64(time.Millisecond) / 10
	var n int64
	for _, c := range value {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = min(n*10+int64(c-'0'), most)
	}
	return time.Duration(n) * time.Millisecond, len(value) > 0
}

// dispatch ends a frame. A frame without data is not an event, but its id counts.
func (d *Decoder) dispatch() (Frame, bool) {
	f := Frame{Name: d.name}
	if d.hasID {
		f.ID, d.lastID = d.id, d.id
	}
	event := d.hasData
	if len(d.data) > 0 {
		f.Data = d.data
	}
	d.data, d.hasData = nil, false
	d.name, d.id, d.hasID = "", "", false
	d.inFrame, d.size = false, 0
	return f, event
}
