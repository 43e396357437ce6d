package anyframe

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/anyframe-relay/relay/anyframe/internal/loose"
)

// The known payload types. [Event.Payload] decodes their content.
const (
	TypeAssistant         = "assistant"
	TypeAssistantMessage  = "assistant_message"
	TypeUserMessage       = "user_message"
	TypePermissionRequest = "permission_request"
	TypeQuestion          = "ask_user_question"
	TypeResult            = "result"
	TypeFailure           = "_error"
)

// Decision answers a [PermissionRequest]. It is the member "decision" of the body
// of [SessionsService.Respond].
type Decision string

// The known decisions. The API documents only the first.
const (
	DecisionApprove Decision = "approve"
	DecisionDeny    Decision = "deny"
)

// Payload is the content of an event: one of [Assistant], [Text],
// [PermissionRequest], [Question], [Result], [Failure] or [Unknown]. Each keeps its
// original JSON, since the API may send more than this package knows.
type Payload interface{ payload() }

type (
	// Assistant is output of the model.
	Assistant struct {
		Blocks []Block
		Delta  bool // a fragment: append its text unchanged to the text before
		Raw    json.RawMessage
	}
	// Text is a complete message of the user or the assistant, as in transcripts.
	Text struct {
		Type string // TypeUserMessage or TypeAssistantMessage
		Text string
		Raw  json.RawMessage
	}
	// PermissionRequest blocks the agent until it is answered with
	// [SessionsService.Respond]. Ids that were not sent are "".
	PermissionRequest struct {
		ToolName, RequestID, ToolUseID, PromptID string
		Input                                    json.RawMessage
		Raw                                      json.RawMessage
	}
	// Question blocks the agent until it is answered with
	// [SessionsService.Respond].
	Question struct {
		Question                       string // "" if it is not plain text; see Raw
		RequestID, ToolUseID, PromptID string
		Raw                            json.RawMessage
	}
	// Result ends a turn.
	Result struct{ Raw json.RawMessage }
	// Failure is a failed turn. It is an event, not an error of the stream.
	Failure struct {
		Error string // may be ""
		Raw   json.RawMessage
	}
	// Unknown is everything else.
	Unknown struct {
		Type string
		Raw  json.RawMessage
	}
)

// Text returns the text of all text blocks, unchanged and without separators.
func (a Assistant) Text() string {
	var text strings.Builder
	for _, b := range a.Blocks {
		if b.Type == BlockText {
			text.WriteString(b.Text)
		}
	}
	return text.String()
}

func (Assistant) payload()         {}
func (Text) payload()              {}
func (PermissionRequest) payload() {}
func (Question) payload()          {}
func (Result) payload()            {}
func (Failure) payload()           {}
func (Unknown) payload()           {}

// The known block types. Older servers use other names, which [Event.Payload] maps
// to these.
const (
	BlockText     = "text"
	BlockToolUse  = "tool_use"
	BlockThinking = "thinking"
)

// Block is a part of an assistant's message.
type Block struct {
	Type  string // BlockText and so on, or the type as received
	Text  string // of a text block; of a thinking block, if sent
	ID    string // of a tool use
	Name  string // of a tool use
	Input json.RawMessage
	Raw   json.RawMessage
}

// UnmarshalJSON accepts any JSON value; a value that is not an object is only in
// Raw.
func (b *Block) UnmarshalJSON(data []byte) error {
	*b = Block{Raw: bytes.Clone(data)}
	var w struct {
		Type, Text, Thinking, ID, Name json.RawMessage
		Class                          json.RawMessage `json:"__class__"`
		Input                          json.RawMessage
	}
	if data[0] != '{' {
		return nil
	}
	if err := json.Unmarshal(data, &w); err != nil {
		return err
	}
	b.Type = blockType(w.Type, w.Class)
	b.Text = looseString(w.Text)
	if b.Text == "" {
		b.Text = looseString(w.Thinking)
	}
	b.ID, b.Name, b.Input = looseString(w.ID), looseString(w.Name), w.Input
	return nil
}

