package ledger

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// Turn returns the turn with this key.
func (l *Ledger) Turn(key string) (Turn, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t, ok := l.byKey[key]
	if !ok {
		return Turn{}, false
	}
	return *t, true
}

// Recognize returns the turn that AnyFrame's message seq with this text is, if it
// is one of the visitor's: the operator's own console writes messages too. A turn
// whose seq is not known yet is recognized by its text.
func (l *Ledger) Recognize(seq int64, text string) (Turn, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t, ok := l.bySeq[seq]; ok {
		return *t, true
	}
	var found *Turn
	for _, t := range l.open { // the one that was begun first
		if t.unplaced() && t.After < seq && t.Text == text && (found == nil || t.order < found.order) {
			found = t
		}
	}
	if found == nil {
		return Turn{}, false
	}
	if !l.echoes {
		l.echoes = true
		l.count()
	}
	return *found, true
}

// Unshown returns the turns that the live stream has yet to show unless AnyFrame
// does, and whose place is before the event numbered seq, in the order of their places.
func (l *Ledger) Unshown(seq int64) []Turn {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []Turn
	for _, t := range l.pending {
		if t.Place() < seq && !l.needless(t) {
			all = append(all, *t)
		}
	}
	slices.SortStableFunc(all, func(x, y Turn) int { return cmp.Or(cmp.Compare(x.Place(), y.Place()), cmp.Compare(x.Seq, y.Seq)) })
	return all
}

// Awaited reports whether the live stream has yet to show a turn, as it was when it was
// returned.
func (l *Ledger) Awaited(t *Turn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return t.order > 0 && t.State == Sent && l.awaits(t) && !l.needless(t)
}

// awaits reports whether the live stream has to show a turn that AnyFrame has.
func (l *Ledger) awaits(t *Turn) bool { return !t.echoed && !t.shown && t.Place() >= l.base }

// between returns those of the turns in memory that AnyFrame has and whose place is in
// [from, to), in the order of their places. The caller holds mu.
func (l *Ledger) between(from, to int64) []Turn {
	i, _ := slices.BinarySearchFunc(l.byPlace, from, byPlace)
	var all []Turn
	for ; i < len(l.byPlace) && l.byPlace[i].Place() < to; i++ {
		all = append(all, *l.byPlace[i])
	}
	return all
}

// Show notes that the live stream has shown a turn, after the event numbered
// after. A turn that was shown later than its place is moved there, for readers of
// the past; then news is true and the turn is to be stored, as is one whose place
// was not final before.
func (l *Ledger) Show(key string, after int64) (news bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	old, ok := l.byKey[key]
	if !ok {
		return false
	}
	t := *old
	t.shown = true
	if news = after > t.Place(); news {
		t.After = after
	}
	news = news || t.Seq == 0 && (t.here || t.loaded)
	t.dirty = t.dirty || news
	l.set(t)
	return news
}

// Place notes that AnyFrame shows a turn as the event numbered seq. It reports
// whether that was news, so that the turn is to be stored.
func (l *Ledger) Place(key string, seq int64) (news bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	old, ok := l.byKey[key]
	if !ok {
		return false
	}
	t := *old
	t.shown = true
	if old.Seq == seq && old.State == Sent {
		t.echoed = true
	}
	switch { // one that is on its way is left to its sender, which gets the seq
	case t.State.inFlight(), !t.unplaced(), t.State.unsure() && !t.here:
	case t.State == Unresolved: // AnyFrame's answer was lost, and here it is
		t.State, t.Seq, t.Answered, t.echoed, news = Sent, seq, seq, true, true
	default:
		t.Seq, t.echoed, news = seq, true, true
	}
	t.dirty = t.dirty || news
	l.set(t)
	if news {
		l.wake()
	}
	return news
}

// Expected reports whether what the agent does may be the answer to a turn that
// is still on its way to AnyFrame, and should wait for it. For a turn that was
// sent while the agent was at work, that holds for a message only.
func (l *Ledger) Expected(message bool) bool {
	if l.quiet.Load() {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range l.open {
		if t.State.inFlight() && (message || !t.Busy && t.State != SendingLate) {
			return true
		}
	}
	return false
}

// InFlight reports whether a turn is on its way to AnyFrame from here.
func (l *Ledger) InFlight() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.inFlight()
}

func (l *Ledger) inFlight() bool {
	for _, t := range l.open {
		if t.State.inFlight() {
			return true
		}
	}
	return false
}

// WaitPlaced waits until no turn is on its way to AnyFrame, at most for limit.
// Those that still are then are late.
func (l *Ledger) WaitPlaced(ctx context.Context, limit time.Duration) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		l.mu.Lock()
		if !l.inFlight() {
			l.mu.Unlock()
			return
		}
		if l.changed == nil {
			l.changed = make(chan struct{})
		}
		changed := l.changed
		l.mu.Unlock()
		select {
		case <-changed:
		case <-timer.C:
			l.mu.Lock()
			for _, t := range l.open {
				if t.State == SendingHere {
					t.State = SendingLate
				}
			}
			l.mu.Unlock()
			return
		case <-ctx.Done():
			return
		}
	}
}

// AwaitElsewhere reports whether a turn is on its way to AnyFrame from another
// process. With abandon, those are not waited for any more.
func (l *Ledger) AwaitElsewhere(abandon bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	found := false
	for _, t := range l.open {
		if t.State == SendingElsewhere {
			found = true
			if abandon {
				t.State = Abandoned
			}
		}
	}
	return found && !abandon
}

// Silent reports whether no turn has been sent yet.
func (l *Ledger) Silent() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.kept.highest < 0 && len(l.open) == 0
}

// Unanswered reports whether AnyFrame took a turn after the event seq, or is
// being asked to.
func (l *Ledger) Unanswered(seq int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.inFlight() || l.kept.highest >= seq
}
