package anyframe

import (
	"bytes"
	"context"
	"encoding/json"

	"github.com/anyframe-relay/relay/anyframe/internal/loose"
)

// defaultAttentionLimit is what is asked for; the server gives up to 100.
const defaultAttentionLimit = 20

// AttentionService is what waits for a person; see [Client].Attention.
type AttentionService struct{ client *Client }

// List returns up to limit sessions that wait for a person: first those whose
// agent is blocked, then those that are idle, then those paused in the last 24
// hours, the newest of each first. limit 0 or less means 20, and the server
// gives at most 100.
func (s *AttentionService) List(ctx context.Context, limit int, opts ...CallOption) ([]AttentionItem, error) {
	if limit <= 0 {
		limit = defaultAttentionLimit
	}
	return fetchList[AttentionItem](ctx, s.client, get("/api/attention").ask("limit", int64(limit)), opts)
}

// AttentionKind is why a session waits for a person; open, like
// [SessionStatus].
type AttentionKind string

// The kinds known.
const (
	AttentionPending AttentionKind = "pending" // the agent asked something and is blocked
	AttentionIdle    AttentionKind = "idle"    // it runs and waits for the next message
	AttentionPaused  AttentionKind = "paused"  // it stopped and can be resumed
)

// Known reports whether k is one of the constants.
func (k AttentionKind) Known() bool {
	return k == AttentionPending || k == AttentionIdle || k == AttentionPaused
}

// AttentionItem is a session that waits for a person. An item of a kind that is
// not known here has what could be read, and all of it in Raw.
type AttentionItem struct {
	Kind      AttentionKind
	SessionID string
	AgentID   int64
	AgentName string
	At        Time

	Preview         string          // one line of what was said last; of pending and idle
	SessionStatus   SessionStatus   // of pending
	Seq             int64           // of pending: the event that asked
	Payload         json.RawMessage // of pending: what it asked; see Event
	SnapshotImageID string          // of paused

	Raw json.RawMessage
}

// Event returns what a pending item asks as the stream sent it; its Payload is
// a [PermissionRequest] or a [Question].
func (a AttentionItem) Event() Event { return ChatEvent{Seq: a.Seq, Payload: a.Payload}.Event() }

// UnmarshalJSON accepts any JSON value: a member of an odd type costs only
// itself, and what is no object has only Raw.
func (a *AttentionItem) UnmarshalJSON(data []byte) error {
	*a = AttentionItem{Raw: bytes.Clone(data)}
	var w map[string]json.RawMessage
	if json.Unmarshal(data, &w) != nil {
		return nil
	}
	a.Kind = AttentionKind(looseString(w["kind"]))
	a.SessionID = looseString(w["session_id"])
	a.AgentID, _ = loose.Int(w["agent_id"])
	a.AgentName = looseString(w["agent_name"])
	a.Preview = looseString(w["preview"])
	a.SessionStatus = SessionStatus(looseString(w["session_status"]))
	a.Seq, _ = loose.Int(w["seq"])
	a.SnapshotImageID = looseString(w["snapshot_image_id"])
	if p := w["payload"]; string(p) != "null" {
		a.Payload = p
	}
	_ = json.Unmarshal(w["at"], &a.At) // or it stays zero
	return nil
}

// MarshalJSON writes the item as it came.
func (a AttentionItem) MarshalJSON() ([]byte, error) {
	if a.Raw == nil {
		return []byte("null"), nil
	}
	return a.Raw, nil
}
