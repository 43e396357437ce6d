// Package writer stores what events reveal, after the conversation has changed in memory,
// so that a slow store delays no event.
//
// Waiting writes are merged, so that they are bounded by the conversation's turns and
// prompts. A [Writer] has a goroutine only while there is something to write. It writes
// the ledger's notes itself, and the session's own record through [Hooks].
package writer

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	"github.com/anyframe-relay/relay/relay/internal/conversation"
	"github.com/anyframe-relay/relay/relay/internal/ledger"
	"github.com/anyframe-relay/relay/relay/internal/store"
)

// Hooks are what a Writer needs from its session.
type Hooks struct {
	// Go starts a goroutine of the owner's. It returns false once the owner has closed;
	// waiting writes are then dropped, and derived again from AnyFrame's log later.
	Go func(func()) bool
	// Guard runs do, recovers from a panic, and reports whether do returned normally.
	Guard func(do func()) (ended bool)
	// Context is the context of the writes.
	Context context.Context
	// Failed reports that a turn, "" if unknown, failed with the event numbered seq. It
	// is called before Ended, so that it is repeated after a crash in between.
	Failed func(ctx context.Context, epoch, seq int64, turn string)
	// Rest is called after a turn of a conversation has ended, before Ended.
	Rest func(ctx context.Context, c *conversation.Conversation)
	// Ended stores that an epoch's log has been read up to the event numbered seq, with
	// which a turn ended.
	Ended func(ctx context.Context, epoch, seq int64) error
	// Idle is called after a turn has ended.
	Idle func(context.Context)
	Log  func() *slog.Logger
}

// Writer stores what the events of one visitor reveal. It is safe for concurrent use.
type Writer struct {
	hooks Hooks

	mu      sync.Mutex // guards the fields below; running is true exactly while a goroutine takes from waiting
	running bool
	waiting []*batch // one per conversation
}

// New returns a writer that has nothing to write.
func New(h Hooks) *Writer { return &Writer{hooks: h} }

// batch is what must be stored for one conversation.
type batch struct {
	conv    *conversation.Conversation
	ended   bool
	lastSeq int64     // of the last event that ended a turn
	failed  []failure // of turns
	turns   []string
	prompts []string
	ends    []ledger.End
}

// failure is a turn that failed, with its last event.
type failure struct {
	seq  int64
	turn string
}

// Add schedules the storing of what an event revealed.
func (w *Writer) Add(c *conversation.Conversation, e conversation.Effect) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var to *batch
	for _, waiting := range w.waiting {
		if waiting.conv == c {
			to = waiting
		}
	}
	if to == nil {
		to = &batch{conv: c}
		w.waiting = append(w.waiting, to)
	}
	if e.Ended {
		to.ended = true
		if !e.Unfinished { // otherwise the next process must read the turn that is still running
			to.lastSeq = max(to.lastSeq, e.Seq)
		}
		if e.Reason == "failed" {
			to.failed = append(to.failed, failure{e.Seq, e.Turn})
		}
	}
	to.turns = append(to.turns, e.Turns...)
	to.prompts = append(to.prompts, e.Prompts...)
	to.ends = append(to.ends, e.Ends...)
	if !w.running {
		w.running = w.hooks.Go(w.run)
	}
}

// run writes until nothing is waiting.
func (w *Writer) run() {
	for {
		w.mu.Lock()
		if len(w.waiting) == 0 {
			w.running = false
			w.mu.Unlock()
			return
		}
		next := w.waiting[0]
		if w.waiting = w.waiting[1:]; len(w.waiting) == 0 {
			w.waiting = nil // otherwise it would keep what was written
		}
		w.mu.Unlock()
		w.hooks.Guard(func() { w.write(next) })
	}
}

// write stores what is waiting for one conversation.
func (w *Writer) write(b *batch) {
	ctx, l := w.hooks.Context, b.conv.Ledger()
	for _, end := range b.ends { // first: what is before the record's seq is not read again
		if err := l.PersistEnd(context.WithoutCancel(ctx), end); err != nil {
			w.hooks.Log().Warn("failed to save a turn's end", "error", err)
		}
	}
	for _, f := range b.failed {
		w.hooks.Failed(ctx, b.conv.Epoch(), f.seq, f.turn)
	}
	if b.ended {
		w.hooks.Rest(ctx, b.conv)
	}
	if b.lastSeq != 0 { // the next process need not read what was before
		if err := w.hooks.Ended(ctx, b.conv.Epoch(), b.lastSeq); err != nil && !errors.Is(err, store.ErrConflict) {
			w.hooks.Log().Warn("failed to save the session", "error", err)
		}
	}
	if b.ended {
		w.hooks.Idle(ctx)
	}
	for _, key := range b.turns {
		if err := l.Persist(context.WithoutCancel(ctx), key); err != nil && !errors.Is(err, store.ErrConflict) {
			w.hooks.Log().Warn("failed to save a turn's position", "error", err)
		}
	}
	for _, id := range b.prompts {
		if p, ok := l.Prompt(id); ok {
			l.PersistPrompt(context.WithoutCancel(ctx), p)
		}
	}
}
