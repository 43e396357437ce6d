package ledger

import (
	"slices"

	"github.com/anyframe-relay/relay/relay/internal/event"
)

// SetPrompt adds a prompt or replaces it with a newer state.
func (l *Ledger) SetPrompt(p Prompt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.setPrompt(p)
}

// setPrompt is SetPrompt for a caller that holds mu.
func (l *Ledger) setPrompt(p Prompt) {
	old, ok := l.prompts[p.ID]
	if !ok {
		old = &Prompt{}
		l.prompts.put(p.ID, old)
		l.promptOrder = append(l.promptOrder, old)
	}
	*old = p
	if p.State == Settled {
		l.waiting.drop(p.ID)
	} else {
		l.waiting.put(p.ID, old)
	}
	l.forgetPrompts()
	l.count()
}

// Settle records that a prompt was settled after the event numbered after. The caller
// must then call [Ledger.PersistPrompt].
func (l *Ledger) Settle(id, outcome string, after int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if old, ok := l.prompts[id]; ok {
		p := *old
		p.State, p.Outcome, p.After = Settled, outcome, after
		l.setPrompt(p)
	}
}

// Prompt returns the prompt with our id.
func (l *Ledger) Prompt(id string) (Prompt, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p, ok := l.prompts[id]
	if !ok {
		return Prompt{}, false
	}
	return *p, true
}

// StoppedPrompt reports whether a prompt after the event numbered after was settled, or
// is being settled, because its turn is stopped.
func (l *Ledger) StoppedPrompt(after int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.ContainsFunc(l.promptOrder, func(p *Prompt) bool { return p.Seq > after && p.Outcome == event.OutcomeStopped })
}

// AnyWaiting reports whether any prompt is not settled.
func (l *Ledger) AnyWaiting() bool {
	if l.quiet.Load() {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.waiting) > 0
}

// WaitingBy returns the unsettled prompts up to seq, in order.
func (l *Ledger) WaitingBy(seq int64) []Prompt {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []Prompt
	for _, p := range l.promptOrder {
		if p.State != Settled && p.Seq <= seq {
			all = append(all, *p)
		}
	}
	return all
}

// SettledBetween returns the prompts in memory that were settled after an event in [from,
// to), in order.
func (l *Ledger) SettledBetween(from, to int64) []Prompt {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.settledBetween(from, to)
}

func (l *Ledger) settledBetween(from, to int64) []Prompt {
	var all []Prompt
	for _, p := range l.promptOrder {
		if p.State == Settled && from <= p.After && p.After < to {
			all = append(all, *p)
		}
	}
	return all
}
