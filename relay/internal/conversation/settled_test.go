package conversation

import (
	"testing"

	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/ledger"
	"github.com/anyframe-relay/relay/relay/internal/store/memory"
)

// The answer to a prompt is shown before it is stored. If its turn ends in between, the
// prompt is not shown as settled again.
func TestShowSettled_TurnEndsBeforeItIsStored_ShownOnce(t *testing.T) {
	c := newChat(t, memory.New(), 1)
	c.turn("first")
	c.c.Ledger().SetPrompt(ledger.Prompt{ID: "p", State: ledger.Answering, Seq: c.c.Log().Head()})
	c.c.ShowSettled("p", event.OutcomeStopped)
	if p, _ := c.c.Ledger().Prompt("p"); p.State != ledger.Settled || p.Outcome != event.OutcomeStopped {
		t.Errorf("got %+v, want it settled", p)
	}
	if c.c.tr.waiting = []string{"p"}; len(c.c.Interrupt(true).Prompts) > 0 {
		t.Error("the end settled the prompt again")
	}
}
