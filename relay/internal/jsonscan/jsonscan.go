package jsonscan

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"unicode/utf8"
)

// Valid is [json.Valid], faster for plainly written values.
func Valid(value []byte) bool {
	n := len(value) - 1
	return n > 0 && value[0] == '"' && Plain(value[1:]) == n-1 && value[n] == '"' || json.Valid(value)
}

// Plain returns the length of the prefix of b whose bytes are ASCII and stand for
// themselves in a JSON string: no quotes, backslashes or control characters.
func Plain(b []byte) int {
	const ones = 0x0101010101010101
	n := 0
	for ; n+8 <= len(b); n += 8 { // the high bit of a byte is set where something is found, or after it
		w := binary.LittleEndian.Uint64(b[n:])
		quote, slash := w^'"'*ones, w^'\\'*ones
		if (w|(w-' '*ones)|(quote-ones)&^quote|(slash-ones)&^slash)&(0x80*ones) != 0 {
			break
		}
	}
	for n < len(b) && b[n] >= ' ' && b[n] < utf8.RuneSelf && b[n] != '"' && b[n] != '\\' {
		n++
	}
	return n
}

// skipBlanks skips JSON whitespace.
func skipBlanks(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t' || b[0] == '\r' || b[0] == '\n') {
		b = b[1:]
	}
	return b
}

// EachMember calls f with the members of a plainly written object, until f returns false.
// It reports whether f returned true for all of them. Values are found by their brackets
// and quotes and not validated. Only strings are, except for their escapes.
func EachMember(data []byte, f func(key, value []byte) bool) bool {
	data = bytes.TrimRight(skipBlanks(data), " \t\r\n")
	if len(data) < 2 || data[0] != '{' || data[len(data)-1] != '}' {
		return false
	}
	for rest := data[1 : len(data)-1]; ; {
		rest = skipBlanks(rest)
		n := stringEnd(rest)
		if n == 0 || bytes.IndexByte(rest[:n], '\\') >= 0 {
			return false
		}
		key := rest[1 : n-1]
		rest = skipBlanks(rest[n:])
		if len(rest) == 0 || rest[0] != ':' {
			return false
		}
		rest = skipBlanks(rest[1:])
		n = valueEnd(rest)
		if n == 0 || !f(key, rest[:n:n]) {
			return false
		}
		rest = skipBlanks(rest[n:])
		if len(rest) == 0 {
			return true
		}
		if rest[0] != ',' {
			return false
		}
		rest = rest[1:]
	}
}

// stringEnd returns the length of the string at the beginning of b, or 0 if there is no
// complete one.
func stringEnd(b []byte) int {
	if len(b) == 0 || b[0] != '"' {
		return 0
	}
	for i := 1; i < len(b); {
		i += Plain(b[i:])
		switch {
		case i == len(b) || b[i] < ' ':
			return 0
		case b[i] == '"':
			return i + 1
		case b[i] == '\\':
			i++
		}
		i++
	}
	return 0
}

// valueEnd returns the length of the value at the beginning of b.
func valueEnd(b []byte) int {
	depth := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			n := stringEnd(b[i:])
			if n == 0 {
				return 0
			}
			if i += n - 1; depth == 0 {
				return i + 1
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
			if depth < 0 {
				return 0
			}
		case ',', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return i
			}
		}
	}
	if depth > 0 {
		return 0
	}
	return len(b)
}
