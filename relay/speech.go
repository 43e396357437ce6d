package relay

import (
	"strings"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/redact"
	"github.com/anyframe-relay/relay/relay/internal/upstream"
)

// spoken is what the agent said in deltas since its last whole block.
type spoken struct {
	strings.Builder

	masker redact.Masker
}

// say adds a delta and returns it as it may be shown.
func (s *spoken) say(marks *redact.Patterns, text string) string {
	s.WriteString(text)
	return s.masker.Next(marks, text)
}

// Reset begins another block.
func (s *spoken) Reset() {
	s.Builder.Reset()
	s.masker.Reset()
}

// keyRows is how many rows of the past one key may be spread over.
const keyRows = 256

// joinSpeech makes a translator that begins at rows in the middle of a block go
// on masking from what came before, if rows may begin in the middle of a key.
func (t *translator) joinSpeech(rows []anyframe.ChatEvent, read func(since int64, limit int) ([]anyframe.ChatEvent, error)) error {
	if t.start == 0 || len(rows) == 0 {
		return nil
	}
	if text := deltaText(rows[0].Event()); text == "" || !redact.ContinuesKey(text[0]) {
		return nil
	}
	before, err := read(max(t.start-keyRows, 0), keyRows)
	if err != nil {
		return err
	}
	aside := &translator{
		visibility: VisibilityChat, marks: t.marks, book: &notebook{}, past: true,
		shown: map[string]bool{}, due: map[string]int64{}, tools: map[string]string{}, torn: -1, caughtUp: -1,
	}
	for _, row := range before {
		if row.Seq <= t.start {
			aside.step(upstream.Decode(row.Event()))
		}
	}
	t.said.masker = aside.said.masker
	return nil
}

// deltaText is the text of a piece of a block, "" when ev is none.
func deltaText(ev anyframe.Event) string {
	m := upstream.ParseObject(ev.Data)
	if !m.Flag("delta") || ev.Type() != anyframe.TypeAssistant {
		return ""
	}
	var b strings.Builder
	for _, block := range m.Blocks() {
		if block.BlockType() == "text" {
			b.WriteString(block.Str("text"))
		}
	}
	return b.String()
}
