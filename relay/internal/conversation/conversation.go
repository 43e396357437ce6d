package conversation

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/eventlog"
	"github.com/anyframe-relay/relay/relay/internal/ledger"
	"github.com/anyframe-relay/relay/relay/internal/redact"
	"github.com/anyframe-relay/relay/relay/internal/telemetry"
	"github.com/anyframe-relay/relay/relay/internal/upstream"
)

// Options are the settings that all conversations of a process share.
type Options struct {
	Visibility event.Visibility
	Approvals  bool // visitors decide permission prompts
	Patterns   *redact.Patterns
	Limits     eventlog.Limits // of each log
}

// Conversation is one epoch. It is safe for concurrent use.
type Conversation struct {
	opts   *Options
	epoch  int64
	id     string // of AnyFrame's session, "" for a visitor without one
	log    eventlog.Log
	ledger *ledger.Ledger
	answer *telemetry.AnswerSpan // records when the agent begins to answer

	// mu makes two operations atomic: translating an event and appending the result; and
	// reading the log's head and appending an item of the relay's own after it. It is
	// never held across I/O.
	mu     sync.Mutex
	tr     translator
	live   live
	frames []eventlog.Entry // scratch space of append
	// interrupted is the log's head at the last interruption of unfinished turns.
	interrupted int64

	activity activity
}

// New returns the conversation of an epoch whose log begins after the event numbered
// base. It calls notify after each change of the log, and ends the span answer when
// the agent begins to answer.
func New(o *Options, epoch int64, id string, base int64, l *ledger.Ledger, notify func(), answer *telemetry.AnswerSpan) *Conversation {
	// The parts are fields and not separate allocations: each event uses all of them, and
	// the next event belongs to another conversation.
	c := &Conversation{opts: o, epoch: epoch, id: id, ledger: l, answer: answer, live: live{Ledger: l}}
	c.log.Init(base, o.Limits)
	c.log.Watch(notify)
	c.tr.init(o, epoch, base, l, &c.live)
	for _, p := range l.SettledBetween(base, 1<<62) { // unnumbered, so not in AnyFrame's log
		if p.Seq <= base && c.tr.visible(&p) { // a prompt within the log is shown as settled after the prompt itself
			c.log.Append(settledItem(p.ID, p.Outcome).Entry(epoch))
		}
	}
	for _, end := range l.EndsBetween(base, 1<<62) {
		if turn, known := l.Turn(end.Key); end.Reason == event.ReasonStopped && (!known || turn.Place() < base) { // likewise
			c.log.Append(stoppedItem(end.Key).Entry(epoch))
		}
	}
	return c
}

// Epoch returns the number of the visitor's conversation, 0 before the first.
func (c *Conversation) Epoch() int64 { return c.epoch }

// ID returns the id of AnyFrame's session, "" if there is none.
func (c *Conversation) ID() string { return c.id }

// Log returns the epoch's log.
func (c *Conversation) Log() *eventlog.Log { return &c.log }

// Ledger returns the epoch's ledger.
func (c *Conversation) Ledger() *ledger.Ledger { return c.ledger }

// Close closes the log. Later appends do nothing.
func (c *Conversation) Close() { c.log.Close() }

// Apply translates one event and appends the result. It ignores an event that is already
// in the log. It stores a prompt before appending it, because a visitor may answer as
// soon as the prompt is visible; that is its only I/O.
func (c *Conversation) Apply(ctx context.Context, ev *upstream.Event) Effect {
	if isPrompt(ev) {
		c.open(ctx, ev)
	}
	c.mu.Lock()
	if ev.Seq != 0 && ev.Seq <= c.log.Head() {
		c.mu.Unlock()
		return Effect{}
	}
	out := c.tr.step(ev)
	if out.speaks {
		c.answer.Ready()
	}
	c.append(out.items)
	if out.asked != "" {
		c.settledBefore(out.asked)
	}
	if ev.Seq != 0 {
		c.log.Advance(ev.Seq) // past events that show nothing
	}
	e := Effect{Seq: ev.Seq, Ended: out.ended, Turns: out.turns, Prompts: out.prompts, Unfinished: len(c.tr.running) > 0}
	for _, end := range out.ends {
		if c.ledger.EndTurn(end) {
			e.Ends = append(e.Ends, end)
		}
	}
	if out.ended {
		e.Reason, e.Turn = endReason(out.items), out.over
		if e.Turn == "" && ev.Seq != 0 {
			c.live.ends.add(ev.Seq, e.Reason)
		}
	}
	c.mu.Unlock()
	c.activity.note(&out, ev.ReadAt, &e)
	clear(out.items)
	return e
}

func endReason(items []event.Item) string {
	for _, it := range items {
		if end, ok := it.Data.(event.TurnEndData); ok {
			return end.Reason
		}
	}
	return ""
}

// open stores the event's prompt unless it is known.
func (c *Conversation) open(ctx context.Context, ev *upstream.Event) {
	id := promptID(c.epoch, ev)
	if _, known := c.ledger.Prompt(id); known || ev.Seq != 0 && ev.Seq <= c.log.Head() {
		return
	}
	c.ledger.BeginPrompt(ctx, newPrompt(id, ev))
}

