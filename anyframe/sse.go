package anyframe

import (
	"bytes"
	"io"
	"math"
	"sync"
	"time"

	"github.com/anyframe-relay/relay/internal/poll"
)

// Sizes of a decoder's buffers, in bytes. Thousands of streams are quiet at any
// time, so what a stream has to itself is small. One that is told a lot borrows
// a larger buffer until it is quiet again, and one that a single event has grown
// is dropped after it.
const (
	ownBuffer  = 1 << 10
	lentBuffer = 16 << 10
	keptData   = 4 << 10
	lentData   = 1 << 10
)

var (
	lentBuffers = sync.Pool{New: func() any { return new([lentBuffer]byte) }}
	lentDatas   = sync.Pool{New: func() any { return new([lentData]byte) }}
)

// frame is one dispatched event.
type frame struct {
	id   string // as sent in this frame; "" when it had none
	name string
	data []byte // the caller's to keep, unless it is lent; nil when empty
}

// decoder reads server-sent events as the HTML standard defines them
// (section 9.2.6, "Interpreting an event stream"), with two differences: a
// frame cut off by the end of the stream is an error, and a frame may only be
// so large. It knows nothing of HTTP or of what the data mean.
type decoder struct {
	r     io.Reader
	max   int  // bytes of one frame
	lends bool // data are good until the next frame
	rests bool // all buffers are given back whenever nothing comes, see rest

	buf        []byte // buf[start:end] is read and not yet used
	own        []byte // the buffer to go back to
	lent       *[lentBuffer]byte
	start, end int
	got        int   // bytes of the last read
	scanned    int   // bytes after start known to hold no line end
	readErr    error // from r, told once buf is used up

	begun      bool // the place of a byte order mark is past
	skipLF     bool // the last line ended in CR: an LF now belongs to it
	inComment  bool // in a comment longer than what was read so far
	inFrame    bool // a field has come since the last blank line
	size       int  // bytes of lines since the last blank line
	data       []byte
	lentData   *[lentData]byte
	hasData    bool
	name       string
	id         string // of the frame so far
	hasID      bool
	names      string // the last name made, to be used again
	lastID     string // sticky: of the last frame that had one
	retry      time.Duration
	retryGiven bool
}

func newDecoder(r io.Reader, maxFrame int) *decoder {
	return &decoder{r: r, max: maxFrame}
}

// next returns the next event. It returns [io.EOF] at the end of the stream,
// [io.ErrUnexpectedEOF] when that cuts a frame in half, and [ErrEventTooLarge];
// any of these and any error of the reader is final, but for [poll.ErrWait]:
// then more is to come.
func (d *decoder) next() (frame, error) {
	for {
		line, err := d.line()
		if err != nil {
			return frame{}, err
		}
		if len(line) > 0 {
			if err := d.field(line); err != nil {
				return frame{}, err
			}
			continue
		}
		if f, ok := d.dispatch(); ok {
			return f, nil
		}
	}
}

// line returns the next line without its end, valid until the next call.
// Comments are left out, whatever their length.
func (d *decoder) line() ([]byte, error) {
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
			return nil, ErrEventTooLarge
		}
		if d.readErr != nil {
			return nil, d.finalError()
		}
		if d.fill(); d.readErr == poll.ErrWait { //nolint:errorlint // never wrapped
			d.readErr = nil
			return nil, poll.ErrWait
		}
	}
}

// lineEnd finds the first CR or LF. LF is looked for first, at the speed of
// memory; a CR can then only be before it.
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

// skip leaves out what belongs to no line: the byte order mark at the start,
// and the LF of a CRLF whose CR has already ended its line. That one may still
// be unread, since the line was not to wait for it.
func (d *decoder) skip() {
	const mark = "\ufeff"
	if !d.begun {
		have := d.buf[d.start:d.end]
		if len(have) < len(mark) && d.readErr == nil && bytes.HasPrefix([]byte(mark), have) {
			return // not yet known; a beginning of the mark holds no line end
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

// fill reads once, after making room.
func (d *decoder) fill() {
	if d.start > 0 {
		copy(d.buf, d.buf[d.start:d.end])
		d.end -= d.start
		d.start = 0
	}
	switch {
	case len(d.buf) == 0 && d.rests:
		d.borrow()
	case len(d.buf) == 0:
		d.own = make([]byte, ownBuffer)
		d.buf = d.own
	case len(d.buf) < lentBuffer && (d.end == len(d.buf) || d.got == len(d.buf)): // there was more
		d.borrow()
	case d.end == len(d.buf):
		d.move(make([]byte, 2*len(d.buf)))
	case len(d.buf) > ownBuffer && d.got < ownBuffer && d.end < ownBuffer && !d.inFrame && !d.rests:
		d.move(d.own)
	}
	// A reader may return no bytes and no error, but not for ever.
	const mostEmptyReads = 100
	for range mostEmptyReads {
		n, err := d.r.Read(d.buf[d.end:])
		d.end += n
		d.got, d.readErr = n, err
		if n > 0 || err != nil {
			return
		}
	}
	d.readErr = io.ErrNoProgress
}

// borrow goes on in a buffer that is given back.
func (d *decoder) borrow() {
	lent, _ := lentBuffers.Get().(*[lentBuffer]byte)
	d.move(lent[:])
	d.lent = lent
}

// rest gives back all buffers, for nothing comes at the moment, unless they hold
// part of a frame. From now on only borrowed ones are used.
func (d *decoder) rest() {
	d.rests = true
	if d.start < d.end || d.inFrame {
		return
	}
	d.start, d.end, d.scanned = 0, 0, 0
	d.move(nil)
	d.own, d.data = nil, nil
	if d.lentData != nil {
		lentDatas.Put(d.lentData)
		d.lentData = nil
	}
}

// move goes on in another buffer, and gives back the one that was borrowed.
func (d *decoder) move(to []byte) {
	copy(to, d.buf[:d.end])
	d.buf = to
	if d.lent != nil {
		lentBuffers.Put(d.lent)
		d.lent = nil
	}
}

func (d *decoder) finalError() error {
	if d.readErr == io.EOF && (d.inFrame || d.scanned > 0) { //nolint:errorlint // a reader's EOF is never wrapped
		return io.ErrUnexpectedEOF
	}
	return d.readErr
}

// field takes in a line that is neither blank nor a comment.
func (d *decoder) field(line []byte) error {
	d.inFrame = true
	d.size += len(line)
	if d.size > d.max {
		return ErrEventTooLarge
	}
	name, value, colon := bytes.Cut(line, []byte(":"))
	if colon && len(value) > 0 && value[0] == ' ' {
		value = value[1:]
	}
	switch string(name) {
	case "data":
		if d.data == nil && d.rests {
			d.lentData, _ = lentDatas.Get().(*[lentData]byte)
			d.data = d.lentData[:0]
		}
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

// digits reads milliseconds written in ASCII digits and nothing else.
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

// dispatch ends a frame. Without data it is no event, but its id still counts.
func (d *decoder) dispatch() (frame, bool) {
	f := frame{name: d.name}
	if d.hasID {
		f.id, d.lastID = d.id, d.id
	}
	event := d.hasData
	switch {
	case cap(d.data) > keptData:
		if len(d.data) > 0 {
			f.data = d.data
		}
		d.data = nil
	case len(d.data) > 0 && d.lends:
		f.data = d.data
	case len(d.data) > 0:
		f.data = bytes.Clone(d.data)
	}
	d.data, d.hasData = d.data[:0], false
	d.name, d.id, d.hasID = "", "", false
	d.inFrame, d.size = false, 0
	return f, event
}
