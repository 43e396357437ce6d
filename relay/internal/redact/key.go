package redact

import "strings"

// verdict is what to do with a byte after the beginning of a key.
type verdict uint8

const (
	over   verdict = iota // it does not belong to the key
	holds                 // held back: hidden if the key continues after it, otherwise shown
	shows                 // part of the writing, and may be shown
	hidden                // part of the key
)

func isAlphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

func isHex(c byte) bool {
	return 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F' || '0' <= c && c <= '9'
}

// inKey reports whether keys may contain c.
func inKey(c byte) bool { return isAlphanumeric(c) || c == '_' || c == '-' }

// plainKey tracks a key written as its characters and escapes of them. The zero value is
// the position just after its beginning.
type plainKey struct {
	last   byte // the previous byte, if it began an escape; 'u' after \x and the like
	inside bool // in an escape that ends with a semicolon
	name   int  // how many bytes of it have matched amp; -1 after a mismatch
	braces bool // in an escape with braces
	begun  bool // part of the key has been seen
}

// amp is the HTML name of an ampersand.
const amp = "amp"

func (k *plainKey) next(c byte) verdict {
	last, begun := k.last, k.begun
	k.last, k.begun = 0, true
	switch {
	case last == '\\' && strings.IndexByte("xuUo", c) >= 0:
		k.last = 'u'
		return hidden
	case last == '\\' && c == '\\':
		k.last = c
		return shows
	case last == '\\' && c != '_' && c != '-' && (c < '0' || c > '9'):
		return over
	case last == 'u' && c == '{':
		k.braces = true
		return hidden
	case k.braces && c == '}':
		k.braces = false
		return hidden
	case last == '=' && (c == '\r' || c == '\n'): // the key continues on the next line
		if c == '\r' {
			k.last = '='
		}
		return shows
	case (last == '=' || last == '%') && !isHex(c):
		return over
	case k.inside && c == ';':
		k.inside = k.name == len(amp) // then the ampersand itself was escaped
		k.name = 0
		return hidden
	case k.inside && c == '#', inKey(c):
		if k.inside && k.name >= 0 && k.name < len(amp) && c == amp[k.name] {
			k.name++
		} else {
			k.name = -1
		}
		return hidden
	case k.inside && c != '&':
		return over
	case c == '\\' || c == '%' || c == '=':
		k.last = c
		return shows
	case c == '&':
		k.inside, k.name = true, 0
		return shows
	case !begun && (c == ';' || c == '}'): // the end of an escape
		return shows
	}
	return over
}

// codedKey tracks a key written in base64 or the like, possibly over several lines.
type codedKey struct {
	escaped bool // the previous byte was a backslash
}

func (k *codedKey) next(c byte) verdict {
	escaped := k.escaped
	k.escaped = c == '\\'
	switch {
	case escaped && strings.IndexByte(`_-/\`, c) < 0:
		return over
	case c == '\\', c == '\n', c == '\r':
		return shows
	case inKey(c), strings.IndexByte("+/=%", c) >= 0:
		return hidden
	}
	return over
}

// spacedKey tracks a key written as numbers.
type spacedKey struct {
	last byte // the previous byte
	held int  // bytes since the last hidden one
	text bool // the rest of this line is the text column of a hex dump
}

// maxHeld is the maximum number of bytes between two numbers.
const maxHeld = 16

func (k *spacedKey) next(c byte) verdict {
	last := k.last
	k.last = c
	switch {
	case k.text && c != '\n':
		return hidden
	case c == ' ' && last == ' ':
		k.text = true
		return hidden
	case isHex(c):
		k.held = 0
		return hidden
	case k.held < maxHeld && (strings.IndexByte(" \t\r\n:,;.|\"'[](){}+-\\%=&#xXuUo", c) >= 0 || last == '\\' && strings.IndexByte("nrt", c) >= 0):
		k.held++
		k.text = false
		return holds
	}
	return over
}
