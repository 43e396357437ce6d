package conversation

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"math"
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
		joined := t.last == 0
		for piece, err := range Pieces(ctx, rows, t.last, limit) {
			if err == nil && !joined {
				joined, err = t.joinText(ctx, piece.Rows, rows)
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

// joinText prepares a translator that began in the middle of a text, and is about to
// translate page: it continues from the text before. It reports whether that is done. It
// need not be done before the first page that has text, or the end of a text.
func (t *translator) joinText(ctx context.Context, page []anyframe.ChatEvent, rows RowReader) (done bool, err error) {
	ahead := t.aside(true)
	for _, row := range page {
		ahead.hear(row)
		ended := !ahead.pending.torn
		switch {
		case !ended && !ahead.pending.begun():
			continue
		case ended && !mayBeLarge(row):
			return true, nil // it is shown in one piece, whatever came before
		}
		before, err := t.textBefore(ctx, rows)
		if err != nil {
			return false, err
		}
		if before.torn && (before.begun() || !ended) {
			large := t.joinLarge(page)
			if !large && !ended { // the block may end after this page
				further, err := rows(ctx, t.last, MaxRows)
				if err != nil && !errors.Is(err, anyframe.ErrResponseTooLarge) && (!errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil) {
					return false, err
				}
				large = t.joinLarge(further)
			}
			if large {
				return true, nil
			}
		}
		t.pending = before
		return true, nil
	}
	return false, nil
}

// textBefore returns the text that the next event may continue. It reads no more rows than
// needed: most texts are short, and most readers resume after the end of one.
func (t *translator) textBefore(ctx context.Context, rows RowReader) (pendingText, error) {
	for width := pageRows; ; width = keyRows {
		from := max(t.last-int64(width), 0)
		notes := newPast(ctx, t.ledger)
		aside := translator{projector: t.aside(from > 0), merger: notes, ledger: t.ledger, last: from}
		for piece, err := range Pieces(ctx, rows, from, width) {
			if err != nil {
				return pendingText{}, err
			}
			for _, row := range piece.Rows {
				if row.Seq <= t.last {
					aside.decode(row)
				}
			}
			if aside.last == t.last {
				break
			}
		}
		if notes.err != nil || !aside.pending.torn || width == keyRows {
			return aside.pending, notes.err
		}
	}
}

// aside returns a projector that reads the text and shows nothing. Torn is whether it
// begins in the middle of the text.
func (t *translator) aside(torn bool) projector {
	return projector{visibility: event.VisibilityChat, patterns: t.patterns, gapUntil: -1, pending: pendingText{torn: torn}}
}

// hear reads a row and discards what it shows.
func (p *projector) hear(row anyframe.ChatEvent) {
	ev := upstream.Decode(row.Event())
	p.project(&ev, message{}, nil)
}

// mayBeLarge reports whether a row may be a block that is shown as several. A character
// takes at most six bytes.
func mayBeLarge(row anyframe.ChatEvent) bool { return 6*len(row.Payload) > event.MaxText }

// joinLarge prepares a translator that began in the middle of a block that is shown
// as several. The translator continues from the block's earlier text, so that it cuts the
// block at the same places as for readers who began earlier. It reports whether it did
// so: the block must be on the page.
func (t *translator) joinLarge(page []anyframe.ChatEvent) bool {
	ahead := t.aside(true)
	for _, row := range page {
		if mayBeLarge(row) {
			whole := upstream.Decode(row.Event()).Whole
			if said := ahead.pending.Since(0); event.EncodedLen(whole) > event.MaxText && strings.HasSuffix(whole, said) {
				t.say(whole[:len(whole)-len(said)])
				t.out = nil
				return true
			}
		}
		if ahead.hear(row); !ahead.pending.torn {
			return false
		}
	}
	return false
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
