package relay

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"time"
	"unicode/utf8"

	"github.com/anyframe-relay/relay/anyframe"
)

// heard is one of AnyFrame's events, read once for all who ask about it.
type heard struct {
	anyframe.Event
	kind  string    // its type, or the name that it was sent under
	valid bool      // its data is JSON
	user  bool      // a message of a person's
	read  time.Time // when it came; zero when nobody looked
	// delta or whole is all that the event says when it is a piece of the
	// agent's text, or a whole block of it, and nothing else, which is what a
	// stream consists of. Then the members are not read.
	delta, whole string
	members      object
}

// hear reads an event.
func hear(ev anyframe.Event) heard {
	if text, delta, ok := plainText(ev.Data); ok && len(ev.Data) <= maxEventBytes {
		if !delta {
			return heard{Event: ev, kind: anyframe.TypeAssistant, valid: true, whole: text}
		}
		return heard{Event: ev, kind: anyframe.TypeAssistant, valid: true, delta: text}
	}
	h := heard{Event: ev, valid: json.Valid(ev.Data)}
	if len(ev.Data) > maxEventBytes {
		h.Data = nil
	}
	h.members = members(h.Data)
	h.kind = firstOf(h.members.str("type"), ev.Name)
	h.user = (h.kind == "user" || h.kind == "user_message") && !h.members.onlyToolResults()
	return h
}

// at is the event that came at that time.
func (h heard) at(read time.Time) heard {
	h.read = read
	return h
}

// plainText returns the text of an event that is one text block or a delta of
// one. It may say no to such an event, for the long way comes to the same; it
// never says yes to another, nor to what is not JSON.
func plainText(data []byte) (text string, delta, ok bool) {
	var kind, flag, message, content []byte
	if !eachMember(data, func(key, value []byte) bool {
		switch string(key) {
		case "type":
			return set(&kind, value)
		case "delta":
			return set(&flag, value)
		case "message":
			return set(&message, value)
		case "content":
			return set(&content, value)
		}
		return validJSON(value)
	}) {
		return "", false, false
	}
	delta = string(flag) == "true"
	if string(kind) != `"assistant"` || !delta && flag != nil && string(flag) != "false" || (message == nil) == (content == nil) {
		return "", false, false
	}
	if message != nil && !eachMember(message, func(key, value []byte) bool {
		if string(key) == "content" {
			return set(&content, value)
		}
		return validJSON(value)
	}) {
		return "", false, false
	}
	if len(content) < 2 || content[0] != '[' || content[len(content)-1] != ']' {
		return "", false, false
	}
	var literal []byte
	kind = nil
	if !eachMember(content[1:len(content)-1], func(key, value []byte) bool {
		switch string(key) {
		case "type":
			return set(&kind, value)
		case "text":
			return set(&literal, value)
		}
		return validJSON(value)
	}) {
		return "", false, false
	}
	if string(kind) != `"text"` || len(literal) < 3 || literal[0] != '"' {
		return "", false, false
	}
	inside := literal[1 : len(literal)-1]
	if plain(inside) == len(inside) {
		return string(inside), delta, true
	}
	if delta {
		written := piece(literal)
		return written, delta, written != ""
	}
	var written string // and not text, which would be on the heap for all events
	ok = json.Unmarshal(literal, &written) == nil
	return written, delta, ok
}

// validJSON is [json.Valid], quicker with what is written plainly.
func validJSON(value []byte) bool {
	n := len(value) - 1
	return n > 0 && value[0] == '"' && plain(value[1:]) == n-1 && value[n] == '"' || json.Valid(value)
}

// plain returns how many bytes b begins with that stand for themselves in a
// JSON string and are ASCII: neither quotes nor backslashes nor controls.
func plain(b []byte) int {
	const ones = 0x0101010101010101
	n := 0
	for ; n+8 <= len(b); n += 8 { // a byte's high bit is set where something is found, or after it
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

// skipBlanks leaves out what JSON takes for space.
func skipBlanks(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t' || b[0] == '\r' || b[0] == '\n') {
		b = b[1:]
	}
	return b
}

// set takes a member's value; of several the last counts, as for a map.
func set(to *[]byte, value []byte) bool {
	*to = value
	return true
}

// eachMember calls f with the members of an object that is written plainly,
// until f says no. It reports whether f took all of them. The values are found
// by their brackets and quotes and not checked, but for strings, in which
// nothing is that JSON forbids save a wrong escape.
func eachMember(data []byte, f func(key, value []byte) bool) bool {
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

// stringEnd returns how long the string is that b begins with, 0 if it does not
// begin with a whole one.
func stringEnd(b []byte) int {
	if len(b) == 0 || b[0] != '"' {
		return 0
	}
	for i := 1; i < len(b); {
		i += plain(b[i:])
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

// valueEnd returns how long the value is that b begins with.
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
