package relay

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/anyframe-relay/relay/relay/store"
)

const (
	testSecret = "Zq7Kp2Vw9XtB4nRmD6sL"
	testMarked = "afm_canary_" + testSecret
)

// maskCut masks text in the pieces that cuts make of it.
func maskCut(marks *markSet, text string, cuts ...int) string {
	var m masker
	var b strings.Builder
	from := 0
	for _, to := range append(cuts, len(text)) {
		b.WriteString(m.next(marks, text[from:to]))
		from = to
	}
	return b.String()
}

func TestAKeyIsMaskedWhereverItIsCut(t *testing.T) {
	for name, tt := range map[string]struct{ own, text, want string }{
		"in the middle":          {"", "It is " + testMarked + ", ok?", "It is afm_…, ok?"},
		"at both ends":           {"", testMarked + " and " + testMarked, "afm_… and afm_…"},
		"in quotes":              {"", `"` + testMarked + `"`, `"afm_…"`},
		"after what looks alike": {"", "afafm_afmafm_" + testSecret + ".", "afafm_…."},
		"inside a word":          {"", "xafm_" + testSecret + "\nafm", "xafm_…\nafm"},
		"a mark in a key":        {"", "afm_" + testMarked + "!", "afm_…!"},
		"nothing after the mark": {"", "keys begin with afm_, a word", "keys begin with afm_, a word"},
		"nothing of a key":       {"", "a fine afternoon, am I? afm", "a fine afternoon, am I? afm"},
		"letters beyond ASCII":   {"", "afm_ä" + testMarked + "…afm_x…", "afm_äafm_……afm_……"},
		"as Markdown writes it":  {"", `It is afm\_canary\_` + testSecret + `\-x\*, ok?`, `It is afm\_…\\\*, ok?`},
		"partly so":              {"", `afm_canary\_` + testSecret + `\n`, `afm_…\\n`},
		"and that in JSON":       {"", `"afm\\_canary\\_` + testSecret + `\\"`, `"afm\\_…\\\\"`},
		"another make of ours":   {"sk-live-" + testSecret, "It is sk-live-" + testSecret + ", or " + testMarked, "It is sk-live-Zq7Kp2…, or afm_…"},
	} {
		marks := keyMarks(Secret(tt.own))
		if got := mask(marks, tt.text); got != tt.want {
			t.Errorf("%s: got %q, want %q", name, got, tt.want)
		}
		each := make([]int, 0, len(tt.text))
		for i := range len(tt.text) {
			each = append(each, i)
			for j := i; j <= len(tt.text); j++ {
				if got := maskCut(marks, tt.text, i, j); got != tt.want {
					t.Fatalf("%s, cut at %d and %d: got %q, want %q", name, i, j, got, tt.want)
				}
			}
		}
		if got := maskCut(marks, tt.text, each...); got != tt.want {
			t.Errorf("%s, cut everywhere: got %q, want %q", name, got, tt.want)
		}
	}
}

// shell is what commands make of a text: base64 (as it is, after other words, in
// lines of 76), hexadecimal digits, and percent signs.
func shell(text string) map[string]string {
	b64 := base64.StdEncoding.EncodeToString
	percent := ""
	for _, c := range []byte(text) {
		percent += fmt.Sprintf("%%%02x", c)
	}
	wrapped := ""
	for rest := b64([]byte("KEY=" + strings.Repeat("x", 34) + text + "\n")); rest != ""; {
		n := min(76, len(rest))
		wrapped, rest = wrapped+rest[:n]+"\n", rest[n:]
	}
	return map[string]string{
		"base64": b64([]byte(text)), "base64 after one": b64([]byte("\x00" + text)), "base64 after two": b64([]byte(":\xff" + text)),
		"base64 in a header": "Basic " + b64([]byte("user:"+text)), "base64 of a file": b64([]byte("ANYFRAME_API_KEY=" + text + "\nRELAY_ADDR=:80\n")),
		"base64 for URLs": base64.RawURLEncoding.EncodeToString([]byte("??>" + text)), "base64 in lines": wrapped,
		"hex": hex.EncodeToString([]byte(text)), "hex in capitals": strings.ToUpper(hex.EncodeToString([]byte("k=" + text))),
		"percent": percent, "percent in capitals": strings.ToUpper(percent), "percent as in a form": url.QueryEscape("a b=" + text),
	}
}

