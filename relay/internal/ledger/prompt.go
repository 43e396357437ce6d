package ledger

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/store"
)

// PromptState is the state of a prompt, as this process sees it.
type PromptState uint8

// The states of a prompt.
const (
	// Open: not answered yet.
	Open PromptState = iota
	// Answering: a request of this process is sending an answer to AnyFrame.
	Answering
	// Claimed: another process is sending an answer, or crashed while doing so.
	Claimed
	// Unsure: an answer was sent and AnyFrame's response was lost.
	Unsure
	// Settled: it has its answer.
	Settled
)

// The names of the states in the store.
const (
	storedOpen    = "open"
	storedClaimed = "claimed"
	storedSettled = "settled"
)

func (s PromptState) stored() string {
	switch s {
	case Open:
		return storedOpen
	case Answering, Claimed, Unsure:
		return storedClaimed
	case Settled:
		return storedSettled
	}
	return ""
}

// Prompt is one question or permission prompt of the agent.
type Prompt struct {
	ID    string // ours; AnyFrame's ids are below
	Epoch int64
	Seq   int64 // of the prompt itself
	State PromptState

	Approval bool
	// AnyFrame's ids of the prompt; an answer must contain both.
	PromptID  string
	ToolUseID string
	// After is the last seq before the prompt was settled.
	After int64
	// Outcome is how the prompt was settled, or will be settled if the answer in flight
	// arrives.
	Outcome string
	// Reply is the [Reply] that was sent last.
	Reply string
	// ClaimedAt is when an answer was sent.
	ClaimedAt time.Time

	expires time.Time
	version int64
}

// Reply returns the fingerprint of an answer, by which a repeat of it is recognized. The
// store does not need the answer itself.
func Reply(outcome, decision, text string) string {
	sum := sha256.Sum256([]byte(outcome + "\x00" + decision + "\x00" + text))
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}

type promptBody struct {
	Approval  bool      `json:"approval,omitempty"`
	PromptID  string    `json:"prompt_id,omitempty"`
	ToolUseID string    `json:"tool_use_id,omitempty"`
	After     int64     `json:"after,omitempty"`
	Outcome   string    `json:"outcome,omitempty"`
	Reply     string    `json:"reply,omitempty"`
	ClaimedAt time.Time `json:"claimed_at,omitzero"`
	Unsure    bool      `json:"unsure,omitempty"`
}

func readPrompt(n store.Note) Prompt {
	var body promptBody
	_ = json.Unmarshal([]byte(n.Body), &body) // see readTurn
	p := Prompt{
		ID: n.Key, Epoch: n.Epoch, Seq: n.Seq, Approval: body.Approval, PromptID: body.PromptID, ToolUseID: body.ToolUseID,
		After: body.After, Outcome: body.Outcome, Reply: body.Reply, ClaimedAt: body.ClaimedAt, expires: n.ExpiresAt, version: n.Version,
	}
	switch {
	case n.State == storedSettled:
		p.State = Settled
	case n.State == storedClaimed && body.Unsure:
		p.State = Unsure
	case n.State == storedClaimed:
		p.State = Claimed
	}
	return p
}

func (l *Ledger) promptNote(p *Prompt) store.Note {
	body, _ := json.Marshal(promptBody{ // strings and times only: cannot fail
		p.Approval, p.PromptID, p.ToolUseID, p.After, p.Outcome, p.Reply, p.ClaimedAt, p.State == Unsure,
	})
	place := int64(store.Unplaced)
	if p.State == Settled {
		place = min(p.After, store.Unplaced-1)
	}
	return store.Note{
		Visitor: l.visitor, Kind: kindPrompt, Key: p.ID, Epoch: p.Epoch, Seq: p.Seq, Place: place, State: p.State.stored(),
		Body: string(body), ExpiresAt: p.expires, Version: p.version,
	}
}
