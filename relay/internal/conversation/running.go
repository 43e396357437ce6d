package conversation

import (
	"slices"

	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/ledger"
)

// maxRunning is the maximum number of running turns that are tracked.
const maxRunning = 256

// running are the turns that AnyFrame has accepted and that have not ended, in order:
// AnyFrame runs them one after the other. A message that was not sent through the relay
// has no key. If AnyFrame answers several messages together, some stay here until the
// sandbox sleeps.
type running []string

// begins records that a turn has begun.
func (t *translator) begins(key string) {
	if key != "" && slices.Contains(t.running, key) {
		return
	}
	if len(t.running) == maxRunning {
		t.running = slices.Delete(t.running, 0, 1)
	}
	t.running = append(t.running, key)
}

// ends returns the turn that the event numbered seq ends, or "" if unknown. It is never a
// turn whose end is recorded elsewhere: the event then ends a turn that this reader has not
// seen begin.
func (t *translator) ends(seq int64) (key string) {
	if seq != 0 {
		if key, ok := t.ending(seq); ok {
			t.forget(key)
			return key
		}
	}
	for len(t.running) > 0 {
		key = t.running[0]
		end, over := t.ended(key)
		if over = over && seq != 0; over && end.After >= seq {
			return "" // the turn still runs
		}
		if t.running = slices.Delete(t.running, 0, 1); !over {
			return key
		}
	}
	return ""
}

// forget records that a turn has ended.
func (t *translator) forget(key string) {
	t.running = slices.DeleteFunc(t.running, func(k string) bool { return k == key })
}

// showStopped shows that a turn was stopped.
func (t *translator) showStopped(out *step, key string) {
	t.pending.Reset() // its block will never arrive
	t.forget(key)
	out.items = append(out.items, stoppedItem(key))
}

func stoppedItem(key string) event.Item {
	return event.Item{Kind: "turn_end", Data: event.TurnEndData{Reason: event.ReasonStopped, Turn: key}}
}

// Unfinished returns the visitor's accepted turns that have not ended, as far as the log
// has been read, and whether there are other unfinished messages.
func (c *Conversation) Unfinished() (keys []string, others bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, key := range c.tr.running {
		others = others || key == ""
	}
	begun := slices.Clone(c.tr.running)
	for _, turn := range c.ledger.Unshown(1 << 62) {
		begun = append(begun, turn.Key)
	}
	for _, key := range begun {
		if _, over := c.ledger.End(key); key != "" && !over && !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	return keys, others || len(keys) == 0 && c.Activity().Busy
}

// Interrupt records that AnyFrame's unfinished work will not continue. Stopped says that
// this was requested; so does a stop request of a turn. The caller must store the
// returned effect.
func (c *Conversation) Interrupt(stopped bool) Effect {
	c.mu.Lock()
	defer c.mu.Unlock()
	busy := c.activity.stop()
	c.tr.pending.Reset() // its block will never arrive
	turns := c.tr.running
	c.tr.running = nil
	for _, key := range turns {
		turn, _ := c.ledger.Turn(key)
		_, over := c.ledger.End(key)
		stopped = stopped || turn.Stop && !over
	}
	head := c.log.Head()
	c.interrupted = head
	var out step
	if stopped {
		c.tr.stopPrompts(&out, head)
	}
	for _, key := range turns {
		if was, over := c.ledger.End(key); over { // this process has read the end from the store in the meantime
			if was.Reason == event.ReasonStopped {
				out.items = append(out.items, stoppedItem(key))
			}
			continue
		}
		end := ledger.End{Key: key, Reason: event.ReasonInterrupted, After: head}
		if stopped {
			end.Reason = event.ReasonStopped
		}
		if key != "" && c.ledger.EndTurn(end) {
			out.ends = append(out.ends, end)
		}
		if busy || stopped {
			out.items = append(out.items, event.Item{Kind: "turn_end", Data: event.TurnEndData{Reason: end.Reason, Turn: key}})
		}
	}
	if busy && len(turns) == 0 {
		reason := event.ReasonInterrupted
		if stopped {
			reason = event.ReasonStopped
		}
		out.items = append(out.items, event.Item{Kind: "turn_end", Data: event.TurnEndData{Reason: reason}})
	}
	c.append(out.items)
	return Effect{Seq: head, Prompts: out.prompts, Ends: out.ends}
}

// Interrupted reports whether the work that was unfinished at the event numbered seq was
// interrupted there, by this process or another. AnyFrame's transcript has no end of it.
func (c *Conversation) Interrupted(seq int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return 0 < seq && seq <= c.interrupted || slices.ContainsFunc(c.ledger.EndsBetween(seq, 1<<62), func(end ledger.End) bool { return end.Seq == 0 })
}

// stopPrompts settles the waiting prompts, because their turns are stopped.
func (t *translator) stopPrompts(out *step, head int64) {
	for _, id := range t.waiting {
		p, ok := t.ledger.Prompt(id)
		if !ok || p.State == ledger.Settled {
			continue
		}
		t.ledger.Settle(id, event.OutcomeStopped, max(head, p.Seq))
		out.prompts = append(out.prompts, id)
		t.showSettled(out, &p, event.OutcomeStopped)
	}
	t.waiting = nil
}
