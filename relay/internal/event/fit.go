package event

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"
)

// The size of a frame to a browser is limited. Larger text is sent as several blocks, see
// [CutText]; other data that is too large is shortened, see [Fit].
const (
	// MaxFrame is the maximum size of a frame in bytes.
	MaxFrame = 4 << 20
	// MaxText is the maximum encoded size in bytes of one event's text. Masking can make
	// it a third longer.
	MaxText = 3 << 20
	// maxFile is the maximum length of an attachment's name or type in a shortened event,
	// and maxFiles the maximum number of attachments.
	maxFile, maxFiles = 1 << 10, 100
	// maxString is the maximum length of one string in a shortened JSON document.
	maxString = 64 << 10
)

// encodedLen returns how many bytes the rune r, of size bytes, takes in a JSON string.
func encodedLen(r rune, size int) int {
	switch {
	case r == '"', r == '\\', r == '\n', r == '\r', r == '\t', r == '\b', r == '\f':
		return 2
	case r < ' ', r == '\u2028', r == '\u2029', r == utf8.RuneError && size == 1:
		return 6
	}
	return size
}

// EncodedLen returns how many bytes text takes in a JSON string.
func EncodedLen(text string) (n int) {
	for i := 0; i < len(text); {
		if c := text[i]; c >= ' ' && c < utf8.RuneSelf && c != '"' && c != '\\' {
			n++
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(text[i:])
		n += encodedLen(r, size)
		i += size
	}
	return n
}

// CutText splits text, so that the first part takes at most limit bytes in a JSON string.
func CutText(text string, limit int) (head, rest string) {
	if len(text)*6 <= limit {
		return text, ""
	}
	n := 0
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		if n += encodedLen(r, size); n > limit {
			return text[:i], text[i:]
		}
		i += size
	}
	return text, ""
}

// Fit returns data that fits in a frame: nearly always data itself, otherwise a shortened
// copy marked as truncated. It does not handle the agent's text.
func Fit(data any) any {
	switch d := data.(type) {
	case UserData:
		files := len(d.Attachments) > maxFiles
		for _, f := range d.Attachments {
			files = files || len(f.Name) > maxFile || len(f.MIME) > maxFile
		}
		text, rest := CutText(d.Text, MaxText)
		if rest == "" && !files {
			return d
		}
		d.Text, d.Truncated = text, true
		d.Attachments = slices.Clone(d.Attachments[:min(len(d.Attachments), maxFiles)])
		for i, f := range d.Attachments {
			name, _ := CutText(f.Name, maxFile)
			kind, _ := CutText(f.MIME, maxFile)
			d.Attachments[i] = Attachment{name, kind}
		}
		return d
	case QuestionData:
		question, rest := CutText(d.Question, MaxText/2)
		cut, left := rest != "", MaxText/2
		var options []string
		for _, o := range d.Options {
			if left -= EncodedLen(o) + len(`"",`); left < 0 {
				cut = true
				break
			}
			options = append(options, o)
		}
		if cut {
			d.Question, d.Options, d.Truncated = question, append([]string{}, options...), true
		}
		return d
	case ToolData:
		d.Name, _ = CutText(d.Name, MaxText)
		return d
	case ApprovalData:
		tool, rest := CutText(d.Tool, maxString)
		input, cut := fitJSON(d.Input, MaxText)
		if rest != "" || cut {
			d.Tool, d.Input, d.Truncated = tool, input, true
		}
		return d
	case UpstreamData:
		d.Payload, d.Truncated = fitJSON(d.Payload, MaxText)
		return d
	}
	return data
}

// fitJSON returns a JSON document of at most limit bytes: raw, or a copy with its long
// strings shortened and, if that is not enough, its last members omitted.
func fitJSON(raw json.RawMessage, limit int) (fits json.RawMessage, cut bool) {
	if len(raw) <= limit {
		return raw, false
	}
	var v any
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	if dec.Decode(&v) != nil {
		return nil, true
	}
	f := fitter{left: limit}
	f.value(v)
	return f.out.Bytes(), true
}

// fitter writes as much of a document as fits.
type fitter struct {
	out  bytes.Buffer
	left int // in bytes
}

func (f *fitter) write(s string) {
	f.out.WriteString(s)
	f.left -= len(s)
}

// text writes a string, or as much of it as fits.
func (f *fitter) text(s string) {
	head, _ := CutText(s, max(0, min(maxString, f.left-2)))
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(head) // a string: cannot fail
	f.write(strings.TrimSuffix(b.String(), "\n"))
}

// value writes a value and reports whether everything except for strings fit.
func (f *fitter) value(v any) bool {
	const least = 16 // room for the shortest values, and for closing an object around them
	switch v := v.(type) {
	case string:
		f.text(v)
	case json.Number:
		if len(v) > maxString || len(v) > f.left {
			f.write("null")
			return true
		}
		f.write(v.String())
	case bool:
		f.write(map[bool]string{true: "true", false: "false"}[v])
	case nil:
		f.write("null")
	case []any:
		return f.members('[', ']', len(v), func(i int) bool {
			return f.left > least && f.value(v[i])
		})
	case map[string]any:
		keys := make([]string, 0, len(v))
		for k := range v {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		return f.members('{', '}', len(keys), func(i int) bool {
			if EncodedLen(keys[i]) > min(maxString, f.left-2*least) {
				return false
			}
			f.text(keys[i])
			f.write(":")
			return f.value(v[keys[i]])
		})
	}
	return true
}

// members writes those of n members that fit. It reserves the room for closing the object
// first.
func (f *fitter) members(open, end byte, n int, member func(i int) bool) bool {
	f.left -= 2
	f.out.WriteByte(open)
	defer func() { f.out.WriteByte(end) }()
	for i := range n {
		at := f.out.Len()
		if i > 0 {
			f.write(",")
		}
		if from := f.out.Len(); !member(i) {
			if f.out.Len() == from {
				f.out.Truncate(at)
			}
			return false
		}
	}
	return true
}
