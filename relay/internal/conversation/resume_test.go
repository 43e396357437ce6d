package conversation

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/store/memory"
)

func newResumedChat(t *testing.T, events ...string) *chat {
	c := newChat(t, memory.New(), 1)
	c.rows = []anyframe.ChatEvent{}
	for _, ev := range events {
		c.event(ev)
	}
	return c
}

// wantSameEnds fails the test if a reader who resumes after an event gets anything but
// the rest of what a reader from the start gets. It tries events with an id, as clients
// do.
func (c *chat) wantSameEnds(what string) {
	c.tb.Helper()
	all := c.history(0)
	for i, it := range all {
		if it.Seq == 0 || i > 20 && i%20 > 0 { // of a long one, some
			continue
		}
		if got, want := said(c.history(it.Seq)), said(all[i+1:]); !slices.Equal(got, want) {
			var rows []string
			for _, row := range c.rows {
				rows = append(rows, fmt.Sprintf("%d %s", row.Seq, row.Payload))
			}
			c.tb.Errorf("%s, after %d:\n got  %q\n want %q\nrows\n  %.3000s", what, it.Seq, got, want, strings.Join(rows, "\n  "))
			return
		}
	}
}

// The deltas after any place may happen to be the beginning of the block. They are not
// taken for all of them, which would show the rest of the block twice.
func TestHistory_ResumedInsideBlock_TextOnce(t *testing.T) {
	newResumedChat(t, textEvent(true, "**"), textEvent(true, "Note"), textEvent(true, "**"), textEvent(false, "**Note**")).wantSameEnds("a short block")

	var long []string
	for range keyRows + 50 {
		long = append(long, textEvent(true, "*"))
	}
	c := newResumedChat(t, append(long, textEvent(false, strings.Repeat("*", len(long))))...)
	c.wantSameEnds("a block of more rows than are read")
}

func TestTranslator_DeltasDropped_NextOnesNotTakenForTheFirst(t *testing.T) {
	tr := newTestTranslator(event.VisibilityChat, false, newTestLedger())
	tr.step(delta(1, "**Note"))
	tr.dropDeltas(1)
	wantSaid(t, "a delta", tr.step(delta(2, "**")).items, `2 text {"text":"**","delta":true}`)
	wantSaid(t, "the block", tr.step(block(3, "**Note**")).items, `3 text {"text":"**Note**","delta":false}`)
	tr.step(delta(4, "a"))
	wantSaid(t, "the next block", tr.step(block(5, "ab")).items, `0 text {"text":"b","delta":true}`, `5 text {"text":"ab","delta":false}`)
}

// between are rows that do not end the agent's text.
var between = map[string]string{
	"nothing":                  "",
	"a message":                `{"type":"user","text":"and?"}`,
	"thinking":                 `{"type":"assistant","delta":true,"content":[{"type":"thinking","thinking":"t"}]}`,
	"a tool":                   `{"type":"tool_call","name":"Bash","input":{"command":"x"}}`,
	"a question":               `{"type":"ask_user_question","question":"Q?"}`,
	"an unknown event":         `{"type":"system"}`,
	"a subagent":               `{"type":"assistant","parent_tool_use_id":"x","content":[{"type":"text","text":"t"}]}`,
	"a subagent's delta":       `{"type":"assistant","delta":true,"parent_tool_use_id":"x","content":[{"type":"text","text":"t"}]}`,
	"a subagent's old message": `{"type":"assistant_message","parent_tool_use_id":"x","text":"t"}`,
}

// A reader chooses where to begin. It may be within a key, with other rows before the
// next piece of the text.
func TestMasking_KeyOverDeltasWithRowsBetween_MaskedFromAnyStart(t *testing.T) {
	for name, row := range between {
		for _, n := range []int{1, 40, pageRows + 10} { // the last: the rest of the key is not on the first piece of the transcript
			c := newResumedChat(t, textEvent(true, "The key is afm_"))
			for range n {
				if row != "" {
					c.event(row)
				}
			}
			c.event(textEvent(true, canarySecret+"."))
			for _, since := range []int64{0, 1, c.seq / 2, c.seq - 1} {
				var page strings.Builder
				for next := new(since); next != nil; {
					var err error
					next, err = c.c.Page(t.Context(), c.read, *next, 50, func(row []event.Item) bool {
						page.WriteString(strings.Join(said(row), "\n"))
						return true
					})
					c.must(err)
				}
				for how, got := range map[string]string{"a page": page.String(), "a stream": strings.Join(said(c.history(since)), "\n")} {
					if strings.Contains(got, canarySecret[4:]) || !strings.Contains(got, "…") {
						t.Fatalf("%d of %s between, %s after %d: got %s, want the key masked", n, name, how, since, got)
					}
				}
			}
		}
	}
}

