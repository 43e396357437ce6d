package relay

import (
	"strings"

	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/upstream"
)

// What visitors see of the agent's tools, where RELAY_VISIBILITY lets them.

func (t *translator) tool(name string, input upstream.Object, show func(string, any)) {
	if t.visibility == VisibilityChat {
		return
	}
	show("tool", event.ToolData{Name: name, State: "running", Summary: toolSummary(input)})
}

func (t *translator) toolResults(m upstream.Object, show func(string, any)) {
	if t.visibility == VisibilityChat {
		return
	}
	for _, b := range m.Blocks() {
		name, ok := t.tools[b.Str("tool_use_id")]
		if b.BlockType() != "tool_result" || !ok {
			continue
		}
		state := "done"
		if b.Flag("is_error") {
			state = "failed"
		}
		show("tool", event.ToolData{Name: name, State: state, Summary: ""})
	}
}

const maxSummaryRunes = 140

// toolSummary is the one part of a tool's input that visitors may see.
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
