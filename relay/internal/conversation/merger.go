package conversation

import (
	"context"
	"slices"

	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/ledger"
	"github.com/anyframe-relay/relay/relay/internal/upstream"
)

// live merges for the log.
type live struct {
	*ledger.Ledger
	// due: before the event of this seq there is nothing to do for a turn, by key. A
	// conversation that is far behind must not ask AnyFrame at every event.
	due map[string]int64
	// echoed: AnyFrame shows messages.
	echoed bool
}

func (l *live) before(t *translator, out *step, ev *upstream.Event, mine string) {
	if mine != "" {
		l.echoed = true
	}
	if t.ledger.AllShown() {
		return
	}
	for _, own := range t.ledger.Unshown(ev.Seq) {
		if !isTurn(ev, &own) {
			l.show(t, out, &own)
		}
	}
}

func (l *live) recognize(seq int64, text string) (ledger.Turn, bool) { return l.Recognize(seq, text) }
func (l *live) prompt(id string) (ledger.Prompt, bool)               { return l.Prompt(id) }

// show shows a turn, and notes that.
func (l *live) show(t *translator, out *step, own *ledger.Turn) {
	if t.ledger.Show(own.Key, t.last) {
		out.turns = append(out.turns, own.Key)
	}
	t.showOwn(out, own)
}

// isTurn reports whether an event is a turn, as far as can be told.
func isTurn(ev *upstream.Event, own *ledger.Turn) bool {
	return ev.User && (own.Seq == ev.Seq || own.Seq == 0 && own.Text == ev.Members.UserText())
}

// past merges for a reader of the past.
type past struct {
	ctx    context.Context // of the reader
	ledger *ledger.Ledger
	notes  *ledger.Past
	err    error // that kept notes from being read; what was translated since lacks them

	shown map[string]bool // turns, by key
}

func newPast(ctx context.Context, l *ledger.Ledger) *past {
	return &past{ctx: ctx, ledger: l, notes: l.Past()}
}

func (p *past) recognize(seq int64, text string) (ledger.Turn, bool) {
	turn, ok, err := p.notes.Turn(p.ctx, seq)
	if p.failed(err); ok {
		return turn, true
	}
	return p.ledger.Recognize(seq, text)
}

func (p *past) prompt(id string) (ledger.Prompt, bool) {
	prompt, ok, err := p.notes.Prompt(p.ctx, id)
	p.failed(err)
	return prompt, ok
}

func (p *past) failed(err error) {
	if p.err == nil {
		p.err = err
	}
}

func (p *past) between(from, to int64) []ledger.Turn {
	turns, err := p.notes.Turns(p.ctx, from, to)
	p.failed(err)
	return turns
}

func (p *past) before(t *translator, out *step, ev *upstream.Event, mine string) {
	p.settled(t, out, ev.Seq)
	for _, own := range p.between(t.last, ev.Seq) {
		if !isTurn(ev, &own) {
			p.show(t, out, &own)
		}
	}
	if mine != "" {
		p.note(mine)
	}
}

func (p *past) note(key string) {
	if p.shown == nil {
		p.shown = map[string]bool{}
	}
	p.shown[key] = true
}

func (p *past) show(t *translator, out *step, own *ledger.Turn) {
	if !p.shown[own.Key] {
		p.note(own.Key)
		t.showOwn(out, own)
	}
}

// settled shows which prompts were settled before the event numbered to.
func (p *past) settled(t *translator, out *step, to int64) {
	prompts, err := p.notes.Settled(p.ctx, t.last, to)
	p.failed(err)
	for _, prompt := range prompts {
		t.showSettled(out, &prompt, prompt.Outcome)
		t.waiting = slices.DeleteFunc(t.waiting, func(id string) bool { return id == prompt.ID })
	}
}

// finish merges in what belongs up to the event numbered seq, after the last event
// of the past.
func (p *past) finish(t *translator, seq int64) []event.Item {
	out := step{items: t.scratch[:0]}
	for _, own := range p.between(t.last, seq) {
		p.show(t, &out, &own)
	}
	p.settled(t, &out, seq)
	t.last = max(t.last, seq)
	return out.items
}
