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
	// due holds, by turn key, the seq before which there is nothing to do for the turn.
	// It keeps a conversation that is far behind from asking AnyFrame at every event.
	due map[string]int64
	// echoed: AnyFrame's stream includes the visitor's messages.
	echoed bool
	// strange are the seqs of the latest messages from AnyFrame that matched no turn. A
	// matching turn may become known later, if another process sent it and the store is
	// slow.
	strange []int64
	ends    lateEnds
}

// maxStrange is the maximum length of strange.
const maxStrange = 32

func (l *live) before(t *translator, out *step, ev *upstream.Event, mine string) {
	if mine != "" {
		l.echoed = true
	} else if ev.User {
		if len(l.strange) == maxStrange {
			l.strange = l.strange[1:]
		}
		l.strange = append(l.strange, ev.Seq)
	}
	if len(t.running) > 0 {
		l.stopped(t, out, ev.Seq)
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

func (l *live) ended(key string) (ledger.End, bool) { return l.End(key) }

func (l *live) ending(seq int64) (key string, ok bool) {
	if seq == 0 {
		return "", false
	}
	for _, end := range l.EndsBetween(seq-1, seq) {
		if end.Seq == seq {
			return end.Key, true
		}
	}
	return "", false
}

// stopped shows, before the event numbered seq, the ends of turns that have no end event
// and whose end this process has since read from the store.
func (l *live) stopped(t *translator, out *step, seq int64) {
	for _, key := range slices.Clone(t.running) {
		end, ok := l.End(key)
		if !ok || end.Seq != 0 || end.After >= seq {
			continue
		}
		t.forget(key)
		if end.Reason == event.ReasonStopped {
			t.showStopped(out, key)
		}
	}
}

// show shows a turn and records that, unless its event was shown before this process had
// the turn.
func (l *live) show(t *translator, out *step, own *ledger.Turn) {
	known := own.Seq != 0 && slices.Contains(l.strange, own.Seq)
	if known {
		if l.Place(own.Key, own.Seq) {
			out.turns = append(out.turns, own.Key)
		}
		return
	}
	if t.ledger.Show(own.Key, t.last) {
		out.turns = append(out.turns, own.Key)
	}
	t.showOwn(out, own)
	if end, over := l.End(own.Key); over && end.Late() {
		t.showLateEnd(out, &end)
	}
}

// isTurn reports whether an event is the turn's message, as far as can be determined.
func isTurn(ev *upstream.Event, own *ledger.Turn) bool {
	return ev.User && (own.Seq == ev.Seq || own.Seq == 0 && own.Text == ev.Members.UserText())
}

// past merges for a reader of the past.
type past struct {
	ctx    context.Context // of the reader
	ledger *ledger.Ledger
	notes  *ledger.Past
	err    error // a failed read of stored notes; items translated since then lack them

	shown map[string]bool // turns, by key
	// joins: the reader continues with the log where the past ends. It must not also show
	// a turn that the log shows.
	joins bool
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

func (p *past) ending(seq int64) (key string, ok bool) {
	end, ok, err := p.notes.Ending(p.ctx, seq)
	p.failed(err)
	return end.Key, ok
}

func (p *past) ended(key string) (end ledger.End, ok bool) {
	end, ok, err := p.notes.End(p.ctx, key)
	p.failed(err)
	return end, ok
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
	p.merge(t, out, ev.Seq, func(own *ledger.Turn) bool { return isTurn(ev, own) })
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

// merge adds what belongs between the last event and the one numbered to: prompts that
// were settled, turns without an event of AnyFrame's, and ends of turns without one. At
// the same place, earlier turns end before later ones begin.
func (p *past) merge(t *translator, out *step, to int64, isEvent func(*ledger.Turn) bool) {
	ends, err := p.notes.Ends(p.ctx, t.last, to)
	p.failed(err)
	all := ends
	ends = slices.DeleteFunc(slices.Clone(ends), func(end ledger.End) bool { return end.Reason != event.ReasonStopped })
	p.settled(t, out, to)
	turns := p.between(t.last, to)
	finish := func(before int64, key string) {
		ends = slices.DeleteFunc(ends, func(end ledger.End) bool {
			mine := end.Key == key || end.After < before && !slices.ContainsFunc(turns, func(own ledger.Turn) bool { return own.Key == end.Key && !p.shown[own.Key] })
			if mine {
				t.showStopped(out, end.Key)
			}
			return mine
		})
	}
	for _, own := range turns {
		if isEvent(&own) || p.joins && p.ledger.Awaited(&own) {
			continue
		}
		finish(own.Place()+1, "")
		p.show(t, out, &own)
		for _, end := range all {
			if end.Key == own.Key && end.Late() {
				t.showLateEnd(out, &end)
			}
		}
		if i := slices.IndexFunc(ends, func(end ledger.End) bool { return end.Key == own.Key && end.After <= own.Place() }); i >= 0 {
			finish(0, own.Key)
		}
	}
	finish(1<<62, "")
}

// settled shows the prompts that were settled before the event numbered to.
func (p *past) settled(t *translator, out *step, to int64) {
	prompts, err := p.notes.Settled(p.ctx, t.last, to)
	p.failed(err)
	for _, prompt := range prompts {
		t.showSettled(out, &prompt, prompt.Outcome)
		t.waiting = slices.DeleteFunc(t.waiting, func(id string) bool { return id == prompt.ID })
	}
}

// finish merges in everything up to seq that belongs after the last event of the past.
func (p *past) finish(t *translator, seq int64) []event.Item {
	out := step{items: t.scratch[:0]}
	p.merge(t, &out, seq, func(*ledger.Turn) bool { return false })
	t.last = max(t.last, seq)
	return out.items
}
