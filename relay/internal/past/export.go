package past

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"time"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/conversation"
	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/history"
	"github.com/anyframe-relay/relay/relay/internal/ledger"
	"github.com/anyframe-relay/relay/relay/internal/store"
	"github.com/anyframe-relay/relay/relay/internal/visitorctx"
)

// exportBuffer is how many bytes of an export are buffered before they are written.
const exportBuffer = 32 << 10

// Summary is one of a visitor's conversations, without its content.
type Summary struct {
	Epoch        int64     `json:"epoch"`
	Title        string    `json:"title"`
	StartedAt    time.Time `json:"started_at"`
	LastActiveAt time.Time `json:"last_active_at"`
}

// SummaryOf returns the summary of a conversation.
func SummaryOf(c *history.Conversation) Summary {
	return Summary{c.Epoch, c.Title, Instant(c.StartedAt), Instant(c.ActiveAt)}
}

// Instant returns t as it is shown to visitors: in UTC, in whole seconds.
func Instant(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }

// Export writes everything stored about a visitor as one JSON document: the visitor, the
// conversations with their events, and the feedback. Visitor and feedback are encoded as
// given; closing returns the items after the last event of an epoch. After an error the
// document is incomplete.
func (r *Reader) Export(
	ctx context.Context, to io.Writer, s Session, visitor any, all []history.Conversation, feedback any, closing func(epoch int64) ([]event.Item, error),
) error {
	e := exporter{reader: r, session: s, out: bufio.NewWriterSize(to, exportBuffer), closing: closing}
	e.text(`{"exported_at":`)
	e.value(Instant(time.Now()))
	e.text(`,"visitor":`)
	e.value(visitor)
	e.text(`,"conversations":[`)
	for i := range all {
		if i > 0 {
			e.text(",")
		}
		e.conversation(ctx, &all[i])
		if e.err != nil {
			return e.err
		}
	}
	e.text(`],"feedback":`)
	e.value(feedback)
	e.text("}\n")
	return errors.Join(e.err, e.out.Flush())
}

// exporter writes an export. After an error it writes nothing more.
type exporter struct {
	reader  *Reader
	session Session
	out     *bufio.Writer
	closing func(epoch int64) ([]event.Item, error)
	err     error
}

// conversation writes one conversation, piece by piece. A conversation that AnyFrame does
// not have has no events.
func (e *exporter) conversation(ctx context.Context, past *history.Conversation) {
	head, err := json.Marshal(SummaryOf(past))
	if err != nil {
		e.err = err
		return
	}
	c, err := e.reader.open(ctx, e.session, past.Epoch, past.Upstream)
	if err != nil {
		e.err = err
		return
	}
	e.text(string(head[:len(head)-1]) + `,"context":`)
	told, err := e.reader.told(ctx, e.session.Visitor(), c)
	if err != nil {
		e.err = err
		return
	}
	e.value(told)
	e.text(`,"events":[`)
	first := true
	show := func(it event.Item) bool {
		b, err := encode(past.Epoch, &it)
		if err != nil {
			e.err = err
			return false
		}
		if !first {
			e.text(",")
		}
		first = false
		e.text(string(b))
		return true
	}
	for it, err := range c.History(ctx, e.session.Rows(c), 0, 1<<62) {
		if errors.Is(err, anyframe.ErrNotFound) {
			break
		}
		if err != nil {
			e.err = err
			return
		}
		if it.Kind != "" && !show(it) {
			return
		}
	}
	last, err := e.closing(past.Epoch)
	if err != nil {
		e.err = err
		return
	}
	for _, it := range last {
		if !show(it) {
			return
		}
	}
	e.text("]}")
}

// told returns the context about the visitor that was sent to a conversation's agent, or
// nil.
func (r *Reader) told(ctx context.Context, visitor string, c *conversation.Conversation) (any, error) {
	sent, had, err := r.options.Contexts.LastSent(ctx, visitor, c.Epoch(), func(ctx context.Context, turn string) (bool, error) {
		t, err := c.Ledger().Stored(ctx, turn)
		if errors.Is(err, store.ErrNotFound) {
			return true, nil // too old to be stored any more
		}
		return t.State == ledger.Sent, err
	})
	if err != nil || !had {
		return nil, err
	}
	return struct {
		Verified json.RawMessage `json:"verified"`
		Page     json.RawMessage `json:"page"`
	}{json.RawMessage(cmp.Or(sent.Verified, visitorctx.Empty)), json.RawMessage(cmp.Or(sent.Page, visitorctx.Empty))}, nil
}

// text writes s. The buffer also keeps an error until it is flushed.
func (e *exporter) text(s string) {
	if e.err == nil {
		_, e.err = e.out.WriteString(s)
	}
}

func (e *exporter) value(v any) {
	b, err := json.Marshal(v)
	if err != nil {
		e.err = errors.Join(e.err, err)
		return
	}
	e.text(string(b))
}
