package event

import (
	"encoding/json"
)

// Attachment is how an attachment is told to visitors: never its content.
type Attachment struct {
	Name string `json:"name"`
	MIME string `json:"mime"`
}

// Status is where a visitor's session stands, as visitors are told. It is also
// what the store keeps as the state of a session.
type Status string

// The statuses of a session.
const (
	StatusNone     Status = "none"
	StatusBooting  Status = "booting"
	StatusRunning  Status = "running"
	StatusSleeping Status = "sleeping"
	StatusFailed   Status = "failed"
	StatusEnded    Status = "ended"
)

// The data of each kind of event, see docs/http-api.md. Truncated says that more than what
// fits was there.
type (
	// SessionData is the data of "session": where the visitor's sandbox stands.
	SessionData struct {
		Status Status `json:"status"`
		Epoch  int64  `json:"epoch"`
	}
	// UserData is the data of "user": what the visitor said. Turn is the key of the request it came with.
	UserData struct {
		Text        string       `json:"text"`
		Attachments []Attachment `json:"attachments"`
		Turn        string       `json:"turn,omitempty"`
		Truncated   bool         `json:"truncated,omitempty"`
	}
	// TextData is the data of "text": a block of what the agent says or, with Delta, a piece of one.
	TextData struct {
		Text  string `json:"text"`
		Delta bool   `json:"delta"`
	}
	// ToolData is the data of "tool": a tool that the agent uses.
	ToolData struct {
		Name    string `json:"name"`
		State   string `json:"state"`
		Summary string `json:"summary"`
	}
	// QuestionData is the data of "question": what the agent asks the visitor.
	QuestionData struct {
		ID       string   `json:"id"`
		Question string   `json:"question"`
		Options  []string `json:"options"`

		Truncated bool `json:"truncated,omitempty"`
	}
	// ApprovalData is the data of "approval": what the agent asks permission for. ID is null where the visitor cannot decide.
	ApprovalData struct {
		ID    *string         `json:"id"`
		Tool  string          `json:"tool,omitempty"`
		Input json.RawMessage `json:"input,omitempty"`

		Truncated bool `json:"truncated,omitempty"`
	}
	// SettledData is the data of "settled": how a question or an approval ended.
	SettledData struct {
		ID      string `json:"id"`
		Outcome string `json:"outcome"`
	}
	// TurnEndData is the data of "turn_end". Turn is the key of the request with which the turn came, "" if that is not known.
	TurnEndData struct {
		Reason string  `json:"reason"`
		Code   *string `json:"code"`
		Turn   string  `json:"turn,omitempty"`
	}
	// UpstreamData is the data of "upstream": an event of AnyFrame's as it came, keys masked.
	UpstreamData struct {
		Payload json.RawMessage `json:"payload"`

		Truncated bool `json:"truncated,omitempty"`
	}
	// NoticeData is the data of "notice": the operators' line for every visitor, null without one.
	NoticeData struct {
		Text *string `json:"text"`
	}
	// FeedbackData is the data of "feedback": how the visitor rates the answer to a turn, null if no longer.
	FeedbackData struct {
		Turn   string  `json:"turn"`
		Rating *string `json:"rating"`
	}
	// ResetData is the data of "reset".
	ResetData struct {
		Reason string `json:"reason"`
	}
)

// The reasons of a "turn_end" that are the relay's own.
const (
	ReasonInterrupted = "interrupted" // the sandbox went to sleep, or its session was lost
	ReasonStopped     = "stopped"     // the visitor or an operator stopped the turn
)

// The outcomes of a prompt that was not answered through the relay.
const (
	OutcomeElsewhere = "elsewhere" // it was answered on AnyFrame's own console
	OutcomeStopped   = "stopped"   // its turn was stopped
)

// FeedbackOf is the data of feedback with this rating, "" being none.
func FeedbackOf(turn, rating string) FeedbackData {
	if rating == "" {
		return FeedbackData{Turn: turn}
	}
	return FeedbackData{turn, &rating}
}

// NoticeOf is the data of a notice with this text, "" being none.
func NoticeOf(text string) NoticeData {
	if text == "" {
		return NoticeData{}
	}
	return NoticeData{&text}
}

// Visibility is how much of what the agent does a visitor sees.
type Visibility string

// The visibilities, each showing all that the one before shows.
const (
	VisibilityChat  Visibility = "chat"  // visitor and agent text, questions, turn ends
	VisibilityTools Visibility = "tools" // also tool names and a short summary of their input
	VisibilityFull  Visibility = "full"  // everything; for private deployments
)

// ContextAttachment is the name of the attachment by which AnyFrame gets what the website
// tells the agent about a visitor. No visitor sees it.
const ContextAttachment = "visitor-context.json"
