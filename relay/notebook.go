package relay

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/store"
)

// The kinds of note in the store.
const (
	noteTurn   = "turn"
	notePrompt = "prompt"
)

// The states of a turn's note. A turn goes from held over sending to sent, and
// back to held when AnyFrame provably did not take it.
const (
	turnHeld    = "held"    // ours; AnyFrame has not been asked
	turnSending = "sending" // AnyFrame may have it: only the transcript can tell
	turnSent    = "sent"    // AnyFrame has it
)

// The states of a prompt's note.
const (
	promptOpen     = "open"
	promptClaimed  = "claimed" // somebody's answer is on its way to AnyFrame
	promptAnswered = "settled"
)

// turnNote is what the relay knows about a turn that AnyFrame's log does not.
type turnNote struct {
	note store.Note
	// inFlight: the request that carries the turn to AnyFrame is under way here.
	inFlight bool
	// late: it has been under way for so long that the agent's answer may as well
	// come first.
	late bool
	// mine: this process sent the turn, and is the one to write what becomes of it.
	mine bool
	// dubious: whoever sends the turn elsewhere takes too long to be waited for.
	dubious bool

	Text        string             `json:"text"`
	Attachments []event.Attachment `json:"attachments,omitempty"`
	// After is the last seq before the message was sent: its own comes later.
	// It is higher when the message was first shown later than that.
	After int64 `json:"after"`
	// Answered is the seq that AnyFrame answered, 0 if none: a repeated key is
	// told the same again, whatever was learnt since.
	Answered int64 `json:"answered,omitempty"`
	// Busy says that the agent was at work when the message was sent.
	Busy bool `json:"busy,omitempty"`
}

// promptNote is one question or permission prompt of the agent.
type promptNote struct {
	note store.Note // Seq is the prompt's own
	// inFlight: the request that carries somebody's answer is under way here.
	inFlight bool

	Approval bool `json:"approval,omitempty"`
	// What AnyFrame calls the prompt; an answer names both.
	PromptID  string `json:"prompt_id,omitempty"`
	ToolUseID string `json:"tool_use_id,omitempty"`
	// After is the last seq before the prompt was settled.
	After int64 `json:"after,omitempty"`
	// Outcome is how the prompt was settled, or will have been if the answer
	// that claims it arrives.
	Outcome string `json:"outcome,omitempty"`
	// ClaimedAt is when somebody's answer set out.
	ClaimedAt time.Time `json:"claimed_at,omitzero"`
	// Unsure: the answer was sent and AnyFrame's reply to it was lost.
	Unsure bool `json:"unsure,omitempty"`
}

// notebook is the memory's copy of one epoch's notes: the turns and the prompts
// that translating AnyFrame's events needs to know of. The store has the truth.
type notebook struct {
	mu      sync.Mutex // held only to look or set
	turns   []turnNote // in the order they were begun
	prompts []promptNote
	changed chan struct{} // closed at the next change of a turn; nil while nobody waits
	// echoes: AnyFrame has shown one of our messages before or without saying
	// its seq. So it will show the others too, and we need not.
	echoes bool
	// version counts the changes of turns, so that those who went through
	// them know when there is nothing new. Written under mu.
	version atomic.Int64
}

// load fills an empty notebook from the store.
func (b *notebook) load(ctx context.Context, st store.Store, visitor string, epoch int64) error {
	turns, err := st.Notes(ctx, visitor, noteTurn, epoch)
	if err != nil {
		return err
	}
	prompts, err := st.Notes(ctx, visitor, notePrompt, epoch)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, n := range turns {
		b.putTurn(readTurn(n))
	}
	for _, n := range prompts {
		b.putPrompt(readPrompt(n))
	}
	return nil
}

func readTurn(n store.Note) turnNote {
	t := turnNote{}
	_ = json.Unmarshal([]byte(n.Body), &t) // our own writing; a note that isn't has no text to show
	t.note = n
	return t
}

func readPrompt(n store.Note) promptNote {
	p := promptNote{}
	_ = json.Unmarshal([]byte(n.Body), &p) // as above
	p.note = n
	return p
}

// Stored returns the note as the store keeps it.
func (t turnNote) stored() store.Note {
	body, _ := json.Marshal(t) // strings and numbers: cannot fail
	t.note.Body = string(body)
	return t.note
}

