package conversation

import (
	"strings"

	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/redact"
)

// pendingText is what the agent said in deltas since its last whole block.
type pendingText struct {
	strings.Builder

	masker redact.Masker
	half   string // the beginning of a character that the last delta ended with

	// A block that is larger than one event may be is shown as several. Of the one
	// that is still being said: where it begins, how many bytes it takes as encoded,
	// and the masker as it was there.
	from, size int
	start      redact.Masker
}

// say adds a delta and returns it as it may be shown, which may be nothing.
func (s *pendingText) say(patterns *redact.Patterns, text string) string {
	s.WriteString(text)
	s.size += event.EncodedLen(text)
	return s.masker.Next(patterns, text)
}

// fits reports whether a delta is no more than one block may still get.
func (s *pendingText) fits(text string) bool {
	return s.size+6*len(text) <= event.MaxText || s.size+event.EncodedLen(text) <= event.MaxText
}

// cut ends the block and begins another, and returns what was said in it as it may be
// shown, which equals its deltas.
func (s *pendingText) cut(patterns *redact.Patterns) string {
	said := s.start.Next(patterns, s.String()[s.from:])
	s.from, s.size, s.start = s.Len(), 0, s.masker.Clone()
	return said
}

// Reset begins another text.
func (s *pendingText) Reset() {
	s.masker.Reset()
	s.drop()
}

// drop forgets what was said. What is said next is masked on from it.
func (s *pendingText) drop() {
	s.Builder.Reset()
	s.half = ""
	s.from, s.size, s.start = 0, 0, s.masker.Clone()
}

// say shows a delta, with the half character of the delta before and without its own, and
// ends the block wherever it is as large as one may be.
func (p *projector) say(text string) {
	text, p.pending.half = complete(p.pending.half + text)
	for text != "" {
		head := text
		if !p.pending.fits(text) {
			head, _ = event.CutText(text, event.MaxText-p.pending.size)
		}
		if shown := p.pending.say(p.patterns, head); shown != "" {
			p.out = append(p.out, event.Item{Kind: "text", Delta: shown})
		}
		if text = text[len(head):]; text != "" {
			p.out = append(p.out, event.Item{Kind: "text", Data: event.TextData{Text: p.pending.cut(p.patterns)}})
		}
	}
}

// whole shows a complete block, or several where it is larger than one may be. Deltas
// that were lost on the way to the relay are made up for first, so that the block equals
// what its deltas added up to and replaces them. Of a block whose deltas were shown as
// several, the last is shown, for the others were.
func (p *projector) whole(text string) {
	said := p.pending.String()
	if said != "" && said != text && strings.HasPrefix(text, said) {
		p.pending.half = "" // the block has it whole
		p.say(text[len(said):])
		said = text
	}
	if p.pending.from > 0 && said == text {
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
