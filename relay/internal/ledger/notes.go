package ledger

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/store"
)

// storeTimeout bounds the ledger's writes that no request waits for.
const storeTimeout = 5 * time.Second

// Any reports whether the store has a turn of a visitor's epoch, which is 0 until the
// first message has a sandbox.
func Any(ctx context.Context, notes store.NoteStore, visitor string, epoch int64) (bool, error) {
	all, err := notes.Notes(ctx, visitor, kindTurn, epoch)
	return len(all) > 0, err
}

// Load fills an empty ledger from the store with the turns and prompts whose place is not
// final, or is after the beginning of the log. Older ones are read on demand, see [Past].
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

// load reads the notes of one kind that Load needs, in the order they were begun if
// known.
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

// Stored returns the turn with this key as it is in the store, in any epoch, or
// [store.ErrNotFound].
func (l *Ledger) Stored(ctx context.Context, key string) (Turn, error) {
	n, err := l.notes.Note(ctx, l.visitor, kindTurn, key)
	if err != nil {
		return Turn{}, err
	}
	return readTurn(n), nil
}

// Begin stores a new turn, and returns what the store then has under its key. It does not
// enter the turn in the ledger, because it has not been sent to AnyFrame yet.
func (l *Ledger) Begin(ctx context.Context, t Turn) (Turn, error) {
	t.Epoch, t.State, t.expires = l.epoch, Held, time.Now().Add(l.ttl)
	n, _, err := l.notes.BeginNote(ctx, l.noteOf(&t))
	if err != nil {
		return t, err
	}
	return readTurn(n), nil
}

// Send enters a turn that this process is about to send, and stores it. If that fails,
// the turn is unchanged. Otherwise t is updated. A held turn is stored under the epoch
// before, whose notes may have been erased since; it is then stored again.
func (l *Ledger) Send(ctx context.Context, t *Turn) error {
	err := l.send(ctx, t)
	if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	again, err := l.Begin(ctx, *t)
	if err != nil {
		return err
	}
	*t = again
	return l.send(ctx, t)
}

func (l *Ledger) send(ctx context.Context, t *Turn) error {
	before := *t
	t.Epoch, t.State, t.here = l.epoch, SendingHere, true
	l.Set(*t)
	if err := l.Persist(ctx, t.Key); err != nil {
		l.Set(before)
		*t = before
		return err
	}
	*t, _ = l.Turn(t.Key)
	return nil
}

// Persist stores a turn as it is in memory.
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
		l.newest = mark{key: key} // Fetch finds out what the store has
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

// Restore writes back turns that the store has lost. The caller must have verified that
// the visitor was not forgotten.
func (l *Ledger) Restore(ctx context.Context, lost []Turn) {
	for _, t := range lost {
		n := l.noteOf(&t)
		stored, fresh, err := l.notes.BeginNote(ctx, n)
		if err == nil && !fresh && t.State == Sent && stored.State != storedSent {
			n.Version = stored.Version
			stored, err = l.notes.SaveNote(ctx, n)
		}
		if err != nil {
			if !errors.Is(err, store.ErrConflict) { // otherwise another process is restoring it
				l.log.Warn("failed to restore a turn", "error", err)
			}
			continue
		}
		l.restored(readTurn(stored))
	}
}

// restored records that a turn is in the store again, and its stored version.
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

// Recent returns the turns in memory, in the order they were entered.
func (l *Ledger) Recent() []Turn {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]Turn, 0, len(l.turns))
	for _, t := range l.turns {
		all = append(all, *t)
	}
	return all
}

// Move changes the epoch of all stored turns of one epoch.
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

// StoredPrompt returns a prompt as it is in the store, in any epoch, or
// [store.ErrNotFound].
func (l *Ledger) StoredPrompt(ctx context.Context, id string) (Prompt, error) {
	n, err := l.notes.Note(ctx, l.visitor, kindPrompt, id)
	if err != nil {
		return Prompt{}, err
	}
	return readPrompt(n), nil
}

// BeginPrompt stores and enters a prompt that was seen for the first time.
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

// Claim stores that this process is answering a prompt; p must have been read from the
// store. It returns [store.ErrConflict] if another answer came first.
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
	case !errors.Is(err, store.ErrConflict): // otherwise another process recorded that the answer arrived
		l.log.Warn("failed to save an answer", "error", err)
	}
	l.SetPrompt(p)
}
