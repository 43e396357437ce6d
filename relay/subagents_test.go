package relay_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
)

// inward turns an event into a subagent's.
func inward(data map[string]any) map[string]any {
	data["parent_tool_use_id"] = "toolu_1"
	return data
}

// TestSubagents_InnerTalk_HiddenBelowFull lets a subagent talk while the agent does, and
// checks the stream and later reads.
func TestSubagents_InnerTalk_HiddenBelowFull(t *testing.T) {
	overTransports(t, func(t *testing.T, via transport) {
		for _, visibility := range []relay.Visibility{relay.VisibilityChat, relay.VisibilityTools, relay.VisibilityFull} {
			t.Run(string(visibility), func(t *testing.T) {
				t.Parallel()
				r := via.newHarness(t, func(c *relay.Config) { c.Visibility = visibility }, anyframetest.WithAgent(1, func(c *anyframetest.Chat) {
					c.EmitUnnumbered(inward(pieceOf("psst", true)))
					c.Emit(inward(pieceOf("psst", true)))
					c.Emit(inward(pieceOf("psst", false)))
					c.Emit(inward(map[string]any{"type": "tool_call", "name": "psst", "input": map[string]any{"command": "psst"}}))
					c.Emit(inward(map[string]any{"type": "user", "text": "psst"}))
					c.Emit(map[string]any{"type": "user", "text": "psst", "isSynthetic": true})
					c.Say("Hello")
				}))
				v := r.visitor()
				x := v.open("")
				v.insist("hello", "k1")
				events := x.turnEnds(1)
				later := v.open("")
				later.turnEnds(1)
				transcript := v.do("GET", "/v1/transcript", "")
				if transcript.status != http.StatusOK {
					t.Fatalf("the transcript: got %d %s, want 200", transcript.status, transcript.body)
				}
				for name, text := range map[string]string{"live": x.text(), "later": later.text(), "the transcript": transcript.body} {
					if got, want := strings.Contains(text, "psst"), visibility == relay.VisibilityFull; got != want {
						t.Errorf("%s: got a subagent's words %v, want %v, in\n%s", name, got, want, text)
					}
					if !strings.Contains(text, "Hello") {
						t.Errorf("%s: got\n%swant the agent's words", name, text)
					}
				}
				if got := count(events, "user"); got != 1 {
					t.Errorf("got %d messages, want the visitor's alone", got)
				}
			})
		}
	})
}
