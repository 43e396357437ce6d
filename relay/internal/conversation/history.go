package conversation

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"math"
	"slices"
	"strings"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/ledger"
	"github.com/anyframe-relay/relay/relay/internal/upstream"
)

// keyRows is the maximum number of past rows over which one key may be spread.
const keyRows = 256

func (c *Conversation) past(ctx context.Context, after int64) (*translator, *past) {
	p := newPast(ctx, c.ledger)
	return newTranslator(c.opts, c.epoch, after, c.ledger, p), p
}

// History yields the visitor's view of the events in (after, upto], with the visitor's
// messages and the answers to prompts in their places. After each piece of the transcript
// it yields an item with only a Seq: everything up to there has been yielded. It omits a
// message whose acceptance arrived too late for its place, until the log has it. An error
// is the last item.
func (c *Conversation) History(ctx context.Context, rows RowReader, after, upto int64) iter.Seq2[event.Item, error] {
	return func(yield func(event.Item, error) bool) {
		t, merge := c.past(ctx, after)
		merge.joins = true
		for piece, err := range t.pieces(ctx, rows, math.MaxInt) {
			if err != nil {
				yield(event.Item{}, err)
				return
			}
			more := !piece.Last
			for _, row := range piece.Rows {
				if row.Seq > upto {
					more = false
					break
				}
				items := t.decode(row)
				if merge.err != nil {
					yield(event.Item{}, merge.err)
					return
				}
				if !yieldAll(items, yield) {
					return
				}
			}
			if !yield(event.Item{Seq: min(t.last, upto)}, nil) {
				return
			}
			if !more {
				break
			}
		}
		if yieldAll(merge.finish(t, upto), yield) && merge.err != nil {
			yield(event.Item{}, merge.err)
		}
	}
}

// pieces is [Pieces] from where t begins, limited to limit rows. It also makes t continue
// from the rows before.
func (t *translator) pieces(ctx context.Context, rows RowReader, limit int) iter.Seq2[Piece, error] {
	return func(yield func(Piece, error) bool) {
		joined := false
		for piece, err := range Pieces(ctx, rows, t.start, limit) {
			if err == nil && !joined {
				joined, err = true, t.joinText(ctx, piece.Rows, rows)
			}
			if !yield(piece, err) || err != nil {
				return
			}
		}
	}
}

func yieldAll(items []event.Item, yield func(event.Item, error) bool) bool {
	for _, it := range items {
		if !yield(it, nil) {
			return false
		}
	}
	return true
}

// Page shows the visitor's view of at most limit rows after row since. It returns the row
// number to continue from, or nil at the end. Each call of show receives the items of one
// row, preceded by the unnumbered items that belong before it; the last call receives the
// items after all rows. Show returns false for a row that no longer fits: the page then
// ends with the row before. The items are valid until show returns.
func (c *Conversation) Page(
	ctx context.Context, rows RowReader, since int64, limit int, show func(row []event.Item) bool,
) (next *int64, err error) {
	t, merge := c.past(ctx, since)
	for piece, err := range t.pieces(ctx, rows, limit) {
		if err != nil {
			return nil, err
		}
		for _, row := range piece.Rows {
			before := t.last
			items := t.decode(row)
			if merge.err != nil {
				return nil, merge.err
			}
			if len(items) > 0 && !show(items) {
				return &before, nil
			}
		}
		if !piece.Last {
			continue
		}
		before := t.last
		items := merge.finish(t, 1<<62)
		if merge.err != nil {
			return nil, merge.err
		}
		if len(items) > 0 && !show(items) {
			return &before, nil
		}
		return nil, nil
	}
	last := t.last
	return &last, nil
}

func (t *translator) decode(row anyframe.ChatEvent) []event.Item {
	ev := upstream.Decode(row.Event())
	return t.step(&ev).items
}

// joinText prepares a translator whose first page begins in the middle of a block: it
// continues from the text before the page.
func (t *translator) joinText(ctx context.Context, page []anyframe.ChatEvent, rows RowReader) error {
	if t.start == 0 || len(page) == 0 {
		return nil
	}
	text := deltaText(page[0].Event())
	if text == "" && !large(page[0]) || text != "" && t.joinLarge(page) {
		return nil
	}
	if text != "" && len(page) < MaxRows {
		// The block may end after this piece.
		further, err := rows(ctx, t.start, MaxRows)
		if err != nil && !errors.Is(err, anyframe.ErrResponseTooLarge) && (!errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil) {
			return err
		}
		if t.joinLarge(further) {
			return nil
		}
	}
	before, err := rows(ctx, max(t.start-keyRows, 0), keyRows)
	if err != nil {
		return err
	}
	if text == "" {
		if wasDelta(before, t.start) { // and so the whole block was shown as deltas
			t.joinLarge(page)
		}
		return nil
	}
	aside := projector{visibility: event.VisibilityChat, patterns: t.patterns, gapUntil: -1}
	aside.pending.torn = t.start > keyRows
	for _, row := range before {
		if row.Seq <= t.start {
			ev := upstream.Decode(row.Event())
			aside.project(&ev, message{}, nil)
		}
	}
	t.pending = aside.pending
	return nil
}

// joinLarge prepares a translator whose first page begins in the middle of a block that
// is shown as several. The translator continues from the block's earlier text, so that it
// cuts the block at the same places as for readers who began earlier. It reports whether
// it did so: the block must be on the page.
func (t *translator) joinLarge(page []anyframe.ChatEvent) bool {
	var said strings.Builder
	for _, row := range page {
		ev := upstream.Decode(row.Event())
		if ev.Inner {
			continue
		}
		if text := deltaText(row.Event()); text != "" {
			said.WriteString(text)
			continue
		}
		if event.EncodedLen(ev.Whole) <= event.MaxText || !strings.HasSuffix(ev.Whole, said.String()) {
			return false
		}
		t.say(ev.Whole[:len(ev.Whole)-said.Len()])
		t.out = nil
		return true
	}
	return false
}

// large reports whether a row is a block that is shown as several.
func large(row anyframe.ChatEvent) bool {
	return len(row.Payload) > event.MaxText && event.EncodedLen(upstream.Decode(row.Event()).Whole) > event.MaxText
}

// wasDelta reports whether the last of rows up to seq is a delta of a block, ignoring
// subagents' text.
func wasDelta(rows []anyframe.ChatEvent, seq int64) bool {
	for _, row := range slices.Backward(rows) {
		if row.Seq > seq {
			continue
		}
		if ev := upstream.Decode(row.Event()); !ev.Inner {
			return deltaText(row.Event()) != ""
		}
	}
	return false
}

// deltaText returns the text of a delta, or "" if ev is not one.
func deltaText(ev anyframe.Event) string {
	m := upstream.ParseObject(ev.Data)
	if !m.Flag("delta") || ev.Type() != anyframe.TypeAssistant {
		return ""
	}
	var b strings.Builder
	for _, block := range m.Blocks() {
		if block.BlockType() == "text" {
			b.WriteString(block.Piece("text"))
		}
	}
	return b.String()
}

// newPrompt returns the event's prompt.
func newPrompt(id string, ev *upstream.Event) ledger.Prompt {
	m := ev.Members
	return ledger.Prompt{
		ID: id, Seq: ev.Seq, Approval: ev.Kind == kindPermission,
		PromptID:  cmp.Or(m.Str("prompt_id"), m.Str("request_id"), m.Str("id")),
		ToolUseID: cmp.Or(m.Str("tool_use_id"), m.Str("request_id")),
	}
}
