package ledger

import (
	"context"
	"errors"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/store"
)

// storeTimeout bounds what the ledger writes when no request waits for it.
const storeTimeout = 5 * time.Second

// Snapshot is what the store has of an epoch at one moment.
type Snapshot struct {
	turns   []Turn
	prompts []Prompt
}

// Fetch reads the epoch's notes from the store and changes nothing in memory.
func (l *Ledger) Fetch(ctx context.Context) (Snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	var s Snapshot
	turns, err := l.notes.Notes(ctx, l.visitor, kindTurn, l.epoch)
	if err != nil {
		return s, err
	}
	prompts, err := l.notes.Notes(ctx, l.visitor, kindPrompt, l.epoch)
	if err != nil {
		return s, err
	}
	for _, n := range turns {
		s.turns = append(s.turns, readTurn(n))
	}
	for _, n := range prompts {
		s.prompts = append(s.prompts, readPrompt(n))
	}
	return s, nil
}

// Load fills an empty ledger from the store.
func (l *Ledger) Load(ctx context.Context) error {
	s, err := l.Fetch(ctx)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range s.turns {
		l.set(t)
	}
	for _, p := range s.prompts {
		l.setPrompt(p)
	}
	return nil
}

// Merge takes over what other processes wrote. It returns the turns that the
// store has lost, and the prompts that are settled now and were not before; those
// settled after the event numbered head, or as if.
func (l *Ledger) Merge(s Snapshot, head int64) (lost []Turn, settled []Prompt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	stored := make(map[string]*Turn, len(s.turns))
	for i := range s.turns {
		stored[s.turns[i].Key] = &s.turns[i]
	}
	now := time.Now()
	for _, t := range l.turns {
		if t.State.inFlight() || now.After(t.expires) {
			continue
		}
		if st := stored[t.Key]; st == nil || (t.here && t.State == Sent && st.State != Sent) {
			lost = append(lost, *t)
		}
	}
	for _, t := range s.turns {
		old := l.byKey[t.Key]
		if old != nil && (old.here || old.State.inFlight() || old.version == t.version) {
			continue
		}
		if old != nil {
			if old.State == Abandoned && t.State == SendingElsewhere {
				t.State = Abandoned
			}
			if t.Seq == 0 { // seen in AnyFrame's stream, and not stored yet
				t.Seq = old.Seq
			}
		}
		l.set(t)
	}
	l.wake()
	for _, p := range s.prompts {
		old := l.prompts[p.ID]
		if old == nil || old.State == Answering || old.State == Settled || old.version == p.version {
			continue // one that is not known yet comes with its event
		}
		if p.State == Settled {
			p.After = max(p.After, head)
			settled = append(settled, p)
		}
		l.setPrompt(p)
	}
	return lost, settled
}

// Stored returns the turn with this key as the store has it, of whatever epoch, or
// [store.ErrNotFound].
func (l *Ledger) Stored(ctx context.Context, key string) (Turn, error) {
	n, err := l.notes.Note(ctx, l.visitor, kindTurn, key)
	if err != nil {
		return Turn{}, err
	}
	return readTurn(n), nil
}

// Begin stores a turn that is new, and returns what the store has under its key
// then. It does not enter it in the ledger: AnyFrame has not been asked yet.
func (l *Ledger) Begin(ctx context.Context, t Turn) (Turn, error) {
	t.Epoch, t.State, t.expires = l.epoch, Held, time.Now().Add(l.ttl)
	n, _, err := l.notes.BeginNote(ctx, l.noteOf(&t))
	if err != nil {
		return t, err
	}
	return readTurn(n), nil
}

// Send enters a turn that this process is about to send, and stores that. If that
// fails the turn is as before. T is brought up to date.
func (l *Ledger) Send(ctx context.Context, t *Turn) error {
	before := *t
	t.Epoch, t.State, t.here = l.epoch, SendingHere, true
	l.Set(*t)
	if err := l.Persist(ctx, t.Key); err != nil {
		l.Set(before)
		return err
	}
	*t, _ = l.Turn(t.Key)
	return nil
}

