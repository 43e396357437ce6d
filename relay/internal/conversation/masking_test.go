package conversation

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/ledger"
	"github.com/anyframe-relay/relay/relay/internal/upstream"
)

const (
	canarySecret = "Zq7Kp2Vw9XtB4nRmD6sL"
	canary       = "afm_canary_" + canarySecret
)

func TestMasking_KeyInAnyText_Masked(t *testing.T) {
	key := canary
	escaped := strings.ReplaceAll(key, "Z", `\u005a`)
	spelt := strings.ReplaceAll(key, "afm", `\u0061\u0066\u006D`)
	book := newTestLedger()
	for name, payload := range map[string]string{
		"a block":              `{"type":"assistant","content":[{"type":"text","text":"x ` + key + `"}]}`,
		"a delta":              `{"type":"assistant","delta":true,"content":[{"type":"text","text":"x ` + key + `"}]}`,
		"an escaped delta":     `{"type":"assistant","delta":true,"content":[{"type":"text","text":"x ` + spelt + `"}]}`,
		"an old message":       `{"type":"assistant_message","text":"x ` + key + `"}`,
		"the operator":         `{"type":"user_message","text":"x ` + key + `","attachments":[{"name":"` + key + `","mime":"` + key + `"}]}`,
		"a tool":               `{"type":"tool_call","name":"` + key + `","input":{"command":"curl -H ` + key + `"}}`,
		"a question":           `{"type":"ask_user_question","question":"` + key + `?","options":["` + key + `",{"label":"` + key + `"}]}`,
		"a permission":         `{"type":"permission_request","tool_name":"` + key + `","tool_input":{"` + key + `":["` + key + `"]}}`,
		"one that is escaped":  `{"type":"permission_request","tool_name":"Bash","tool_input":{"command":"` + escaped + ` ` + spelt + `","n":12345678901234567890}}`,
		"thinking":             `{"type":"assistant","content":[{"type":"thinking","thinking":"` + key + `"}]}`,
		"what nobody knows":    `{"type":"system","env":{"KEY":"` + spelt + `"}}`,
		"escaped and unicode":  `{"type":"assistant","content":[{"type":"text","text":"` + spelt + `"}]}`,
		"a tool's input, long": `{"type":"tool_call","name":"Bash","input":{"command":"` + strings.Repeat("x", 130) + key + `"}}`,
	} {
		tr := newTestTranslator(event.VisibilityFull, false, book)
		tr.approvals = true
		var all string
		for _, it := range tr.step(upstreamEvent(7, payload)).items {
			frame := string(it.Entry(1).Frame)
			_, data, _ := strings.Cut(frame, "data: ")
			if data, _, _ = strings.Cut(data, "\n"); !json.Valid([]byte(data)) {
				t.Errorf("%s: got %s, want JSON", name, frame)
			}
			all += frame
		}
		if !strings.Contains(all, "afm_…") {
			t.Errorf("%s: got %s, want that there was a key", name, all)
		}
		for _, part := range []string{"canary", canarySecret[:6], canarySecret[10:], `\u00`} {
			if strings.Contains(all, part) {
				t.Errorf("%s: got %s, want nothing of the key", name, all)
			}
		}
		if name == "one that is escaped" && !strings.Contains(all, "12345678901234567890") {
			t.Errorf("%s: got %s, want the number as it was", name, all)
		}
	}
}

func TestMasking_KeyInUnechoedMessage_Masked(t *testing.T) {
	book := newTestLedger()
	book.Set(ledger.Turn{Key: "k1", Seq: 3, State: ledger.Sent, Text: "use " + canary, Answered: 3})
	tr := newTestTranslator(event.VisibilityChat, true, book)
	wantSaid(t, "a message of our own", tr.merger.(*past).finish(tr, 9), `0 user {"text":"use afm_…","attachments":[],"turn":"k1"}`)
}

// However a block is cut into deltas, the shown deltas add up to the shown block,
// including lost deltas, so that the block replaces them.
func TestMasking_Deltas_EqualMaskedBlock(t *testing.T) {
	text := "It is " + canary + ". Then " + canary + "!"
	delta := func(s string) *upstream.Event {
		return upstreamEvent(0, `{"type":"assistant","delta":true,"content":[{"type":"text","text":"`+s+`"}]}`)
	}
	for cut := range len(text) {
		for _, lost := range []int{0, len(text) / 2, len(text)} {
			tr := newTestTranslator(event.VisibilityChat, false, newTestLedger())
			var items []event.Item
			if upTo := max(lost, cut); lost > 0 {
				items = append(items, tr.step(delta(text[:cut])).items...)
				items = append(items, tr.step(delta(text[cut:upTo])).items...)
			}
			items = append(items, tr.step(upstreamEvent(9, `{"type":"assistant","content":[{"type":"text","text":"`+text+`"}]}`)).items...)
			var sum, whole string
			for _, it := range items {
				if d := it.Payload().(event.TextData); d.Delta {
					sum += d.Text
				} else {
					whole = d.Text
				}
			}
			if want := "It is afm_…. Then afm_…!"; whole != want || (lost > 0 && sum != whole) {
				t.Fatalf("cut at %d, up to %d: got deltas %q and block %q, want both %q", cut, lost, sum, whole, want)
			}
		}
	}
}
