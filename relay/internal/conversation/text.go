package conversation

import (
	"strings"

	"github.com/anyframe-relay/relay/relay/internal/redact"
)

// pendingText is what the agent said in deltas since its last whole block.
type pendingText struct {
	strings.Builder

	masker redact.Masker
	half   string // the beginning of a character that the last delta ended with
}

// say adds a delta and returns it as it may be shown: with the half character of the
// delta before, and without its own. That may be nothing.
func (s *pendingText) say(patterns *redact.Patterns, text string) string {
	text, s.half = complete(s.half + text)
	s.WriteString(text)
	return s.masker.Next(patterns, text)
}

// Reset begins another block.
func (s *pendingText) Reset() {
	s.Builder.Reset()
	s.half = ""
	s.masker.Reset()
}
