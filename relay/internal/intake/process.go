package intake

import (
	"context"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/conversation"
	"github.com/anyframe-relay/relay/relay/internal/eventlog"
	"github.com/anyframe-relay/relay/relay/internal/upstream"
)

const (
	// placeWait is how long events wait for AnyFrame's answer to a message, so that the
	// message comes before what the agent says to it.
	placeWait = 5 * time.Second
	// trustSkips is after how many holes of one width that AnyFrame left itself its
	// transcript is no longer asked for what is missing in others like them.
	trustSkips = 16
	// quickBytes is the largest event that is read by the goroutine that brings its
	// bytes, and that brings those of other sessions too.
	quickBytes = 16 << 10
)

// process gives the conversation an event from the stream, after all that has to happen
// first.
func (f *Follower) process(ctx context.Context, ev *upstream.Event) error {
	if !f.quick(ev) {
		if err := f.prepare(ctx, ev); err != nil {
			return err
		}
	}
	f.append(ctx, ev)
	return nil
}

// quick reports whether nothing has to be read, stored or waited for before the
// conversation gets an event.
func (f *Follower) quick(ev *upstream.Event) bool {
	c, l := f.conv, f.conv.Ledger()
	switch {
	case !ev.Valid, ev.User, conversation.Asks(ev), l.Expected(false), c.Unheard():
		return false
	case ev.Seq == 0 && !l.AllShown(), ev.Seq != 0 && f.holes.before(ev.Seq, c.Log()):
		return false
	case conversation.Speaks(ev.Kind):
		return c.Activity().Busy && !l.AnyWaiting()
	}
	return true
}

// prepare is what may have to happen before the conversation gets an event: holes before
// it are filled, one that came garbled is read again, and a message that is on its way
// goes first.
func (f *Follower) prepare(ctx context.Context, ev *upstream.Event) error {
	c, log := f.conv, f.conv.Log()
	if ev.Delta == "" {
		log.Release() // it may take time, and what came before it need not wait
	}
	if c.Ledger().Expected(ev.User) {
		c.Ledger().WaitPlaced(ctx, placeWait)
	}
	f.awaitPeerNotes(ctx, c, ev, c.Activity().Busy)
	if ev.Seq == 0 {
		f.ShowMissing(ctx, c)
		if !ev.Valid { // part of an answer, for all we know
			c.OpenGap(log.Head())
		}
		return nil
	}
	if head := log.Head(); f.holes.before(ev.Seq, log) {
		filled, err := f.fill(ctx, c, head, ev.Seq)
		switch {
		case err != nil:
			return err
		case filled == 0:
			f.holes.empties(ev.Seq - head - 1)
		default:
			f.holes = holes{}
			f.Metrics.HolesFilled.Add(float64(filled))
			f.Log().Warn("filled a gap in AnyFrame's stream", "after", head, "events", filled)
		}
	}
	if !ev.Valid {
		rows, err := f.rows(ctx, c, ev.Seq-1, 1)
		if err != nil {
			return err
		}
		if len(rows) > 0 && rows[0].Seq == ev.Seq {
			*ev = upstream.Decode(rows[0].Event())
		}
	}
	return nil
}

// append gives an event to the conversation. Deltas wait for each other, until all that
// have come are in the log, so that streams are written to once for all of them. Others do
// not: readers would fall behind a log that keeps little.
func (f *Follower) append(ctx context.Context, ev *upstream.Event) {
	if log := f.conv.Log(); ev.Delta != "" {
		log.Hold()
	} else {
		log.Release()
	}
	f.apply(ctx, f.conv, ev)
}

// holes is what a follower has learned about seqs that are missing from the stream.
type holes struct {
	empty int   // how many of the present width were AnyFrame's own
	width int64 // of those; an event that is lost makes another one
}

// trust reports whether a hole of this width needs no more looking into.
func (h *holes) trust(width int64) bool { return h.empty >= trustSkips && width == h.width }

// empties notes that a hole of this width was AnyFrame's own. Now and then one of
// another width is too; of each two that take turns, none is ever trusted.
func (h *holes) empties(width int64) {
	switch {
	case width == h.width:
		h.empty++
	case h.empty > 0 && h.width != 0:
		h.empty--
	default:
		h.empty, h.width = 1, width
	}
}

// before reports whether events before seq may be missing from the log.
func (h *holes) before(seq int64, log *eventlog.Log) bool {
	width := seq - log.Head() - 1
	return width > 0 && !h.trust(width)
}

// joined is called whenever the stream has been opened. If the agent may be in the
// middle of something, deltas without a number may be missing, and AnyFrame's transcript
// tells up to where. A stream that was open before may have missed the beginning of a
// turn that this process does not know of.
func (in *Intake) joined(ctx context.Context, c *conversation.Conversation, again bool) {
	in.ShowMissing(ctx, c)
	if unsure := c.Joined(); !unsure && !again {
		return
	}
	head := c.Log().Head()
	tail, idle, err := in.Tail(ctx, c, head)
	if err != nil {
		c.OpenGap(conversation.GapUnknown)
		return
	}
	c.Resume(head, tail, idle)
}

// ShowMissing shows the visitor's messages that AnyFrame took and has no event for. One
// that its transcript has comes by the stream, in its place.
func (in *Intake) ShowMissing(ctx context.Context, c *conversation.Conversation) {
	turns, after := c.Unshown()
	if len(turns) == 0 {
		return
	}
	rows, err := in.rows(ctx, c, after, conversation.MaxRows)
	if err != nil {
		in.Log().Warn("failed to look for a message", "error", err)
		return // not shown yet is better than shown twice
	}
	events := make([]upstream.Event, 0, len(rows))
	for _, row := range rows {
		events = append(events, upstream.Decode(row.Event()))
	}
	if e := c.ShowMissing(turns, events); !e.Empty() {
		in.Learned(c, e)
	}
}
