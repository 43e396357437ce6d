package conversation

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/ledger"
	"github.com/anyframe-relay/relay/relay/internal/redact"
	"github.com/anyframe-relay/relay/relay/internal/store/memory"
	"github.com/anyframe-relay/relay/relay/internal/upstream"
)

// newTestLedger returns a ledger whose log begins with the conversation, with some turns.
func newTestLedger(turns ...ledger.Turn) *ledger.Ledger {
	l := ledger.New(ledger.Options{Notes: memory.New(), TTL: time.Hour}, "visitor", 1, 0, slog.New(slog.DiscardHandler))
	for _, turn := range turns {
		l.Set(turn)
	}
	return l
}

func newTestTranslator(v event.Visibility, isPast bool, l *ledger.Ledger) *translator {
	var m merger = &live{Ledger: l}
	if isPast {
		m = newPast(context.Background(), l)
	}
	return newTranslator(&Options{Visibility: v, Patterns: redact.KeyPatterns("afm_test")}, 1, 0, l, m)
}

func upstreamEvent(seq int64, payload string) *upstream.Event {
	ev := upstream.Decode(anyframe.Event{Seq: seq, Data: json.RawMessage(payload)})
	return &ev
}

// said returns items in the notation of the tests: id, kind and data.
func said(items []event.Item) []string {
	var all []string
	for _, it := range items {
		data, _ := json.Marshal(it.Payload())
		all = append(all, fmt.Sprintf("%d %s %s", it.Seq, it.Kind, data))
	}
	return all
}

func wantSaid(t *testing.T, what string, got []event.Item, want ...string) {
	t.Helper()
	if !slices.Equal(said(got), want) {
		t.Errorf("%s:\n got  %q\n want %q", what, said(got), want)
	}
}