func (p promptNote) stored() store.Note {
	body, _ := json.Marshal(p) // as above
	p.note.Body = string(body)
	return p.note
}

// setTurn puts a turn in, or puts a newer state of it in its place.
func (b *notebook) setTurn(t turnNote) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.putTurn(t)
	if b.changed != nil {
		close(b.changed)
		b.changed = nil
	}
}

func (b *notebook) putTurn(t turnNote) {
	b.version.Add(1)
	i := slices.IndexFunc(b.turns, func(o turnNote) bool { return o.note.Key == t.note.Key })
	if i < 0 {
		b.turns = append(b.turns, t)
		return
	}
	b.turns[i] = t
}

// setPrompt puts a prompt in, or puts a newer state of it in its place.
func (b *notebook) setPrompt(p promptNote) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.putPrompt(p)
}

func (b *notebook) putPrompt(p promptNote) {
	i := slices.IndexFunc(b.prompts, func(o promptNote) bool { return o.note.Key == p.note.Key })
	if i < 0 {
		b.prompts = append(b.prompts, p)
		return
	}
	b.prompts[i] = p
}

// turn returns the turn with this key.
func (b *notebook) turn(key string) (turnNote, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := slices.IndexFunc(b.turns, func(t turnNote) bool { return t.note.Key == key })
	if i < 0 {
		return turnNote{}, false
	}
	return b.turns[i], true
}

// prompt returns the prompt with our id.
func (b *notebook) prompt(id string) (promptNote, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := slices.IndexFunc(b.prompts, func(p promptNote) bool { return p.note.Key == id })
	if i < 0 {
		return promptNote{}, false
	}
	return b.prompts[i], true
}

// openPrompts returns the prompts up to seq that nobody has settled.
func (b *notebook) openPrompts(seq int64) []promptNote {
	b.mu.Lock()
	defer b.mu.Unlock()
	var open []promptNote
	for _, p := range b.prompts {
		if p.note.State != promptAnswered && p.note.Seq <= seq {
			open = append(open, p)
		}
	}
	return open
}

// settledBetween returns the prompts settled after an event in [from, to).
func (b *notebook) settledBetween(from, to int64) []promptNote {
	b.mu.Lock()
	defer b.mu.Unlock()
	var settled []promptNote
	for _, p := range b.prompts {
		if p.note.State == promptAnswered && from <= p.After && p.After < to {
			settled = append(settled, p)
		}
	}
	return settled
}

// turnOf returns the key of the turn that AnyFrame's event seq with this text
// is, "" when it is none of ours: the operator's own console writes too. A turn
// whose seq is not known yet is recognised by its text.
func (b *notebook) turnOf(seq int64, text string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, t := range b.turns {
		if t.note.State == turnSent && t.note.Seq == seq {
			return t.note.Key
		}
	}
	for _, t := range b.turns {
		if unplaced(t) && t.After < seq && t.Text == text {
			b.echoes = true
			return t.note.Key
		}
	}
	return ""
}

// claimed reports whether the event seq is known to be a turn other than key.
func (b *notebook) claimed(seq int64, key string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.ContainsFunc(b.turns, func(t turnNote) bool {
		return t.note.State == turnSent && t.note.Seq == seq && t.note.Key != key
	})
}

// unplaced reports that AnyFrame may have the turn, under a seq not known.
func unplaced(t turnNote) bool {
	return t.note.State == turnSending || (t.note.State == turnSent && t.note.Seq == 0)
}

// place is the seq after which the turn belongs, before the next event.
func (t turnNote) place() int64 { return max(t.note.Seq-1, t.After) }

// needless reports whether a turn need not be shown by us while its event may
// still come: AnyFrame did not say its seq, and shows messages.
func (b *notebook) needless(t turnNote) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.echoes && t.note.Seq == 0
}

// own returns the turns that AnyFrame has whose place is in [from, to), in the
// order of their places.
func (b *notebook) own(from, to int64) []turnNote {
	b.mu.Lock()
	defer b.mu.Unlock()
	var own []turnNote
	for _, t := range b.turns {
		if at := t.place(); t.note.State == turnSent && from <= at && at < to {
			own = append(own, t)
		}
	}
	slices.SortStableFunc(own, func(x, y turnNote) int { return cmp.Compare(x.place(), y.place()) })
	return own
}

