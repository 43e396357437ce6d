package redact

import "strings"

// verdict says what becomes of a byte after the beginning of a key.
type verdict uint8

const (
	over   verdict = iota // it does not belong to the key
	holds                 // it does if the key goes on after it, and is shown if not
	shows                 // it belongs to how the key is written, and may be shown
	hidden                // it belongs to the key
)

func isAlphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

func isHex(c byte) bool {
	return 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F' || '0' <= c && c <= '9'
}

// inKey reports whether keys may hold c.
func inKey(c byte) bool { return isAlphanumeric(c) || c == '_' || c == '-' }

// plainKey is how far a key is that is written as its characters and escapes of them.
// The zero value is just after its beginning.
type plainKey struct {
	last   byte // the byte before, if it began an escape; 'u' after \x and the like
	inside bool // in an escape that ends with a semicolon
	name   int  // how many bytes of that came, as long as they are those of amp; else -1
	braces bool // in an escape with braces
	begun  bool // something of the key came
}

// amp is the name in HTML of an ampersand.
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
	case last == '=' && (c == '\r' || c == '\n'): // the key goes on in the next line
		if c == '\r' {
			k.last = '='
		}
		return shows
	case (last == '=' || last == '%') && !isHex(c):
		return over
	case k.inside && c == ';':
		k.inside = k.name == len(amp) // then the ampersand was escaped itself
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

// codedKey is how far a key is that is written in base64 or the like, maybe in lines.
type codedKey struct {
	escaped bool // the byte before was a backslash
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

// spacedKey is how far a key is that is written as numbers.
type spacedKey struct {
	last byte // the byte before
	held int  // bytes since the last that was hidden
	text bool // what follows in this line is the text that a dump shows beside the numbers
}

// maxHeld is how much may stand between two numbers.
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
