package upstream

import (
	"cmp"
	"encoding/json"
	"slices"
	"time"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/jsonscan"
)

// MaxEventBytes is the largest event the relay reads. A larger one is left out.
const MaxEventBytes = 16 << 20

// Event is one of AnyFrame's events, read once for all its users.
type Event struct {
	anyframe.Event
	Kind  string // its type, or the name that it was sent under
	Valid bool   // its data is JSON
	User  bool   // a message of a person's
	// Inner marks what is not meant for the reader of the conversation: words and acts
	// of a subagent (parent_tool_use_id), and user text that no person wrote.
	Inner  bool
	ReadAt time.Time // when it came; zero when that was not noted
	// Delta or whole is all that the event says when it is a piece of the
	// agent's text, or a whole block of it, and nothing else, which is what a
	// stream consists of. Then the members are not read.
	Delta, Whole string
	Members      Object
}

// Decode reads an event.
func Decode(ev anyframe.Event) Event {
	if text, delta, ok := plainText(ev.Data); ok && len(ev.Data) <= MaxEventBytes {
		if !delta {
			return Event{Event: ev, Kind: anyframe.TypeAssistant, Valid: true, Whole: text}
		}
		return Event{Event: ev, Kind: anyframe.TypeAssistant, Valid: true, Delta: text}
	}
	h := Event{Event: ev, Valid: json.Valid(ev.Data)}
	if len(ev.Data) > MaxEventBytes {
		h.Data = nil
	}
	h.Members = ParseObject(h.Data)
	h.Kind = cmp.Or(h.Members.Str("type"), ev.Name)
	h.User = (h.Kind == "user" || h.Kind == "user_message") && !h.Members.onlyToolResults()
	h.Inner = h.Members.inner(h.Kind)
	h.User = h.User && !h.Inner
	return h
}

// inner reports whether an event of this kind is a subagent's, or user text that no
// person wrote. What waits for a person or ends a turn never is.
func (m Object) inner(kind string) bool {
	switch kind {
	case "user", "user_message":
		if slices.ContainsFunc([]string{"isSynthetic", "is_synthetic", "synthetic", "isMeta"}, m.Flag) {
			return true
		}
	case "assistant", "assistant_message", "tool_call":
	default:
		return false
	}
	parent := m["parent_tool_use_id"]
	return parent != nil && string(parent) != "null"
}

// At returns the event with the time at which it came.
func (h Event) At(read time.Time) Event {
	h.ReadAt = read
	return h
}

// plainText returns the text of an event that is one text block or a delta of
// one. It may say no to such an event, for the long way comes to the same; it
// never says yes to another, nor to what is not JSON.
func plainText(data []byte) (text string, delta, ok bool) {
	var kind, flag, message, content []byte
	if !jsonscan.EachMember(data, func(key, value []byte) bool {
		switch string(key) {
		case "type":
			return set(&kind, value)
		case "delta":
			return set(&flag, value)
		case "message":
			return set(&message, value)
		case "content":
			return set(&content, value)
		case "parent_tool_use_id":
			return string(value) == "null" // else a subagent's
		}
		return jsonscan.Valid(value)
	}) {
		return "", false, false
	}
	delta = string(flag) == "true"
	if string(kind) != `"assistant"` || !delta && flag != nil && string(flag) != "false" || (message == nil) == (content == nil) {
		return "", false, false
	}
	if message != nil && !jsonscan.EachMember(message, func(key, value []byte) bool {
		if string(key) == "content" {
			return set(&content, value)
		}
		return jsonscan.Valid(value)
	}) {
		return "", false, false
	}
	if len(content) < 2 || content[0] != '[' || content[len(content)-1] != ']' {
		return "", false, false
	}
	var literal []byte
	kind = nil
	if !jsonscan.EachMember(content[1:len(content)-1], func(key, value []byte) bool {
		switch string(key) {
		case "type":
			return set(&kind, value)
		case "text":
			return set(&literal, value)
		}
		return jsonscan.Valid(value)
	}) {
		return "", false, false
	}
	if string(kind) != `"text"` || len(literal) < 3 || literal[0] != '"' {
		return "", false, false
	}
	inside := literal[1 : len(literal)-1]
	if jsonscan.Plain(inside) == len(inside) {
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

// set takes a member's value; of several the last counts, as for a map.
func set(to *[]byte, value []byte) bool {
	*to = value
	return true
}
