package relay

import (
	"bytes"
	"encoding/json"

	"github.com/anyframe-relay/relay/anyframe"
)

// heard is one of AnyFrame's events, read once for all who ask about it.
type heard struct {
	anyframe.Event
	kind  string // its type, or the name that it was sent under
	valid bool   // its data is JSON
	user  bool   // a message of a person's
	// delta is all that the event says when it is a piece of the agent's text
	// and nothing else, which is what a stream consists of. Then the members
	// are not read.
	delta   string
	members object
}

// hear reads an event.
func hear(ev anyframe.Event) heard {
	if text, ok := plainDelta(ev.Data); ok && len(ev.Data) <= maxEventBytes {
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

// plainDelta returns the text of an event that is a delta of one text block.
// It may say no to such an event, for the long way comes to the same; it never
// says yes to another, nor to what is not JSON.
func plainDelta(data []byte) (text string, ok bool) {
	var kind, delta, message, content []byte
	if !eachMember(data, func(key, value []byte) bool {
		switch string(key) {
		case "type":
			return set(&kind, value)
		case "delta":
			return set(&delta, value)
		case "message":
			return set(&message, value)
		case "content":
			return set(&content, value)
		}
		return json.Valid(value)
	}) {
		return "", false
	}
	if string(kind) != `"assistant"` || string(delta) != "true" || (message == nil) == (content == nil) {
		return "", false
	}
	if message != nil && !eachMember(message, func(key, value []byte) bool {
		if string(key) == "content" {
			return set(&content, value)
		}
		return json.Valid(value)
	}) {
		return "", false
	}
	if len(content) < 2 || content[0] != '[' || content[len(content)-1] != ']' {
		return "", false
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
		return json.Valid(value)
	}) {
		return "", false
	}
	if string(kind) != `"text"` || len(literal) < 3 || literal[0] != '"' {
		return "", false
	}
	inside := literal[1 : len(literal)-1]
	for _, c := range inside {
		if c == '\\' || c >= 0x80 {
			return text, json.Unmarshal(literal, &text) == nil
		}
	}
	return string(inside), true
}

// blanks are what JSON takes for space.
const blanks = " \t\r\n"

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
	data = bytes.Trim(data, blanks)
	if len(data) < 2 || data[0] != '{' || data[len(data)-1] != '}' {
		return false
	}
	for rest := data[1 : len(data)-1]; ; {
		rest = bytes.TrimLeft(rest, blanks)
		n := stringEnd(rest)
		if n == 0 || bytes.IndexByte(rest[:n], '\\') >= 0 {
			return false
		}
		key := rest[1 : n-1]
		rest = bytes.TrimLeft(rest[n:], blanks)
		if len(rest) == 0 || rest[0] != ':' {
			return false
		}
		rest = bytes.TrimLeft(rest[1:], blanks)
		n = valueEnd(rest)
		if n == 0 || !f(key, rest[:n:n]) {
			return false
		}
		rest = bytes.TrimLeft(rest[n:], blanks)
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
	for i := 1; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			return i + 1
		case c == '\\':
			i++
		case c < ' ':
			return 0
		}
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
