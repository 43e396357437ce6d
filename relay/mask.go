package relay

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/anyframe-relay/relay/anyframe"
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

// keyMarks are what keys begin with: AnyFrame's, ours if it is another's, and
// ours in the encodings that commands print it in.
func keyMarks(key Secret) *markSet { return newMarkSet(marksOf(key)) }

func marksOf(key Secret) []string {
	own := string(key)
	if len(own) < 8 {
		return anyKey
	}
	head := own[:len(own)/2]
	marks := slices.Clone(anyKey)
	if strings.HasPrefix(own, anyKey[0]) {
		head = own[:min(len(anyKey[0])+2, len(own))] // what all keys begin with, and as much as makes it ours
	} else {
		marks = append(marks, head)
	}
	return append(marks, encodings(head)...)
}

// markSet is some marks, and a quick look for them.
type markSet struct {
	all []string
	// at tells which marks have a character at their first three places, a bit
	// for each; those that share one are taken for each other.
	at [3][256]uint8
}

func newMarkSet(all []string) *markSet {
	m := &markSet{all: all}
	for i, mark := range all {
		for place := range m.at {
			for c := range 256 {
				if place >= len(mark) || mark[place] == byte(c) {
					m.at[place][c] |= 1 << (i % 8)
				}
			}
		}
	}
	return m
}

// may reports whether a mark may be in text, or begin at its end.
func (m *markSet) may(text string) bool {
	for i := range len(text) {
		those := m.at[0][text[i]]
		for place := 1; place < len(m.at) && those != 0 && i+place < len(text); place++ {
			those &= m.at[place][text[i+place]]
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

// inCode reports whether a key may hold c that is encoded.
func inCode(c byte) bool { return inKey(c) || strings.IndexByte("+/=%", c) >= 0 }

// betweenKeys reports whether c may stand between two characters of a key: what
// escapes the next, and ends of lines, in which long encodings come.
func betweenKeys(c byte) bool { return c == '\\' || c == '\n' || c == '\r' }

// masker is how far into a key each mark has got. The zero masker is at the
// beginning of a text.
type masker struct {
	strokes []stroke
	begun   bool // one of them has begun
}

type stroke struct {
	begun   string // the end of what came, as far as the mark may begin with it
	inside  bool   // the mark is complete, and what follows belongs to the key
	shown   bool   // that something follows has been shown
	escaped bool   // the last character was a backslash
}

// next masks the piece of text that comes next.
func (m *masker) next(marks *markSet, text string) string {
	if !m.begun && !marks.may(text) { // nearly always
		return text
	}
	if len(m.strokes) != len(marks.all) {
		m.strokes = make([]stroke, len(marks.all))
	}
	m.begun = false
	for i, mark := range marks.all {
		text = m.strokes[i].next(mark, text)
		m.begun = m.begun || m.strokes[i].inside || m.strokes[i].begun != ""
	}
	return text
}

func (s *stroke) next(mark, text string) string {
	if !s.inside && s.begun == "" && !strings.Contains(text, mark) {
		s.begun = beginning(mark, text)
		return text
	}
	var out strings.Builder
	for text != "" {
		if s.inside {
			text = s.cover(mark, text, &out)
			continue
		}
		i := strings.Index(s.begun+text, mark)
		if i < 0 {
			s.begun = beginning(mark, s.begun+text)
			out.WriteString(text)
			break
		}
		end := i + len(mark) - len(s.begun)
		out.WriteString(text[:end])
		*s, text = stroke{inside: true}, text[end:]
	}
	return out.String()
}

// cover goes on inside a key and returns what follows it. What is ours in an
// encoding goes on in the next line.
func (s *stroke) cover(mark, text string, out *strings.Builder) (rest string) {
	in := inKey
	coded := !slices.Contains(anyKey, mark)
	if coded {
		in = inCode
	}
	for i := range len(text) {
		switch c := text[i]; {
		case s.escaped && c != '_' && c != '-' && c != '/' && c != '\\', !in(c) && c != '\\' && (!coded || !betweenKeys(c)):
			s.inside = false
			return text[i:]
		case betweenKeys(c):
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

// beginning returns the longest end of text that mark begins with and goes on from.
func beginning(mark, text string) string {
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

// mask masks a whole text.
func mask(marks *markSet, text string) string { return new(masker).next(marks, text) }

// maskJSON masks the texts of a JSON document, however they are escaped.
func maskJSON(marks *markSet, raw json.RawMessage) json.RawMessage {
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
	if !slices.ContainsFunc(marks.all, func(m string) bool { return bytes.Contains(raw, []byte(m)) }) {
		return raw
	}
	return json.RawMessage(mask(marks, string(raw)))
}

// maskData masks all that people or the agent wrote in an event's data. Deltas
// have been masked, each after those before it.
func maskData(marks *markSet, data any) any {
	switch d := data.(type) {
	case textData:
		if !d.Delta {
			d.Text = mask(marks, d.Text)
		}
		return d
	case userData:
		d.Text = mask(marks, d.Text)
		files := make([]named, 0, len(d.Attachments))
		for _, f := range d.Attachments {
			files = append(files, named{mask(marks, f.Name), mask(marks, f.MIME)})
		}
		d.Attachments = files
		return d
	case toolData:
		d.Name, d.Summary = mask(marks, d.Name), mask(marks, d.Summary)
		return d
	case questionData:
		d.Question = mask(marks, d.Question)
		options := make([]string, 0, len(d.Options))
		for _, o := range d.Options {
			options = append(options, mask(marks, o))
		}
		d.Options = options
		return d
	case approvalData:
		d.Tool, d.Input = mask(marks, d.Tool), maskJSON(marks, d.Input)
		return d
	case upstreamData:
		d.Payload = maskJSON(marks, d.Payload)
		return d
	}
	return data
}

// spoken is what the agent said in deltas since its last whole block.
type spoken struct {
	strings.Builder

	masker masker
	half   string // the beginning of a character that the last delta ended with
}

// say adds a delta and returns it as it may be shown: with the half character
// of the delta before, and without its own. That may be nothing.
func (s *spoken) say(marks *markSet, text string) string {
	text, s.half = complete(s.half + text)
	s.WriteString(text)
	return s.masker.next(marks, text)
}

// Reset begins another block.
func (s *spoken) Reset() {
	s.Builder.Reset()
	s.half = ""
	clear(s.masker.strokes)
}

// keyRows is how many rows of the past one key may be spread over.
const keyRows = 256

// joinSpeech makes a translator that begins at rows in the middle of a block go
// on masking from what came before, if rows may begin in the middle of a key.
func (t *translator) joinSpeech(rows []anyframe.ChatEvent, read func(since int64, limit int) ([]anyframe.ChatEvent, error)) error {
	if t.start == 0 || len(rows) == 0 {
		return nil
	}
	if text := deltaText(rows[0].Event()); text == "" || utf8.RuneStart(text[0]) && surrogate(text) == 0 && !inCode(text[0]) && !betweenKeys(text[0]) {
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
			aside.step(hear(row.Event()))
		}
	}
	t.said.masker, t.said.half = aside.said.masker, aside.said.half
	return nil
}

// deltaText is the text of a piece of a block, "" when ev is none.
func deltaText(ev anyframe.Event) string {
	m := members(ev.Data)
	if !m.flag("delta") || ev.Type() != anyframe.TypeAssistant {
		return ""
	}
	var b strings.Builder
	for _, block := range m.blocks() {
		if block.blockType() == "text" {
			b.WriteString(piece(block["text"]))
		}
	}
	return b.String()
}
