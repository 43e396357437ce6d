package anyframe

import (
	"bytes"
	"context"
	"encoding/json"

	"github.com/anyframe-relay/relay/anyframe/internal/loose"
)

// defaultAttentionLimit is the default limit; the server returns at most 100.
const defaultAttentionLimit = 20

// AttentionService lists sessions that wait for a person; see [Client].Attention.
type AttentionService struct{ client *Client }

// List returns up to limit sessions that wait for a person: first those whose agent
// is blocked, then idle ones, then those paused in the last 24 hours, the newest of
// each first. A limit of 0 or less means 20; the server returns at most 100.
func (s *AttentionService) List(ctx context.Context, limit int, opts ...CallOption) ([]AttentionItem, error) {
	if limit <= 0 {
		limit = defaultAttentionLimit
	}
	return fetchList[AttentionItem](ctx, s.client, get("/api/attention").ask("limit", int64(limit)), opts)
}

// AttentionKind is the reason why a session waits for a person. Like
// [SessionStatus], it is an open type.
type AttentionKind string

// The known kinds.
const (
	AttentionPending AttentionKind = "pending" // the agent asked something and is blocked
	AttentionIdle    AttentionKind = "idle"    // it is running and waits for the next message
	AttentionPaused  AttentionKind = "paused"  // it was stopped and can be resumed
)

// Known reports whether k is one of the constants.
func (k AttentionKind) Known() bool {
	return k == AttentionPending || k == AttentionIdle || k == AttentionPaused
}

// AttentionItem is a session that waits for a person. An item of an unknown kind
// has the fields that could be decoded, and the whole item in Raw.
type AttentionItem struct {
	Kind      AttentionKind
	SessionID string
	AgentID   int64
	AgentName string
	At        Time

	Preview         string          // the last message in one line; for pending and idle
	SessionStatus   SessionStatus   // for pending
	Seq             int64           // for pending: the event with the request
	Payload         json.RawMessage // for pending: the request; see Event
	SnapshotImageID string          // for paused

	Raw json.RawMessage
}

// Event returns the event of a pending item's request, as the stream sent it; its
// Payload is a [PermissionRequest] or a [Question].
func (a AttentionItem) Event() Event { return ChatEvent{Seq: a.Seq, Payload: a.Payload}.Event() }

// UnmarshalJSON accepts any JSON value. A member of an unexpected type is dropped;
// a value that is not an object is only in Raw.
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
	_ = json.Unmarshal(w["at"], &a.At) // stays zero on error
	return nil
}

// MarshalJSON writes the item as received.
func (a AttentionItem) MarshalJSON() ([]byte, error) {
	if a.Raw == nil {
		return []byte("null"), nil
	}
	return a.Raw, nil
}
