package webhook

import (
	"cmp"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// The event types.
const (
	ConversationStarted = "conversation.started"
	ConversationEnded   = "conversation.ended"
	PromptWaiting       = "prompt.waiting"
	TurnFailed          = "turn.failed"
	BudgetNear          = "budget.near"
	BudgetReached       = "budget.reached"
	KeyRefused          = "key.refused"
	FeedbackGiven       = "feedback.given"
	ErasureDone         = "erasure.done"
	test                = "test" // sent only by [Send], for relay doctor
)

// Types lists every event type.
func Types() []string {
	return []string{
		ConversationStarted, ConversationEnded, PromptWaiting, TurnFailed, BudgetNear, BudgetReached, KeyRefused, FeedbackGiven, ErasureDone,
	}
}

// Event is something that happened. It contains no content of a conversation.
type Event struct {
	Type string
	Time time.Time
	Data Data
	// About distinguishes different events of the same type and data. It is not part of
	// the message.
	About string
}

// Data is what an event is about. Members that do not apply are omitted.
type Data struct {
	Site         string `json:"site"`
	Conversation string `json:"conversation,omitempty"` // the id that operators use
	Epoch        int64  `json:"epoch,omitempty"`
	Turn         string `json:"turn,omitempty"`
	Visitor      string `json:"visitor,omitempty"` // the visitor's hash

	Prompt  string `json:"prompt,omitempty"`
	Kind    string `json:"kind,omitempty"` // of the prompt: question or permission
	Reason  string `json:"reason,omitempty"`
	Rating  string `json:"rating,omitempty"`
	Erasure string `json:"erasure,omitempty"`
	Budget  string `json:"budget,omitempty"`
	Used    int    `json:"used,omitempty"`
	Limit   int    `json:"limit,omitempty"`
}

// id returns the same id for the same event, whichever process stores it. With an About
// it does not depend on the turn, which not every process has.
func (e *Event) id() string {
	d := e.Data
	if e.About != "" {
		d.Turn = ""
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %d %q %q %q %q", e.Type, d.Site, d.Conversation, d.Epoch, d.Turn, d.Prompt, d.Erasure, e.About))
	return "evt_" + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:16]))
}

// message is an event as it is sent in the format json, and as it is stored.
type message struct {
	Type      string `json:"type"`
	Timestamp string `json:"timestamp"`
	Data      Data   `json:"data"`
}

func (e *Event) message() message {
	return message{e.Type, e.Time.UTC().Truncate(time.Millisecond).Format(time.RFC3339Nano), e.Data}
}

// The formats in which events are sent.
const (
	FormatJSON    = "json"
	FormatSlack   = "slack"
	FormatDiscord = "discord"
)

// Formats lists every format.
func Formats() []string { return []string{FormatJSON, FormatSlack, FormatDiscord} }

// body returns a message in a format.
func (m *message) body(format string) ([]byte, error) {
	switch format {
	case FormatSlack:
		// https://docs.slack.dev/messaging/formatting-message-text: these three are control characters.
		text := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(m.line())
		return json.Marshal(map[string]any{"text": text})
	case FormatDiscord:
		return json.Marshal(map[string]any{"content": m.line(), "allowed_mentions": map[string]any{"parse": []string{}}})
	default:
		return json.Marshal(m)
	}
}

var words = map[string]string{
	ConversationStarted: "Conversation started",
	ConversationEnded:   "Conversation ended",
	PromptWaiting:       "The agent is waiting for an answer",
	TurnFailed:          "Turn failed",
	BudgetNear:          "80 % of a budget is used",
	BudgetReached:       "A budget is used up",
	KeyRefused:          "AnyFrame rejects the API key",
	FeedbackGiven:       "A visitor rated an answer",
	ErasureDone:         "Erasure done",
	test:                "Test event from relay doctor",
}

// line returns a message as text for people.
func (m *message) line() string {
	var facts []string
	for _, f := range []struct{ name, value string }{
		{"site", m.Data.Site},
		{"conversation", m.Data.Conversation},
		{"turn", m.Data.Turn},
		{"kind", m.Data.Kind},
		{"reason", m.Data.Reason},
		{"rating", m.Data.Rating},
		{"budget", m.Data.Budget},
		{"erasure", m.Data.Erasure},
	} {
		if f.value != "" {
			facts = append(facts, f.name+" "+f.value)
		}
	}
	if m.Data.Limit > 0 {
		facts = append(facts, fmt.Sprintf("%d of %d", m.Data.Used, m.Data.Limit))
	}
	return fmt.Sprintf("%s (%s)", cmp.Or(words[m.Type], m.Type), strings.Join(facts, ", "))
}

// known reports whether there is such an event type.
func known(name string) bool { return slices.Contains(Types(), name) }
