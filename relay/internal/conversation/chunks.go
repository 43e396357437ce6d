package conversation

import "strings"

// The sizes in bytes of the first chunk, and of the largest.
const firstChunk, maxChunk = 256, 32 << 10

// chunks is a text to which much is added. What has been added is not moved, so a long
// answer is not copied each time it outgrows its memory. The zero chunks is empty.
type chunks struct {
	kept [][]byte // all but the last are full
	size int      // in bytes
}

// Len returns the length of the text.
func (c *chunks) Len() int { return c.size }

// add adds to the text.
func (c *chunks) add(text string) {
	for text != "" {
		last := len(c.kept) - 1
		if last < 0 || len(c.kept[last]) == cap(c.kept[last]) {
			c.kept = append(c.kept, make([]byte, 0, min(max(c.size, len(text), firstChunk), maxChunk)))
			last++
		}
		chunk := c.kept[last]
		n := min(len(text), cap(chunk)-len(chunk))
		c.kept[last] = append(chunk, text[:n]...)
		c.size += n
		text = text[n:]
	}
}

// since returns the text from its byte n on.
func (c *chunks) since(n int) string {
	var b strings.Builder
	b.Grow(c.size - n)
	for _, chunk := range c.kept {
		skip := min(n, len(chunk))
		b.Write(chunk[skip:])
		n -= skip
	}
	return b.String()
}

// begins reports whether text begins with this text.
func (c *chunks) begins(text string) bool {
	if len(text) < c.size {
		return false
	}
	for _, chunk := range c.kept {
		if text[:len(chunk)] != string(chunk) {
			return false
		}
		text = text[len(chunk):]
	}
	return true
}
