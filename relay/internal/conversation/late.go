package conversation

import (
	"slices"

	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/ledger"
)

// maxLateEnds is how many ends of unknown turns are kept.
const maxLateEnds = 32

// lateEnds are ends of turns that were unknown when the end arrived, by seq and without a
// key. AnyFrame's response to the request that sends a message may arrive after its agent
// has finished. Where AnyFrame shows no messages, nothing reveals the turn before that
// response.
type lateEnds []ledger.End

// add records the end of an unknown turn.
func (l *lateEnds) add(seq int64, reason string) {
	if len(*l) == maxLateEnds {
		*l = slices.Delete(*l, 0, 1)
	}
	*l = append(*l, ledger.End{Reason: reason, Seq: seq})
}

// claim returns the end of a turn that has become known, if it has ended. AnyFrame runs
// turns one after the other, so the turn's end is the first one after its place.
func (l *lateEnds) claim(t *ledger.Turn) (end ledger.End, over bool) {
	i := slices.IndexFunc(*l, func(end ledger.End) bool { return end.Seq > t.Place() })
	if i < 0 {
		return ledger.End{}, false
	}
	end = (*l)[i]
	end.Key = t.Key
	*l = slices.Delete(*l, 0, i+1)
	return end, true
}

// showLateEnd shows the end of a turn that was shown after the event that ended it.
func (t *translator) showLateEnd(out *step, end *ledger.End) {
	t.forget(end.Key)
	out.items = append(out.items, event.Item{Kind: "turn_end", Data: event.TurnEndData{Reason: end.Reason, Turn: end.Key}})
}
