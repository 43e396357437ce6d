package conversation

import (
	"testing"

	"github.com/anyframe-relay/relay/relay/internal/event"
)

// A subagent's text, and user text that no person wrote, is not shown below full. In full
// it is shown as AnyFrame sent it, and never as a person's message.
func TestSubagents_InnerTalk_ShownInFullOnly(t *testing.T) {
	for name, payload := range map[string]string{
		"text":                  `{"type":"assistant","parent_tool_use_id":"toolu_1","message":{"content":[{"type":"text","text":"psst"}]}}`,
		"text without message":  `{"type":"assistant","content":[{"type":"text","text":"psst"}],"parent_tool_use_id":"toolu_1"}`,
		"a delta":               `{"type":"assistant","delta":true,"parent_tool_use_id":"toolu_1","content":[{"type":"text","text":"psst"}]}`,
		"an assistant_message":  `{"type":"assistant_message","text":"psst","parent_tool_use_id":"toolu_1"}`,
		"a tool call":           `{"type":"tool_call","name":"psst","parent_tool_use_id":"toolu_1","input":{"command":"psst"}}`,
		"use of a tool":         `{"type":"assistant","parent_tool_use_id":"toolu_1","content":[{"type":"tool_use","id":"t","name":"psst","input":{"command":"psst"}}]}`,
		"a user's text":         `{"type":"user","parent_tool_use_id":"toolu_1","message":{"content":[{"type":"text","text":"psst"}]}}`,
		"a user_message":        `{"type":"user_message","text":"psst","parent_tool_use_id":"toolu_1"}`,
		"a parent of any type":  `{"type":"assistant","parent_tool_use_id":7,"content":[{"type":"text","text":"psst"}]}`,
		"isSynthetic":           `{"type":"user","isSynthetic":true,"message":{"content":[{"type":"text","text":"psst"}]}}`,
		"isSynthetic, no block": `{"type":"user_message","text":"psst","isSynthetic":true}`,
		"is_synthetic":          `{"type":"user","is_synthetic":true,"text":"psst"}`,
	} {
		t.Run(name, func(t *testing.T) {
			for _, isPast := range []bool{false, true} {
				for _, v := range []event.Visibility{event.VisibilityChat, event.VisibilityTools} {
					wantSaid(t, string(v), newTestTranslator(v, isPast, newTestLedger()).step(upstreamEvent(7, payload)).items)
				}
				wantSaid(t, "full", newTestTranslator(event.VisibilityFull, isPast, newTestLedger()).step(upstreamEvent(7, payload)).items,
					`7 upstream {"payload":`+payload+`}`)
			}
		})
	}
}

func TestSubagents_NotInner_Shown(t *testing.T) {
	for name, c := range map[string]struct{ payload, want string }{
		"a null parent":             {`{"type":"assistant","parent_tool_use_id":null,"content":[{"type":"text","text":"a"}]}`, `7 text {"text":"a","delta":false}`},
		"a delta with a null":       {`{"type":"assistant","delta":true,"parent_tool_use_id":null,"content":[{"type":"text","text":"a"}]}`, `7 text {"text":"a","delta":true}`},
		"a message with a null":     {`{"type":"user","parent_tool_use_id":null,"text":"a"}`, `7 user {"text":"a","attachments":[]}`},
		"not synthetic":             {`{"type":"user","isSynthetic":false,"text":"a"}`, `7 user {"text":"a","attachments":[]}`},
		"a question of a subagent":  {`{"type":"ask_user_question","parent_tool_use_id":"toolu_1","question":"Q?","options":[]}`, `7 question {"id":"p1-7","question":"Q?","options":[]}`},
		"a permission of one":       {`{"type":"permission_request","parent_tool_use_id":"toolu_1","tool_name":"Bash","input":{}}`, `7 approval {"id":null}`},
		"the end of a turn for all": {`{"type":"result","parent_tool_use_id":"toolu_1","subtype":"success"}`, `7 turn_end {"reason":"done","code":null}`},
	} {
		t.Run(name, func(t *testing.T) {
			for _, isPast := range []bool{false, true} {
				wantSaid(t, "chat", newTestTranslator(event.VisibilityChat, isPast, newTestLedger()).step(upstreamEvent(7, c.payload)).items, c.want)
			}
		})
	}
}

// A subagent's text in between does not become part of the agent's.
func TestSubagents_DeltasBetween_BlockReplacesTheAgents(t *testing.T) {
	tr := newTestTranslator(event.VisibilityChat, false, newTestLedger())
	var items []event.Item
	for i, payload := range []string{
		textEvent(true, "Hel"), `{"type":"assistant","delta":true,"parent_tool_use_id":"toolu_1","content":[{"type":"text","text":"psst"}]}`,
		textEvent(true, "lo"), `{"type":"assistant","parent_tool_use_id":"toolu_1","content":[{"type":"text","text":"psst"}]}`, textEvent(false, "Hello"),
	} {
		items = append(items, tr.step(upstreamEvent(int64(i+1), payload)).items...)
	}
	wantSaid(t, "the conversation", items, `1 text {"text":"Hel","delta":true}`, `3 text {"text":"lo","delta":true}`, `5 text {"text":"Hello","delta":false}`)
}

// A prompt is settled when the agent continues, not when a subagent does.
func TestSubagents_TalkAfterPrompt_DoesNotSettle(t *testing.T) {
	tr := newTestTranslator(event.VisibilityChat, false, newTestLedger())
	tr.step(upstreamEvent(1, `{"type":"ask_user_question","question":"Q?","options":[]}`))
	wantSaid(t, "a subagent's words", tr.step(upstreamEvent(2, `{"type":"assistant","parent_tool_use_id":"toolu_1","content":[{"type":"text","text":"psst"}]}`)).items)
	wantSaid(t, "the agent's", tr.step(upstreamEvent(3, textEvent(false, "on"))).items,
		`0 settled {"id":"p1-1","outcome":"elsewhere"}`, `3 text {"text":"on","delta":false}`)
}
