package relay

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/anyframe-relay/relay/anyframe"
)

// deltaOf reads a delta the long way.
func deltaOf(data []byte) (text string, ok bool) {
	m := members(data)
	blocks := m.blocks()
	if m.str("type") != "assistant" || !m.flag("delta") || len(blocks) != 1 || blocks[0].blockType() != "text" {
		return "", false
	}
	text = blocks[0].str("text")
	return text, text != "" && json.Valid(data)
}

func TestADeltaIsReadTheShortWay(t *testing.T) {
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
	}
}

// The short way must never take for a delta what the long way does not: tried
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
		`{"type":"assistant","delta":true,"content":[{"__class__":"TextBlock","text":"\q"}]}`,
		"\u0085" + `{"type":"assistant","delta":true,"content":[{"type":"text","text":"a"}]}`,
	}
	deltas := 0
	for range 100_000 {
		data := []byte(seeds[rng.IntN(len(seeds))])
		for range rng.IntN(4) {
			from := []byte(seeds[rng.IntN(len(seeds))])
			at, begin := rng.IntN(len(data)+1), rng.IntN(len(from))
			piece := from[begin:min(begin+1+rng.IntN(8), len(from))]
			data = slices.Replace(data, at, min(at+rng.IntN(9), len(data)), piece...)
		}
		got, ok := plainDelta(data)
		if !ok {
			continue
		}
		deltas++
		if want, isDelta := deltaOf(data); !isDelta || got != want {
			t.Fatalf("%q: got a delta of %q, want delta %v of %q", data, got, isDelta, want)
		}
	}
	if deltas < 1000 {
		t.Errorf("only %d deltas were among them", deltas)
	}
}

func TestTextIsFramedAsJSONIs(t *testing.T) {
	for _, text := range []string{"plain", "a\nb\t\"c\" \\ é", "\u2028", "\x00 \x1f \x7f", "\xff", "<&>", "", "日本語\r\n"} {
		var want bytes.Buffer
		want.WriteString("id: 2-7\nevent: text\ndata: ")
		enc := json.NewEncoder(&want)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(textData{text, true}); err != nil {
			t.Fatal(err)
		}
		want.WriteByte('\n')
		if got := (item{kind: "text", data: textData{text, true}, seq: 7}).entry(2).Frame; string(got) != want.String() {
			t.Errorf("got  %q\nwant %q", got, want.String())
		}
	}
}
