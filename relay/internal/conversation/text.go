package conversation

import (
	"strings"

	"github.com/anyframe-relay/relay/relay/internal/redact"
)

// pendingText is what the agent said in deltas since its last whole block.
type pendingText struct {
	strings.Builder

	masker redact.Masker
}

// say adds a delta and returns it as it may be shown.
func (s *pendingText) say(patterns *redact.Patterns, text string) string {
	s.WriteString(text)
	return s.masker.Next(patterns, text)
}

// Reset begins another block.
func (s *pendingText) Reset() {
	s.Builder.Reset()
	s.masker.Reset()
}
