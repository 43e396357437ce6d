package upstream

import (
	"cmp"
	"encoding/json"
	"slices"
	"time"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/jsonscan"
)

// MaxEventBytes is the size of the largest event that the relay reads, in bytes. A larger
// one is omitted.
const MaxEventBytes = 16 << 20

// Event is one of AnyFrame's events, decoded once for all its users.
type Event struct {
	anyframe.Event
	Kind  string // its type, or the name of its SSE event
	Valid bool   // its data is JSON
	User  bool   // a message from a person
	// Inner marks events that are not meant for the reader of the conversation: text and
	// actions of a subagent (parent_tool_use_id), and user text that no person wrote.
	Inner  bool
	ReadAt time.Time // when it arrived; zero if that was not recorded
	// Delta or Whole is set if the event is only a piece of the agent's text, or only a
	// whole block of it, as nearly all events of a stream are. The members are then not
	// decoded.
	Delta, Whole string
	Members      Object
}

// Decode decodes an event.
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
// person wrote. An event that waits for a person or ends a turn never is.
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

// At returns the event with its time of arrival.
func (h Event) At(read time.Time) Event {
	h.ReadAt = read
	return h
}

// plainText returns the text of an event that is only a text block or a delta of one. It
// may return false for such an event, because the slow path gives the same result. It
// never returns true for any other event, nor for invalid JSON.
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
			return string(value) == "null" // otherwise a subagent's
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
	var written string // not text itself, which would then escape to the heap for all events
	ok = json.Unmarshal(literal, &written) == nil
	return written, delta, ok
}

// set sets a member's value; the last of several wins, as for a map.
func set(to *[]byte, value []byte) bool {
	*to = value
	return true
}
