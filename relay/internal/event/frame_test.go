package event

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

func TestTextFrame_AnyText_EncodedAsJSON(t *testing.T) {
	for _, text := range []string{"plain", "a\nb\t\"c\" \\ é", "\u2028", "\x00 \x1f \x7f", "\xff", "<&>", "", "日本語\r\n"} {
		var want bytes.Buffer
		want.WriteString("event: text\ndata: ")
		enc := json.NewEncoder(&want)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(TextData{Text: text, Delta: true}); err != nil {
			t.Fatal(err)
		}
		want.WriteString("id: 2-7\n\n")
		if got := (Item{Kind: "text", Data: TextData{Text: text, Delta: true}, Seq: 7}).Entry(2).Frame; string(got) != want.String() {
			t.Errorf("got  %q\nwant %q", got, want.String())
		}
	}
}

// A client that records an id line as it arrives must have the event by then.
func TestFrame_IDIsLast(t *testing.T) {
	for _, data := range []any{nil, TextData{Text: "a", Delta: false}, TurnEndData{Reason: "done"}} {
		for seq, want := range map[int64]string{0: "}\n\n", 7: "}\nid: 2-7\n\n"} {
			frame := string(Item{Kind: "text", Data: data, Delta: "a", Seq: seq}.Entry(2).Frame)
			if !strings.HasPrefix(frame, "event: text\ndata: {") || !strings.HasSuffix(frame, want) || strings.Count(frame, "\n") != strings.Count(want, "\n")+1 {
				t.Errorf("seq %d: got %q, want event, data, then %q", seq, frame, want)
			}
		}
	}
}
