package intake

import (
	"context"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/conversation"
	"github.com/anyframe-relay/relay/relay/internal/eventlog"
	"github.com/anyframe-relay/relay/relay/internal/upstream"
)

const (
	// placeWait is how long events wait for AnyFrame's response to a message, so that the
	// message comes before the agent's answer to it.
	placeWait = 5 * time.Second
	// trustSkips is after how many of AnyFrame's own holes of one width further holes of
	// that width are no longer looked up in the transcript.
	trustSkips = 16
	// quickBytes is the maximum size of an event that is processed by the goroutine that
	// delivers its bytes. That goroutine also delivers the bytes of other sessions.
	quickBytes = 16 << 10
)

// process passes an event from the stream to the conversation, after everything that must
// happen first.
func (f *Follower) process(ctx context.Context, ev *upstream.Event) error {
	if !f.quick(ev) {
		if err := f.prepare(ctx, ev); err != nil {
			return err
		}
	}
	f.append(ctx, ev)
	return nil
}

// quick reports whether an event can be passed to the conversation without reading,
// storing or waiting for anything.
func (f *Follower) quick(ev *upstream.Event) bool {
	c, l := f.conv, f.conv.Ledger()
	switch {
	case !ev.Valid, ev.User, conversation.Asks(ev), l.Expected(false, false), c.Unheard():
		return false
	case ev.Seq == 0 && !l.AllShown(), ev.Seq != 0 && f.holes.before(ev.Seq, c.Log()):
		return false
	case conversation.Speaks(ev.Kind):
		return c.Activity().Busy && !l.AnyWaiting()
	}
	return true
}

// prepare does what may have to happen before an event is passed to the conversation: it
// fills holes before the event, reads a garbled event again, and waits for a message in
// flight.
func (f *Follower) prepare(ctx context.Context, ev *upstream.Event) error {
	c, log := f.conv, f.conv.Log()
	if ev.Delta == "" {
		log.Release() // this may take time, and earlier entries need not wait for it
	}
	if c.Ledger().Expected(ev.User, conversation.Speaks(ev.Kind) && !c.Activity().Busy) {
		c.Ledger().WaitPlaced(ctx, placeWait)
	}
	f.awaitPeerNotes(ctx, c, ev, c.Activity().Busy) // it may have changed meanwhile
	if ev.Seq == 0 {
		f.ShowMissing(ctx, c)
		if !ev.Valid { // possibly part of an answer
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

// append passes an event to the conversation. Deltas are held until all that have arrived
// are in the log, so that streams are written to once for all of them. Other events are
// not held: readers would fall behind a log that keeps little.
func (f *Follower) append(ctx context.Context, ev *upstream.Event) {
	if log := f.conv.Log(); ev.Delta != "" {
		log.Hold()
	} else {
		log.Release()
	}
	f.apply(ctx, f.conv, ev)
}

// holes is what a follower has found out about seqs that are missing from the stream.
type holes struct {
	empty int   // number of holes of the current width that were AnyFrame's own
	width int64 // of those holes; a lost event makes a different one
}

// trust reports whether a hole of this width need not be looked up.
func (h *holes) trust(width int64) bool { return h.empty >= trustSkips && width == h.width }

// empties records that a hole of this width was AnyFrame's own. An occasional hole of
// another width is tolerated. If two widths alternate, neither is ever trusted.
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

// joined is called whenever the stream has been opened. If the agent may be in the middle
// of something, deltas without a number may be missing, and the transcript shows up to
// where. A stream that was open before may have missed the beginning of a turn that this
// process has not seen.
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

// ShowMissing shows the visitor's messages that AnyFrame accepted and has no event for. A
// message that is in the transcript arrives by the stream, in its place.
func (in *Intake) ShowMissing(ctx context.Context, c *conversation.Conversation) {
	turns, after := c.Unshown()
	if len(turns) == 0 {
		return
	}
	rows, err := in.rows(ctx, c, after, conversation.MaxRows)
	if err != nil {
		in.Log().Warn("failed to look for a message", "error", err)
		return // a message shown late is better than one shown twice
	}
	events := make([]upstream.Event, 0, len(rows))
	for _, row := range rows {
		events = append(events, upstream.Decode(row.Event()))
	}
	if e := c.ShowMissing(turns, events); !e.Empty() {
		in.Learned(c, e)
	}
}
