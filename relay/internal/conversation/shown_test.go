package conversation

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/anyframe-relay/relay/relay/internal/event"
)

// shownText returns the agent's text as a client shows it that follows the rule in
// docs/http-api.md. It fails the test if a frame is too large.
func shownText(t *testing.T, items []event.Item) string {
	t.Helper()
	var blocks, deltas strings.Builder
	for _, it := range items {
		if n := len(it.Entry(1).Frame); n > event.MaxFrame {
			t.Errorf("got a frame of %d bytes, want %d at most", n, event.MaxFrame)
		}
		d, ok := it.Payload().(event.TextData)
		switch {
		case !ok:
		case d.Delta:
			deltas.WriteString(d.Text)
		default:
			if deltas.String() != d.Text {
				blocks.WriteString(deltas.String())
			}
			deltas.Reset()
			blocks.WriteString(d.Text)
		}
	}
	return blocks.String() + deltas.String()
}

func textEvent(delta bool, text string) string {
	b, _ := json.Marshal(map[string]any{"type": "assistant", "delta": delta, "content": []map[string]any{{"type": "text", "text": text}}})
	return string(b)
}
