package anyframe

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/anyframe-relay/relay/anyframe/internal/loose"
)

// SessionStatus is the state of a session. It is an open type: an unknown value is
// kept as received.
type SessionStatus string

// The known statuses. Booting leads to running, running via snapshotting to
// terminated, and resuming from terminated to booting again.
const (
	StatusBooting      SessionStatus = "booting"
	StatusRunning      SessionStatus = "running"
	StatusSnapshotting SessionStatus = "snapshotting"
	StatusTerminated   SessionStatus = "terminated"
	StatusPaused       SessionStatus = "paused" // like terminated: stopped, with a snapshot
	StatusError        SessionStatus = "error"
)

// Known reports whether s is one of the constants.
func (s SessionStatus) Known() bool {
	switch s {
	case StatusBooting, StatusRunning, StatusSnapshotting, StatusTerminated, StatusPaused, StatusError:
		return true
	}
	return false
}

// Resumable reports whether the session can be resumed.
func (s SessionStatus) Resumable() bool { return s == StatusTerminated || s == StatusPaused }

// stopped reports whether the session cannot become running without a resume.
func (s SessionStatus) stopped() bool { return s.Resumable() || s == StatusError }

// Session is one sandbox with its chat.
type Session struct {
	ID              string        `json:"id"`
	AgentID         int64         `json:"agent_id"`
	Status          SessionStatus `json:"status"`
	ModalSandboxID  string        `json:"modal_sandbox_id"`
	SandboxURL      string        `json:"sandbox_url"`
	SnapshotImageID string        `json:"snapshot_image_id"`
	IdleTimeoutS    int           `json:"idle_timeout_s"` // seconds
	Previews        []Preview     `json:"previews"`
	IsSetupSession  bool          `json:"is_setup_session"`
	ErrorReason     string        `json:"error_reason"`   // why the status is StatusError; "" if not given
	DriverUserID    *int64        `json:"driver_user_id"` // the user in control; nil if there is none
	CreatedAt       Time          `json:"created_at"`
	LastActive      Time          `json:"last_active"`
}

// Snapshot is the state of a sandbox when its session stopped, including the chat.
type Snapshot struct {
	ID           int64  `json:"id"`
	ModalImageID string `json:"modal_image_id"`
	Label        string `json:"label"`
	CreatedAt    Time   `json:"created_at"`
}

// SaveAsBaseResult is the base that an agent's sessions now start from.
type SaveAsBaseResult struct {
	WarmupImageID    string `json:"warmup_image_id"`
	WarmupInputsHash string `json:"warmup_inputs_hash"`
}

// ChatEvent is one row of a transcript.
type ChatEvent struct {
	Seq       int64           `json:"seq"` // the id of the same event on the stream
	Payload   json.RawMessage `json:"payload"`
	CreatedAt Time            `json:"created_at"`
}

// Event returns the row as an event of the stream.
func (c ChatEvent) Event() Event {
	return Event{ID: strconv.FormatInt(c.Seq, 10), Seq: c.Seq, Data: c.Payload}
}

// Message is the prompt of one turn.
type Message struct {
	Prompt      string       `json:"prompt"` // may be empty if there are attachments
	Attachments []Attachment `json:"attachments,omitempty"`
}

// AttachmentKind is the form of an attachment.
type AttachmentKind string

// The two forms of attachment.
const (
	AttachmentImage AttachmentKind = "image"
	AttachmentText  AttachmentKind = "text"
)

// Attachment is a file sent with a message: an image, with Data, or text, with
// Text.
type Attachment struct {
	Kind AttachmentKind
	Name string
	MIME string
	Data []byte // the image; base64 on the wire
	Text string // the text; invalid UTF-8 is replaced on the wire
}

// MarshalJSON writes only the members of the attachment's kind.
func (a Attachment) MarshalJSON() ([]byte, error) {
	type head struct {
		Kind AttachmentKind `json:"kind"`
		Name string         `json:"name"`
		MIME string         `json:"mime"`
	}
	h := head{a.Kind, a.Name, a.MIME}
	if a.Kind == AttachmentImage {
		return json.Marshal(struct {
			head
			Data []byte `json:"data_base64"`
		}{h, append([]byte{}, a.Data...)}) // never null
	}
	return json.Marshal(struct {
		head
		Text string `json:"text"`
	}{h, a.Text})
}

// MessageResult is the response to a message.
type MessageResult struct {
	OK  bool            // false only if the response has "ok": false
	Seq *int64          // the seq of the message; nil if the response has none
	Raw json.RawMessage // the whole response; nil if it was empty
}

func newMessageResult(raw json.RawMessage) *MessageResult {
	// The response is free JSON: members that cannot be decoded count as absent, and
	// Raw keeps them.
	var answer map[string]json.RawMessage
	_ = json.Unmarshal(raw, &answer)
	r := &MessageResult{OK: true, Raw: raw}
	if ok, known := loose.Bool(answer["ok"]); known {
		r.OK = ok
	}
	if seq, known := loose.Int(answer["seq"]); known {
		r.Seq = &seq
	}
	return r
}

// CreateSessionParams are the settings of a new session.
type CreateSessionParams struct {
	AgentID int64 // required

	// IdleTimeout is how long the sandbox stays up unused, rounded up to whole
	// seconds. nil means 300 s; zero is sent, and a negative value is refused.
	IdleTimeout *time.Duration

	Unsafe               bool   // runs the agent without permission prompts
	ResumeFromSnapshotID *int64 // starts from this snapshot; nil means the agent's image
	IsSetupSession       bool   // its state can be saved as the agent's base
}

// MarshalJSON writes the members that the API requires in every request.
func (p CreateSessionParams) MarshalJSON() ([]byte, error) {
	const defaultIdle time.Duration = 300 * time.Second
	idle := defaultIdle
	if p.IdleTimeout != nil {
		idle = *p.IdleTimeout
	}
	seconds := int64(idle / time.Second)
	if idle%time.Second > 0 {
		seconds++
	}
	return json.Marshal(struct {
		AgentID      int64  `json:"agent_id"`
		IdleTimeoutS int64  `json:"idle_timeout_s"`
		Unsafe       bool   `json:"unsafe"`
		Snapshot     *int64 `json:"resume_from_snapshot_id,omitzero"`
		Setup        bool   `json:"is_setup_session,omitzero"`
	}{p.AgentID, seconds, p.Unsafe, p.ResumeFromSnapshotID, p.IsSetupSession})
}

// ResumeSessionParams are options of a resume. The zero value is valid.
type ResumeSessionParams struct {
	Unsafe bool `json:"unsafe"` // runs the agent without permission prompts
}