func TestTranslator_EveryPayload_AsInTable(t *testing.T) {
	const hidden = "-"
	for name, c := range map[string]struct {
		payload           string
		chat, tools, full string // what is shown; hidden is nothing, empty is the same as the one before
	}{
		"message.content":      {payload: `{"type":"assistant","message":{"content":[{"type":"text","text":"a"}]}}`, chat: `7 text {"text":"a","delta":false}`},
		"content":              {payload: `{"type":"assistant","content":[{"type":"text","text":"a"}]}`, chat: `7 text {"text":"a","delta":false}`},
		"message.content wins": {payload: `{"type":"assistant","content":[{"type":"text","text":"no"}],"message":{"content":[{"type":"text","text":"a"}]}}`, chat: `7 text {"text":"a","delta":false}`},
		"a plain string":       {payload: `{"type":"assistant","message":{"content":"a"}}`, chat: `7 text {"text":"a","delta":false}`},
		"an old class name":    {payload: `{"type":"assistant","content":[{"__class__":"TextBlock","text":"a"}]}`, chat: `7 text {"text":"a","delta":false}`},
		"an old tool use": {
			payload: `{"type":"assistant","content":[{"__class__":"ToolUseBlock","name":"Read","input":{"file_path":"/x","secret":"s"}}]}`,
			chat:    hidden, tools: `7 tool {"name":"Read","state":"running","summary":"/x"}`,
			full: `0 tool {"name":"Read","state":"running","summary":"/x"}|7 upstream {"payload":{"type":"assistant","content":[{"__class__":"ToolUseBlock","name":"Read","input":{"file_path":"/x","secret":"s"}}]}}`,
		},
		"a delta":       {payload: `{"type":"assistant","delta":true,"content":[{"type":"text","text":" a "}]}`, chat: `7 text {"text":" a ","delta":true}`},
		"an empty text": {payload: `{"type":"assistant","content":[{"type":"text","text":""}]}`, chat: hidden},
		"two blocks": {
			payload: `{"type":"assistant","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}`,
			chat:    `0 text {"text":"a","delta":false}|7 text {"text":"b","delta":false}`,
		},
		"thinking": {
			payload: `{"type":"assistant","content":[{"type":"thinking","thinking":"psst"}]}`, chat: hidden, tools: hidden,
			full: `7 upstream {"payload":{"type":"assistant","content":[{"type":"thinking","thinking":"psst"}]}}`,
		},
		"assistant_message":     {payload: `{"type":"assistant_message","text":"a"}`, chat: `7 text {"text":"a","delta":false}`},
		"user_message":          {payload: `{"type":"user_message","text":"hi","attachments":[{"name":"n","mime":"m","data":"d"}]}`, chat: `7 user {"text":"hi","attachments":[{"name":"n","mime":"m"}]}`},
		"user":                  {payload: `{"type":"user","message":{"content":[{"type":"text","text":"hi"}]}}`, chat: `7 user {"text":"hi","attachments":[]}`},
		"only results of tools": {payload: `{"type":"user","message":{"content":[{"type":"tool_result","tool_use_id":"x","content":"secret"}]}}`, chat: hidden, tools: hidden},
		"tool_call":             {payload: `{"type":"tool_call","name":"Bash","input":{"command":"ls  -l"}}`, chat: hidden, tools: `7 tool {"name":"Bash","state":"running","summary":"ls -l"}`},
		"a question":            {payload: `{"type":"ask_user_question","question":"Q?","options":["a",{"label":"b"}],"prompt_id":"secret"}`, chat: `7 question {"id":"p1-7","question":"Q?","options":["a","b"]}`},
		"a permission":          {payload: `{"type":"permission_request","tool_name":"Bash","input":{"command":"x"},"request_id":"secret"}`, chat: `7 approval {"id":null}`},
		"a result":              {payload: `{"type":"result","subtype":"success"}`, chat: `7 turn_end {"reason":"done","code":null}`},
		"a result in error":     {payload: `{"type":"result","is_error":true,"error":"secret"}`, chat: `7 turn_end {"reason":"failed","code":"agent_error"}`},
		"a result interrupted":  {payload: `{"type":"result","subtype":"interrupted"}`, chat: `7 turn_end {"reason":"interrupted","code":null}`},
		"_error":                {payload: `{"type":"_error","error":"secret"}`, chat: `7 turn_end {"reason":"failed","code":"agent_error"}`},
		"unknown":               {payload: `{"type":"weather","sky":"clear"}`, chat: hidden, tools: hidden, full: `7 upstream {"payload":{"type":"weather","sky":"clear"}}`},
		"not JSON":              {payload: `{"type":"assi`, chat: hidden},
		"not an object":         {payload: `[1]`, chat: hidden, tools: hidden, full: `7 upstream {"payload":[1]}`},
		"no type":               {payload: `{"text":"x"}`, chat: hidden, tools: hidden, full: `7 upstream {"payload":{"text":"x"}}`},
	} {
		t.Run(name, func(t *testing.T) {
			want := ""
			for _, at := range []struct {
				v    event.Visibility
				want string
			}{{event.VisibilityChat, c.chat}, {event.VisibilityTools, c.tools}, {event.VisibilityFull, c.full}} {
				if at.want != "" {
					want = at.want
				}
				var lines []string
				if want != hidden {
					lines = strings.Split(want, "|")
				}
				for _, past := range []bool{false, true} {
					got := newTestTranslator(at.v, past, newTestLedger()).step(upstreamEvent(7, c.payload))
					wantSaid(t, fmt.Sprintf("%s, past %t", at.v, past), got.items, lines...)
				}
			}
		})
	}
}

func delta(seq int64, text string) *upstream.Event {
	return upstreamEvent(seq, fmt.Sprintf(`{"type":"assistant","delta":true,"content":[{"type":"text","text":%q}]}`, text))
}

func block(seq int64, text string) *upstream.Event {
	return upstreamEvent(seq, fmt.Sprintf(`{"type":"assistant","content":[{"type":"text","text":%q}]}`, text))
}

