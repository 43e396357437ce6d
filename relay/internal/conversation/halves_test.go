package conversation

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/upstream"
)

// TestTranslator_CharacterCutOverDeltas_IsOne cuts texts at every place, as escapes of
// UTF-16 and as bytes of UTF-8, in each form of delta.
func TestTranslator_CharacterCutOverDeltas_IsOne(t *testing.T) {
	forms := map[string]string{
		"a delta alone":       `{"type":"assistant","delta":true,"message":{"content":[{"type":"text","text":%s}]}}`,
		"a delta and another": `{"type":"assistant","delta":true,"content":[{"type":"thinking","thinking":"x"},{"type":"text","text":%s}]}`,
	}
	for _, text := range []string{
		"so 😀 it", "你好，世界", "日本語𠮟る", "한국어", "مرحبا بالعالم", "สวัสดีครับ", "héllo", "👩‍👩‍👧 \"q\" \\ \n", "😀😀",
	} {
		var escaped []string
		for _, r := range text {
			quoted, _ := json.Marshal(string(r))
			if r > 0x7f {
				quoted = nil
				for _, u := range utf16Of(r) {
					quoted = fmt.Appendf(quoted, `\u%04x`, u)
				}
			} else {
				quoted = quoted[1 : len(quoted)-1]
			}
			escaped = append(escaped, split(string(quoted))...)
		}
		quoted, _ := json.Marshal(text)
		for way, units := range map[string][]string{"escapes": escaped, "bytes": split(string(quoted[1 : len(quoted)-1]))} {
			for name, form := range forms {
				for cut := 1; cut < len(units); cut++ {
					for second := cut; second < len(units); second++ {
						tr := newTestTranslator(event.VisibilityChat, false, newTestLedger())
						var got strings.Builder
						for i, part := range [][]string{units[:cut], units[cut:second], units[second:]} {
							h := upstreamEvent(int64(i+1), fmt.Sprintf(form, `"`+strings.Join(part, "")+`"`))
							for _, it := range tr.step(h).items {
								d, ok := it.Payload().(event.TextData)
								if !ok || !d.Delta || d.Text == "" {
									t.Fatalf("%s of %q in %s: got %v", way, text, name, it.Payload())
								}
								got.WriteString(d.Text)
							}
						}
						if got.String() != text {
							t.Fatalf("%s in %s, cut at %d and %d: got %q, want %q", way, name, cut, second, got.String(), text)
						}
						// The whole block equals the deltas, so nothing is added before
						// it.
						whole := tr.step(upstreamEvent(4, fmt.Sprintf(`{"type":"assistant","content":[{"type":"text","text":%s}]}`, quoted)))
						if len(whole.items) != 1 {
							t.Fatalf("%s of %q: the block came as %q", way, text, said(whole.items))
						}
					}
				}
			}
		}
	}
}

func TestTranslator_HalfCharacterAlone_IsReplaced(t *testing.T) {
	delta := func(seq int64, text string) *upstream.Event {
		return upstreamEvent(seq, `{"type":"assistant","delta":true,"content":[{"type":"text","text":"`+text+`"}]}`)
	}
	tr := newTestTranslator(event.VisibilityChat, false, newTestLedger())
	wantSaid(t, "a half", tr.step(delta(1, `a\ud83d`)).items, `1 text {"text":"a","delta":true}`)
	wantSaid(t, "another text", tr.step(delta(2, `b`)).items, `2 text {"text":"�b","delta":true}`)
	wantSaid(t, "a half alone", tr.step(delta(3, "\xe4\xbd")).items)
	wantSaid(t, "the block", tr.step(upstreamEvent(4, `{"type":"assistant","content":[{"type":"text","text":"x"}]}`)).items, `4 text {"text":"x","delta":false}`)
	wantSaid(t, "the next block", tr.step(delta(5, "\xa0c")).items, `5 text {"text":"�c","delta":true}`)
	wantSaid(t, "the wrong half first", tr.step(delta(6, `\ude00\ud83d!`)).items, `6 text {"text":"��!","delta":true}`)
}

// A reconnect loses no numbered delta, so the halves of a character around it belong
// together, and the deltas still add up to the block.
func TestTranslator_ReconnectWithinCharacter_IsOne(t *testing.T) {
	for name, interrupt := range map[string]func(*translator){
		"a reconnect":              func(tr *translator) { tr.openGap(1) },
		"a reconnect, end unknown": func(tr *translator) { tr.openGap(gapUnknown) },
		"the log is full":          func(tr *translator) { tr.dropDeltas(1) },
	} {
		tr := newTestTranslator(event.VisibilityChat, false, newTestLedger())
		tr.step(upstreamEvent(1, `{"type":"assistant","delta":true,"content":[{"type":"text","text":"Hi \ud83d"}]}`))
		interrupt(tr)
		wantSaid(t, name, tr.step(upstreamEvent(2, `{"type":"assistant","delta":true,"content":[{"type":"text","text":"\ude00!"}]}`)).items, `2 text {"text":"😀!","delta":true}`)
		wantSaid(t, name+", the block", tr.step(block(3, "Hi 😀!")).items, `3 text {"text":"Hi 😀!","delta":false}`)
	}

	// An unnumbered one may be lost.
	tr := newTestTranslator(event.VisibilityChat, false, newTestLedger())
	tr.step(upstreamEvent(0, `{"type":"assistant","delta":true,"content":[{"type":"text","text":"Hi \ud83d"}]}`))
	tr.openGap(1)
	wantSaid(t, "without a number", tr.step(delta(0, "x")).items)
	tr.step(block(2, "Hi 😀x"))
	wantSaid(t, "the next block", tr.step(delta(0, "x")).items, `0 text {"text":"x","delta":true}`)
}

// split splits a string's JSON into the smallest parts into which it may be cut.
func split(quoted string) []string {
	var parts []string
	for i := 0; i < len(quoted); {
		n := 1
		if quoted[i] == '\\' {
			n = 2
			if quoted[i+1] == 'u' {
				n = 6
			}
		}
		parts = append(parts, quoted[i:i+n])
		i += n
	}
	return parts
}

func utf16Of(r rune) []uint16 {
	if r < 0x10000 {
		return []uint16{uint16(r)}
	}
	return []uint16{uint16(0xd800 + (r-0x10000)>>10), uint16(0xdc00 + (r-0x10000)&0x3ff)}
}
