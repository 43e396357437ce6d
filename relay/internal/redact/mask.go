package redact

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"sync"
)

// Text shown to visitors, from the agent or anyone else, never contains an AnyFrame key:
// only the prefix afm_ of it is kept. The text comes in chunks, and what a masker emits for
// a byte depends only on the bytes before it. So a block that equals its deltas still does
// when both are masked, wherever those were cut. What stands between the numbers of a key
// is held back until it is known whether the key goes on; nothing else is.

// masked stands for what is not shown of a key.
const masked = "…"

// Patterns finds where keys begin. It is safe for concurrent use.
type Patterns struct{ automaton *automaton }

// compiled holds the patterns of the last keys that were asked for, which take some
// milliseconds to compile.
var compiled struct {
	sync.Mutex
	byKey map[Secret]*Patterns
}

const maxCompiled = 16

// KeyPatterns are what keys begin with: AnyFrame's, and ours if it is another's, in all
// writings in which each character is there by itself; and ours in the codes that
// commands print it in.
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

// SitePatterns are [KeyPatterns] for one of many keys: those of AnyFrame's have the same
// patterns, which take what begins as any of them does for one, also in codes. They are
// much to keep for each of a thousand sites.
func SitePatterns(key Secret) *Patterns {
	if strings.HasPrefix(string(key), anyKey) {
		return KeyPatterns(anyKey)
	}
	return KeyPatterns(key)
}

// Masker is how far into a key a text is. The zero masker is at the beginning of a text.
type Masker struct {
	state  uint16  // of the automaton
	open   writing // the ways in which a key may be going on; 0: there is none
	shown  bool    // that something follows the key's beginning has been shown
	plain  plainKey
	coded  codedKey
	spaced spacedKey
	held   []byte // what is shown if the key does not go on
}

// Clone returns a masker that goes on from the same place.
func (m *Masker) Clone() Masker {
	c := *m
	c.held = slices.Clone(m.held)
	return c
}

// Reset begins another text.
func (m *Masker) Reset() { *m = Masker{} }

// Next masks the piece of text that comes next.
func (m *Masker) Next(patterns *Patterns, text string) string {
	from := 0
	if m.open == 0 {
		if from = m.find(patterns.automaton, text); from < 0 { // nearly always
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

// find goes to just after the first beginning of a key, and returns where that is, -1
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

// begin notes that a key has begun in these ways.
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

// inKey writes what is shown of a byte after the beginning of a key. The key is over
// when it is in no writing.
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

// Text masks a whole text.
func Text(patterns *Patterns, text string) string { return new(Masker).Next(patterns, text) }

// JSON masks the texts of a JSON document, however they are escaped. It returns nil if a
// key goes over several of them.
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

// maskStrings masks the strings in a decoded JSON value, names of members included, and
// reports whether one of them was changed.
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
