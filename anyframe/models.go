package anyframe

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/anyframe-relay/relay/anyframe/internal/loose"
)

// SessionStatus is where a session is in its life. It is open: a value not
// listed here is passed on as it came.
type SessionStatus string

// The statuses known. Booting leads to running, running over snapshotting to
// terminated, and resuming leads from terminated to booting again.
const (
	StatusBooting      SessionStatus = "booting"
	StatusRunning      SessionStatus = "running"
	StatusSnapshotting SessionStatus = "snapshotting"
	StatusTerminated   SessionStatus = "terminated"
	StatusPaused       SessionStatus = "paused" // as terminated: stopped, with a snapshot
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

// Resumable reports whether a resume can bring the session back.
func (s SessionStatus) Resumable() bool { return s == StatusTerminated || s == StatusPaused }

// stopped reports whether the session cannot become running by itself.
func (s SessionStatus) stopped() bool { return s.Resumable() || s == StatusError }

// Session is one sandbox with its chat, as the API describes it.
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
	ErrorReason     string        `json:"error_reason"`   // why the status is StatusError; "" when not said
	DriverUserID    *int64        `json:"driver_user_id"` // the user in control; nil when there is none
	CreatedAt       Time          `json:"created_at"`
	LastActive      Time          `json:"last_active"`
}

// Snapshot is a sandbox as it was when its session stopped, chat included.
type Snapshot struct {
	ID           int64  `json:"id"`
	ModalImageID string `json:"modal_image_id"`
	Label        string `json:"label"`
	CreatedAt    Time   `json:"created_at"`
}

// SaveAsBaseResult names what an agent's sessions start from now.
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

// Event returns the row as the stream would have sent it.
func (c ChatEvent) Event() Event {
	return Event{ID: strconv.FormatInt(c.Seq, 10), Seq: c.Seq, Data: c.Payload}
}

// Message is one turn's prompt.
type Message struct {
	Prompt      string       `json:"prompt"` // may be empty when there are attachments
	Attachments []Attachment `json:"attachments,omitempty"`
}

// AttachmentKind says which form an attachment has.
type AttachmentKind string

// The two forms of attachment.
const (
	AttachmentImage AttachmentKind = "image"
	AttachmentText  AttachmentKind = "text"
)

// Attachment is a file that goes with a message: an image, with Data, or a
// text, with Text.
type Attachment struct {
	Kind AttachmentKind
	Name string
	MIME string
	Data []byte // the image; base64 on the wire
	Text string // the text; invalid UTF-8 is replaced on the wire
}

// MarshalJSON writes the members that the kind has and no others.
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

// MessageResult is the answer to a message.
type MessageResult struct {
	OK  bool            // false only when the answer says "ok": false
	Seq *int64          // the seq of the message; nil when the answer has none
	Raw json.RawMessage // the whole answer; nil when it was empty
}

func newMessageResult(raw json.RawMessage) *MessageResult {
	// The answer is free JSON: members that cannot be read count as absent, and
	// Raw keeps what they were.
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

// CreateSessionParams are what a new session is made from.
type CreateSessionParams struct {
	AgentID int64 // required

	// IdleTimeout is how long the sandbox stays up unused, in whole seconds,
	// rounded up. nil means 300 s; a zero is sent as it is, and a negative one
	// is refused.
	IdleTimeout *time.Duration

	Unsafe               bool   // runs the agent without permission prompts
	ResumeFromSnapshotID *int64 // starts from this snapshot; nil from the agent's image
	IsSetupSession       bool   // its state can be saved as the agent's base
}

// MarshalJSON writes what the API expects to find in every request.
func (p CreateSessionParams) MarshalJSON() ([]byte, error) {
	const defaultIdle time.Duration = 300 * time.Second
	idle := defaultIdle
	if p.IdleTimeout != nil {
		idle = *p.IdleTimeout
	}
	return json.Marshal(struct {
		AgentID      int64  `json:"agent_id"`
		IdleTimeoutS int64  `json:"idle_timeout_s"`
		Unsafe       bool   `json:"unsafe"`
		Snapshot     *int64 `json:"resume_from_snapshot_id,omitzero"`
		Setup        bool   `json:"is_setup_session,omitzero"`
	}{p.AgentID, int64((idle + time.Second - 1) / time.Second), p.Unsafe, p.ResumeFromSnapshotID, p.IsSetupSession})
}

// ResumeSessionParams are how a session comes back. The zero value will do.
type ResumeSessionParams struct {
	Unsafe bool `json:"unsafe"` // runs the agent without permission prompts
}
