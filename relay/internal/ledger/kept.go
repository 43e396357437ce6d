package ledger

import "slices"

// How much of a conversation's past is kept in memory. What is older is in the store,
// and [Past] reads it there.
const (
	// keepTurns and keepPrompts are how many turns that are over and prompts that are
	// settled are kept, for what happens to them late and for a store that loses its
	// last writes.
	keepTurns   = 64
	keepPrompts = 64
	// keepText is how many bytes of the text of those turns.
	keepText = 256 << 10
	// keepOpen is how many turns are kept whose outcome is not known, or which could not
	// be stored.
	keepOpen = 4 * keepTurns
)

// kept says what is in memory. It is guarded by Ledger.mu.
type kept struct {
	// Of the turns that AnyFrame has, those whose place is turns or higher; of the
	// prompts that are settled, those settled after the event numbered prompts or later.
	turns, prompts int64
	highest        int64    // the highest place of a turn so far
	gone           int64    // the highest place of a turn that was in memory and is not any more
	goneThere      []string // the keys of those of that place, the last of them
	entered        int64    // turns so far
	dropped        int64    // of those, how many are not in memory any more
	text           int      // bytes of the turns' text
}

// mark is one state of a note.
type mark struct {
	key     string
	version int64
}

// over reports whether nothing more is expected to happen to a turn.
func (l *Ledger) over(t *Turn) bool {
	if t.State.inFlight() || l.pending[t.Key] != nil {
		return false
	}
	return len(l.turns) > keepOpen || !t.dirty && !t.State.unsure()
}

// forget drops the turns that are over, from the first that was entered on, until the
// rest is within the limits. The caller holds mu.
func (l *Ledger) forget() {
	for i := 0; i < len(l.turns) && (len(l.turns) > keepTurns || l.kept.text > keepText && i < len(l.turns)-1); {
		t := l.turns[i]
		if !l.over(t) {
			i++
			continue
		}
		if t.State == Sent {
			l.kept.turns = max(l.kept.turns, t.Place()+1)
			l.kept.goes(t)
		}
		l.unindex(t)
		l.kept.text -= len(t.Text)
		delete(l.byKey, t.Key)
		l.kept.dropped++
		copy(l.turns[i:], l.turns[i+1:])
		l.turns[len(l.turns)-1] = nil
		l.turns = l.turns[:len(l.turns)-1]
	}
}

// goes notes that a turn is in memory no more.
func (k *kept) goes(t *Turn) {
	switch place := t.Place(); {
	case place > k.gone:
		k.gone, k.goneThere = place, append(k.goneThere[:0], t.Key)
	case place == k.gone && len(k.goneThere) < keepOpen:
		k.goneThere = append(k.goneThere, t.Key)
	}
}

// past reports whether a turn that is not in memory was, or belongs before what was.
func (k *kept) past(t *Turn) bool {
	return t.Place() < k.gone || t.Place() == k.gone && slices.Contains(k.goneThere, t.Key)
}

// trimText drops the text of a turn that AnyFrame has an event for, once the store has
// it. The caller holds mu.
func (l *Ledger) trimText(t *Turn) {
	if t.echoed && !t.dirty && t.State == Sent {
		l.kept.text -= len(t.Text)
		t.Text = ""
	}
}

// forgetPrompts is forget for prompts that are settled.
func (l *Ledger) forgetPrompts() {
	for i := 0; i < len(l.promptOrder) && len(l.promptOrder) > keepPrompts+len(l.waiting); {
		p := l.promptOrder[i]
		if p.State != Settled {
			i++
			continue
		}
		l.kept.prompts = max(l.kept.prompts, p.After+1)
		l.prompts.drop(p.ID)
		copy(l.promptOrder[i:], l.promptOrder[i+1:])
		l.promptOrder[len(l.promptOrder)-1] = nil
		l.promptOrder = l.promptOrder[:len(l.promptOrder)-1]
	}
}
