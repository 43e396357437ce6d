package event

import (
	"encoding/json"
)

// Attachment describes an attachment to visitors, without its content.
type Attachment struct {
	Name string `json:"name"`
	MIME string `json:"mime"`
}

// Status is the status of a visitor's session, as shown to visitors and as stored.
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

// The data of each kind of event, see docs/http-api.md. Truncated says that the data was
// shortened to fit.
type (
	// SessionData is the data of "session": the status of the visitor's sandbox.
	SessionData struct {
		Status Status `json:"status"`
		Epoch  int64  `json:"epoch"`
	}
	// UserData is the data of "user": a message from the visitor. Turn is the key of its
	// request.
	UserData struct {
		Text        string       `json:"text"`
		Attachments []Attachment `json:"attachments"`
		Turn        string       `json:"turn,omitempty"`
		Truncated   bool         `json:"truncated,omitempty"`
	}
	// TextData is the data of "text": a block of the agent's text or, with Delta, a piece
	// of one.
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
	// QuestionData is the data of "question": a question from the agent to the visitor.
	QuestionData struct {
		ID       string   `json:"id"`
		Question string   `json:"question"`
		Options  []string `json:"options"`

		Truncated bool `json:"truncated,omitempty"`
	}
	// ApprovalData is the data of "approval": a request for permission. ID is null if the
	// visitor cannot decide.
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
	// TurnEndData is the data of "turn_end". Turn is the key of the turn's request, "" if
	// unknown.
	TurnEndData struct {
		Reason string  `json:"reason"`
		Code   *string `json:"code"`
		Turn   string  `json:"turn,omitempty"`
	}
	// UpstreamData is the data of "upstream": AnyFrame's raw event, with keys masked.
	UpstreamData struct {
		Payload json.RawMessage `json:"payload"`

		Truncated bool `json:"truncated,omitempty"`
	}
	// NoticeData is the data of "notice": the operators' banner for all visitors, null if
	// there is none.
	NoticeData struct {
		Text *string `json:"text"`
	}
	// FeedbackData is the data of "feedback": the visitor's rating of the answer to a
	// turn, null if it was withdrawn.
	FeedbackData struct {
		Turn   string  `json:"turn"`
		Rating *string `json:"rating"`
	}
	// ResetData is the data of "reset".
	ResetData struct {
		Reason string `json:"reason"`
	}
)

// The relay's own reasons of a "turn_end".
const (
	ReasonInterrupted = "interrupted" // the sandbox went to sleep, or its session was lost
	ReasonStopped     = "stopped"     // the visitor or an operator stopped the turn
)

// The outcomes of a prompt that was not answered through the relay.
const (
	OutcomeElsewhere = "elsewhere" // it was answered on AnyFrame's own console
	OutcomeStopped   = "stopped"   // its turn was stopped
)

// FeedbackOf returns the data of feedback with this rating, "" being none.
func FeedbackOf(turn, rating string) FeedbackData {
	if rating == "" {
		return FeedbackData{Turn: turn}
	}
	return FeedbackData{turn, &rating}
}

// NoticeOf returns the data of a notice with this text, "" being none.
func NoticeOf(text string) NoticeData {
	if text == "" {
		return NoticeData{}
	}
	return NoticeData{&text}
}

// Visibility is how much of the agent's activity a visitor sees.
type Visibility string

// The visibilities. Each one includes everything that the one before it shows.
const (
	VisibilityChat  Visibility = "chat"  // visitor and agent text, questions, turn ends
	VisibilityTools Visibility = "tools" // also tool names and a short summary of their input
	VisibilityFull  Visibility = "full"  // everything; for private deployments
)

// ContextAttachment is the name of the attachment that carries the website's context
// about a visitor to AnyFrame. No visitor sees it.
const ContextAttachment = "visitor-context.json"