func TestTranslator_DeltasMissing_AddedBeforeBlock(t *testing.T) {
	for name, c := range map[string]struct {
		events []*upstream.Event
		gap    int64
		want   []string
	}{
		"the end is missing": {[]*upstream.Event{delta(0, "a"), block(2, "abc")}, -1, []string{
			`0 text {"text":"a","delta":true}`, `0 text {"text":"bc","delta":true}`, `2 text {"text":"abc","delta":false}`,
		}},
		"nothing is missing": {[]*upstream.Event{delta(0, "abc"), block(2, "abc")}, -1, []string{
			`0 text {"text":"abc","delta":true}`, `2 text {"text":"abc","delta":false}`,
		}},
		"another text": {[]*upstream.Event{delta(0, "x"), block(2, "abc")}, -1, []string{
			`0 text {"text":"x","delta":true}`, `2 text {"text":"abc","delta":false}`,
		}},
		"torn, until the next block": {[]*upstream.Event{delta(0, "c"), block(2, "abc"), delta(0, "d"), block(3, "d")}, 1, []string{
			`2 text {"text":"abc","delta":false}`, `0 text {"text":"d","delta":true}`, `3 text {"text":"d","delta":false}`,
		}},
		"torn, a block from before heals nothing": {[]*upstream.Event{block(2, "old"), delta(0, "c"), block(3, "abc")}, 2, []string{
			`2 text {"text":"old","delta":false}`, `3 text {"text":"abc","delta":false}`,
		}},
		"torn, until the next old message": {[]*upstream.Event{delta(0, "c"), upstreamEvent(2, `{"type":"assistant_message","text":"abc"}`), delta(0, "d")}, 1, []string{
			`2 text {"text":"abc","delta":false}`, `0 text {"text":"d","delta":true}`,
		}},
		"torn, until the next of several blocks": {[]*upstream.Event{delta(0, "c"), upstreamEvent(2, `{"type":"assistant","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}`), delta(0, "d")}, 1, []string{
			`0 text {"text":"a","delta":false}`, `2 text {"text":"b","delta":false}`, `0 text {"text":"d","delta":true}`,
		}},
		"torn, numbered deltas are whole": {[]*upstream.Event{delta(2, "abc"), block(3, "abc")}, 1, []string{
			`2 text {"text":"abc","delta":true}`, `3 text {"text":"abc","delta":false}`,
		}},
		"two blocks whose deltas came as one": {[]*upstream.Event{delta(0, "ab"), upstreamEvent(2, `{"type":"assistant","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}`)}, -1, []string{
			`0 text {"text":"ab","delta":true}`, `2 text {"text":"ab","delta":false}`,
		}},
	} {
		tr := newTestTranslator(event.VisibilityChat, false, newTestLedger())
		tr.gapUntil = c.gap
		var got []event.Item
		for _, ev := range c.events {
			got = append(got, tr.step(ev).items...)
		}
		wantSaid(t, name, got, c.want...)
	}
}

// TestHistory_AfterLiveEvents_SameEvents runs events through a translator of each kind,
// from every starting point: the numbered events are the same, and so are the visitor's
// own messages and their places.
func TestHistory_AfterLiveEvents_SameEvents(t *testing.T) {
	book := newTestLedger(
		ledger.Turn{Key: "numbered", Text: "numbered", Seq: 4, After: 3, State: ledger.Sent}, ledger.Turn{Key: "echoed", Text: "echoed", Seq: 9, After: 8, State: ledger.Sent},
		ledger.Turn{Key: "no answer", Text: "no answer", After: 12, State: ledger.Sent}, ledger.Turn{Key: "held", Text: "held", After: 12},
	)
	events := []*upstream.Event{
		block(1, "a"), upstreamEvent(2, `{"type":"result"}`), upstreamEvent(3, `{"type":"weather"}`), delta(5, "b"), block(6, "b"),
		upstreamEvent(8, `{"type":"result"}`), upstreamEvent(9, `{"type":"user_message","text":"echoed"}`), block(11, "c"),
		upstreamEvent(12, `{"type":"result"}`), block(14, "d"), upstreamEvent(20, `{"type":"result"}`),
	}
	var live []string
	at := map[int64]int{0: 0} // seq → number of items shown by then
	tr := newTestTranslator(event.VisibilityChat, false, book)
	for _, ev := range events {
		out := tr.step(ev)
		live = append(live, said(out.items)...)
		for _, end := range out.ends {
			book.EndTurn(end)
		}
		at[ev.Seq] = len(live)
	}
	for _, want := range []string{
		`0 user {"text":"numbered","attachments":[],"turn":"numbered"}`, `9 user {"text":"echoed","attachments":[],"turn":"echoed"}`,
		`0 user {"text":"no answer","attachments":[],"turn":"no answer"}`,
	} {
		if n := strings.Count(strings.Join(live, "\n"), want); n != 1 {
			t.Errorf("live: got %q %d times, want once in\n%s", want, n, strings.Join(live, "\n"))
		}
	}
	for from, told := range at {
		past := newTestTranslator(event.VisibilityChat, true, book)
		past.last = from
		var got []string
		for _, ev := range events {
			if ev.Seq > from {
				got = append(got, said(past.step(ev).items)...)
			}
		}
		if want := live[told:]; !slices.Equal(got, want) {
			t.Errorf("after %d:\n got  %q\n want %q", from, got, want)
		}
	}
}

