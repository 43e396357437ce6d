package redact

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// No key of AnyFrame's reaches a visitor in the agent's words, or in anybody's:
// of what begins with afm_ only that is shown. The words come in pieces, so a
// masker goes through them like a pen that never lifts: what it makes of a
// character depends on those before it and on none after. So nothing is held
// back, and a block that equals its deltas still does when both are masked,
// wherever those were cut.

// masked stands for what is not shown of a key.
const masked = "…"

// anyKey is what AnyFrame's keys begin with, and as Markdown and JSON write that.
var anyKey = []string{"afm_", `afm\_`, `afm\\_`}

// KeyPatterns are what keys begin with: AnyFrame's, ours if it is another's, and
// ours in the encodings that commands print it in.
func KeyPatterns(key Secret) *Patterns { return newPatterns(patternsOf(key)) }

func patternsOf(key Secret) []string {
	own := string(key)
	if len(own) < 8 {
		return anyKey
	}
	head := own[:len(own)/2]
	patterns := slices.Clone(anyKey)
	if strings.HasPrefix(own, anyKey[0]) {
		head = own[:min(len(anyKey[0])+2, len(own))] // what all keys begin with, and as much as makes it ours
	} else {
		patterns = append(patterns, head)
	}
	return append(patterns, encodings(head)...)
}

// Patterns is some patterns, and a quick look for them.
type Patterns struct {
	all []string
	// first tells which patterns have a character at their first three places, a bit
	// for each; those that share one are taken for each other.
	first [3][256]uint8
}

func newPatterns(all []string) *Patterns {
	m := &Patterns{all: all}
	for i, mark := range all {
		for place := range m.first {
			for c := range 256 {
				if place >= len(mark) || mark[place] == byte(c) {
					m.first[place][c] |= 1 << (i % 8)
				}
			}
		}
	}
	return m
}

// mayMatch reports whether a mark may be in text, or begin at its end.
func (m *Patterns) mayMatch(text string) bool {
	for i := range len(text) {
		those := m.first[0][text[i]]
		for place := 1; place < len(m.first) && those != 0 && i+place < len(text); place++ {
			those &= m.first[place][text[i+place]]
		}
		if those != 0 {
			return true
		}
	}
	return false
}

// encodings are the forms of a text that is not at the end of what is encoded.
func encodings(text string) []string {
	var all []string
	for before := range 3 { // base64 depends on where the text begins
		coded := base64.RawStdEncoding.EncodeToString([]byte("\x00\x00"[:before] + text))
		coded = coded[(before*8+5)/6 : (before+len(text))*8/6] // the characters that are the text's alone
		all = append(all, coded, strings.NewReplacer("+", "-", "/", "_").Replace(coded))
	}
	digits := hex.EncodeToString([]byte(text))
	percent := "%" + strings.ReplaceAll(fmt.Sprintf("% x", text), " ", "%")
	all = append(all, digits, strings.ToUpper(digits), percent, strings.ToUpper(percent))
	slices.Sort(all)
	return slices.Compact(all)
}

// inKey reports whether keys may hold c.
func inKey(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-'
}

// inEncodedKey reports whether a key may hold c that is encoded.
func inEncodedKey(c byte) bool { return inKey(c) || strings.IndexByte("+/=%", c) >= 0 }

// isSeparator reports whether c may stand between two characters of a key: what
// escapes the next, and ends of lines, in which long encodings come.
func isSeparator(c byte) bool { return c == '\\' || c == '\n' || c == '\r' }

// ContinuesKey reports whether a key that began in an earlier piece of text may go
// on with c.
func ContinuesKey(c byte) bool { return inEncodedKey(c) || isSeparator(c) }

// Masker is how far into a key each mark has got. The zero masker is at the
// beginning of a text.
type Masker struct {
	states  []matchState
	partial bool // one of them has begun
}

type matchState struct {
	matched string // the end of what came, as far as the mark may begin with it
	inside  bool   // the mark is complete, and what follows belongs to the key
	shown   bool   // that something follows has been shown
	escaped bool   // the last character was a backslash
}

// Clone returns a masker that goes on from the same place.
func (m *Masker) Clone() Masker { return Masker{slices.Clone(m.states), m.partial} }

// Reset begins another text.
func (m *Masker) Reset() { clear(m.states); m.partial = false }

// Next masks the piece of text that comes next.
func (m *Masker) Next(patterns *Patterns, text string) string {
	if !m.partial && !patterns.mayMatch(text) { // nearly always
		return text
	}
	if len(m.states) != len(patterns.all) {
		m.states = make([]matchState, len(patterns.all))
	}
	m.partial = false
	for i, mark := range patterns.all {
		text = m.states[i].next(mark, text)
		m.partial = m.partial || m.states[i].inside || m.states[i].matched != ""
	}
	return text
}

func (s *matchState) next(mark, text string) string {
	if !s.inside && s.matched == "" && !strings.Contains(text, mark) {
		s.matched = partialMatch(mark, text)
		return text
	}
	var out strings.Builder
	for text != "" {
		if s.inside {
			text = s.maskRest(mark, text, &out)
			continue
		}
		i := strings.Index(s.matched+text, mark)
		if i < 0 {
			s.matched = partialMatch(mark, s.matched+text)
			out.WriteString(text)
			break
		}
		end := i + len(mark) - len(s.matched)
		out.WriteString(text[:end])
		*s, text = matchState{inside: true}, text[end:]
	}
	return out.String()
}

// maskRest goes on inside a key and returns what follows it. What is ours in an
// encoding goes on in the next line.
func (s *matchState) maskRest(mark, text string, out *strings.Builder) (rest string) {
	in := inKey
	coded := !slices.Contains(anyKey, mark)
	if coded {
		in = inEncodedKey
	}
	for i := range len(text) {
		switch c := text[i]; {
		case s.escaped && c != '_' && c != '-' && c != '/' && c != '\\', !in(c) && c != '\\' && (!coded || !isSeparator(c)):
			s.inside = false
			return text[i:]
		case isSeparator(c):
			out.WriteByte(c)
			s.escaped = c == '\\'
		default:
			s.escaped = false
			if !s.shown {
				out.WriteString(masked)
				s.shown = true
			}
		}
	}
	return ""
}

// partialMatch returns the longest end of text that mark begins with and goes on from.
func partialMatch(mark, text string) string {
	end := text[len(text)-min(len(mark)-1, len(text)):]
	for {
		i := strings.IndexByte(end, mark[0])
		if i < 0 {
			return ""
		}
		if end = end[i:]; strings.HasPrefix(mark, end) {
			return end
		}
		end = end[1:]
	}
}

// Text masks a whole text.
func Text(patterns *Patterns, text string) string { return new(Masker).Next(patterns, text) }

// JSON masks the texts of a JSON document, however they are escaped.
func JSON(patterns *Patterns, raw json.RawMessage) json.RawMessage {
	if bytes.Contains(raw, []byte(`\u00`)) { // an escape may stand for any character of a key
		var v any
		dec := json.NewDecoder(bytes.NewReader(raw))
		dec.UseNumber()
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		if dec.Decode(&v) != nil || enc.Encode(v) != nil {
			return nil
		}
		raw = bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	}
	if !slices.ContainsFunc(patterns.all, func(m string) bool { return bytes.Contains(raw, []byte(m)) }) {
		return raw
	}
	return json.RawMessage(Text(patterns, string(raw)))
}
