package ledger

import (
	"cmp"
	"context"
	"math"
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

// Recognize returns the turn of AnyFrame's message seq with this text, if it is the
// visitor's. The operator's own console also writes messages. A turn whose seq is unknown
// is recognized by its text.
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

// Unshown returns the turns that the live stream must show unless AnyFrame does, and
// whose place is before the event numbered seq, in the order of their places.
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

// Shown reports whether the live stream has shown a turn.
func (l *Ledger) Shown(key string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.byKey[key]
	return t != nil && t.shown
}

// Awaited reports whether the live stream has yet to show the given copy of a turn.
func (l *Ledger) Awaited(t *Turn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return t.order > 0 && t.State == Sent && l.awaits(t) && !l.needless(t)
}

// awaits reports whether the live stream has to show an accepted turn.
func (l *Ledger) awaits(t *Turn) bool { return !t.echoed && !t.shown && t.Place() >= l.base }

// between returns the accepted turns in memory whose place is in [from, to), in the order
// of their places. The caller holds mu.
func (l *Ledger) between(from, to int64) []Turn {
	i, _ := slices.BinarySearchFunc(l.byPlace, from, byPlace)
	var all []Turn
	for ; i < len(l.byPlace) && l.byPlace[i].Place() < to; i++ {
		all = append(all, *l.byPlace[i])
	}
	return all
}

// Show records that the live stream has shown a turn after the event numbered after. A
// turn that was shown later than its place is moved there for readers of the past. News
// is true if the turn must be stored: it was moved, or its place was not final before.
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

// Place records that AnyFrame shows a turn as the event numbered seq. It reports whether
// that was new, so that the turn must be stored.
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
	switch { // a turn in flight is left to its sender, which receives the seq
	case t.State.inFlight(), !t.unplaced(), t.State.unsure() && !t.here:
	case t.State == Unresolved: // AnyFrame's response was lost, and this proves that it has the turn
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

// Expected reports whether an event of the agent's may be the answer to a turn that is in
// flight to AnyFrame, and should wait for it. For a turn that was sent while the agent
// was working, only a message can be, or what the agent says after it has ended the turn
// before: resumes says that the event is that.
func (l *Ledger) Expected(message, resumes bool) bool {
	if l.quiet.Load() {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range l.open {
		if t.State.inFlight() && (message || t.State != SendingLate && (resumes || !t.Busy)) {
			return true
		}
	}
	return false
}

// InFlight reports whether a turn from this process is in flight to AnyFrame.
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

// WaitPlaced waits, for at most limit, until no turn is in flight to AnyFrame. Turns
// still in flight after that become late.
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

// AwaitElsewhere reports whether a turn is in flight to AnyFrame from another process.
// With abandon, such turns are no longer waited for.
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

// Latest returns the seq of the message of the latest accepted turn, or 0 if AnyFrame has
// not numbered it.
func (l *Ledger) Latest() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.byPlace) == 0 {
		return 0
	}
	return l.byPlace[len(l.byPlace)-1].Seq
}

// Unanswered reports whether AnyFrame accepted a turn after the event seq that has not
// ended.
func (l *Ledger) Unanswered(seq int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.kept.gone >= seq ||
		slices.ContainsFunc(l.between(seq, math.MaxInt64), func(t Turn) bool { return l.ends.byKey[t.Key] == nil })
}