func TestPrompts_AgentContinues_Settled(t *testing.T) {
	const asked = `{"type":"ask_user_question","question":"Q?"}`
	const settled = `0 settled {"id":"p1-3","outcome":"elsewhere"}`
	for name, c := range map[string]struct {
		after *ledger.Prompt // the prompt in the ledger when the agent continues
		want  []string
	}{
		"nobody here answered":         {&ledger.Prompt{ID: "p1-3", Seq: 3}, []string{settled, `4 text {"text":"a","delta":false}`}},
		"not known":                    {nil, []string{settled, `4 text {"text":"a","delta":false}`}},
		"answered here":                {&ledger.Prompt{ID: "p1-3", Seq: 3, State: ledger.Settled}, []string{`4 text {"text":"a","delta":false}`}},
		"an answer is on its way":      {&ledger.Prompt{ID: "p1-3", Seq: 3, State: ledger.Answering, Outcome: "answered"}, []string{`4 text {"text":"a","delta":false}`}},
		"an answer of which no more":   {&ledger.Prompt{ID: "p1-3", Seq: 3, State: ledger.Claimed, Outcome: "answered"}, []string{`0 settled {"id":"p1-3","outcome":"answered"}`, `4 text {"text":"a","delta":false}`}},
		"an approval nobody here sees": {&ledger.Prompt{ID: "p1-3", Seq: 3, Approval: true}, []string{`4 text {"text":"a","delta":false}`}},
	} {
		book := newTestLedger()
		tr := newTestTranslator(event.VisibilityChat, false, book)
		if out := tr.step(upstreamEvent(3, asked)); out.asked != "p1-3" {
			t.Fatalf("got prompt %q, want p1-3", out.asked)
		}
		if c.after != nil {
			book.SetPrompt(*c.after)
		}
		wantSaid(t, name, tr.step(block(4, "a")).items, c.want...)
	}
}

func TestMessage_AttachmentsMissingInEvent_NamesKept(t *testing.T) {
	book := newTestLedger()
	files := []event.Attachment{{Name: "a.txt", MIME: "text/plain"}}
	book.Set(ledger.Turn{Key: "k1", Seq: 4, State: ledger.Sent, Text: "look", Attachments: files})
	ev := upstream.Decode(anyframe.Event{Seq: 4, Data: []byte(`{"type":"user_message","text":"look"}`)})
	out := newTestTranslator(event.VisibilityChat, false, book).step(&ev)
	want := event.UserData{Text: "look", Attachments: files, Turn: "k1"}
	if len(out.items) != 1 || !reflect.DeepEqual(out.items[0].Payload(), want) {
		t.Errorf("got %+v, want %+v", out.items, want)
	}
}

func TestOwnTurn_EarlierTurnsShown_Shown(t *testing.T) {
	book := newTestLedger()
	tr := newTestTranslator(event.VisibilityChat, false, book)
	for seq, key := range []string{"first", "second"} {
		book.Set(ledger.Turn{Key: key, State: ledger.Sent, Seq: int64(10*seq + 2), Text: key})
		for next := range int64(3) { // the second one finds that everything is shown
			ev := upstream.Decode(fed(int64(10*seq+3) + next))
			out := tr.step(&ev)
			if next == 0 && (len(out.items) != 2 || out.items[0].Kind != "user") {
				t.Errorf("%s: got %v, want the turn before the delta", key, out.items)
			}
		}
	}
}