func TestOurKeyIsMaskedInTheEncodingsThatCommandsPrint(t *testing.T) {
	for own, rest := range map[string]string{ // which must not show, the character at its border left out
		testMarked: testMarked[len("afm_ca")+1:], "sk-live-" + testSecret: testSecret[7:], "0123456789abcdef": "9abcdef",
	} {
		marks := keyMarks(Secret(own))
		for name, text := range shell(own) {
			text = "It is " + text + ", I think."
			want := mask(marks, text)
			if !strings.HasPrefix(want, "It is ") || !strings.HasSuffix(want, ", I think.") || !strings.Contains(want, masked) {
				t.Errorf("%s, %s: got %q, want the key masked and the words about it shown", own, name, want)
			}
			for _, form := range []string{"base64", "base64 after one", "base64 after two", "hex", "hex in capitals", "percent", "percent in capitals"} {
				secret := strings.TrimRight(shell(rest)[form], "=")
				for i := 4; i+6 <= len(secret)-2; i++ { // the ends belong to what stands around the key as well
					if piece := secret[i : i+6]; strings.Contains(want, piece) {
						t.Fatalf("%s, %s: got %q, want no %q, which is %s of the key", own, name, want, piece, form)
					}
				}
			}
			for i := range len(text) {
				if got := maskCut(marks, text, i, min(i+5, len(text))); got != want {
					t.Fatalf("%s, %s, cut at %d: got %q, want %q", own, name, i, got, want)
				}
			}
		}
		for name, text := range shell("the quick brown fox, afm, 24680") {
			if got := mask(marks, text); got != text {
				t.Errorf("%s of other words: got %q, want %q", name, got, text)
			}
		}
	}
}

// everywhere is a set whose quick look finds something in every text.
func everywhere(marks *markSet) *markSet {
	all := &markSet{all: marks.all}
	for place := range all.at {
		for c := range all.at[place] {
			all.at[place][c] = 1
		}
	}
	return all
}

// However short what is left of a mark at the end of a text, it is noticed, and
// what has nothing of one is left alone.
func TestTheQuickLookSeesEveryMark(t *testing.T) {
	for _, own := range []string{testMarked, "sk-live-" + testSecret} {
		marks := keyMarks(Secret(own))
		for _, mark := range marks.all {
			for n := 1; n <= len(mark); n++ {
				if !marks.may("so: " + mark[:n]) {
					t.Errorf("%q, cut after %d: got nothing seen", mark, n)
				}
			}
			if !marks.may(mark + " is it") {
				t.Errorf("%q: got nothing seen", mark)
			}
		}
		if marks.may("The quick brown fox jumps over the lazy dog. ") {
			t.Error("got something seen in an innocent text")
		}
	}
}

func FuzzMaskingDoesNotDependOnTheCuts(f *testing.F) {
	f.Add("It is "+testMarked+", ok?", 8, 20)
	f.Add("afafm_afmafm_x", 3, 5)
	f.Add("sk-live-"+testSecret, 3, 5)
	f.Add(`afm\_a\_b\n afm\\_c`, 5, 7)
	for _, text := range shell("sk-live-" + testSecret) {
		f.Add("x "+text+" y", 12, 20)
	}
	f.Fuzz(func(t *testing.T, text string, i, j int) {
		marks := keyMarks("sk-live-" + testSecret)
		i = min(max(i, 0), len(text))
		j = min(max(i, j), len(text))
		whole := mask(marks, text)
		if got := maskCut(marks, text, i, j); got != whole {
			t.Errorf("%q cut at %d and %d: got %q, want %q", text, i, j, got, whole)
		}
		if got := maskCut(everywhere(marks), text, i, j); got != whole {
			t.Errorf("%q: got %q without the quick look, want %q", text, got, whole)
		}
		if again := mask(marks, whole); again != whole {
			t.Errorf("%q masked again: got %q, want %q", text, again, whole)
		}
		for _, mark := range marks.all {
			if _, after, found := strings.Cut(whole, mark); found && after != "" && inKey(after[0]) {
				t.Errorf("%q: got %q, want nothing of the key", text, whole)
			}
			if !strings.Contains(text, mark) {
				continue
			}
			return
		}
		if whole != text {
			t.Errorf("%q: got %q, want it as it was", text, whole)
		}
	})
}

