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

// TurnState is where a turn stands, as this process knows it.
type TurnState uint8

// The states of a turn. It goes from Held over one of the sending states to
// Sent, and back to Held when AnyFrame provably did not take it. From Held, and from
// nowhere else but where it was sent to a session that is no more, it may become Stopped.
const (
	// Held: the relay has it and AnyFrame has not been asked.
	Held TurnState = iota
	// SendingHere: a request of this process carries it to AnyFrame. What the
	// agent does meanwhile may be its answer, and waits for it.
	SendingHere
	// SendingLate: the same, for so long that nothing waits for it any more.
	SendingLate
	// Unresolved: this process sent it, and AnyFrame's answer was lost: only the
	// transcript can tell whether AnyFrame has it.
	Unresolved
	// SendingElsewhere: another process sends it, or died while it did.
	SendingElsewhere
	// Abandoned: the same, for so long that nothing waits for it any more.
	Abandoned
	// Sent: AnyFrame has it.
	Sent
	// Stopped: the visitor stopped it before AnyFrame was asked. It is never sent.
	Stopped
)

// What the store calls the states: other processes need to know no more.
const (
	storedHeld    = "held"
	storedSending = "sending"
	storedSent    = "sent"
	storedStopped = "stopped"
)

// stored is the state's name in the store.
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

// inFlight reports whether a request of this process carries the turn.
func (s TurnState) inFlight() bool { return s == SendingHere || s == SendingLate }

// unsure reports whether it is unknown if AnyFrame has the turn.
func (s TurnState) unsure() bool { return s.stored() == storedSending }

// Turn is one message of the visitor.
type Turn struct {
	Key   string // the Idempotency-Key
	Epoch int64
	// Seq is AnyFrame's number for the message, 0 when it is not known.
	Seq   int64
	State TurnState
	Hash  string // of the message, to tell a repetition from a misuse of the key

	Text        string
	Attachments []event.Attachment
	// After is the last seq before the message was sent: its own is higher. It is
	// raised when the message was first shown later than that.
	After int64
	// Answered is the seq that AnyFrame answered, 0 when it named none. A repeated
	// key is answered the same again, whatever was learned since.
	Answered int64
	// Busy says that the agent was at work when the message was sent.
	Busy bool
	// Stop says that a stop of the turn was requested. AnyFrame may have the turn.
	Stop bool
	// Day is the day on whose budget the turn counts, as the Unix time at which that
	// began; 0 while it counts on none.
	Day int64
	// Solved says that a challenge was solved for the turn.
	Solved bool
	// Page and Verified are the context that came with the turn first; dropped once
	// AnyFrame has it.
	Page, Verified string

	// here: this process sent the turn, and is the one to write what becomes of it.
	here bool
	// shown: the live stream has shown it.
	shown bool
	// echoed: AnyFrame has an event for it, so that the relay need not show it.
	echoed bool
	// loaded: it was there before this process had the conversation.
	loaded bool
	// dirty: the store has yet to be told what memory says.
	dirty    bool
	revision int64 // changes with each change in memory
	order    int64 // rises in the order the turns were entered
	expires  time.Time
	version  int64
}

// turnBody is what the store keeps of a turn beside its state.
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

// storedPlace is the place by which the store finds the turn: it is not final while
// something may still become of the turn.
func (t *Turn) storedPlace() int64 {
	switch {
	case t.State == Held, t.State == Stopped:
		return -1 // belongs nowhere yet, and is looked for by its key
	case t.State != Sent, t.Seq == 0 && !t.shown:
		return store.Unplaced
	}
	return min(t.Place(), store.Unplaced-1)
}

// unplaced reports that AnyFrame may have the turn, under a seq not known.
func (t *Turn) unplaced() bool { return t.State.unsure() || (t.State == Sent && t.Seq == 0) }

func readTurn(n store.Note) Turn {
	var body turnBody
	_ = json.Unmarshal([]byte(n.Body), &body) // this package wrote it; a note of another form has no text to show
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
	body, _ := json.Marshal(turnBody{ // strings and numbers: cannot fail
		t.Text, t.Attachments, t.After, t.Answered, t.Busy, t.Stop, t.Day, t.Solved, t.Page, t.Verified,
	})
	return store.Note{
		Visitor: l.visitor, Kind: kindTurn, Key: t.Key, Epoch: t.Epoch, Seq: t.Seq, Place: t.storedPlace(), State: t.State.stored(),
		Hash: t.Hash, Body: string(body), ExpiresAt: t.expires, Version: t.version,
	}
}
