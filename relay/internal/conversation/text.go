package conversation

import (
	"github.com/anyframe-relay/relay/relay/internal/chunks"
	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/redact"
)

// pendingText is the text of the deltas since the last whole block.
type pendingText struct {
	chunks.Text

	masker redact.Masker
	half   string // the first part of a character that the last delta ended with
	// torn: the block may have begun before this text, so they cannot be compared.
	torn bool

	// A block that is too large for one event is shown as several. These describe the
	// part in progress: its start, its encoded size in bytes, and the masker's state at
	// its start.
	from, encoded int
	start         redact.Masker
}

// say adds a delta and returns its masked text, which may be empty.
func (s *pendingText) say(patterns *redact.Patterns, text string) string {
	s.Add(text)
	s.encoded += event.EncodedLen(text)
	return s.masker.Next(patterns, text)
}

// fits reports whether the current block has room for a delta.
func (s *pendingText) fits(text string) bool {
	return s.encoded+6*len(text) <= event.MaxText || s.encoded+event.EncodedLen(text) <= event.MaxText
}

// cut ends the block and begins a new one. It returns the ended block's masked text,
// which equals the sum of its deltas.
func (s *pendingText) cut(patterns *redact.Patterns) string {
	said := s.start.Next(patterns, s.Since(s.from))
	s.from, s.encoded, s.start = s.Len(), 0, s.masker.Clone()
	return said
}

// begun reports whether there is any text.
func (s *pendingText) begun() bool { return s.Len() > 0 || s.half != "" }

// Reset begins a new text.
func (s *pendingText) Reset() {
	s.masker.Reset()
	s.drop()
	s.half, s.torn = "", false
}

// drop discards the text so far. Later text continues it: in the middle of a key, or of a
// character.
func (s *pendingText) drop() {
	s.torn = s.torn || s.begun()
	s.Text = chunks.Text{}
	s.from, s.encoded, s.start = 0, 0, s.masker.Clone()
}

// say shows a delta, with the half character of the previous delta and without its own.
// It ends the block wherever it reaches the maximum size.
func (p *projector) say(text string) {
	text, p.pending.half = complete(p.pending.half + text)
	for text != "" {
		head := text
		if !p.pending.fits(text) {
			head, _ = event.CutText(text, event.MaxText-p.pending.encoded)
		}
		if shown := p.pending.say(p.patterns, head); shown != "" {
			p.out = append(p.out, event.Item{Kind: "text", Delta: shown})
		}
		if text = text[len(head):]; text != "" {
			p.out = append(p.out, event.Item{Kind: "text", Data: event.TextData{Text: p.pending.cut(p.patterns)}})
		}
	}
}

// whole shows a complete block, or several if it is too large for one event. It first
// adds deltas that were lost on the way to the relay, so that the block equals the sum of
// its deltas and replaces them. If the deltas were shown as several blocks, it shows only
// the last one, because the others have been shown. To a text whose beginning is unknown
// it adds nothing, because a block may begin with the same words by chance. A whole block
// closes a gap before it.
func (p *projector) whole(text string) {
	p.closeGap(p.seq)
	all := !p.pending.torn && p.pending.IsPrefixOf(text)
	if said := p.pending.Len(); all && 0 < said && said < len(text) {
		p.pending.half = "" // the block contains the whole character
		p.say(text[said:])
	}
	if p.pending.from > 0 && all {
		p.out = append(p.out, event.Item{Kind: "text", Data: event.TextData{Text: p.pending.cut(p.patterns)}})
		p.pending.Reset()
		return
	}
	p.pending.Reset()
	var masker redact.Masker
	for text != "" {
		var head string
		head, text = event.CutText(text, event.MaxText)
		p.out = append(p.out, event.Item{Kind: "text", Data: event.TextData{Text: masker.Next(p.patterns, head)}})
	}
}
