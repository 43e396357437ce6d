package conversation

import (
	"slices"

	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/ledger"
	"github.com/anyframe-relay/relay/relay/internal/upstream"
)

// translator turns AnyFrame's events into what a visitor may see, in the order of their
// seqs. It merges in what the ledger has: the visitor's messages for which AnyFrame shows
// no event, and the answers to prompts. It must not be used concurrently.
type translator struct {
	projector
	merger

	ledger  *ledger.Ledger
	last    int64    // seq of the last numbered event
	waiting []string // open prompts, by our id
	running running  // turns that have begun and not ended
	scratch []event.Item
}

// merger decides which of the visitor's messages come before an event. The live stream
// and readers of the past differ in that: in the log, messages and answers appear when
// they happen; for a reader of the past, they have places.
type merger interface {
	// before merges in what belongs before an event. Mine is the event's own turn, "" if
	// it is none.
	before(t *translator, out *step, ev *upstream.Event, mine string)
	// recognize returns the turn of a message, and prompt the prompt with our id.
	recognize(seq int64, text string) (ledger.Turn, bool)
	prompt(id string) (ledger.Prompt, bool)
	// ending returns the turn that the event numbered seq ended, if that is recorded.
	ending(seq int64) (key string, ok bool)
	// ended returns how a turn ended, if that is recorded.
	ended(key string) (end ledger.End, ok bool)
}

// newTranslator returns a translator that begins after the event numbered seq.
func newTranslator(o *Options, epoch, seq int64, l *ledger.Ledger, m merger) *translator {
	t := new(translator)
	t.init(o, epoch, seq, l, m)
	return t
}

// init initializes t in place, with the parameters of newTranslator.
func (t *translator) init(o *Options, epoch, seq int64, l *ledger.Ledger, m merger) {
	t.projector = projector{visibility: o.Visibility, approvals: o.Approvals, patterns: o.Patterns, epoch: epoch, gapUntil: -1}
	t.merger, t.ledger, t.last = m, l, seq
	for _, p := range l.WaitingBy(seq) {
		t.waiting = append(t.waiting, p.ID)
	}
}

// step translates one event. Numbered events must come in order. The items are valid
// until the next step.
func (t *translator) step(ev *upstream.Event) step {
	if t.plain(ev) {
		items, o := t.project(ev, message{}, t.scratch[:0])
		t.last = max(t.last, ev.Seq)
		t.scratch = items[:0]
		return step{items: items, outcome: o, speaks: true}
	}
	return t.merge(ev)
}

// plain reports whether an event is the agent's text with nothing to merge in before it.
// Nearly all events are.
func (t *translator) plain(ev *upstream.Event) bool {
	if _, isLive := t.merger.(*live); !isLive || ev.Delta == "" && ev.Whole == "" {
		return false
	}
	return len(t.waiting) == 0 && t.ledger.AllShown()
}

// merge is step for any event.
func (t *translator) merge(ev *upstream.Event) step {
	out := step{items: t.scratch[:0], speaks: speaks(ev)}
	var who message
	if ev.User {
		if turn, ok := t.recognize(ev.Seq, ev.Members.UserText()); ok {
			who = message{turn.Key, turn.Attachments}
		}
	}
	ends := endsTurn(ev)
	if ev.Seq != 0 {
		t.before(t, &out, ev, who.turn)
	}
	if out.speaks {
		t.settleElsewhere(&out, ev.Seq)
	}
	if ev.User {
		t.begins(who.turn)
	}
	if ends {
		who.turn = t.ends(ev.Seq)
		if turn, known := t.ledger.Turn(who.turn); known && turn.Stop && t.ledger.StoppedPrompt(turn.Place()) {
			// The agent ended because the stop denied its prompt.
			out.ends = append(out.ends, ledger.End{Key: turn.Key, Reason: event.ReasonStopped, After: max(t.last, ev.Seq-1)})
			t.stopPrompts(&out, max(t.last, ev.Seq-1))
			out.items = append(out.items, stoppedItem(turn.Key))
			who.turn = ""
		}
	}
	if !ends && who.turn != "" && ev.Seq != 0 {
		out.turns = t.placed(out.turns, who.turn, ev.Seq)
	}
	if isPrompt(ev) {
		id := promptID(t.epoch, ev)
		out.asked = id
		if p, known := t.merger.prompt(id); (!known || p.State != ledger.Settled) && !slices.Contains(t.waiting, id) {
			t.waiting = append(t.waiting, id)
		}
	}
	out.items, out.outcome = t.project(ev, who, out.items)
	if ends && who.turn != "" {
		out.over = who.turn
		out.ends = append(out.ends, ledger.End{Key: who.turn, Reason: endReason(out.items), Seq: ev.Seq, After: max(t.last, ev.Seq-1)})
	}
	t.last = max(t.last, ev.Seq)
	t.scratch = out.items[:0]
	return out
}

// placed records the seq under which AnyFrame shows a turn.
func (t *translator) placed(turns []string, key string, seq int64) []string {
	if _, past := t.merger.(*past); past {
		return turns
	}
	if t.ledger.Place(key, seq) {
		turns = append(turns, key)
	}
	return turns
}

// showOwn shows a turn for which AnyFrame has no event. It gets no number, because the
// seq that AnyFrame returned may turn out to be another event's.
func (t *translator) showOwn(out *step, own *ledger.Turn) {
	out.items = append(out.items, event.Item{Kind: "user", Data: event.Fit(event.Mask(t.patterns, event.UserData{
		Text: own.Text, Attachments: orEmpty(own.Attachments), Turn: own.Key,
	}))})
	t.begins(own.Key)
}

// showSettled shows how a prompt was settled, if visitors may see the prompt.
func (t *translator) showSettled(out *step, p *ledger.Prompt, outcome string) {
	if t.visible(p) {
		out.items = append(out.items, settledItem(p.ID, outcome))
	}
}

func settledItem(id, outcome string) event.Item {
	return event.Item{Kind: "settled", Data: event.SettledData{ID: id, Outcome: outcome}}
}

// visible reports whether visitors may see a prompt.
func (t *translator) visible(p *ledger.Prompt) bool { return !p.Approval || t.approvals }

// settleElsewhere settles the open prompts: an agent that continues has its answer,
// either from another client, or from the relay by an answer whose arrival is
// unconfirmed.
func (t *translator) settleElsewhere(out *step, seq int64) {
	if len(t.waiting) == 0 {
		return
	}
	waiting := t.waiting
	t.waiting = nil
	for _, id := range waiting {
		p, ok := t.merger.prompt(id)
		switch {
		case !ok:
			p.ID = id
		case p.State == ledger.Settled:
			continue // shown when it was answered
		case p.State == ledger.Answering:
			t.waiting = append(t.waiting, id) // the answer is about to be shown
			continue
		}
		outcome := p.Outcome
		if outcome == "" {
			outcome = event.OutcomeElsewhere
		}
		t.showSettled(out, &p, outcome)
		if _, isLive := t.merger.(*live); isLive && ok {
			t.ledger.Settle(id, outcome, max(seq-1, p.Seq))
			out.prompts = append(out.prompts, id)
		}
	}
}
