package session

import (
	"context"
	"errors"
	"sync"

	"github.com/anyframe-relay/relay/relay/internal/conversation"
	"github.com/anyframe-relay/relay/relay/internal/store"
)

// writer stores what events taught, behind the conversation: a slow store delays no
// event. What is waiting is merged, so that it is bounded by the conversation's turns
// and prompts. It has a goroutine only while there is something to write.
type writer struct {
	mu      sync.Mutex // running is true exactly while a goroutine takes from waiting
	running bool
	waiting []*writes // one for each conversation
}

// writes is what is to be stored of one conversation.
type writes struct {
	conv    *conversation.Conversation
	ended   bool
	lastSeq int64 // of the last event that ended a turn
	turns   []string
	prompts []string
}

// add stores what an event taught, in a while.
func (w *writer) add(s *Session, c *conversation.Conversation, e conversation.Effect) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var to *writes
	for _, waiting := range w.waiting {
		if waiting.conv == c {
			to = waiting
		}
	}
	if to == nil {
		to = &writes{conv: c}
		w.waiting = append(w.waiting, to)
	}
	if e.Ended {
		to.ended, to.lastSeq = true, max(to.lastSeq, e.Seq)
	}
	to.turns = append(to.turns, e.Turns...)
	to.prompts = append(to.prompts, e.Prompts...)
	if !w.running {
		w.running = s.hub.members.Go(func() { w.run(s) })
	}
}

// run writes until nothing is waiting.
func (w *writer) run(s *Session) {
	for {
		w.mu.Lock()
		if len(w.waiting) == 0 {
			w.running = false
			w.mu.Unlock()
			return
		}
		next := w.waiting[0]
		w.waiting = w.waiting[1:]
		w.mu.Unlock()
		s.guard(func() { s.write(next) })
	}
}

// write stores what is waiting of one conversation.
func (s *Session) write(w *writes) {
	ctx := s.hub.ctx
	if w.lastSeq != 0 { // whoever comes after us need not read what was before
		err := s.save(ctx, w.conv.Epoch(), func(rec *store.Session) { rec.LastSeq = max(rec.LastSeq, w.lastSeq) })
		if err != nil && !errors.Is(err, store.ErrConflict) {
			s.logger().Warn("save the session", "error", err)
		}
	}
	if w.ended {
		s.seat.Renew(ctx) // idle from now on
	}
	l := w.conv.Ledger()
	for _, key := range w.turns {
		if err := l.Persist(context.WithoutCancel(ctx), key); err != nil && !errors.Is(err, store.ErrConflict) {
			s.logger().Warn("keep a turn's place", "error", err)
		}
	}
	for _, id := range w.prompts {
		if p, ok := l.Prompt(id); ok {
			l.PersistPrompt(context.WithoutCancel(ctx), p)
		}
	}
}
