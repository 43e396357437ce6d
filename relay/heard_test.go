package relay

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/jsonscan"
)

// textOf reads a text block, or a delta of one, the long way.
func textOf(data []byte) (text string, delta, ok bool) {
	m := members(data)
	blocks := m.blocks()
	if m.str("type") != "assistant" || len(blocks) != 1 || blocks[0].blockType() != "text" {
		return "", false, false
	}
	text = blocks[0].str("text")
	return text, m.flag("delta"), text != "" && json.Valid(data)
}

func TestTextIsReadTheShortWay(t *testing.T) {
	for name, data := range map[string]string{
		"message.content": `{"type":"assistant","delta":true,"message":{"content":[{"type":"text","text":"a b"}]}}`,
		"content":         `{"type":"assistant","delta":true,"content":[{"type":"text","text":"a b"}]}`,
		"in any order":    `{ "content" : [ { "text" : "a b", "type" : "text" } ], "delta" : true, "type" : "assistant" }`,
		"with more":       `{"type":"assistant","n":[1,{"a":"]}"}],"delta":true,"content":[{"citations":null,"type":"text","text":"a b"}]}`,
		"with escapes":    `{"type":"assistant","delta":true,"content":[{"type":"text","text":"a\u0020b"}]}`,
	} {
		if got := hear(anyframe.Event{Data: []byte(data)}); got.delta != "a b" || got.members != nil {
			t.Errorf("%s: got delta %q, members %v, want %q and none", name, got.delta, got.members, "a b")
		}
		for _, whole := range []string{strings.Replace(data, "true", "false", 1), strings.NewReplacer(`"delta":true,`, "", `"delta" : true,`, "").Replace(data)} {
			if got := hear(anyframe.Event{Data: []byte(whole)}); got.whole != "a b" || got.delta != "" || got.members != nil {
				t.Errorf("%s: got block %q, delta %q, members %v, want %q and none", whole, got.whole, got.delta, got.members, "a b")
			}
		}
	}
}

func TestWhatJSONWritesAsItIsIsFoundEightBytesAtATime(t *testing.T) {
	text := []byte("what stands for itself, from ' ' to ~\x7f")
	for at := range text {
		for c := range 256 {
			got := append([]byte(nil), text...)
			got[at] = byte(c)
			want := len(text)
			if c < ' ' || c >= 0x80 || c == '"' || c == '\\' {
				want = at
			}
			if n := jsonscan.Plain(got); n != want {
				t.Fatalf("%q: got %d, want %d", got, n, want)
			}
		}
	}
}

// The short way must never take for text what the long way does not: tried
// with events that are cut, doubled and mixed at random.
func TestTheShortWayComesToTheSameAsTheLong(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 26))
	seeds := []string{
		`{"type":"assistant","delta":true,"message":{"role":"assistant","content":[{"type":"text","text":"a\n\"b\" é"}]}}`,
		`{"type":"assistant","delta":true,"content":[{"type":"text","text":"a"}],"x":1e5}`,
		`{"type":"assistant","delta":true,"content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}`,
		`{"type":"assistant","delta":true,"content":[{"type":"text","text":"a"}}`,
		`{"type":"assistant","delta":true,"content":[{"type":"text","text":"a"},]}`,
		`{"type":"assistant","delta":true,"content":[{"type":"text","text":"a"}],}`,
		`{"type":"assistant","delta":true,"type":"user","content":[{"type":"text","text":"a"}]}`,
		`{"type":"assistant","delta":true,"message":null,"content":[{"type":"text","text":"a"}]}`,
		`{"type":"assistant","delta":true,"content":[{"type":"text","text":"a"}],"x":[}}`,
		`{"type":"assistant","message":{"content":[{"type":"text","text":"whole"}]}}`,
		`{"type":"assistant","delta":false,"content":[{"type":"text","text":"whole"}]}`,
		`{"type":"assistant","delta":null,"content":[{"type":"text","text":"whole"}]}`,
		`{"type":"assistant","delta":true,"content":[{"__class__":"TextBlock","text":"\q"}]}`,
		"\u0085" + `{"type":"assistant","delta":true,"content":[{"type":"text","text":"a"}]}`,
	}
	texts, deltas, formed := 0, 0, 0
	var known forms
	for range 100_000 {
		data := []byte(seeds[rng.IntN(len(seeds))])
		for range rng.IntN(4) {
			from := []byte(seeds[rng.IntN(len(seeds))])
			at, begin := rng.IntN(len(data)+1), rng.IntN(len(from))
			piece := from[begin:min(begin+1+rng.IntN(8), len(from))]
			data = slices.Replace(data, at, min(at+rng.IntN(9), len(data)), piece...)
		}
		if last := known.last.Load(); last != nil && last.text(data) != "" {
			formed++
		}
		ev := anyframe.Event{Seq: 7, Data: data}
		if got, want := known.hear(ev), hear(ev); !reflect.DeepEqual(got, want) {
			t.Fatalf("%q: got %+v, want %+v", data, got, want)
		}
		if rng.IntN(8) == 0 {
			known.strange.Store(0) // the next delta is looked at
		}
		got, delta, ok := plainText(data)
		if !ok {
			continue
		}
		texts++
		if delta {
			deltas++
		}
		if want, wantDelta, isText := textOf(data); !isText || got != want || delta != wantDelta {
			t.Fatalf("%q: got text %q, delta %v, want %v: %q, delta %v", data, got, delta, isText, want, wantDelta)
		}
	}
	if deltas < 1000 || texts-deltas < 1000 || formed < 100 {
		t.Errorf("only %d deltas, %d of a known form, and %d blocks were among them", deltas, formed, texts-deltas)
	}
}

