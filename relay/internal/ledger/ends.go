package ledger

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/store"
)

// keepEnds is how many ends of turns are kept in memory. It exceeds the number of turns,
// because a turn may be dropped while its end is kept.
const keepEnds = 4 * keepTurns

// End is how a turn that AnyFrame accepted has ended.
type End struct {
	Key    string // the turn's
	Reason string // as shown to visitors
	// Seq is the event that ended the turn, or 0 if AnyFrame has none because its sandbox
	// fell asleep first.
	Seq int64
	// After is the last seq before the turn ended. If it is not below Seq, the event came
	// before the relay had the turn: see [End.Late].
	After int64
}

// Late reports whether visitors were shown the event that ended the turn before they were
// shown the turn. Its end is then shown again after the turn.
func (e *End) Late() bool { return e.Seq != 0 && e.Seq <= e.After }

// ends are the ends in memory. They are guarded by Ledger.mu.
type ends struct {
	from  int64 // all ends after the event of this seq, or a later one, are in memory
	order []*End
	byKey few[*End]
}

// enter adds an end unless the turn's end is known. It reports whether it was added.
func (e *ends) enter(end End) bool {
	if e.byKey[end.Key] != nil {
		return false
	}
	e.byKey.put(end.Key, &end)
	i := len(e.order)
	for i > 0 && e.order[i-1].After > end.After {
		i--
	}
	e.order = slices.Insert(e.order, i, &end)
	if len(e.order) > keepEnds {
		oldest := e.order[0]
		e.byKey.drop(oldest.Key)
		e.order = slices.Delete(e.order, 0, 1)
		e.from = max(e.from, oldest.After+1)
	}
	return true
}

// between returns the ends in [from, to), in order.
func (e *ends) between(from, to int64) (all []End) {
	for _, end := range e.order {
		if from <= end.After && end.After < to {
			all = append(all, *end)
		}
	}
	return all
}

func readEnd(n store.Note) End { return End{Key: n.Key, Reason: n.State, Seq: n.Seq, After: n.Place} }

// EndTurn records how a turn ended, unless its end is known. It reports whether it
// recorded the end; the caller must then call [Ledger.PersistEnd].
func (l *Ledger) EndTurn(end End) (news bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ends.enter(end)
}

// End returns how the turn with this key ended, if that is in memory.
func (l *Ledger) End(key string) (End, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	end, ok := l.ends.byKey[key]
	if !ok {
		return End{}, false
	}
	return *end, true
}

// StoredEnd returns how the turn with this key ended, in any epoch, or
// [store.ErrNotFound].
func (l *Ledger) StoredEnd(ctx context.Context, key string) (End, error) {
	if end, ok := l.End(key); ok {
		return end, nil
	}
	n, err := l.notes.Note(ctx, l.visitor, kindEnd, key)
	return readEnd(n), err
}

// PersistEnd stores how a turn ended. It does not overwrite what another process has
// stored.
func (l *Ledger) PersistEnd(ctx context.Context, end End) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	_, _, err := l.notes.BeginNote(ctx, store.Note{
		Visitor: l.visitor, Kind: kindEnd, Key: end.Key, Epoch: l.epoch, Seq: end.Seq, Place: min(end.After, store.Unplaced-1), State: end.Reason,
		ExpiresAt: time.Now().Add(l.ttl),
	})
	return err
}

// EndsBetween returns the ends in memory after an event in [from, to), in order.
func (l *Ledger) EndsBetween(from, to int64) []End {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ends.between(from, to)
}

// Ends returns the ends of turns after an event in [from, to), in order.
func (p *Past) Ends(ctx context.Context, from, to int64) ([]End, error) {
	l := p.ledger
	l.mu.Lock()
	all, all0 := l.ends.between(from, to), l.ends.from
	l.mu.Unlock()
	if from >= all0 {
		return all, nil
	}
	notes, err := p.between(ctx, kindEnd, &p.ends, from, min(to, all0))
	if err != nil {
		return nil, err
	}
	var stored []End
	for _, n := range notes {
		if !slices.ContainsFunc(all, func(e End) bool { return e.Key == n.Key }) {
			stored = append(stored, readEnd(n))
		}
	}
	all = append(stored, all...)
	slices.SortStableFunc(all, func(a, b End) int { return cmp.Compare(a.After, b.After) })
	return all, nil
}

