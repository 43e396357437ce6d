package redact

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"
	"testing"
)

// A key in AnyFrame's format, and the part of it that must stay secret.
const (
	canarySecret = "Zq7Kp2Vw9XtB4nRmD6sL"
	canary       = "afm_canary_" + canarySecret
)

// maskCut masks text in the pieces into which cuts divide it.
func maskCut(patterns *Patterns, text string, cuts ...int) string {
	var m Masker
	var b strings.Builder
	from := 0
	for _, to := range append(cuts, len(text)) {
		b.WriteString(m.Next(patterns, text[from:to]))
		from = to
	}
	return b.String()
}

func TestMask_KeyCutAnywhere_Masked(t *testing.T) {
	for name, tt := range map[string]struct{ own, text, want string }{
		"in the middle":          {"", "It is " + canary + ", ok?", "It is afm_…, ok?"},
		"at both ends":           {"", canary + " and " + canary, "afm_… and afm_…"},
		"in quotes":              {"", `"` + canary + `"`, `"afm_…"`},
		"after what looks alike": {"", "afafm_afmafm_" + canarySecret + ".", "afafm_…."},
		"inside a word":          {"", "xafm_" + canarySecret + "\nafm", "xafm_…\nafm"},
		"a mark in a key":        {"", "afm_" + canary + "!", "afm_…!"},
		"nothing after the mark": {"", "keys begin with afm_, a word", "keys begin with afm_, a word"},
		"nothing of a key":       {"", "a fine afternoon, am I? afm", "a fine afternoon, am I? afm"},
		"letters beyond ASCII":   {"", "afm_ä" + canary + "…afm_x…", "afm_äafm_……afm_……"},
		"as Markdown writes it":  {"", `It is afm\_canary\_` + canarySecret + `\-x\*, ok?`, `It is afm\_…\\\*, ok?`},
		"partly so":              {"", `afm_canary\_` + canarySecret + `\n`, `afm_…\\n`},
		"and that in JSON":       {"", `"afm\\_canary\\_` + canarySecret + `\\"`, `"afm\\_…\\\\"`},
		"another make of ours":   {"sk-live-" + canarySecret, "It is sk-live-" + canarySecret + ", or " + canary, "It is sk-live-Zq7Kp2…, or afm_…"},
	} {
		patterns := KeyPatterns(Secret(tt.own))
		if got := Text(patterns, tt.text); got != tt.want {
			t.Errorf("%s: got %q, want %q", name, got, tt.want)
		}
		for i := range len(tt.text) {
			for j := i; j <= len(tt.text); j++ {
				if got := maskCut(patterns, tt.text, i, j); got != tt.want {
					t.Fatalf("%s, cut at %d and %d: got %q, want %q", name, i, j, got, tt.want)
				}
			}
		}
		if got := maskCut(patterns, tt.text, each(len(tt.text))...); got != tt.want {
			t.Errorf("%s, cut everywhere: got %q, want %q", name, got, tt.want)
		}
	}
}

// shell returns what commands print for a text: base64 (alone, after other words, in
// lines of 76), hexadecimal digits, and percent-encoding.
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

func TestMask_OurKeyEncoded_Masked(t *testing.T) {
	for own, rest := range map[string]string{ // which must not be shown, except for the character at its border
		canary: canary[len("afm_ca")+1:], "sk-live-" + canarySecret: canarySecret[7:], "0123456789abcdef": "9abcdef",
	} {
		patterns := KeyPatterns(Secret(own))
		for name, text := range shell(own) {
			text = "It is " + text + ", I think."
			want := Text(patterns, text)
			if !strings.HasPrefix(want, "It is ") || !strings.HasSuffix(want, ", I think.") || !strings.Contains(want, masked) {
				t.Errorf("%s, %s: got %q, want the key masked and the words about it shown", own, name, want)
			}
			for _, form := range []string{"base64", "base64 after one", "base64 after two", "hex", "hex in capitals", "percent", "percent in capitals"} {
				secret := strings.TrimRight(shell(rest)[form], "=")
				for i := 4; i+6 <= len(secret)-2; i++ { // the ends also encode what surrounds the key
					if piece := secret[i : i+6]; strings.Contains(want, piece) {
						t.Fatalf("%s, %s: got %q, want no %q, which is %s of the key", own, name, want, piece, form)
					}
				}
			}
			for i := range len(text) {
				if got := maskCut(patterns, text, i, min(i+5, len(text))); got != want {
					t.Fatalf("%s, %s, cut at %d: got %q, want %q", own, name, i, got, want)
				}
			}
		}
		for name, text := range shell("the quick brown fox, afm, 24680") {
			if got := Text(patterns, text); got != text {
				t.Errorf("%s of other words: got %q, want %q", name, got, text)
			}
		}
	}
}

func FuzzMaskCuts(f *testing.F) {
	f.Add("It is "+canary+", ok?", 8, 20)
	f.Add("afafm_afmafm_x", 3, 5)
	f.Add("sk-live-"+canarySecret, 3, 5)
	f.Add(`afm\_a\_b\n afm\\_c`, 5, 7)
	for _, text := range shell("sk-live-" + canarySecret) {
		f.Add("x "+text+" y", 12, 20)
	}
	for _, w := range writings {
		f.Add("x "+write(canary, w.form, w.between)+", y", 9, 12)
	}
	f.Fuzz(func(t *testing.T, text string, i, j int) {
		patterns := KeyPatterns("sk-live-" + canarySecret)
		i = min(max(i, 0), len(text))
		j = min(max(i, j), len(text))
		whole := Text(patterns, text)
		if got := maskCut(patterns, text, i, j); got != whole {
			t.Errorf("%q cut at %d and %d: got %q, want %q", text, i, j, got, whole)
		}
		if again := Text(patterns, whole); again != whole {
			t.Errorf("%q masked again: got %q, want %q", text, again, whole)
		}
		if got := maskCut(patterns, text, each(len(text))...); got != whole {
			t.Errorf("%q cut everywhere: got %q, want %q", text, got, whole)
		}
		if _, after, found := strings.Cut(whole, anyKey); found && after != "" && inKey(after[0]) {
			t.Errorf("%q: got %q, want nothing of the key", text, whole)
		}
		if new(Masker).find(patterns.automaton, text) < 0 && whole != text {
			t.Errorf("%q: got %q, want it as it was", text, whole)
		}
	})
}

// each returns every place at which a text of n bytes can be cut.
func each(n int) []int {
	all := make([]int, 0, n)
	for i := range n {
		all = append(all, i)
	}
	return all
}

func BenchmarkMaskDelta(b *testing.B) {
	patterns := KeyPatterns(canary)
	var m Masker
	for b.Loop() {
		m.Next(patterns, "a few words of an answer, ")
	}
}
