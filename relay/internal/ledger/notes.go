package ledger

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/store"
)

// storeTimeout bounds what the ledger writes when no request waits for it.
const storeTimeout = 5 * time.Second

// Load fills an empty ledger from the store: with the turns and prompts whose place is
// not final or after the beginning of the log. What is older is read on demand, see
// [Past].
func (l *Ledger) Load(ctx context.Context) error {
	turns, turnCursor, err := l.load(ctx, kindTurn)
	if err != nil {
		return err
	}
	prompts, promptCursor, err := l.load(ctx, kindPrompt)
	if err != nil {
		return err
	}
	ends, _, err := l.load(ctx, kindEnd)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, n := range ends {
		l.ends.enter(readEnd(n))
	}
	for _, n := range turns {
		t := readTurn(n)
		t.loaded = true
		l.set(t)
	}
	for _, n := range prompts {
		l.setPrompt(readPrompt(n))
	}
	l.turnCursor, l.promptCursor = turnCursor, promptCursor
	return nil
}

// load reads the notes of one kind that Load needs, in the order they were begun as far
// as that is known.
func (l *Ledger) load(ctx context.Context, kind string) (all []store.Note, cursor int64, err error) {
	for from := l.base; from <= store.Unplaced; {
		notes, next, at, err := l.readAt(ctx, kind, from, store.Unplaced+1)
		if err != nil {
			return nil, 0, err
		}
		if from == l.base {
			cursor = at
		}
		all, from = append(all, notes...), next
	}
	slices.SortStableFunc(all, func(a, b store.Note) int { return a.CreatedAt.Compare(b.CreatedAt) })
	return all, cursor, nil
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
	if errors.Is(err, store.ErrConflict) && l.wantedStopped(ctx, &t) {
		saved, err = l.notes.SaveNote(ctx, l.noteOf(&t))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.newest = mark{key: key} // Fetch looks what became of it
		return err
	}
	l.newest = mark{key, saved.Version}
	if p := l.byKey[key]; p != nil {
		p.version = saved.Version
		if p.revision == t.revision {
			p.dirty = false
			l.trimText(p)
			l.forget()
		}
	}
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
				l.log.Warn("failed to restore a turn", "error", err)
			}
			continue
		}
		l.restored(readTurn(stored))
	}
}

// restored enters that a turn is in the store again, and how.
func (l *Ledger) restored(stored Turn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	old := l.byKey[stored.Key]
	if old == nil {
		return
	}
	t := *old
	t.version = stored.version
	if t.here {
		l.newest = mark{t.Key, t.version}
	} else {
		t.State, t.Seq = stored.State, stored.Seq
	}
	l.set(t)
	l.wake()
}

// Recent returns the turns that are in memory, in the order they were entered.
func (l *Ledger) Recent() []Turn {
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
		l.log.Warn("failed to save a prompt", "error", err)
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
		l.log.Warn("failed to save an answer", "error", err)
	}
	l.SetPrompt(p)
}