// Ending returns the end of the turn that AnyFrame's event seq ended, if known.
func (p *Past) Ending(ctx context.Context, seq int64) (End, bool, error) {
	ends, err := p.Ends(ctx, seq-1, seq)
	i := slices.IndexFunc(ends, func(e End) bool { return e.Seq == seq })
	if i < 0 {
		return End{}, false, err
	}
	return ends[i], true, nil
}

// End returns how the turn with this key ended, if known.
func (p *Past) End(ctx context.Context, key string) (End, bool, error) {
	if key == "" {
		return End{}, false, nil
	}
	end, err := p.ledger.StoredEnd(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return End{}, false, nil
	}
	return end, err == nil, err
}

// RequestStop stores a stop request for a turn and returns the turn as stored, or
// [store.ErrNotFound]. A turn that was never sent to AnyFrame becomes Stopped. So does a
// turn that may have been sent to a session that no longer exists, as its epoch shows.
func (l *Ledger) RequestStop(ctx context.Context, key string) (Turn, error) {
	for {
		n, err := l.notes.Note(ctx, l.visitor, kindTurn, key)
		if err != nil {
			return Turn{}, err
		}
		t := readTurn(n)
		switch {
		case t.State == Stopped, t.Stop && t.State != Held:
			return t, nil
		case t.State == Held, t.State.unsure() && t.Epoch < l.epoch: // in a later one, another replica is sending it
			t.State = Stopped
		default:
			t.Stop = true
		}
		changed := l.noteOf(&t)
		if t.State == Sent {
			changed.Place = n.Place // its sender decides which place is final
		}
		saved, err := l.notes.SaveNote(ctx, changed)
		if errors.Is(err, store.ErrConflict) {
			continue
		}
		if err != nil {
			return t, err
		}
		t.version = saved.Version
		l.stopRequested(t)
		return t, nil
	}
}

// NeverSend stores that a turn must never be sent, and returns the turn as stored. AnyFrame
// must not have it. If the turn was sent since it was read, or another process changed it,
// NeverSend returns [store.ErrConflict].
func (l *Ledger) NeverSend(ctx context.Context, t Turn) (Turn, error) {
	n, err := l.notes.Note(ctx, l.visitor, kindTurn, t.Key)
	if err != nil {
		return Turn{}, err
	}
	stored := readTurn(n)
	if stored.State == Stopped || stored.State == Sent {
		return stored, nil
	}
	if stored.version != t.version {
		return stored, store.ErrConflict
	}
	stored.State, stored.Day = Stopped, 0
	saved, err := l.notes.SaveNote(ctx, l.noteOf(&stored))
	if err != nil {
		return stored, err
	}
	stored.version = saved.Version
	l.mu.Lock()
	defer l.mu.Unlock()
	if old := l.byKey[t.Key]; old != nil && !old.State.inFlight() {
		l.set(stored)
		l.wake()
	}
	return stored, nil
}

// WantedStopped returns the turns with a stop request for which it is unknown whether
// AnyFrame has them.
func (l *Ledger) WantedStopped() (unsure []Turn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range l.open {
		if t.Stop && t.State.unsure() {
			unsure = append(unsure, *t)
		}
	}
	return unsure
}

// stopRequested updates memory after RequestStop.
func (l *Ledger) stopRequested(t Turn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	old := l.byKey[t.Key]
	if old == nil {
		return
	}
	old.Stop = t.Stop
	if t.State == Stopped && !old.State.inFlight() {
		changed := *old
		changed.State, changed.version = Stopped, t.version
		l.set(changed)
	}
	l.wake()
}

// wantedStopped updates a turn that could not be stored because a stop was requested for
// it. It reports whether the turn can now be stored.
func (l *Ledger) wantedStopped(ctx context.Context, t *Turn) bool {
	n, err := l.notes.Note(ctx, l.visitor, kindTurn, t.Key)
	if err != nil || n.Version == t.version {
		return false
	}
	stored := readTurn(n)
	if !stored.Stop || stored.State == Stopped {
		return false
	}
	t.Stop, t.version = true, n.Version
	l.mu.Lock()
	defer l.mu.Unlock()
	if p := l.byKey[t.Key]; p != nil {
		p.Stop = true
	}
	return true
}
