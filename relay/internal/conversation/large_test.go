//go:build !race

package conversation

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/redact"
	"github.com/anyframe-relay/relay/relay/internal/store/memory"
	"github.com/anyframe-relay/relay/relay/internal/upstream"
)

func TestText_Large_SeveralBlocksSameText(t *testing.T) {
	if testing.Short() {
		t.Skip("goes through a hundred megabytes")
	}
	patterns := redact.KeyPatterns("afm_test")
	texts := map[string]string{
		"5 MiB":   strings.Repeat("the quick brown fox ", 5<<20/20),
		"14 MiB":  strings.Repeat("the quick brown fox ", 14<<20/20),
		"escapes": strings.Repeat("\x01\"\\\n\u2028é", 300_000),
		// A key at each place where the text is cut.
		"keys": strings.Repeat(strings.Repeat("x", 1<<20-60)+" afm_"+strings.Repeat("k", 120), 5),
	}
	for name, text := range texts {
		want := redact.Text(patterns, text)
		for how, size := range map[string]int{"one block": 0, "deltas": 63000, "one delta": len(text)} {
			for lost, end := range map[string]int{"all": len(text), "without the last deltas": len(text) * 2 / 3} {
				for _, isPast := range []bool{false, true} {
					if how != "deltas" && (isPast || end < len(text)) || name == "14 MiB" && isPast {
						continue
					}
					t.Run(fmt.Sprint(name, ", ", how, ", ", lost, ", past ", isPast), func(t *testing.T) {
						tr := newTestTranslator(event.VisibilityChat, isPast, newTestLedger())
						var items []event.Item
						seq := int64(0)
						say := func(payload string) {
							seq++
							got := tr.step(upstreamEvent(seq, payload)).items
							for i, it := range got {
								if last := i == len(got)-1; last != (it.Seq == seq) || !last && it.Seq != 0 {
									t.Errorf("got seq %d at %d of %d items of the event %d, want it on the last alone", it.Seq, i, len(got), seq)
								}
							}
							items = append(items, got...)
						}
						for at := 0; size > 0 && at < end; at += size {
							say(textEvent(true, text[at:min(at+size, end)]))
						}
						say(textEvent(false, text))
						if got := shownText(t, items); got != want {
							t.Errorf("got %d bytes of text, want the %d that were said", len(got), len(want))
						}
						items = items[:0]
						say(textEvent(true, "next"))
						say(textEvent(false, "next"))
						if got := shownText(t, items); got != "next" || len(items) != 2 {
							t.Errorf("got %q in %d events after it, want the next block as ever", got, len(items))
						}
					})
				}
			}
		}
	}
}

// A client that reconnects in the middle of a large block also ends up with its text,
// also if the block began before the rows that are read.
func TestText_LargeJoinedMidway_SameText(t *testing.T) {
	text := strings.Repeat("the quick brown fox ", 4<<20/20)
	for size, every := range map[int]int64{600_000: 1, 11_000: 43} {
		c := newResumedChat(t)
		for at := 0; at < len(text); at += size {
			c.event(textEvent(true, text[at:min(at+size, len(text))]))
		}
		c.event(`{"type":"tool_call","name":"Bash","input":{}}`)
		c.event(textEvent(false, text))
		read := func(after, upto int64) (items []event.Item) {
			for it, err := range c.c.History(t.Context(), c.read, after, upto) {
				c.must(err)
				if it.Kind != "" {
					items = append(items, it)
				}
			}
			return items
		}
		for left := int64(1); left < c.seq; left += every {
			joined := c.seq - left
			if got := shownText(t, append(read(0, joined), read(joined, c.seq)...)); got != text {
				t.Errorf("deltas of %d bytes, joined after the event %d: got %d bytes of text, want the %d that were said", size, joined, len(got), len(text))
			}
		}
	}
}

func TestText_NotLarge_OneBlock(t *testing.T) {
	text := strings.Repeat("x", event.MaxText)
	tr := newTestTranslator(event.VisibilityChat, false, newTestLedger())
	if got := tr.step(upstreamEvent(1, textEvent(true, text))).items; len(got) != 1 {
		t.Errorf("got %d events of a delta, want 1", len(got))
	}
	if got := tr.step(upstreamEvent(2, textEvent(false, text))).items; len(got) != 1 {
		t.Errorf("got %d events of its block, want 1", len(got))
	}
}

