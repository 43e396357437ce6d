package redact

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"sync"
)

// Text shown to visitors never contains an AnyFrame key, whether the agent or a person
// wrote it: only the prefix afm_ is kept. Text arrives in chunks, so the masker is a
// streaming state machine: what it emits for a byte depends only on the bytes before it.
// A block that equals its deltas therefore still does after masking, wherever the deltas
// were cut. Only separators between the numbers of a key are held back, until it is known
// whether the key continues.

// masked replaces the hidden part of a key.
const masked = "…"

// Patterns finds where keys begin. It is safe for concurrent use.
type Patterns struct{ automaton *automaton }

// compiled caches the patterns of the latest keys, which take some milliseconds to
// compile.
var compiled struct {
	sync.Mutex
	byKey map[Secret]*Patterns
}

const maxCompiled = 16

// KeyPatterns returns the patterns of the beginnings of keys: of AnyFrame's keys, and of
// our own if it has another prefix. They cover all writings that encode characters one by
// one. For our own key, they also cover the codes in which commands print it.
func KeyPatterns(key Secret) *Patterns {
	compiled.Lock()
	defer compiled.Unlock()
	if p := compiled.byKey[key]; p != nil {
		return p
	}
	if len(compiled.byKey) >= maxCompiled || compiled.byKey == nil {
		compiled.byKey = map[Secret]*Patterns{}
	}
	p := &Patterns{compile(patternsOf(string(key)))}
	compiled.byKey[key] = p
	return p
}

// SitePatterns returns [KeyPatterns] for one of many keys. All of AnyFrame's keys share
// the same patterns, which treat any text with their prefix as a key, also in codes.
// Separate patterns would take too much memory for a thousand sites.
func SitePatterns(key Secret) *Patterns {
	if strings.HasPrefix(string(key), anyKey) {
		return KeyPatterns(anyKey)
	}
	return KeyPatterns(key)
}

// Masker is the position of a text relative to keys. The zero Masker is at the beginning
// of a text.
type Masker struct {
	state  uint16  // of the automaton
	open   writing // the writings in which a key may be in progress, or 0
	shown  bool    // a marker for the hidden part has been shown
	plain  plainKey
	coded  codedKey
	spaced spacedKey
	held   []byte // shown if the key does not continue
}

// Clone returns a masker at the same position.
func (m *Masker) Clone() Masker {
	c := *m
	c.held = slices.Clone(m.held)
	return c
}

// Reset starts a new text.
func (m *Masker) Reset() { *m = Masker{} }

// Next masks the next piece of the text.
func (m *Masker) Next(patterns *Patterns, text string) string {
	from := 0
	if m.open == 0 {
		if from = m.find(patterns.automaton, text); from < 0 { // the usual case
			return text
		}
	}
	var out strings.Builder
	out.WriteString(text[:from])
	for i := from; i < len(text); i++ {
		m.next(patterns.automaton, text[i], &out)
	}
	return out.String()
}

// find advances to just after the first beginning of a key, and returns its index, or -1
// if there is none.
func (m *Masker) find(a *automaton, text string) int {
	state := m.state
	for i := 0; i < len(text); i++ {
		if state == 0 && a.stays[text[i]] {
			continue
		}
		state = a.step(state, text[i])
		if ends := a.ends[state]; ends != 0 {
			m.state, m.shown = state, false
			m.begin(ends)
			return i + 1
		}
	}
	m.state = state
	return -1
}

// begin records that a key has begun in these writings.
func (m *Masker) begin(ends writing) {
	m.open |= ends
	if ends&plain != 0 {
		m.plain = plainKey{}
	}
	if ends&coded != 0 {
		m.coded = codedKey{}
	}
	if ends&spaced != 0 {
		m.spaced = spacedKey{}
	}
}

func (m *Masker) next(a *automaton, c byte, out *strings.Builder) {
	if m.open == 0 {
		out.WriteByte(c)
	} else {
		m.inKey(c, out)
	}
	m.state = a.step(m.state, c)
	if ends := a.ends[m.state]; ends != 0 {
		if m.open == 0 {
			m.shown = false
		}
		m.begin(ends)
	}
}

// inKey writes what is shown of a byte after the beginning of a key. The key has ended
// when it continues in no writing.
func (m *Masker) inKey(c byte, out *strings.Builder) {
	most := over
	for _, way := range [...]struct {
		is   writing
		next func(byte) verdict
	}{{plain, m.plain.next}, {coded, m.coded.next}, {spaced, m.spaced.next}} {
		if m.open&way.is == 0 {
			continue
		}
		v := way.next(c)
		if v == over {
			m.open &^= way.is
		}
		most = max(most, v)
	}
	switch most {
	case hidden:
		m.held = m.held[:0]
		if !m.shown {
			out.WriteString(masked)
			m.shown = true
		}
	case holds:
		m.held = append(m.held, c)
	case shows, over:
		out.Write(m.held)
		m.held = m.held[:0]
		out.WriteByte(c)
	}
}

// Text masks a complete text.
func Text(patterns *Patterns, text string) string { return new(Masker).Next(patterns, text) }

// JSON masks the strings of a JSON document, however they are escaped. It returns nil if
// a key spans several of them.
func JSON(patterns *Patterns, raw json.RawMessage) json.RawMessage {
	spread := new(Masker).find(patterns.automaton, string(raw)) >= 0
	if !spread && bytes.IndexByte(raw, '\\') < 0 {
		return raw
	}
	var v any
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	if dec.Decode(&v) != nil {
		return nil
	}
	v, changed := maskStrings(patterns, v)
	if !changed {
		if spread {
			return nil
		}
		return raw
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if enc.Encode(v) != nil {
		return nil
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// maskStrings masks the strings in a decoded JSON value, including member names, and
// reports whether any of them changed.
func maskStrings(patterns *Patterns, v any) (out any, changed bool) {
	switch v := v.(type) {
	case string:
		text := Text(patterns, v)
		return text, text != v
	case []any:
		for i := range v {
			var c bool
			v[i], c = maskStrings(patterns, v[i])
			changed = changed || c
		}
	case map[string]any:
		clean := make(map[string]any, len(v))
		for name, value := range v {
			value, c := maskStrings(patterns, value)
			text := Text(patterns, name)
			changed = changed || c || text != name
			clean[text] = value
		}
		return clean, changed
	}
	return v, changed
}