// Persist stores a turn as memory has it.
func (l *Ledger) Persist(ctx context.Context, key string) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	select {
	case l.saving <- struct{}{}:
		defer func() { <-l.saving }()
	case <-ctx.Done():
		return errors.Join(store.ErrUnavailable, ctx.Err())
	}
	t, ok := l.Turn(key)
	if !ok {
		return store.ErrNotFound
	}
	saved, err := l.notes.SaveNote(ctx, l.noteOf(&t))
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.byKey[key].version = saved.Version
	return nil
}

// Restore stores turns again that the store has lost. The visitor must be known
// not to be forgotten.
func (l *Ledger) Restore(ctx context.Context, lost []Turn) {
	for _, t := range lost {
		n := l.noteOf(&t)
		stored, fresh, err := l.notes.BeginNote(ctx, n)
		if err == nil && !fresh && t.State == Sent && stored.State != storedSent {
			n.Version = stored.Version
			stored, err = l.notes.SaveNote(ctx, n)
		}
		if err != nil {
			if !errors.Is(err, store.ErrConflict) { // else another process restores it
				l.log.Warn("put a turn back", "error", err)
			}
			continue
		}
		restored := readTurn(stored)
		l.Update(t.Key, func(u *Turn) {
			u.version = restored.version
			if !u.here {
				u.State, u.Seq = restored.State, restored.Seq
			}
		})
	}
}

// All returns the turns in the order they were begun.
func (l *Ledger) All() []Turn {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]Turn, 0, len(l.turns))
	for _, t := range l.turns {
		all = append(all, *t)
	}
	return all
}

// Move makes the turns of one epoch another's, in the store.
func Move(ctx context.Context, notes store.NoteStore, visitor string, from, to int64) error {
	turns, err := notes.Notes(ctx, visitor, kindTurn, from)
	for _, n := range turns {
		n.Epoch = to
		if _, err := notes.SaveNote(ctx, n); err != nil && !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return err
}

// StoredPrompt returns a prompt as the store has it, of whatever epoch, or
// [store.ErrNotFound].
func (l *Ledger) StoredPrompt(ctx context.Context, id string) (Prompt, error) {
	n, err := l.notes.Note(ctx, l.visitor, kindPrompt, id)
	if err != nil {
		return Prompt{}, err
	}
	return readPrompt(n), nil
}

// BeginPrompt stores a prompt that was seen for the first time, and enters it.
func (l *Ledger) BeginPrompt(ctx context.Context, p Prompt) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	p.Epoch, p.expires = l.epoch, time.Now().Add(l.ttl)
	n := l.promptNote(&p)
	stored, _, err := l.notes.BeginNote(ctx, n)
	if err != nil {
		l.log.Warn("keep a prompt", "error", err)
		stored = n
	}
	l.SetPrompt(readPrompt(stored))
}

// Claim stores that this process answers a prompt, as p was read from the store
// and changed. It returns [store.ErrConflict] if another answer came first.
func (l *Ledger) Claim(ctx context.Context, p *Prompt) error {
	p.State = Answering
	n, err := l.notes.SaveNote(ctx, l.promptNote(p))
	if err != nil {
		return err
	}
	p.version = n.Version
	l.SetPrompt(*p)
	return nil
}

// PersistPrompt enters a prompt's new state and stores it.
func (l *Ledger) PersistPrompt(ctx context.Context, p Prompt) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	n, err := l.notes.SaveNote(ctx, l.promptNote(&p))
	switch {
	case err == nil:
		p.version = n.Version
	case !errors.Is(err, store.ErrConflict): // else another process saw that it arrived
		l.log.Warn("keep an answer", "error", err)
	}
	l.SetPrompt(p)
}
