package conversation

import (
	"slices"

	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/ledger"
)

// maxLateEnds bounds each list of ends.
const maxLateEnds = 32

// lateEnds are ends of turns that were unknown when the end arrived. AnyFrame's response
// to the request that sends a message may arrive after its agent has finished. Where
// AnyFrame shows no messages, nothing reveals the turn before that response.
type lateEnds struct {
	unclaimed []ledger.End // without a key, by seq
	claimed   []ledger.End // of turns that are now known and not shown yet
}

// add records the end of an unknown turn.
func (l *lateEnds) add(seq int64, reason string) {
	if len(l.unclaimed) == maxLateEnds {
		l.unclaimed = slices.Delete(l.unclaimed, 0, 1)
	}
	l.unclaimed = append(l.unclaimed, ledger.End{Reason: reason, Seq: seq})
}

// claim reports whether a turn that has become known has ended. AnyFrame runs turns one
// after the other, so the turn's end is the first one after its place.
func (l *lateEnds) claim(t *ledger.Turn) bool {
	i := slices.IndexFunc(l.unclaimed, func(end ledger.End) bool { return end.Seq > t.Place() })
	if i < 0 {
		return false
	}
	end := l.unclaimed[i]
	end.Key = t.Key
	l.unclaimed = slices.Delete(l.unclaimed, 0, i+1)
	if len(l.claimed) == maxLateEnds {
		l.claimed = slices.Delete(l.claimed, 0, 1)
	}
	l.claimed = append(l.claimed, end)
	return true
}

// has reports whether the turn's end was claimed and not taken.
func (l *lateEnds) has(key string) bool { return l.index(key) >= 0 }

// take returns the end that was claimed for a turn, once.
func (l *lateEnds) take(key string) (end ledger.End, ok bool) {
	i := l.index(key)
	if i < 0 {
		return ledger.End{}, false
	}
	end = l.claimed[i]
	l.claimed = slices.Delete(l.claimed, i, i+1)
	return end, true
}

func (l *lateEnds) index(key string) int {
	return slices.IndexFunc(l.claimed, func(end ledger.End) bool { return end.Key == key })
}

// showLateEnd shows the end of a turn that was shown after the event that ended it.
func (t *translator) showLateEnd(out *step, end *ledger.End) {
	t.forget(end.Key)
	out.items = append(out.items, event.Item{Kind: "turn_end", Data: event.TurnEndData{Reason: end.Reason, Turn: end.Key}})
}
