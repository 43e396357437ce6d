package upstream

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/anyframe-relay/relay/anyframe"
)

// textOf decodes a text block, or a delta of one, with the slow path.
func textOf(data []byte) (text string, delta, ok bool) {
	m := ParseObject(data)
	blocks := m.Blocks()
	if m.Str("type") != "assistant" || len(blocks) != 1 || blocks[0].BlockType() != "text" {
		return "", false, false
	}
	text = blocks[0].Str("text")
	if m.Flag("delta") {
		text = blocks[0].Piece("text")
	}
	return text, m.Flag("delta"), text != "" && json.Valid(data)
}

func TestDecode_PlainText_FastPath(t *testing.T) {
	for name, data := range map[string]string{
		"message.content": `{"type":"assistant","delta":true,"message":{"content":[{"type":"text","text":"a b"}]}}`,
		"content":         `{"type":"assistant","delta":true,"content":[{"type":"text","text":"a b"}]}`,
		"in any order":    `{ "content" : [ { "text" : "a b", "type" : "text" } ], "delta" : true, "type" : "assistant" }`,
		"with more":       `{"type":"assistant","n":[1,{"a":"]}"}],"delta":true,"content":[{"citations":null,"type":"text","text":"a b"}]}`,
		"with escapes":    `{"type":"assistant","delta":true,"content":[{"type":"text","text":"a\u0020b"}]}`,
	} {
		if got := Decode(anyframe.Event{Data: []byte(data)}); got.Delta != "a b" || got.Members != nil {
			t.Errorf("%s: got delta %q, members %v, want %q and none", name, got.Delta, got.Members, "a b")
		}
		for _, whole := range []string{strings.Replace(data, "true", "false", 1), strings.NewReplacer(`"delta":true,`, "", `"delta" : true,`, "").Replace(data)} {
			if got := Decode(anyframe.Event{Data: []byte(whole)}); got.Whole != "a b" || got.Delta != "" || got.Members != nil {
				t.Errorf("%s: got block %q, delta %q, members %v, want %q and none", whole, got.Whole, got.Delta, got.Members, "a b")
			}
		}
	}
}

// The fast path must never accept as text what the slow path does not. The events are
// cut, duplicated and mixed at random.
func TestDecode_RandomEvents_FastPathSameAsSlow(t *testing.T) {
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
	texts, deltas := 0, 0
	for range 100_000 {
		data := []byte(seeds[rng.IntN(len(seeds))])
		for range rng.IntN(4) {
			from := []byte(seeds[rng.IntN(len(seeds))])
			at, begin := rng.IntN(len(data)+1), rng.IntN(len(from))
			piece := from[begin:min(begin+1+rng.IntN(8), len(from))]
			data = slices.Replace(data, at, min(at+rng.IntN(9), len(data)), piece...)
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
	if deltas < 1000 || texts-deltas < 1000 {
		t.Errorf("only %d deltas and %d blocks were among them", deltas, texts-deltas)
	}
}
