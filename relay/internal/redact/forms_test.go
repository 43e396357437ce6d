package redact

import (
	"encoding/base32"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// writings are the forms that shells, languages, browsers and models give a text, one
// character at a time: how a character is written, and what separates two.
var writings = map[string]struct {
	form    func(c byte) string
	between string
}{
	"entities, decimal":             {func(c byte) string { return fmt.Sprintf("&#%d;", c) }, ""},
	"entities, with zeros":          {func(c byte) string { return fmt.Sprintf("&#%05d;", c) }, ""},
	"entities, hexadecimal":         {func(c byte) string { return fmt.Sprintf("&#x%x;", c) }, ""},
	"entities, in capitals":         {func(c byte) string { return fmt.Sprintf("&#X%04X;", c) }, ""},
	"entities, escaped twice":       {func(c byte) string { return fmt.Sprintf("&amp;#%d;", c) }, ""},
	"entities for signs":            {sign(func(c byte) string { return fmt.Sprintf("&#%d;", c) }), ""},
	"entities by name":              {named("&lowbar;", "&hyphen;"), ""},
	"entities by the other name":    {named("&amp;UnderBar;", "&dash;"), ""},
	"percent":                       {func(c byte) string { return fmt.Sprintf("%%%02x", c) }, ""},
	"percent for signs":             {sign(func(c byte) string { return fmt.Sprintf("%%%02X", c) }), ""},
	"percent twice":                 {func(c byte) string { return fmt.Sprintf("%%25%02x", c) }, ""},
	"percent three times for signs": {sign(func(c byte) string { return fmt.Sprintf("%%2525%02X", c) }), ""},
	"quoted-printable":              {func(c byte) string { return fmt.Sprintf("=%02X", c) }, ""},
	"quoted-printable for signs":    {sign(func(c byte) string { return fmt.Sprintf("=%02X", c) }), ""},
	"quoted-printable in lines":     {func(c byte) string { return string(c) }, "=\r\n"},
	"backslash x":                   {func(c byte) string { return fmt.Sprintf(`\x%02x`, c) }, ""},
	"backslash x for signs":         {sign(func(c byte) string { return fmt.Sprintf(`\x%02X`, c) }), ""},
	"backslash x with spaces":       {func(c byte) string { return fmt.Sprintf(`\x%02x`, c) }, " "},
	"backslash u":                   {func(c byte) string { return fmt.Sprintf(`\u%04x`, c) }, ""},
	"backslash u for signs":         {sign(func(c byte) string { return fmt.Sprintf(`\u%04x`, c) }), ""},
	"backslash u, escaped":          {sign(func(c byte) string { return fmt.Sprintf(`\\u%04X`, c) }), ""},
	"backslash u in braces":         {func(c byte) string { return fmt.Sprintf(`\u{%x}`, c) }, ""},
	"backslash U":                   {func(c byte) string { return fmt.Sprintf(`\U%08x`, c) }, ""},
	"backslash octal":               {func(c byte) string { return fmt.Sprintf(`\%03o`, c) }, ""},
	"backslash octal for signs":     {sign(func(c byte) string { return fmt.Sprintf(`\%03o`, c) }), ""},
	"hex":                           {func(c byte) string { return fmt.Sprintf("%02x", c) }, ""},
	"hex with spaces":               {func(c byte) string { return fmt.Sprintf("%02x", c) }, " "},
	"hex in capitals, with colons":  {func(c byte) string { return fmt.Sprintf("%02X", c) }, ":"},
	"hex with dashes":               {func(c byte) string { return fmt.Sprintf("%02x", c) }, "-"},
	"hex, a line each":              {func(c byte) string { return fmt.Sprintf("%02x", c) }, "\n"},
	"hex, a line each, escaped":     {func(c byte) string { return fmt.Sprintf("%02x", c) }, `\n`},
	"0x with spaces":                {func(c byte) string { return fmt.Sprintf("0x%02x", c) }, " "},
	"0x with commas":                {func(c byte) string { return fmt.Sprintf("0X%02X", c) }, ", "},
	"0x in quotation marks":         {func(c byte) string { return fmt.Sprintf("'0x%02x'", c) }, ", "},
	"U+":                            {func(c byte) string { return fmt.Sprintf("U+%04X", c) }, " "},
	"octal with spaces":             {func(c byte) string { return fmt.Sprintf("%03o", c) }, " "},
	"octal as in Python":            {func(c byte) string { return fmt.Sprintf("0o%o", c) }, ", "},
	"decimal with spaces":           {func(c byte) string { return fmt.Sprint(c) }, " "},
	"decimal with commas":           {func(c byte) string { return fmt.Sprint(c) }, ", "},
	"decimal with zeros":            {func(c byte) string { return fmt.Sprintf("%03d", c) }, "."},
	"bits":                          {func(c byte) string { return fmt.Sprintf("%08b", c) }, " "},
}

// sign writes characters that are not letters or digits with form, and the rest verbatim.
func sign(form func(byte) string) func(byte) string {
	return func(c byte) string {
		if isAlphanumeric(c) {
			return string(c)
		}
		return form(c)
	}
}

// named writes the punctuation in keys as these names.
func named(underscore, hyphen string) func(byte) string {
	return func(c byte) string {
		return strings.NewReplacer("_", underscore, "-", hyphen).Replace(string(c))
	}
}

func write(text string, form func(byte) string, between string) string {
	all := make([]string, 0, len(text))
	for i := range len(text) {
		all = append(all, form(text[i]))
	}
	return strings.Join(all, between)
}

// wantMasked fails unless a written key is masked except for its beginning and
// punctuation, and the text around it is unchanged, wherever the text is cut.
func wantMasked(t *testing.T, patterns *Patterns, key, head string) {
	t.Helper()
	text := "It is " + key + ", I think."
	got := Text(patterns, text)
	rest, begins := strings.CutPrefix(got, "It is "+head)
	rest, ends := strings.CutSuffix(rest, ", I think.")
	if shown := strings.IndexFunc(rest, func(r rune) bool { return r < 0x80 && isAlphanumeric(byte(r)) }); !begins || !ends || shown >= 0 || !strings.Contains(rest, masked) {
		t.Errorf("got %q of %q, want %q and nothing of the rest of the key", got, text, head)
	}
	for i := range len(text) {
		if cut := maskCut(patterns, text, i, min(i+3, len(text))); cut != got {
			t.Fatalf("cut at %d: got %q, want %q", i, cut, got)
		}
	}
	if cut := maskCut(patterns, text, each(len(text))...); cut != got {
		t.Errorf("cut everywhere: got %q, want %q", cut, got)
	}
	if again := Text(patterns, got); again != got {
		t.Errorf("masked again: got %q, want %q", again, got)
	}
}

func TestMask_KeyInEveryWriting_Masked(t *testing.T) {
	for name, w := range writings {
		t.Run(name, func(t *testing.T) {
			for own, heads := range map[string][2]string{
				"":                         {canary, "afm_"}, // another account's key
				canary:                     {canary, "afm_"},
				"sk-live_" + canarySecret:  {"sk-live_" + canarySecret, "sk-live_Zq7Kp2"},
				"sk-live_Zq7-Kp_" + canary: {"sk-live_Zq7-Kp_" + canary, "sk-live_Zq7-Kp_a"},
			} {
				key, head := heads[0], heads[1]
				wantMasked(t, KeyPatterns(Secret(own)), write(key, w.form, w.between), strings.TrimSuffix(write(head, w.form, w.between), "'"))
			}
			text := "It is " + write("the quick-brown_fox, afm, 24680", w.form, w.between) + ", I think."
			if got := Text(KeyPatterns(canary), text); got != text {
				t.Errorf("other words: got %q, want %q", got, text)
			}
		})
	}
}

// A key that begins verbatim and continues in another writing is masked to its end.
func TestMask_WritingChangesInKey_Masked(t *testing.T) {
	for name, w := range writings {
		if w.between != "" || !strings.ContainsAny(w.form('_'), `&%=\`) {
			continue
		}
		t.Run(name, func(t *testing.T) {
			wantMasked(t, KeyPatterns(""), "afm_"+write(canary[4:], w.form, ""), "afm_")
		})
	}
}

func TestMask_OurKeyInBase32_Masked(t *testing.T) {
	for own, rest := range map[string]string{canary: canary[len("afm_ca"):], "sk-live-" + canarySecret: canarySecret[6:]} {
		patterns := KeyPatterns(Secret(own))
		for before := range 5 {
			text := strings.Repeat("x", before) + own
			code := base32.StdEncoding.EncodeToString([]byte(text))
			secret := base32.StdEncoding.EncodeToString([]byte(text))[(len(text)-len(rest))*8/5+2:]
			for _, form := range []func(string) string{strings.ToUpper, strings.ToLower} {
				got := Text(patterns, form(code))
				if !strings.Contains(got, masked) || strings.Contains(got, form(secret)[:6]) {
					t.Errorf("%d before: got %q of %q, want it masked", before, got, form(code))
				}
			}
		}
	}
}

// Dumps show the text beside the numbers, number their lines, and may swap bytes.
func TestMask_KeyInDumps_Masked(t *testing.T) {
	xxd := "00000000: 6166 6d5f 6361 6e61 7279 5f5a 7137 4b70  afm_canary_Zq7Kp\n" +
		"00000010: 3256 7739 5874 4234 6e52 6d44 3673 4c0a  2Vw9XtB4nRmD6sL.\nSo it is."
	hexdump := hex.Dump([]byte(canary+"\n")) + "So it is."
	swap := func(text string) string {
		var words []string
		for i := 0; i+1 < len(text); i += 2 {
			words = append(words, fmt.Sprintf("%02x%02x", text[i+1], text[i]))
		}
		return strings.Join(words, " ") + "\nSo it is."
	}
	for name, tt := range map[string]struct{ text, want string }{
		"xxd":                       {xxd, "00000000: 6166 6d5f…\nSo it is."},
		"hexdump -C":                {hexdump, "00000000  61 66 6d 5f…\nSo it is."},
		"hexdump":                   {swap(canary + "\n"), "6661 5f6d…\nSo it is."},
		"hexdump, at an odd offset": {swap("=" + canary), "613d 6d66 635f…\nSo it is."},
	} {
		if got := Text(KeyPatterns(""), tt.text); got != tt.want {
			t.Errorf("%s: got %q of %q, want %q", name, got, tt.text, tt.want)
		}
	}
}

func TestJSON_Masked_StaysValid(t *testing.T) {
	for text, want := range map[string]string{
		`{"a":"` + canary + `","b":1}`:                       `{"a":"afm_…","b":1}`,
		`{"a":"61 66 6d 5f 63","b":["64"]}`:                  `{"a":"61 66 6d 5f…","b":["64"]}`,
		`["afm_x\u2026 and \"so\"","\u0061fm_x"]`:            `["afm_…… and \"so\"","afm_…"]`,
		`{"afm_x":"afm_x\nafm&#95;x\\ny"}`:                   `{"afm_…":"afm_…\nafm&#95;…\\ny"}`,
		`["61","66","6d","5f","63"]`:                         ``,
		`{"data":[97,102,109,95,99],"type":"Buffer"}`:        ``,
		`{"n":12345678901234567890,"s":"a\tb","u":"\u00e4"}`: `{"n":12345678901234567890,"s":"a\tb","u":"\u00e4"}`,
	} {
		got := string(JSON(KeyPatterns(""), json.RawMessage(text)))
		if got != want || got != "" && !json.Valid([]byte(got)) {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
}
