package chunks

import "strings"

// The sizes in bytes of the first chunk, and of the largest.
const firstChunk, maxChunk = 256, 32 << 10

// Text is a text to which much is added. What has been added is not moved, so a long text
// is not copied each time it outgrows its memory. The zero Text is empty. It must not be
// used concurrently.
type Text struct {
	kept [][]byte // all but the last are full
	size int      // in bytes
}

// Len returns the length of the text.
func (t *Text) Len() int { return t.size }

// Add adds to the text.
func (t *Text) Add(text string) {
	for text != "" {
		last := len(t.kept) - 1
		if last < 0 || len(t.kept[last]) == cap(t.kept[last]) {
			t.kept = append(t.kept, make([]byte, 0, min(max(t.size, len(text), firstChunk), maxChunk)))
			last++
		}
		chunk := t.kept[last]
		n := min(len(text), cap(chunk)-len(chunk))
		t.kept[last] = append(chunk, text[:n]...)
		t.size += n
		text = text[n:]
	}
}

// Since returns the text from its byte n on.
func (t *Text) Since(n int) string {
	var b strings.Builder
	b.Grow(t.size - n)
	for _, chunk := range t.kept {
		skip := min(n, len(chunk))
		b.Write(chunk[skip:])
		n -= skip
	}
	return b.String()
}

// IsPrefixOf reports whether text begins with t.
func (t *Text) IsPrefixOf(text string) bool {
	if len(text) < t.size {
		return false
	}
	for _, chunk := range t.kept {
		if text[:len(chunk)] != string(chunk) {
			return false
		}
		text = text[len(chunk):]
	}
	return true
}
