package upstream

import (
	"cmp"
	"encoding/json"
	"strings"
)

// Object is a JSON object from AnyFrame. Members are decoded one by one, so that a member
// of an unexpected type affects only itself.
type Object map[string]json.RawMessage

// ParseObject parses an object; any other value has no members.
func ParseObject(data []byte) Object {
	var m Object
	if json.Unmarshal(data, &m) != nil {
		return nil
	}
	return m
}

// Str returns a string member, or "" if it is not a string.
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

// Amount returns a number member from 0 to 10^12. It returns false for anything else.
func (m Object) Amount(key string) (n float64, ok bool) {
	raw := m[key]
	if raw == nil || string(raw) == "null" || json.Unmarshal(raw, &n) != nil || n < 0 || n > 1e12 {
		return 0, false
	}
	return n, true
}

// Sub returns an object member, or nil if it is not an object.
func (m Object) Sub(key string) Object { return ParseObject(m[key]) }

// Raw returns the first of the members that is present.
func (m Object) Raw(keys ...string) json.RawMessage {
	for _, key := range keys {
		if v, ok := m[key]; ok {
			return v
		}
	}
	return nil
}

// Blocks returns the content of a message: message.content, or else content. A plain
// string counts as one text block.
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

// BlockType returns the type of a block, by its current or its old name.
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

// onlyToolResults reports whether a message only carries results back to the model, and
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

// UserText returns the text that a person wrote.
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

// Options returns the offered answers: strings, or objects with a label.
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
