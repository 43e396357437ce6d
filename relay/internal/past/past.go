package past

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/conversation"
	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/history"
	"github.com/anyframe-relay/relay/relay/internal/ledger"
	"github.com/anyframe-relay/relay/relay/internal/store"
	"github.com/anyframe-relay/relay/relay/internal/telemetry"
	"github.com/anyframe-relay/relay/relay/internal/visitorctx"
)

// ErrUnknown means that the visitor has no such conversation, or that AnyFrame no longer
// has it.
var ErrUnknown = errors.New("no such conversation")

// maxEnds is for how many conversations a Reader caches the end of AnyFrame's log.
const maxEnds = 4096

// Session is the part of a visitor's session that is needed to read.
type Session interface {
	Visitor() string
	// Conversation returns the current one.
	Conversation() *conversation.Conversation
	// Rows returns a reader of a transcript. If AnyFrame does not have the conversation
	// and it is not the current one, the error is [anyframe.ErrNotFound].
	Rows(*conversation.Conversation) conversation.RowReader
}

// Options configures a Reader.
type Options struct {
	Book         *history.Book
	Notes        store.NoteStore
	Contexts     *visitorctx.Keeper           // the context that was sent to the agent besides the messages
	TTL          time.Duration                // of notes
	Conversation func() *conversation.Options // of conversations that are opened now
	Log          *slog.Logger
}

// Reader reads ended conversations. Use [New]; it is safe for concurrent use.
type Reader struct {
	options Options

	mu   sync.Mutex       // guards ends
	ends map[string]int64 // by conversation id: AnyFrame's log reaches at least this seq
}

// New returns a reader.
func New(o Options) *Reader { return &Reader{options: o, ends: map[string]int64{}} }

// open returns a conversation that can be read. Its notes are read from the store.
func (r *Reader) open(ctx context.Context, s Session, epoch int64, id string) (*conversation.Conversation, error) {
	if c := s.Conversation(); c.Epoch() == epoch && c.ID() == id {
		return c, nil
	}
	return r.stored(ctx, s.Visitor(), epoch, id)
}

// stored is open for a conversation that is not in memory.
func (r *Reader) stored(ctx context.Context, visitor string, epoch int64, id string) (*conversation.Conversation, error) {
	l := ledger.New(ledger.Options{Notes: r.options.Notes, TTL: r.options.TTL}, visitor, epoch, store.Unplaced, r.options.Log)
	if err := l.Load(ctx); err != nil {
		return nil, err
	}
	return conversation.New(r.options.Conversation(), epoch, id, 0, l, func() {}, &telemetry.AnswerSpan{}), nil
}

// Page is [conversation.Conversation.Page] of a visitor's ended epoch. A since beyond
// AnyFrame's log is never sent to AnyFrame, and yields no rows.
func (r *Reader) Page(
	ctx context.Context, s Session, epoch, since int64, limit int, show func(row []event.Item) bool,
) (next *int64, err error) {
	past, err := r.options.Book.Get(ctx, s.Visitor(), epoch)
	switch {
	case errors.Is(err, store.ErrNotFound), err == nil && past.Erasing != "":
		return nil, ErrUnknown
	case err != nil:
		return nil, err
	}
	c, err := r.open(ctx, s, epoch, past.Upstream)
	if err != nil {
		return nil, err
	}
	return r.page(ctx, past.ID, c, s.Rows(c), since, limit, show)
}

// PageOf is [Reader.Page] of any conversation, read with rows. It needs no session, so
// that an operator's reads use none of the visitor's limits.
func (r *Reader) PageOf(
	ctx context.Context, of *history.Conversation, rows conversation.RowReader, since int64, limit int, show func(row []event.Item) bool,
) (next *int64, err error) {
	c, err := r.stored(ctx, of.Visitor, of.Epoch, of.Upstream)
	if err != nil {
		return nil, err
	}
	return r.page(ctx, of.ID, c, rows, since, limit, show)
}

func (r *Reader) page(
	ctx context.Context, id string, c *conversation.Conversation, rows conversation.RowReader, since int64, limit int, show func(row []event.Item) bool,
) (next *int64, err error) {
	reached, err := r.reaches(ctx, id, rows, since)
	if err == nil && reached {
		next, err = c.Page(ctx, rows, since, limit, show)
	}
	if errors.Is(err, anyframe.ErrNotFound) {
		err = ErrUnknown
	}
	if err == nil && next != nil {
		r.learn(id, *next)
	}
	return next, err
}

// reaches reports whether AnyFrame's log reaches the event numbered seq.
func (r *Reader) reaches(ctx context.Context, id string, rows conversation.RowReader, seq int64) (bool, error) {
	r.mu.Lock()
	end := r.ends[id]
	r.mu.Unlock()
	if seq <= end {
		return true, nil
	}
	for piece, err := range conversation.Pieces(ctx, rows, end, math.MaxInt) {
		if err != nil {
			return false, err
		}
		for _, row := range piece.Rows {
			end = max(end, row.Seq)
		}
	}
	r.learn(id, end)
	return seq <= end, nil
}

func (r *Reader) learn(id string, end int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for other := range r.ends {
		if len(r.ends) < maxEnds {
			break
		}
		delete(r.ends, other)
	}
	r.ends[id] = max(r.ends[id], end)
}
