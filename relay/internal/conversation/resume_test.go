package conversation

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/store/memory"
)

func newResumedChat(t *testing.T, events ...string) *chat {
	c := newChat(t, memory.New(), 1)
	c.rows = []anyframe.ChatEvent{}
	for _, ev := range events {
		c.event(ev)
	}
	return c
}

// wantSameEnds fails the test if a reader who resumes after an event gets anything but
// the rest of what a reader from the start gets. It tries events with an id, as clients
// do.
func (c *chat) wantSameEnds(what string) {
	c.tb.Helper()
	all := c.history(0)
	for i, it := range all {
		if it.Seq == 0 || i > 20 && i%20 > 0 { // of a long one, some
			continue
		}
		if got, want := said(c.history(it.Seq)), said(all[i+1:]); !slices.Equal(got, want) {
			var rows []string
			for _, row := range c.rows {
				rows = append(rows, fmt.Sprintf("%d %s", row.Seq, row.Payload))
			}
			c.tb.Errorf("%s, after %d:\n got  %q\n want %q\nrows\n  %.3000s", what, it.Seq, got, want, strings.Join(rows, "\n  "))
			return
		}
	}
}

// The deltas after any place may happen to be the beginning of the block. They are not
// taken for all of them, which would show the rest of the block twice.
func TestHistory_ResumedInsideBlock_TextOnce(t *testing.T) {
	newResumedChat(t, textEvent(true, "**"), textEvent(true, "Note"), textEvent(true, "**"), textEvent(false, "**Note**")).wantSameEnds("a short block")

	var long []string
	for range keyRows + 50 {
		long = append(long, textEvent(true, "*"))
	}
	c := newResumedChat(t, append(long, textEvent(false, strings.Repeat("*", len(long))))...)
	c.wantSameEnds("a block of more rows than are read")
}

func TestTranslator_DeltasDropped_NextOnesNotTakenForTheFirst(t *testing.T) {
	tr := newTestTranslator(event.VisibilityChat, false, newTestLedger())
	tr.step(delta(1, "**Note"))
	tr.dropDeltas(1)
	wantSaid(t, "a delta", tr.step(delta(2, "**")).items, `2 text {"text":"**","delta":true}`)
	wantSaid(t, "the block", tr.step(block(3, "**Note**")).items, `3 text {"text":"**Note**","delta":false}`)
	tr.step(delta(4, "a"))
	wantSaid(t, "the next block", tr.step(block(5, "ab")).items, `0 text {"text":"b","delta":true}`, `5 text {"text":"ab","delta":false}`)
}