func TestAFormIsTakenOnlyOfTheText(t *testing.T) {
	for name, c := range map[string]struct {
		learnt, then string
		known        bool
	}{
		"the same":                {`{"type":"assistant","delta":true,"content":[{"type":"text","text":"a"}]}`, `{"type":"assistant","delta":true,"content":[{"type":"text","text":"bcd"}]}`, true},
		"with an escape":          {`{"type":"assistant","delta":true,"content":[{"type":"text","text":"a"}]}`, `{"type":"assistant","delta":true,"content":[{"type":"text","text":"b\n"}]}`, false},
		"with no text":            {`{"type":"assistant","delta":true,"content":[{"type":"text","text":"a"}]}`, `{"type":"assistant","delta":true,"content":[{"type":"text","text":""}]}`, false},
		"shorter than the form":   {`{"type":"assistant","delta":true,"content":[{"type":"text","text":"a"}]}`, `{"type":"assistant","delta":true,"content":[{"type":"text","text":"}]}`, false},
		"the text elsewhere":      {`{"x":"a","type":"assistant","delta":true,"content":[{"type":"text","text":"a"}]}`, `{"x":"b","type":"assistant","delta":true,"content":[{"type":"text","text":"a"}]}`, false},
		"a text that is a key":    {`{"type":"assistant","delta":true,"content":[{"type":"text","text":"text"}]}`, `{"type":"assistant","delta":true,"content":[{"type":"b","text":"text"}]}`, false},
		"the probe":               {`{"x":"` + probe + `","type":"assistant","delta":true,"content":[{"type":"text","text":"` + probe + `"}]}`, `{"x":"b","type":"assistant","delta":true,"content":[{"type":"text","text":"` + probe + `"}]}`, false},
		"escapes, to be learnt":   {`{"type":"assistant","delta":true,"content":[{"type":"text","text":"\u0061"}]}`, `{"type":"assistant","delta":true,"content":[{"type":"text","text":"b"}]}`, false},
		"more than there may be":  {`{"x":"` + strings.Repeat("y", maxForm) + `","type":"assistant","delta":true,"content":[{"type":"text","text":"a"}]}`, `{"x":"` + strings.Repeat("y", maxForm) + `","type":"assistant","delta":true,"content":[{"type":"text","text":"b"}]}`, false},
		"a block is not a delta":  {`{"type":"assistant","content":[{"type":"text","text":"a"}]}`, `{"type":"assistant","content":[{"type":"text","text":"b"}]}`, false},
		"what is around it grows": {`{"type":"assistant","delta":true,"content":[{"type":"text","text":"a"}]}`, `{"type":"assistant","delta":true,"content":[{"type":"text","text":"b"}],"x":1}`, false},
	} {
		var known forms
		known.hear(anyframe.Event{Data: []byte(c.learnt)})
		last := known.last.Load()
		if got := last != nil && last.text([]byte(c.then)) != ""; got != c.known {
			t.Errorf("%s: got known %v, want %v", name, got, c.known)
		}
		ev := anyframe.Event{Data: []byte(c.then)}
		if got, want := known.hear(ev), hear(ev); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, want %+v", name, got, want)
		}
	}
}

func TestTextIsFramedAsJSONIs(t *testing.T) {
	for _, text := range []string{"plain", "a\nb\t\"c\" \\ é", "\u2028", "\x00 \x1f \x7f", "\xff", "<&>", "", "日本語\r\n"} {
		var want bytes.Buffer
		want.WriteString("id: 2-7\nevent: text\ndata: ")
		enc := json.NewEncoder(&want)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(event.TextData{Text: text, Delta: true}); err != nil {
			t.Fatal(err)
		}
		want.WriteByte('\n')
		if got := (event.Item{Kind: "text", Data: event.TextData{Text: text, Delta: true}, Seq: 7}).Entry(2).Frame; string(got) != want.String() {
			t.Errorf("got  %q\nwant %q", got, want.String())
		}
	}
}