func blockType(current, legacy json.RawMessage) string {
	name := looseString(current)
	if name == "" {
		name = looseString(legacy)
	}
	switch {
	case equalFold(name, BlockText, "TextBlock"):
		return BlockText
	case equalFold(name, BlockToolUse, "ToolUseBlock"):
		return BlockToolUse
	case equalFold(name, BlockThinking, "ThinkingBlock"):
		return BlockThinking
	}
	return name
}

func equalFold(s string, names ...string) bool {
	for _, n := range names {
		if len(s) == len(n) && bytes.EqualFold([]byte(s), []byte(n)) {
			return true
		}
	}
	return false
}

// Type returns the "type" member of the data, or the SSE event name if there is
// none.
func (e Event) Type() string {
	var p struct {
		Type json.RawMessage `json:"type"`
	}
	if isObject(e.Data) && json.Unmarshal(e.Data, &p) == nil {
		if t := looseString(p.Type); t != "" {
			return t
		}
	}
	return e.Name
}

// Payload decodes the data by its type. It returns an error only if the data is not
// JSON. An unknown type, and a value that is not an object, is an [Unknown].
func (e Event) Payload() (Payload, error) {
	if len(e.Data) > 0 && !json.Valid(e.Data) {
		return nil, fmt.Errorf("event %q: data is not JSON", e.ID)
	}
	kind := e.Type()
	if !isObject(e.Data) {
		return Unknown{Type: kind, Raw: e.Data}, nil
	}
	// Members are raw, so that an unexpected type affects only that member.
	var w struct {
		Message   json.RawMessage `json:"message"`
		Content   json.RawMessage `json:"content"`
		Delta     json.RawMessage `json:"delta"`
		Text      json.RawMessage `json:"text"`
		ToolName  json.RawMessage `json:"tool_name"`
		RequestID json.RawMessage `json:"request_id"`
		ToolUseID json.RawMessage `json:"tool_use_id"`
		PromptID  json.RawMessage `json:"prompt_id"`
		Input     json.RawMessage `json:"input"`
		Question  json.RawMessage `json:"question"`
		Error     json.RawMessage `json:"error"`
	}
	if err := json.Unmarshal(e.Data, &w); err != nil {
		return nil, fmt.Errorf("event %q: %w", e.ID, err)
	}
	request, toolUse, prompt := looseString(w.RequestID), looseString(w.ToolUseID), looseString(w.PromptID)
	switch kind {
	case TypeAssistant:
		delta, _ := loose.Bool(w.Delta)
		return Assistant{Blocks: blocks(w.Message, w.Content), Delta: delta, Raw: e.Data}, nil
	case TypeUserMessage, TypeAssistantMessage:
		return Text{Type: kind, Text: looseString(w.Text), Raw: e.Data}, nil
	case TypePermissionRequest:
		return PermissionRequest{looseString(w.ToolName), request, toolUse, prompt, w.Input, e.Data}, nil
	case TypeQuestion:
		return Question{looseString(w.Question), request, toolUse, prompt, e.Data}, nil
	case TypeResult:
		return Result{Raw: e.Data}, nil
	case TypeFailure:
		return Failure{Error: looseString(w.Error), Raw: e.Data}, nil
	}
	return Unknown{Type: kind, Raw: e.Data}, nil
}

// blocks decodes message.content, or content if that is missing. Content that is
// plain text becomes one text block.
func blocks(message, content json.RawMessage) []Block {
	var m struct {
		Content json.RawMessage `json:"content"`
	}
	if isObject(message) && json.Unmarshal(message, &m) == nil && len(m.Content) > 0 && string(m.Content) != "null" {
		content = m.Content
	}
	var list []Block
	if len(content) > 0 && content[0] == '"' {
		return []Block{{Type: BlockText, Text: looseString(content), Raw: content}}
	}
	if len(content) == 0 || json.Unmarshal(content, &list) != nil {
		return nil
	}
	return list
}

func isObject(data []byte) bool {
	data = bytes.TrimLeft(data, " \t\r\n")
	return len(data) > 0 && data[0] == '{'
}