// settledBefore shows the answer of a prompt that was already answered, on another
// process or before this one started. The caller holds mu.
func (c *Conversation) settledBefore(id string) {
	if p, ok := c.ledger.Prompt(id); ok && p.State == ledger.Settled && c.tr.visible(&p) {
		c.append([]event.Item{settledItem(id, p.Outcome)})
	}
}

// append adds items to the log. Items without a number are added together with the
// numbered item that follows them. If the log had to drop entries, the translator must no
// longer build on them. The caller holds mu.
func (c *Conversation) append(items []event.Item) {
	frames := c.frames[:0]
	for _, it := range items {
		frames = append(frames, it.Entry(c.epoch))
		if it.Seq != 0 {
			c.log.Append(frames...)
			frames = frames[:0]
		}
	}
	if !c.log.Append(frames...) {
		c.tr.dropDeltas(c.log.Head())
	}
	clear(frames[:cap(frames)])
	c.frames = frames[:0]
}

// ShowSettled shows that a prompt was settled by this process, if visitors can see the
// prompt, and returns the seq after which it was settled.
func (c *Conversation) ShowSettled(id, outcome string) (after int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p, known := c.ledger.Prompt(id)
	if known && p.State == ledger.Settled {
		return p.After // already shown: its turn has ended in the meantime
	}
	if !known || c.tr.visible(&p) {
		c.append([]event.Item{settledItem(id, outcome)})
	}
	after = c.log.Head()
	c.ledger.Settle(id, outcome, max(after, p.Seq)) // at once, so that the end of its turn does not show it again
	return after
}

// OpenGap records that unnumbered deltas may be missing until a whole block with a seq
// above seq arrives.
func (c *Conversation) OpenGap(seq int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tr.openGap(seq)
}

// GapUnknown opens a gap whose end is not known.
const GapUnknown = gapUnknown

// Refresh reads the notes that other processes wrote since the last call, and shows the
// prompts that were settled there. It returns the recent turns that the store has lost.
func (c *Conversation) Refresh(ctx context.Context) (lost []ledger.Turn, err error) {
	if c.epoch == 0 {
		return nil, nil
	}
	changes, err := c.ledger.Fetch(ctx)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	lost, settled := c.ledger.Merge(changes, c.log.Head())
	for _, p := range settled {
		if c.tr.visible(&p) {
			c.append([]event.Item{settledItem(p.ID, p.Outcome)})
		}
	}
	return lost, nil
}

// Unshown returns the turns that AnyFrame has accepted but shown no event for yet, and
// the seq after which the event may come. It omits turns whose event is known to come
// later.
func (c *Conversation) Unshown() (turns []ledger.Turn, after int64) {
	if c.ledger.AllShown() {
		return nil, 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.ledger.Unshown(1 << 62) {
		if c.tr.last >= c.live.due[t.Key] {
			turns = append(turns, t)
		}
	}
	return turns, c.tr.last
}

// ShowMissing shows those of turns, as returned by Unshown, for which AnyFrame has no
// event. Rows are the transcript's rows after the seq that Unshown returned.
func (c *Conversation) ShowMissing(turns []ledger.Turn, rows []upstream.Event) Effect {
	missing, due := map[string]bool{}, map[string]int64{}
	for i := range turns {
		own := &turns[i]
		for j := range rows {
			// Either an event before the turn, or the turn's own event, has yet to
			// arrive.
			if row := &rows[j]; row.Seq <= own.Place() || isTurn(row, own) {
				due[own.Key] = row.Seq
			}
		}
		missing[own.Key] = due[own.Key] == 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	was := c.live.due
	c.live.due = map[string]int64{} // of turns that are yet to be shown
	var out step
	for _, own := range c.ledger.Unshown(1 << 62) {
		if seq := cmp.Or(due[own.Key], was[own.Key]); seq != 0 {
			c.live.due[own.Key] = seq
		}
		if missing[own.Key] && c.tr.last >= c.live.due[own.Key] {
			c.live.show(&c.tr, &out, &own)
		}
	}
	c.append(out.items)
	return Effect{Turns: out.turns, Ends: out.ends}
}

// Echoed reports whether AnyFrame has shown any of the visitor's messages.
func (c *Conversation) Echoed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.live.echoed
}

// Accepted records that AnyFrame accepted a turn at now. If the turn's end is already in
// the log, it returns that end, and the caller must store it before the turn.
func (c *Conversation) Accepted(ctx context.Context, t ledger.Turn, now time.Time) (end ledger.End, over bool) {
	t.State = ledger.Sent
	c.mu.Lock() // so that the end of the turn comes either before or after this
	defer c.mu.Unlock()
	_, stopped := c.ledger.End(t.Key) // while in flight
	if !stopped && len(c.tr.running) == 0 && !c.Activity().Busy {
		end, over = c.live.ends.claim(&t)
	}
	if echoed := c.ledger.Shown(t.Key) || t.Seq != 0 && slices.Contains(c.live.strange, t.Seq); echoed {
		end.After = end.Seq - 1
	} else {
		// Readers may have everything up to here. A process that replaces this one before
		// the turn is shown must not take it for one that they have.
		t.After = max(t.After, c.tr.last)
		end.After = t.Place()
	}
	if over = over && c.ledger.EndTurn(end); over || stopped {
		c.ledger.Set(t)
		return end, over
	}
	c.activity.begin(now, func(first bool) {
		if first {
			c.answer.Begin(ctx)
		}
		c.ledger.Set(t)
	})
	return ledger.End{}, false
}
