package relay

import (
	"cmp"
	"encoding/json"
	"strings"
)

// object is a JSON object of AnyFrame's, read member by member, so that one
// member of an unexpected type spoils nothing but itself.
type object map[string]json.RawMessage

// members reads an object; anything else has no members.
func members(data []byte) object {
	var m object
	if json.Unmarshal(data, &m) != nil {
		return nil
	}
	return m
}

func (m object) str(key string) string {
	var s string
	if json.Unmarshal(m[key], &s) != nil {
		return ""
	}
	return s
}

func (m object) flag(key string) bool {
	var b bool
	return json.Unmarshal(m[key], &b) == nil && b
}

func (m object) obj(key string) object { return members(m[key]) }

// raw returns the first of the members that is there.
func (m object) raw(keys ...string) json.RawMessage {
	for _, key := range keys {
		if v, ok := m[key]; ok {
			return v
		}
	}
	return nil
}

// blocks returns the content of a message: message.content before content. A
// plain string counts as one text block.
func (m object) blocks() []object {
	for _, raw := range []json.RawMessage{m.obj("message")["content"], m["content"]} {
		var blocks []object
		if json.Unmarshal(raw, &blocks) == nil && blocks != nil {
			return blocks
		}
		var text string
		if json.Unmarshal(raw, &text) == nil && text != "" {
			quoted, _ := json.Marshal(text) // a string: cannot fail
			return []object{{"type": json.RawMessage(`"text"`), "text": quoted}}
		}
	}
	return nil
}

// blockType returns the type of a block by its present name or its old one.
func (m object) blockType() string {
	kind := strings.ToLower(cmp.Or(m.str("type"), m.str("__class__")))
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
func (m object) onlyToolResults() bool {
	blocks := m.blocks()
	for _, b := range blocks {
		if b.blockType() != "tool_result" {
			return false
		}
	}
	return len(blocks) > 0
}

// userText returns what a person wrote.
func (m object) userText() string {
	if s := cmp.Or(m.str("text"), m.str("prompt")); s != "" {
		return s
	}
	var b strings.Builder
	for _, block := range m.blocks() {
		if block.blockType() == "text" {
			b.WriteString(block.str("text"))
		}
	}
	return b.String()
}

// options returns the answers offered: strings, or objects with a label.
func (m object) options() []string {
	var rows []json.RawMessage
	if json.Unmarshal(m["options"], &rows) != nil {
		return []string{}
	}
	out := make([]string, 0, len(rows))
	for _, row := range rows {
		var s string
		if json.Unmarshal(row, &s) != nil {
			o := members(row)
			s = cmp.Or(o.str("label"), o.str("text"), o.str("value"))
		}
		if s != "" {
			out = append(out, s)
		}
	}
	return out
}