func TestNothingThatPeopleOrTheAgentWriteShowsAKey(t *testing.T) {
	key := testMarked
	escaped := strings.ReplaceAll(key, "Z", `\u005a`)
	spelt := strings.ReplaceAll(key, "afm", `\u0061\u0066\u006D`)
	book := &notebook{}
	for name, payload := range map[string]string{
		"a block":              `{"type":"assistant","content":[{"type":"text","text":"x ` + key + `"}]}`,
		"a delta":              `{"type":"assistant","delta":true,"content":[{"type":"text","text":"x ` + key + `"}]}`,
		"an escaped delta":     `{"type":"assistant","delta":true,"content":[{"type":"text","text":"x ` + spelt + `"}]}`,
		"an old message":       `{"type":"assistant_message","text":"x ` + key + `"}`,
		"the operator":         `{"type":"user_message","text":"x ` + key + `","attachments":[{"name":"` + key + `","mime":"` + key + `"}]}`,
		"a tool":               `{"type":"tool_call","name":"` + key + `","input":{"command":"curl -H ` + key + `"}}`,
		"a question":           `{"type":"ask_user_question","question":"` + key + `?","options":["` + key + `",{"label":"` + key + `"}]}`,
		"a permission":         `{"type":"permission_request","tool_name":"` + key + `","tool_input":{"` + key + `":["` + key + `"]}}`,
		"one that is escaped":  `{"type":"permission_request","tool_name":"Bash","tool_input":{"command":"` + escaped + ` ` + spelt + `","n":12345678901234567890}}`,
		"thinking":             `{"type":"assistant","content":[{"type":"thinking","thinking":"` + key + `"}]}`,
		"what nobody knows":    `{"type":"system","env":{"KEY":"` + spelt + `"}}`,
		"escaped and unicode":  `{"type":"assistant","content":[{"type":"text","text":"` + spelt + `"}]}`,
		"a tool's input, long": `{"type":"tool_call","name":"Bash","input":{"command":"` + strings.Repeat("x", 130) + key + `"}}`,
	} {
		tr := newTestTranslator(VisibilityFull, false, book)
		tr.approvals = true
		var all string
		for _, it := range tr.step(upstreamEvent(7, payload)).items {
			frame := string(it.entry(1).Frame)
			if !json.Valid([]byte(strings.TrimSpace(frame[strings.Index(frame, "data: ")+6:]))) {
				t.Errorf("%s: got %s, want JSON", name, frame)
			}
			all += frame
		}
		if !strings.Contains(all, "afm_…") {
			t.Errorf("%s: got %s, want that there was a key", name, all)
		}
		for _, part := range []string{"canary", testSecret[:6], testSecret[10:], `\u00`} {
			if strings.Contains(all, part) {
				t.Errorf("%s: got %s, want nothing of the key", name, all)
			}
		}
		if name == "one that is escaped" && !strings.Contains(all, "12345678901234567890") {
			t.Errorf("%s: got %s, want the number as it was", name, all)
		}
	}
}

func TestAMessageThatAnyFrameDoesNotShowShowsNoKey(t *testing.T) {
	book := &notebook{}
	book.setTurn(turnNote{note: store.Note{Kind: noteTurn, Key: "k1", Seq: 3, State: turnSent}, Text: "use " + testMarked, Answered: 3})
	tr := newTestTranslator(VisibilityChat, true, book)
	wantSaid(t, "a message of our own", tr.finish(9), `0 user {"text":"use afm_…","attachments":[],"turn":"k1"}`)
}

// However a block is cut into deltas, what is shown of them adds up to what is
// shown of the block, lost ones included, so that the block replaces them.
func TestMaskedDeltasAddUpToTheirBlock(t *testing.T) {
	text := "It is " + testMarked + ". Then " + testMarked + "!"
	delta := func(s string) heard {
		return upstreamEvent(0, `{"type":"assistant","delta":true,"content":[{"type":"text","text":"`+s+`"}]}`)
	}
	for cut := range len(text) {
		for _, lost := range []int{0, len(text) / 2, len(text)} {
			tr := newTestTranslator(VisibilityChat, false, &notebook{})
			var items []item
			if upTo := max(lost, cut); lost > 0 {
				items = append(items, tr.step(delta(text[:cut])).items...)
				items = append(items, tr.step(delta(text[cut:upTo])).items...)
			}
			items = append(items, tr.step(upstreamEvent(9, `{"type":"assistant","content":[{"type":"text","text":"`+text+`"}]}`)).items...)
			var sum, whole string
			for _, it := range items {
				if d := it.payload().(textData); d.Delta {
					sum += d.Text
				} else {
					whole = d.Text
				}
			}
			if want := "It is afm_…. Then afm_…!"; whole != want || (lost > 0 && sum != whole) {
				t.Fatalf("cut at %d, up to %d: got deltas %q and block %q, want both %q", cut, lost, sum, whole, want)
			}
		}
	}
}

func BenchmarkMaskingADelta(b *testing.B) {
	marks := keyMarks(testMarked)
	var m masker
	for b.Loop() {
		m.next(marks, "a few words of an answer, ")
	}
}
