package relay

import (
	"context"
	"errors"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/eventlog"
	"github.com/anyframe-relay/relay/relay/internal/upstream"
	"github.com/anyframe-relay/relay/relay/store"
)

// feed translates one event and appends what it comes to. Events that the log
// has seen are dropped, and so are those of an epoch that is over.
func (s *session) feed(log *eventlog.Log, ev upstream.Event) {
	s.feedMu.Lock()
	defer s.feedMu.Unlock()
	s.feedLocked(log, ev)
}

// feedLocked is feed for a caller who holds feedMu.
func (s *session) feedLocked(log *eventlog.Log, ev upstream.Event) {
	v := s.view()
	if v.log != log || (ev.Seq != 0 && ev.Seq <= v.log.Head()) {
		return
	}
	out := s.translator.step(ev)
	s.keepPrompts(v.epoch, out.opened) // first, for somebody may answer at once
	if out.speaks {
		s.firstWord.Ready()
	}
	s.append(v, out.items)
	if out.asked != "" {
		s.settledBefore(v, out.asked)
	}
	if ev.Seq != 0 {
		v.log.Advance(ev.Seq) // past what nothing shows of
	}
	s.note(out, ev.ReadAt)
	s.remember(ev.Seq, out)
}

// settledBefore tells that a prompt has its answer already, given at another
// replica or before we began.
func (s *session) settledBefore(v view, id string) {
	p, ok := s.notes().prompt(id)
	if !ok || p.note.State != promptAnswered {
		return
	}
	if id, ok := s.translator.visiblePrompt(p); ok {
		s.append(v, []event.Item{{Kind: "settled", Data: event.SettledData{ID: id, Outcome: p.Outcome}}})
	}
}

// append adds items to the log, those without a number together with the
// numbered one they come before. What the log had to forget, the translator
// must no longer build on.
func (s *session) append(v view, items []event.Item) {
	group := s.group[:0]
	for _, it := range items {
		group = append(group, it.Entry(v.epoch))
		if it.Seq != 0 {
			v.log.Append(group...)
			group = group[:0]
		}
	}
	if !v.log.Append(group...) {
		s.translator.forget(v.log.Head())
	}
	clear(group[:cap(group)])
	s.group = group[:0]
}

// note keeps the session's own state true to an event that came at now, if
// somebody looked.
func (s *session) note(out told, now time.Time) {
	if now.IsZero() {
		now = time.Now()
	}
	var took time.Duration
	ends := false // a turn that was begun here
	s.mu.Lock()
	s.active, s.confirmed = now, now
	if out.speaks && !s.asked.IsZero() {
		s.hub.metrics.FirstEvent.Observe(now.Sub(s.asked).Seconds())
		s.asked = time.Time{}
	}
	switch {
	case out.ended:
		if s.busy && !s.began.IsZero() {
			ends, took = true, now.Sub(s.began)
		}
		s.busy, s.midway, s.began = false, false, time.Time{}
	case out.active:
		s.busy = true
	}
	s.mu.Unlock()
	if !ends {
		return
	}
	s.hub.metrics.TurnSeconds.Observe(took.Seconds())
	reason := ""
	for _, it := range out.items {
		if end, ok := it.Data.(event.TurnEndData); ok {
			reason = end.Reason
		}
	}
	s.logger().Info("turn ended", "reason", reason, "ms", took.Milliseconds())
}

// remember writes to the store what an event taught us that AnyFrame's log does
// not say.
func (s *session) remember(seq int64, out told) {
	if out.ended && seq != 0 { // whoever comes after us need not read what was before
		if err := s.save(s.hub.ctx, func(rec *store.Session) { rec.LastSeq = max(rec.LastSeq, seq) }); err != nil {
			s.logger().Warn("save the session", "error", err)
		}
	}
	if out.ended {
		s.stayAwake(s.hub.ctx) // idle from now on
	}
	if len(out.placed)+len(out.moved)+len(out.settled) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(s.hub.ctx, storeTimeout)
	defer cancel()
	for key, at := range out.placed {
		s.placeTurn(ctx, key, at)
	}
	for key, after := range out.moved {
		if t, ok := s.notes().turn(key); ok {
			t.After = after
			if err := s.saveTurn(ctx, &t); err != nil {
				s.logger().Warn("keep a turn's place", "error", err)
			}
			s.notes().setTurn(t)
		}
	}
	for id, outcome := range out.settled {
		p, ok := s.notes().prompt(id)
		if !ok {
			continue
		}
		p.note.State, p.Outcome, p.After = promptAnswered, outcome, max(seq-1, p.note.Seq)
		s.savePrompt(ctx, p)
	}
}

// keepPrompts notes prompts that were not seen before.
func (s *session) keepPrompts(epoch int64, opened []promptNote) {
	if len(opened) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(s.hub.ctx, storeTimeout)
	defer cancel()
	for _, p := range opened {
		n := p.stored()
		n.Visitor, n.Epoch = s.visitor, epoch
		n.ExpiresAt = time.Now().Add(s.hub.config.VisitorTTL)
		saved, _, err := s.hub.store.BeginNote(ctx, n)
		if err != nil {
			s.logger().Warn("keep a prompt", "error", err)
			saved = n
		}
		s.notes().setPrompt(readPrompt(saved))
	}
}

// placeTurn notes under which seq AnyFrame shows one of our turns.
func (s *session) placeTurn(ctx context.Context, key string, seq int64) {
	t, ok := s.notes().turn(key)
	if !ok || t.inFlight || !unplaced(t) || (t.note.State == turnSending && !t.mine) {
		return // known already, or on its way: whoever sends it hears the seq
	}
	if t.note.State == turnSending { // its answer was lost, and here it is
		t.note.State, t.Answered = turnSent, seq
	}
	t.note.Seq = seq
	if err := s.saveTurn(ctx, &t); err != nil {
		s.logger().Warn("keep a turn's place", "error", err)
	}
	s.notes().setTurn(t)
}

// savePrompt keeps a prompt's new state, here and in the store.
func (s *session) savePrompt(ctx context.Context, p promptNote) {
	saved, err := s.hub.store.SaveNote(ctx, p.stored())
	if err != nil {
		if !errors.Is(err, store.ErrConflict) { // else another replica saw that it arrived
			s.logger().Warn("keep an answer", "error", err)
		}
		saved = p.stored()
	}
	s.notes().setPrompt(readPrompt(saved))
}

// showOwn shows those of the visitor's messages that AnyFrame took and has no
// event for.
func (s *session) showOwn(missing map[string]bool) {
	s.feedMu.Lock()
	defer s.feedMu.Unlock()
	var out told
	for _, own := range s.translator.ahead() {
		if missing[own.note.Key] {
			s.translator.showOwn(&out, own)
		}
	}
	s.append(s.view(), out.items)
	s.remember(0, out)
}

// showSettled tells every stream that a prompt was settled here.
func (s *session) showSettled(id, outcome string) (after int64) {
	s.feedMu.Lock()
	defer s.feedMu.Unlock()
	v := s.view()
	s.append(v, []event.Item{{Kind: "settled", Data: event.SettledData{ID: id, Outcome: outcome}}})
	return v.log.Head()
}