// TestMasking_RandomConversations_SameFromAnyStart compares readers who begin at each
// event of random conversations with one who begins at the start.
func TestMasking_RandomConversations_SameFromAnyStart(t *testing.T) {
	pieces := []string{"a", "afm_", canarySecret, " ", "😀", "xyz "}
	others := slices.Sorted(maps.Values(between))[1:]
	for seed := range uint64(600) {
		r := rand.New(rand.NewPCG(seed, 7))
		c := newResumedChat(t)
		c.silent = seed%4 == 0
		own := seed%2 == 0 // the visitor's messages instead of others
		text := ""
		for range 3 + r.IntN(10) {
			switch n := r.IntN(15); {
			case n < 5:
				piece := pieces[r.IntN(len(pieces))]
				text += piece
				c.event(textEvent(true, piece))
			case n < 6:
				text += "😀"
				c.event(`{"type":"assistant","delta":true,"content":[{"type":"text","text":"\ud83d"}]}`)
				c.event(`{"type":"assistant","delta":true,"content":[{"type":"text","text":"\ude00"}]}`)
			case n < 10:
				if row := others[r.IntN(len(others))]; !own || row != between["a message"] {
					c.event(row)
				}
			case n < 11 && text != "":
				c.event([]string{textEvent(false, text), fmt.Sprintf(`{"type":"assistant_message","text":%q}`, text)}[r.IntN(2)])
				text = ""
			case own && n < 12:
				c.turn(fmt.Sprint("k", c.seq))
				text = ""
			case own && n < 13:
				c.send(fmt.Sprint("k", c.seq))
			case own && n < 14:
				c.interrupt(true)
				text = ""
			default:
				c.event(`{"type":"result"}`)
				text = ""
			}
		}
		c.wantSameEnds(fmt.Sprint("conversation ", seed))
	}
}

// A reader can cause a few calls at most, whatever number it begins after.
func TestHistory_ResumedAnywhere_FewRowsRead(t *testing.T) {
	c := newResumedChat(t)
	for _, texts := range []int{1, pageRows, 2 * keyRows} {
		for range texts {
			c.event(textEvent(true, "x "))
			c.event(`{"type":"system"}`)
		}
		c.event(textEvent(false, strings.Repeat("x ", texts)))
		c.event(`{"type":"user","text":"and?"}`)
	}
	for since := int64(0); since < c.seq; since += 11 {
		calls, rows := 0, 0
		_, err := c.c.Page(t.Context(), func(ctx context.Context, since int64, limit int) ([]anyframe.ChatEvent, error) {
			page, err := c.read(ctx, since, limit)
			calls, rows = calls+1, rows+len(page)
			return page, err
		}, since, 1, func([]event.Item) bool { return true })
		if most := 1 + pageRows + keyRows + MaxRows; err != nil || calls > 5 || rows > most {
			t.Fatalf("a page after %d: got %d calls for %d rows, error %v, want 5 for %d at most", since, calls, rows, err, most)
		}
	}
}

// A reader who begins while an operator's message runs does not see that message. The end
// of it is not taken for the end of the visitor's turn that waits behind it.
func TestHistory_ResumedWhileOperatorsMessageRuns_TurnsEndOnce(t *testing.T) {
	const operators, result = `{"type":"user","text":"operator"}`, `{"type":"result"}`
	for name, c := range map[string]struct {
		play func(c *chat)
		want []string // the turns that end
	}{
		"the visitor's waits": {func(c *chat) {
			c.event(operators)
			c.send("k1")
			c.event(result)
			c.event(result)
		}, []string{"", "k1"}},
		"two of the visitor's wait": {func(c *chat) {
			c.event(operators)
			c.event(operators)
			c.send("k1")
			c.send("k2")
			for range 4 {
				c.event(result)
			}
		}, []string{"", "", "k1", "k2"}},
		"the visitor's was interrupted": {func(c *chat) {
			c.send("k1")
			c.interrupt(false)
			c.event(operators)
			c.event(result)
		}, []string{""}},
	} {
		for who, reopen := range map[string]bool{"this process": false, "another": true} {
			chat := newResumedChat(t)
			c.play(chat)
			if reopen {
				chat.open(chat.seq)
			}
			var ends []string
			for _, it := range chat.history(0) {
				if end, ok := it.Data.(event.TurnEndData); ok {
					ends = append(ends, end.Turn)
				}
			}
			if !slices.Equal(ends, c.want) {
				t.Errorf("%s, %s: got ends of %q, want %q", name, who, ends, c.want)
			}
			chat.wantSameEnds(name + ", " + who)
		}
	}
}
