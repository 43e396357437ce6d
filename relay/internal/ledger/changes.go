package ledger

import (
	"context"
	"errors"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/store"
)

// Changes is what the store has of an epoch and memory may not have.
type Changes struct {
	turns, prompts         []store.Note
	turnsFrom, turnsTo     int64 // cursors of the store
	promptsFrom, promptsTo int64
	dropped                int64 // how many turns memory had dropped before the read
	lost                   []Turn
}

// Fetch reads the changes in the store since the last Merge. It changes nothing in
// memory.
func (l *Ledger) Fetch(ctx context.Context) (c Changes, err error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	l.mu.Lock()
	c.turnsFrom, c.promptsFrom, c.dropped = l.turnCursor, l.promptCursor, l.kept.dropped
	l.mu.Unlock()
	if c.lost, err = l.lost(ctx); err != nil {
		return c, err
	}
	if c.turns, c.turnsTo, err = l.notes.NotesSince(ctx, l.visitor, kindTurn, l.epoch, c.turnsFrom); err != nil {
		return c, err
	}
	c.prompts, c.promptsTo, err = l.notes.NotesSince(ctx, l.visitor, kindPrompt, l.epoch, c.promptsFrom)
	return c, err
}

// Cursor returns the cursor up to which the store's changes have been read, for
// [store.Mark].
func (l *Ledger) Cursor() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return min(l.turnCursor, l.promptCursor)
}

// lost returns the turns in memory that the store has lost. A store that loses writes
// loses the latest ones. So lost first checks the last turn that this process stored, and
// checks the others only if that one is not as it was stored. It does not check turns
// that are no longer in memory.
func (l *Ledger) lost(ctx context.Context) (lost []Turn, err error) {
	l.mu.Lock()
	newest := l.newest
	l.mu.Unlock()
	if newest.key == "" {
		return nil, nil
	}
	found, err := l.notes.Note(ctx, l.visitor, kindTurn, newest.key)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	if err == nil && found.Version == newest.version {
		return nil, nil
	}
	now := time.Now()
	for _, t := range l.Recent() {
		if t.State.inFlight() || now.After(t.expires) {
			continue
		}
		stored, err := l.notes.Note(ctx, l.visitor, kindTurn, t.Key)
		switch {
		case errors.Is(err, store.ErrNotFound), err == nil && t.here && t.State == Sent && stored.State != storedSent:
			lost = append(lost, t)
		case err != nil:
			return nil, err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.newest == newest { // another process has changed it: use that version from now on
		l.newest = mark{}
		if len(lost) == 0 && found.Key != "" {
			l.newest = mark{newest.key, found.Version}
		}
	}
	return lost, nil
}

// Merge applies what other processes wrote. It returns the turns that the store has lost,
// and the prompts that have become settled. Those prompts count as settled after the
// event numbered head at the earliest.
func (l *Ledger) Merge(c Changes, head int64) (lost []Turn, settled []Prompt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	// A turn that AnyFrame did not have when it was read may since have been sent and
	// dropped. It is read again at the next Fetch.
	late := l.kept.dropped != c.dropped
	if overtaken(c.turnsFrom, c.turnsTo, l.turnCursor) {
		c.turns = nil
	}
	if overtaken(c.promptsFrom, c.promptsTo, l.promptCursor) {
		c.prompts = nil
	}
	for _, n := range c.turns {
		if t := readTurn(n); !late || l.byKey[t.Key] != nil || t.State == Sent {
			l.mergeTurn(t, n.Place)
		}
	}
	l.wake()
	for _, n := range c.prompts {
		p := readPrompt(n)
		old := l.prompts[p.ID]
		if old == nil || old.State == Answering || old.State == Settled || old.version == p.version {
			continue // an unknown prompt arrives with its event
		}
		if p.State == Settled {
			p.After = max(p.After, head)
			settled = append(settled, p)
		}
		l.setPrompt(p)
	}
	if !late && l.turnCursor == c.turnsFrom && l.promptCursor == c.promptsFrom {
		l.turnCursor, l.promptCursor = c.turnsTo, c.promptsTo
	}
	return c.lost, settled
}

// overtaken reports whether all changes of a read have been merged by another read, which
// may have found later ones. Memory must not go back to the earlier ones: the cursor is past
// the later ones, so that they would not be read again.
func overtaken(from, to, cursor int64) bool { return from != cursor && to <= cursor }

// mergeTurn enters a turn that another process may have changed, with the place under
// which the store indexes it. The caller holds mu.
func (l *Ledger) mergeTurn(t Turn, stored int64) {
	old := l.byKey[t.Key]
	if old == nil {
		final := t.State == Sent && (t.Seq != 0 || stored == t.Place())
		if t.State == Held || t.State == Stopped || final && (t.Place() < l.base || l.kept.past(&t)) {
			return // it belongs before the part of the log that is in memory
		}
		l.set(t)
		return
	}
	if t.Stop && !old.Stop { // a request to its sender
		old.Stop = true
	}
	if old.here || old.State.inFlight() || old.version == t.version {
		return
	}
	if old.State == Abandoned && t.State == SendingElsewhere {
		t.State = Abandoned
	}
	if t.Seq == 0 { // seen in AnyFrame's stream, and not stored yet
		t.Seq = old.Seq
		t.dirty = old.dirty
	}
	t.loaded = old.loaded
	l.set(t)
}