// allShown reports whether of the turns whose place is from there on and that
// AnyFrame has, none is left that is neither shown nor needless.
func (b *notebook) allShown(from int64, shown map[string]bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !slices.ContainsFunc(b.turns, func(t turnNote) bool {
		return t.note.State == turnSent && t.place() >= from && !shown[t.note.Key] && (!b.echoes || t.note.Seq != 0)
	})
}

// waitPlaced waits until no turn is on its way to AnyFrame, at most for limit.
// Those that still are then are late.
func (b *notebook) waitPlaced(ctx context.Context, limit time.Duration) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		b.mu.Lock()
		if !slices.ContainsFunc(b.turns, func(t turnNote) bool { return t.inFlight }) {
			b.mu.Unlock()
			return
		}
		if b.changed == nil {
			b.changed = make(chan struct{})
		}
		changed := b.changed
		b.mu.Unlock()
		select {
		case <-changed:
		case <-timer.C:
			b.mu.Lock()
			for i := range b.turns {
				b.turns[i].late = b.turns[i].inFlight
			}
			b.mu.Unlock()
			return
		case <-ctx.Done():
			return
		}
	}
}

// learnTurn takes over what another replica wrote about a turn.
func (b *notebook) learnTurn(t turnNote) {
	old, known := b.turn(t.note.Key)
	if !known || (!old.mine && !old.inFlight && old.note.Version != t.note.Version) {
		t.dubious = old.dubious
		b.setTurn(t)
	}
}

// learnPrompt takes over what another replica wrote about a prompt. It reports
// whether the prompt is settled now and was not before, in which case that is
// told after the event numbered head.
func (b *notebook) learnPrompt(p *promptNote, head int64) (settled bool) {
	old, known := b.prompt(p.note.Key)
	if !known || old.inFlight || old.note.State == promptAnswered || old.note.Version == p.note.Version {
		return false // one that is not known yet comes with its event
	}
	if p.note.State == promptAnswered {
		p.After, settled = max(p.After, head), true
	}
	b.setPrompt(*p)
	return settled
}

// elsewhere reports whether a turn is on its way to AnyFrame at another
// replica. With enough, those are not waited for any more.
func (b *notebook) elsewhere(enough bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	found := false
	for i, t := range b.turns {
		if t.note.State == turnSending && !t.mine && !t.dubious {
			found = true
			b.turns[i].dubious = enough
		}
	}
	return found && !enough
}

// silent reports whether no turn has been sent yet.
func (b *notebook) silent() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !slices.ContainsFunc(b.turns, func(t turnNote) bool { return t.note.State != turnHeld })
}

// others reports whether AnyFrame took another turn after this one was sent
// first.
func (b *notebook) others(turn *turnNote) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.ContainsFunc(b.turns, func(t turnNote) bool {
		return t.note.Key != turn.note.Key && t.note.State == turnSent && t.place() >= turn.After
	})
}

// unanswered reports whether AnyFrame took a turn after the event seq, or is
// being asked to.
func (b *notebook) unanswered(seq int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.ContainsFunc(b.turns, func(t turnNote) bool {
		return t.inFlight || (t.note.State == turnSent && t.place() >= seq)
	})
}

// expected reports whether what the agent does may be the answer to a turn that
// is still on its way to AnyFrame, and should wait for it: of one that was sent
// while the agent was at work only a message can be.
func (b *notebook) expected(message bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.ContainsFunc(b.turns, func(t turnNote) bool { return t.inFlight && (message || !t.Busy && !t.late) })
}

// calm reports whether no turn is on its way to AnyFrame and no prompt is open.
func (b *notebook) calm() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.turns {
		if b.turns[i].inFlight {
			return false
		}
	}
	for i := range b.prompts {
		if b.prompts[i].note.State != promptAnswered {
			return false
		}
	}
	return true
}

// sending reports whether a turn is on its way to AnyFrame.
func (b *notebook) sending() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.ContainsFunc(b.turns, func(t turnNote) bool { return t.inFlight })
}
