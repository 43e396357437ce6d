package conversation

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/upstream"
)

// What visitors see of the agent's tools, if RELAY_VISIBILITY permits.

func (p *projector) tool(name string, input upstream.Object) {
	if p.visibility == event.VisibilityChat {
		return
	}
	p.show("tool", event.ToolData{Name: name, State: "running", Summary: toolSummary(input)})
}

func (p *projector) toolResults(m upstream.Object) {
	if p.visibility == event.VisibilityChat {
		return
	}
	for _, b := range m.Blocks() {
		name, ok := p.tools[b.Str("tool_use_id")]
		if b.BlockType() != "tool_result" || !ok {
			continue
		}
		state := "done"
		if b.Flag("is_error") {
			state = "failed"
		}
		p.show("tool", event.ToolData{Name: name, State: state})
	}
}

const maxSummaryRunes = 140

// toolSummary returns the one part of a tool's input that visitors may see.
func toolSummary(input upstream.Object) string {
	for _, key := range []string{"command", "file_path", "path", "query"} {
		if s := strings.Join(strings.Fields(input.Str(key)), " "); s != "" {
			if r := []rune(s); len(r) > maxSummaryRunes {
				return string(r[:maxSummaryRunes-1]) + "…"
			}
			return s
		}
	}
	return ""
}

// compactJSON returns raw on one line, or nil if it is not JSON.
func compactJSON(raw json.RawMessage) json.RawMessage {
	var b bytes.Buffer
	if json.Compact(&b, raw) != nil {
		return nil
	}
	return b.Bytes()
}

func orEmpty[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}
