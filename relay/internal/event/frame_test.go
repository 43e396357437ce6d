package event

import (
	"bytes"
	"encoding/json"
	"testing"
)

func TestTextIsFramedAsJSONIs(t *testing.T) {
	for _, text := range []string{"plain", "a\nb\t\"c\" \\ é", "\u2028", "\x00 \x1f \x7f", "\xff", "<&>", "", "日本語\r\n"} {
		var want bytes.Buffer
		want.WriteString("id: 2-7\nevent: text\ndata: ")
		enc := json.NewEncoder(&want)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(TextData{Text: text, Delta: true}); err != nil {
			t.Fatal(err)
		}
		want.WriteByte('\n')
		if got := (Item{Kind: "text", Data: TextData{Text: text, Delta: true}, Seq: 7}).Entry(2).Frame; string(got) != want.String() {
			t.Errorf("got  %q\nwant %q", got, want.String())
		}
	}
}