// Data other than text is shortened to fit, and marked as truncated.
func TestEvents_Large_Truncated(t *testing.T) {
	const size = 5 << 20
	long := strings.Repeat("y", size)
	var many strings.Builder
	many.WriteString(`{"b":"first"`)
	for i := range 200_000 {
		fmt.Fprintf(&many, `,"k%d":{"v":[%d,true,null,"t"]}`, i, i)
	}
	many.WriteString("}")
	for name, c := range map[string]struct{ kind, payload string }{
		"approval, one long text": {"approval", `{"type":"permission_request","tool_name":"Bash","input":{"command":"` + long + `","cwd":"/x"}}`},
		"approval, many members":  {"approval", `{"type":"permission_request","tool_name":"Bash","input":` + many.String() + `}`},
		"approval, a long name":   {"approval", `{"type":"permission_request","tool_name":"` + long + `","input":{}}`},
		"upstream, 14 MiB":        {"upstream", `{"type":"weather","sky":"` + long + long + long[:4<<20] + `"}`},
		"upstream, a list":        {"upstream", `{"type":"weather","sky":[` + strings.Repeat(`"cloud",`, size/8) + `"sun"]}`},
		"upstream, long texts":    {"upstream", `{"type":"weather","sky":["` + strings.Repeat(long[:1<<20]+`","`, 5) + `"]}`},
		"upstream, a long number": {"upstream", `{"type":"weather","sky":1` + strings.Repeat("0", size) + `}`},
		"upstream, deep":          {"upstream", `{"type":"weather","sky":` + strings.Repeat(`[`, 5000) + `"` + long + `"` + strings.Repeat(`]`, 5000) + `}`},
		"user":                    {"user", `{"type":"user","text":"` + long + `"}`},
		"user, names of files":    {"user", `{"type":"user","text":"hi","attachments":[{"name":"` + long + `","mime":"m"}]}`},
		"question":                {"question", `{"type":"ask_user_question","question":"` + long + `","options":["a"]}`},
		"question, a long option": {"question", `{"type":"ask_user_question","question":"Q?","options":["a","` + long + `"]}`},
	} {
		t.Run(name, func(t *testing.T) {
			tr := newTestTranslator(event.VisibilityFull, false, newTestLedger())
			tr.approvals = true
			items := tr.step(upstreamEvent(1, c.payload)).items
			if len(items) != 1 || items[0].Kind != c.kind {
				t.Fatalf("got %d events, want one %s", len(items), c.kind)
			}
			if n := len(items[0].Entry(1).Frame); n > event.MaxFrame {
				t.Errorf("got a frame of %d bytes, want %d at most", n, event.MaxFrame)
			}
			var got struct {
				Truncated bool            `json:"truncated"`
				Tool      string          `json:"tool"`
				Input     map[string]any  `json:"input"`
				Payload   json.RawMessage `json:"payload"`
			}
			data, err := json.Marshal(items[0].Payload())
			if err != nil || json.Unmarshal(data, &got) != nil || !got.Truncated {
				t.Errorf("got %.200s, %v, want JSON that says it is truncated", data, err)
			}
			if c.kind == "approval" && (got.Tool == "" || got.Input == nil) || c.kind == "upstream" && len(got.Payload) < 10 {
				t.Errorf("got %.200s, want what fits", data)
			}
		})
	}
}

func TestEvents_NotLarge_NotTruncated(t *testing.T) {
	tr := newTestTranslator(event.VisibilityFull, false, newTestLedger())
	payload := `{"type":"weather","z":"` + strings.Repeat("y", 2<<20) + `","a":1e400}`
	data, _ := json.Marshal(tr.step(upstreamEvent(1, payload)).items[0].Payload())
	if want := `{"payload":` + payload + `}`; string(data) != want {
		t.Errorf("got %.100s, want it as it came", data)
	}
}

// A turn without an event of AnyFrame's is shortened like one with an event.
func TestOwnMessage_Large_Truncated(t *testing.T) {
	c := newChat(t, memory.New(), 5<<20)
	c.silent = true
	c.rows = []anyframe.ChatEvent{}
	c.turn("k1")
	for it, err := range c.c.History(t.Context(), c.read, 0, 99) {
		c.must(err)
		if user, ok := it.Data.(event.UserData); ok && (!user.Truncated || len(user.Text) > event.MaxText) {
			t.Errorf("got %d bytes, truncated %v, want what fits", len(user.Text), user.Truncated)
		}
	}
}

// Of a large unnumbered block, a log holds no more than its text.
func TestCompact_LargeBlock_HeldOnce(t *testing.T) {
	c := newTestConversation(chatOptions.Limits)
	text := strings.Repeat("z", 3<<20+1<<18)
	for at := 0; at < len(text); at += 1 << 14 {
		ev := upstream.Decode(anyframe.Event{Data: json.RawMessage(textEvent(true, text[at:min(at+1<<14, len(text))]))})
		c.Apply(context.Background(), &ev)
	}
	if _, bytes := c.Log().Size(); bytes > len(text)+len(text)/2 {
		t.Errorf("got %d bytes held for %d bytes of text, want them about once", bytes, len(text))
	}
}
