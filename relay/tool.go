package relay

import (
	"strings"

	"github.com/anyframe-relay/relay/relay/internal/event"
)

// What visitors see of the agent's tools, where RELAY_VISIBILITY lets them.

func (t *translator) tool(name string, input object, show func(string, any)) {
	if t.visibility == VisibilityChat {
		return
	}
	show("tool", event.ToolData{Name: name, State: "running", Summary: toolSummary(input)})
}

func (t *translator) toolResults(m object, show func(string, any)) {
	if t.visibility == VisibilityChat {
		return
	}
	for _, b := range m.blocks() {
		name, ok := t.tools[b.str("tool_use_id")]
		if b.blockType() != "tool_result" || !ok {
			continue
		}
		state := "done"
		if b.flag("is_error") {
			state = "failed"
		}
		show("tool", event.ToolData{Name: name, State: state, Summary: ""})
	}
}

const maxSummaryRunes = 140

// toolSummary is the one part of a tool's input that visitors may see.
func toolSummary(input object) string {
	for _, key := range []string{"command", "file_path", "path", "query"} {
		if s := strings.Join(strings.Fields(input.str(key)), " "); s != "" {
			if r := []rune(s); len(r) > maxSummaryRunes {
				return string(r[:maxSummaryRunes-1]) + "…"
			}
			return s
		}
	}
	return ""
}
