package ledger

import (
	"encoding/json"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/store"
)

// The kinds of note in the store.
const (
	kindTurn   = "turn"
	kindPrompt = "prompt"
	kindEnd    = "end" // of a turn, under the turn's key
)

// TurnState is the state of a turn, as this process sees it.
type TurnState uint8

// The states of a turn. It goes from Held through one of the sending states to Sent, and
// back to Held if AnyFrame provably did not accept it. It may become Stopped only from
// Held, or if it was sent to a session that no longer exists.
const (
	// Held: the relay has it and has not sent it to AnyFrame.
	Held TurnState = iota
	// SendingHere: a request of this process is sending it to AnyFrame. The agent's
	// events wait for it, because they may be its answer.
	SendingHere
	// SendingLate: like SendingHere, but for so long that nothing waits for it any more.
	SendingLate
	// Unresolved: this process sent it, and AnyFrame's response was lost. Only the
	// transcript shows whether AnyFrame has it.
	Unresolved
	// SendingElsewhere: another process is sending it, or crashed while doing so.
	SendingElsewhere
	// Abandoned: like SendingElsewhere, but for so long that nothing waits for it any
	// more.
	Abandoned
	// Sent: AnyFrame has it.
	Sent
	// Stopped: the visitor stopped it before it was sent. It is never sent.
	Stopped
)

// The names of the states in the store. Other processes need no more detail.
const (
	storedHeld    = "held"
	storedSending = "sending"
	storedSent    = "sent"
	storedStopped = "stopped"
)

// stored returns the state's name in the store.
func (s TurnState) stored() string {
	switch s {
	case Held:
		return storedHeld
	case SendingHere, SendingLate, Unresolved, SendingElsewhere, Abandoned:
		return storedSending
	case Sent:
		return storedSent
	case Stopped:
		return storedStopped
	}
	return ""
}

// inFlight reports whether a request of this process is sending the turn.
func (s TurnState) inFlight() bool { return s == SendingHere || s == SendingLate }

// unsure reports whether it is unknown if AnyFrame has the turn.
func (s TurnState) unsure() bool { return s.stored() == storedSending }

// Turn is one message from the visitor.
type Turn struct {
	Key   string // the Idempotency-Key
	Epoch int64
	// Seq is AnyFrame's number for the message, 0 if unknown.
	Seq   int64
	State TurnState
	Hash  string // of the message, to distinguish a retry from a misuse of the key

	Text        string
	Attachments []event.Attachment
	// After is the last seq before the message was sent: its own seq is higher. It is
	// raised if the message was first shown later than that.
	After int64
	// Answered is the seq in AnyFrame's response, 0 if there was none. A retry with the
	// same key returns the same seq, whatever has become known since.
	Answered int64
	// Busy: the agent was working when the message was sent.
	Busy bool
	// Stop: a stop of the turn was requested. AnyFrame may have the turn.
	Stop bool
	// Day is the day against whose budget the turn counts, as the Unix time of its
	// beginning; 0 while it counts against none.
	Day int64
	// Solved: a challenge was solved for the turn.
	Solved bool
	// Page and Verified are the context of the turn's first request. They are dropped
	// once AnyFrame has the turn.
	Page, Verified string

	// here: this process sent the turn, and is the one to store its outcome.
	here bool
	// shown: the live stream has shown it.
	shown bool
	// echoed: AnyFrame has an event for it, so that the relay need not show it.
	echoed bool
	// loaded: it was stored before this process loaded the conversation.
	loaded bool
	// dirty: memory has changes that are not stored yet.
	dirty    bool
	revision int64 // changes with each change in memory
	order    int64 // increases in the order the turns were entered
	expires  time.Time
	version  int64
}

// turnBody is what the store keeps of a turn besides its state.
type turnBody struct {
	Text        string             `json:"text"`
	Attachments []event.Attachment `json:"attachments,omitempty"`
	After       int64              `json:"after"`
	Answered    int64              `json:"answered,omitempty"`
	Busy        bool               `json:"busy,omitempty"`
	Stop        bool               `json:"stop,omitempty"`
	Day         int64              `json:"day,omitempty"`
	Solved      bool               `json:"solved,omitempty"`
	Page        string             `json:"page,omitempty"`
	Verified    string             `json:"verified,omitempty"`
}

// Place is the seq after which the turn belongs, before the next event.
func (t *Turn) Place() int64 { return max(t.Seq-1, t.After) }

// storedPlace is the place under which the store indexes the turn. It is not final while
// the turn may still change.
func (t *Turn) storedPlace() int64 {
	switch {
	case t.State == Held, t.State == Stopped:
		return -1 // it has no place yet, and is found by its key
	case t.State != Sent, t.Seq == 0 && !t.shown:
		return store.Unplaced
	}
	return min(t.Place(), store.Unplaced-1)
}

// unplaced reports whether AnyFrame may have the turn under an unknown seq.
func (t *Turn) unplaced() bool { return t.State.unsure() || (t.State == Sent && t.Seq == 0) }

func readTurn(n store.Note) Turn {
	var body turnBody
	_ = json.Unmarshal([]byte(n.Body), &body) // this package wrote it; a note in another format has no text to show
	t := Turn{
		Key: n.Key, Epoch: n.Epoch, Seq: n.Seq, Hash: n.Hash, Text: body.Text, Attachments: body.Attachments,
		After: body.After, Answered: body.Answered, Busy: body.Busy, Stop: body.Stop, Day: body.Day,
		Solved: body.Solved, Page: body.Page, Verified: body.Verified, expires: n.ExpiresAt, version: n.Version,
	}
	switch n.State {
	case storedSending:
		t.State = SendingElsewhere
	case storedSent:
		t.State = Sent
	case storedStopped:
		t.State = Stopped
	}
	return t
}

func (l *Ledger) noteOf(t *Turn) store.Note {
	body, _ := json.Marshal(turnBody{ // strings and numbers only: cannot fail
		t.Text, t.Attachments, t.After, t.Answered, t.Busy, t.Stop, t.Day, t.Solved, t.Page, t.Verified,
	})
	return store.Note{
		Visitor: l.visitor, Kind: kindTurn, Key: t.Key, Epoch: t.Epoch, Seq: t.Seq, Place: t.storedPlace(), State: t.State.stored(),
		Hash: t.Hash, Body: string(body), ExpiresAt: t.expires, Version: t.version,
	}
}
