package conversation

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/eventlog"
	"github.com/anyframe-relay/relay/relay/internal/ledger"
	"github.com/anyframe-relay/relay/relay/internal/store/memory"
)

// AnyFrame's response to a message may arrive after all events of its turn. Where
// AnyFrame shows no messages, the message is then late in the log. A stream that reads
// the past that the log has dropped, and continues with the log, must show the message
// once.
func TestHistory_MessageAcceptedLate_ShownOnceByStreamThatJoins(t *testing.T) {
	for name, looksFirst := range map[string]bool{"that reads before the log has it": true, "that reads after it": false} {
		t.Run(name, func(t *testing.T) {
			was := chatOptions.Limits
			chatOptions.Limits = eventlog.Limits{Events: 3, Bytes: 1 << 20, Compact: event.CompactDeltas}
			t.Cleanup(func() { chatOptions.Limits = was })
			c := newChat(t, memory.New(), 1)
			c.silent, c.rows = true, []anyframe.ChatEvent{}
			c.turn("first")

			ctx := t.Context()
			turn := c.inFlight("late", "late")
			c.seq++ // of the message
			turn.Seq, turn.Answered = c.seq, c.seq
			for range 3 {
				c.event(`{"type":"assistant","content":[{"type":"text","text":"yes"}]}`)
			}
			c.event(`{"type":"result","subtype":"success"}`)
			c.c.Accepted(ctx, turn, time.Now())

			var got []string
			shows := func(it event.Item) {
				if u, ok := it.Payload().(event.UserData); ok {
					got = append(got, u.Text)
				}
			}
			seq := int64(0) // the stream's position
			catchUp := func() {
				upto := c.c.Log().Base()
				for it, err := range c.c.History(ctx, c.read, seq, upto) {
					c.must(err)
					if it.Kind != "" {
						shows(it)
					}
				}
				seq = upto
			}
			if looksFirst {
				catchUp()
			}
			turns, _ := c.c.Unshown()
			c.c.ShowMissing(turns, nil)
			pos, err := c.c.Log().Cursor(seq)
			for errors.Is(err, eventlog.ErrTrimmed) {
				catchUp()
				pos, err = c.c.Log().Cursor(seq)
			}
			c.must(err)
			entries := make([]eventlog.Entry, 10)
			n, _, err := c.c.Log().Read(pos, entries)
			c.must(err)
			for _, e := range entries[:n] {
				if e.Seq == 0 && bytes.Contains(e.Frame, []byte("event: user")) {
					got = append(got, "late")
				}
			}
			if want := []string{"xfirst", "late"}; !slices.Equal(got, want) {
				t.Errorf("got messages %q, want %q", got, want)
			}
		})
	}
}

// Where AnyFrame shows messages, a message from another process may arrive before this
// process has the turn. It is not shown again when the turn becomes known.
func TestLive_TurnKnownAfterItsMessage_NotShownAgain(t *testing.T) {
	c := newChat(t, memory.New(), 1)
	c.turn("first")
	c.event(`{"type":"user","text":"hello"}`)
	ctx, l := t.Context(), c.c.Ledger()
	_, err := l.Begin(ctx, ledger.Turn{Key: "k", Hash: "k", Text: "hello"})
	c.must(err)
	turn, err := l.Stored(ctx, "k")
	c.must(err)
	c.must(l.Send(ctx, &turn))
	turn.Seq, turn.Answered = c.seq, c.seq
	c.c.Accepted(ctx, turn, time.Now())
	turns, _ := c.c.Unshown()
	c.c.ShowMissing(turns, nil)
	c.event(`{"type":"assistant","content":[{"type":"text","text":"yes"}]}`)
	entries := make([]eventlog.Entry, 20)
	n, _, err := c.c.Log().Read(0, entries)
	c.must(err)
	for _, e := range entries[:n] {
		if e.Seq == 0 {
			t.Errorf("got %s beside AnyFrame's event, want nothing", e.Frame)
		}
	}
	if turns, _ := c.c.Unshown(); len(turns) != 0 {
		t.Errorf("got %v yet to be shown, want none", turns)
	}
}

// inFlight returns a turn whose request AnyFrame has not answered, sent while the agent was
// working.
func (c *chat) inFlight(key, text string) ledger.Turn {
	ctx, l := c.tb.Context(), c.c.Ledger()
	_, err := l.Begin(ctx, ledger.Turn{Key: key, Hash: key, Text: text})
	c.must(err)
	_, err = c.c.Refresh(ctx)
	c.must(err)
	turn, err := l.Stored(ctx, key)
	c.must(err)
	turn.After, turn.Busy = c.c.Log().Head(), true
	c.must(l.Send(ctx, &turn))
	return turn
}

// The end of another client's turn is not that of a turn that is queued behind it.
func TestAccepted_OtherTurnEndedFirst_StillRuns(t *testing.T) {
	c := newChat(t, memory.New(), 1)
	c.turn("first")
	c.event(`{"type":"user","text":"from elsewhere"}`)
	turn := c.inFlight("k", "mine")
	c.event(`{"type":"user","text":"mine"}`)
	turn.Seq, turn.Answered = c.seq, c.seq
	c.event(`{"type":"result","subtype":"success"}`)
	c.c.Accepted(t.Context(), turn, time.Now())
	if keys, _ := c.c.Unfinished(); !slices.Equal(keys, []string{"k"}) {
		t.Errorf("got %q unfinished, want the turn", keys)
	}
	c.event(`{"type":"result","subtype":"success"}`)
	if end, _ := c.c.Ledger().End("k"); end.Seq != c.seq {
		t.Errorf("got %+v, want the end at %d", end, c.seq)
	}
}

// A message that AnyFrame shows in other words is recognized when AnyFrame answers. Its end
// is known then too, and nothing is shown twice.
func TestAccepted_MessageShownInOtherWords_EndKnown(t *testing.T) {
	c := newChat(t, memory.New(), 1)
	c.turn("first")
	turn := c.inFlight("k", "mine")
	c.event(`{"type":"user","text":"mine, in other words"}`)
	turn.Seq, turn.Answered = c.seq, c.seq
	c.event(`{"type":"result","subtype":"success"}`)
	stored, over := c.c.Accepted(t.Context(), turn, time.Now())
	turns, _ := c.c.Unshown()
	c.c.ShowMissing(turns, nil)
	if end, _ := c.c.Ledger().End("k"); end.Seq != c.seq || end.Late() || !over || stored != end {
		t.Errorf("got end %+v, to be stored %+v, want it at %d", end, stored, c.seq)
	}
	if events, _ := c.c.Log().Size(); events != int(c.seq) {
		t.Errorf("got %d events in the log, want AnyFrame's %d", events, c.seq)
	}
}
