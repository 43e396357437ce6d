package ledger

import "slices"

// How much of a conversation's past is kept in memory. Older notes are in the store,
// where [Past] reads them.
const (
	// keepTurns and keepPrompts are how many finished turns and settled prompts are kept,
	// for late changes to them and for a store that loses its latest writes.
	keepTurns   = 64
	keepPrompts = 64
	// keepText is how many bytes of text those turns may keep.
	keepText = 256 << 10
	// keepOpen is how many turns are kept whose outcome is unknown, or which could not be
	// stored.
	keepOpen = 4 * keepTurns
)

// kept describes what is in memory. It is guarded by Ledger.mu.
type kept struct {
	// In memory are the accepted turns whose place is at least turns, and the settled
	// prompts that were settled after the event numbered prompts or later.
	turns, prompts int64
	highest        int64    // the highest place of any turn so far
	gone           int64    // the highest place of a turn that has been dropped from memory
	goneThere      []string // the keys of the latest turns dropped at that place
	entered        int64    // number of turns so far
	dropped        int64    // number of those that have been dropped from memory
	text           int      // bytes of the turns' text
}

// mark is one version of a note.
type mark struct {
	key     string
	version int64
}

// over reports whether no further change to a turn is expected.
func (l *Ledger) over(t *Turn) bool {
	if t.State.inFlight() || l.pending[t.Key] != nil {
		return false
	}
	return len(l.turns) > keepOpen || !t.dirty && !t.State.unsure()
}

// forget drops finished turns, oldest first, until the rest is within the limits. The
// caller holds mu.
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

// goes records that a turn was dropped from memory.
func (k *kept) goes(t *Turn) {
	switch place := t.Place(); {
	case place > k.gone:
		k.gone, k.goneThere = place, append(k.goneThere[:0], t.Key)
	case place == k.gone && len(k.goneThere) < keepOpen:
		k.goneThere = append(k.goneThere, t.Key)
	}
}

// past reports whether a turn that is not in memory was dropped, or belongs before the
// dropped ones.
func (k *kept) past(t *Turn) bool {
	return t.Place() < k.gone || t.Place() == k.gone && slices.Contains(k.goneThere, t.Key)
}

// trimText drops the text of a turn for which AnyFrame has an event, once the turn is
// stored. The caller holds mu.
func (l *Ledger) trimText(t *Turn) {
	if t.echoed && !t.dirty && t.State == Sent {
		l.kept.text -= len(t.Text)
		t.Text = ""
	}
}

// forgetPrompts is forget for settled prompts.
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
