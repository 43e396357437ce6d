package upstream

import (
	"cmp"
	"encoding/json"
	"strings"
)

// Object is a JSON object of AnyFrame's, read member by member, so that one
// member of an unexpected type spoils nothing but itself.
type Object map[string]json.RawMessage

// ParseObject reads an object; anything else has no members.
func ParseObject(data []byte) Object {
	var m Object
	if json.Unmarshal(data, &m) != nil {
		return nil
	}
	return m
}

// Str returns a member that is a string, "" if it is not.
func (m Object) Str(key string) string {
	var s string
	if json.Unmarshal(m[key], &s) != nil {
		return ""
	}
	return s
}

// Flag reports whether a member is true.
func (m Object) Flag(key string) bool {
	var b bool
	return json.Unmarshal(m[key], &b) == nil && b
}

// Amount returns a member that is a number from 0 to 10^12, and false if it is not.
func (m Object) Amount(key string) (n float64, ok bool) {
	raw := m[key]
	if raw == nil || string(raw) == "null" || json.Unmarshal(raw, &n) != nil || n < 0 || n > 1e12 {
		return 0, false
	}
	return n, true
}

// Sub returns a member that is an object, nil if it is not.
func (m Object) Sub(key string) Object { return ParseObject(m[key]) }

// Raw returns the first of the members that is there.
func (m Object) Raw(keys ...string) json.RawMessage {
	for _, key := range keys {
		if v, ok := m[key]; ok {
			return v
		}
	}
	return nil
}

// Blocks returns the content of a message: message.content before content. A
// plain string counts as one text block.
func (m Object) Blocks() []Object {
	for _, raw := range []json.RawMessage{m.Sub("message")["content"], m["content"]} {
		var blocks []Object
		if json.Unmarshal(raw, &blocks) == nil && blocks != nil {
			return blocks
		}
		var text string
		if json.Unmarshal(raw, &text) == nil && text != "" {
			quoted, _ := json.Marshal(text) // a string: cannot fail
			return []Object{{"type": json.RawMessage(`"text"`), "text": quoted}}
		}
	}
	return nil
}

// BlockType returns the type of a block by its present name or its old one.
func (m Object) BlockType() string {
	kind := strings.ToLower(cmp.Or(m.Str("type"), m.Str("__class__")))
	switch kind {
	case "textblock":
		return "text"
	case "tooluseblock":
		return "tool_use"
	case "thinkingblock":
		return "thinking"
	case "toolresultblock":
		return "tool_result"
	}
	return kind
}

// onlyToolResults reports a message that carries results back to the model and
// nothing that a person wrote.
func (m Object) onlyToolResults() bool {
	blocks := m.Blocks()
	for _, b := range blocks {
		if b.BlockType() != "tool_result" {
			return false
		}
	}
	return len(blocks) > 0
}

// UserText returns what a person wrote.
func (m Object) UserText() string {
	if s := cmp.Or(m.Str("text"), m.Str("prompt")); s != "" {
		return s
	}
	var b strings.Builder
	for _, block := range m.Blocks() {
		if block.BlockType() == "text" {
			b.WriteString(block.Str("text"))
		}
	}
	return b.String()
}

// Options returns the answers offered: strings, or objects with a label.
func (m Object) Options() []string {
	var rows []json.RawMessage
	if json.Unmarshal(m["options"], &rows) != nil {
		return []string{}
	}
	out := make([]string, 0, len(rows))
	for _, row := range rows {
		var s string
		if json.Unmarshal(row, &s) != nil {
			o := ParseObject(row)
			s = cmp.Or(o.Str("label"), o.Str("text"), o.Str("value"))
		}
		if s != "" {
			out = append(out, s)
		}
	}
	return out
}
