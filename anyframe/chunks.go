package anyframe

import (
	"errors"
	"io"
)

// Limits on what a server may send in chunks besides data, in bytes.
const (
	maxChunkLine   = 4 << 10  // one line with a chunk's size
	maxChunkExcess = 16 << 10 // all that is more than 16 bytes a chunk and twice its data
	maxTrailer     = 4 << 10
)

var (
	errChunk    = errors.New("malformed chunked encoding")
	errOverhead = errors.New("chunked encoding is hardly any data")
)

// The places in a body in chunks (RFC 9112, section 7.1).
const (
	inSize      = iota // the digits of a chunk's size
	inSpace            // blanks behind them
	inExtension        // what nobody asked for, up to the line's end
	inSizeLF
	inData
	inDataCR
	inDataLF
	inTrailer // at the beginning of a line behind the last chunk
	inTrailerLine
	inTrailerLF
	inLastLF
	behindBody
)

// chunks undoes the chunks of HTTP/1.1, wherever the network has cut them, in
// the buffer that they came in: a stream that waits holds nothing else. It is
// as strict as net/http.
type chunks struct {
	place  uint8
	digits uint8
	left   uint64 // bytes of the chunk
	line   int    // bytes of the present line, of the trailer all
	excess int64
}

// decode leaves the data of what came at the beginning of p and returns how much
// that is; done is that the body is over. Data before a fault are good.
func (c *chunks) decode(p []byte) (n int, done bool, err error) {
	for i := 0; i < len(p); {
		if c.place == inData {
			m := int(min(c.left, uint64(len(p)-i))) //nolint:gosec // no more than p is long
			if n != i {
				copy(p[n:], p[i:i+m])
			}
			n += m
			i += m
			if c.left -= uint64(m); c.left == 0 {
				c.place = inDataCR
			}
			continue
		}
		if err := c.step(p[i]); err != nil {
			return n, false, err
		}
		if c.place == behindBody {
			return n, true, nil
		}
		i++
	}
	return n, false, nil
}

// step takes in a byte that is no data.
func (c *chunks) step(b byte) error {
	switch c.place {
	case inSize, inSpace, inExtension:
		return c.sizeLine(b)
	case inSizeLF:
		return c.sizeEnd(b)
	case inDataCR:
		return c.want(b, '\r', inDataLF)
	case inDataLF:
		return c.want(b, '\n', inSize)
	}
	return c.trailer(b)
}

func (c *chunks) want(b, wanted byte, next uint8) error {
	if b != wanted {
		return errChunk
	}
	c.place = next
	return nil
}

func (c *chunks) sizeLine(b byte) error {
	digit, isDigit := hexDigit(b)
	switch c.line++; {
	case c.line >= maxChunkLine || b == '\n':
		return errChunk
	case b == '\r' && c.digits > 0:
		c.place = inSizeLF
	case c.place == inExtension && b != '\r':
	case c.place == inSize && b == ';' && c.digits > 0:
		c.place = inExtension
	case b == ' ' || b == '\t':
		c.place = inSpace
	case c.place == inSize && isDigit && c.digits < 16:
		c.digits++
		c.left = c.left<<4 | uint64(digit)
	default:
		return errChunk
	}
	return nil
}

func hexDigit(b byte) (byte, bool) {
	switch {
	case '0' <= b && b <= '9':
		return b - '0', true
	case 'a' <= b && b <= 'f':
		return b - 'a' + 10, true
	case 'A' <= b && b <= 'F':
		return b - 'A' + 10, true
	}
	return 0, false
}

func (c *chunks) sizeEnd(b byte) error {
	if b != '\n' {
		return errChunk
	}
	c.excess = max(c.excess+int64(c.line)+1-16-2*int64(c.left), 0) //nolint:gosec // as net/http, which refuses what overflows
	if c.excess > maxChunkExcess {
		return errOverhead
	}
	c.digits, c.line = 0, 0
	if c.place = inData; c.left == 0 {
		c.place = inTrailer
	}
	return nil
}

// trailer passes over the fields behind the last chunk.
func (c *chunks) trailer(b byte) error {
	if c.line++; c.line > maxTrailer {
		return errChunk
	}
	switch {
	case c.place == inTrailer && b == '\r':
		c.place = inLastLF
	case c.place == inLastLF:
		return c.want(b, '\n', behindBody)
	case c.place == inTrailerLF:
		return c.want(b, '\n', inTrailer)
	case b == '\r':
		c.place = inTrailerLF
	case b == '\n':
		return errChunk
	default:
		c.place = inTrailerLine
	}
	return nil
}

// unended is the error of a body that ends where it must not.
func unended(err error) error {
	if err == io.EOF { //nolint:errorlint // a connection's EOF is never wrapped
		return io.ErrUnexpectedEOF
	}
	return err
}
