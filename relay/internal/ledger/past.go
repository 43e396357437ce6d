package ledger

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/anyframe-relay/relay/relay/internal/store"
)

// pageSize is how many notes are read from the store at once.
const pageSize = 64

// readAt reads the epoch's notes of one kind, beginning at a place. It returns all notes
// whose place is below next, and a cursor for later changes. Next is to, or lower if
// there are more notes.
func (l *Ledger) readAt(ctx context.Context, kind string, from, to int64) (notes []store.Note, next, cursor int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	for size := pageSize; ; size *= 2 { // repeats if so many notes have the same place
		notes, cursor, err = l.notes.NotesAt(ctx, l.visitor, kind, l.epoch, from, to, size)
		if err != nil || len(notes) < size {
			return notes, to, cursor, err
		}
		if next = notes[len(notes)-1].Place; next > from {
			n, _ := slices.BinarySearchFunc(notes, next, func(n store.Note, place int64) int { return cmp.Compare(n.Place, place) })
			return notes[:n], next, cursor, nil
		}
	}
}

// Past reads the epoch's notes in the order of their places: from memory if they are
// there, the rest from the store, a page at a time. It must not be used concurrently.
type Past struct {
	ledger               *Ledger
	turns, prompts, ends page
}

// page holds the notes from one place up to another.
type page struct {
	notes    []store.Note
	from, to int64
}

// Past returns a reader of the epoch's notes.
func (l *Ledger) Past() *Past { return &Past{ledger: l} }

// between returns the stored notes whose place is in [from, to).
func (p *Past) between(ctx context.Context, kind string, at *page, from, to int64) (found []store.Note, err error) {
	for from < to {
		if from < at.from || from >= at.to {
			notes, next, _, err := p.ledger.readAt(ctx, kind, from, store.Unplaced)
			if err != nil {
				return nil, err
			}
			*at = page{notes, from, next}
		}
		for _, n := range at.notes {
			if from <= n.Place && n.Place < to {
				found = append(found, n)
			}
		}
		from = at.to
	}
	return found, nil
}

// Turns returns the accepted turns whose place is in [from, to), in the order of their
// places.
func (p *Past) Turns(ctx context.Context, from, to int64) ([]Turn, error) {
	l := p.ledger
	l.mu.Lock()
	all, all0 := l.between(from, to), l.kept.turns
	l.mu.Unlock()
	if from >= all0 {
		return all, nil
	}
	notes, err := p.between(ctx, kindTurn, &p.turns, from, min(to, all0))
	if err != nil {
		return nil, err
	}
	var stored []Turn
	for _, n := range notes {
		if _, known := l.Turn(n.Key); !known && !slices.ContainsFunc(all, func(t Turn) bool { return t.Key == n.Key }) {
			stored = append(stored, readTurn(n))
		}
	}
	all = append(stored, all...)
	slices.SortStableFunc(all, func(a, b Turn) int { return cmp.Compare(a.Place(), b.Place()) })
	return all, nil
}

// Settled returns the prompts settled after an event in [from, to), in order.
func (p *Past) Settled(ctx context.Context, from, to int64) ([]Prompt, error) {
	l := p.ledger
	l.mu.Lock()
	all, all0 := l.settledBetween(from, to), l.kept.prompts
	l.mu.Unlock()
	if from >= all0 {
		return all, nil
	}
	notes, err := p.between(ctx, kindPrompt, &p.prompts, from, min(to, all0))
	if err != nil {
		return nil, err
	}
	var stored []Prompt
	for _, n := range notes {
		if _, known := l.Prompt(n.Key); !known && !slices.ContainsFunc(all, func(p Prompt) bool { return p.ID == n.Key }) {
			stored = append(stored, readPrompt(n))
		}
	}
	return append(stored, all...), nil
}

// Turn returns the turn whose message is AnyFrame's event seq, if that seq is recorded.
func (p *Past) Turn(ctx context.Context, seq int64) (Turn, bool, error) {
	turns, err := p.Turns(ctx, seq-1, seq)
	i := slices.IndexFunc(turns, func(t Turn) bool { return t.Seq == seq })
	if i < 0 {
		return Turn{}, false, err
	}
	return turns[i], true, nil
}

// Prompt returns the prompt with our id, if there is one.
func (p *Past) Prompt(ctx context.Context, id string) (Prompt, bool, error) {
	if known, ok := p.ledger.Prompt(id); ok {
		return known, true, nil
	}
	stored, err := p.ledger.StoredPrompt(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return Prompt{}, false, nil
	}
	return stored, err == nil, err
}

// Taken reports whether the event seq is recorded as a turn other than key.
func (l *Ledger) Taken(ctx context.Context, seq int64, key string) (bool, error) {
	t, ok, err := l.Past().Turn(ctx, seq)
	return ok && t.Key != key, err
}

// Others reports whether AnyFrame accepted another turn after this one was first sent.
func (l *Ledger) Others(ctx context.Context, turn *Turn) (bool, error) {
	l.mu.Lock()
	after, highest := l.between(turn.After, store.Unplaced), l.kept.gone
	l.mu.Unlock()
	if highest >= turn.After || slices.ContainsFunc(after, func(t Turn) bool { return t.Key != turn.Key }) {
		return true, nil
	}
	turns, err := l.Past().Turns(ctx, turn.After, l.base)
	return slices.ContainsFunc(turns, func(t Turn) bool { return t.Key != turn.Key }), err
}
