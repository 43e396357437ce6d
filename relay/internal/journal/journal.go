// Package journal turns writes of sessions and notes into the operators' events. Every
// change of a conversation is written to the store by exactly one process, with
// compare-and-set. A watcher of the writes therefore sees each change once, whichever
// process makes it, and sees only changes that happened.
//
// It must not depend on sessions or HTTP. Package webhook delivers the events.
package journal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/control"
	"github.com/anyframe-relay/relay/relay/internal/history"
	"github.com/anyframe-relay/relay/relay/internal/store"
	"github.com/anyframe-relay/relay/relay/internal/webhook"
)

// Engine is the part of the store that sessions write to.
type Engine interface {
	store.SessionStore
	store.NoteStore
	store.LeaseStore
	store.AdmissionStore
	store.ChangeStore
	store.RecordStore
	Scrub(ctx context.Context) error
}

// Watch returns s with every write watched: the resulting events are put into the outbox
// out, which may be nil, and waiting prompts are listed in prompts.
func Watch(s Engine, out *webhook.Outbox, prompts *Prompts, log *slog.Logger) *Store {
	w := &Store{Engine: s, prompts: prompts, log: log, told: map[string]bool{}}
	w.Use(out)
	return w
}

// Use replaces the outbox; out may be nil.
func (s *Store) Use(out *webhook.Outbox) { s.out.Store(out) }

// Store is an [Engine] whose writes are watched.
type Store struct {
	Engine
	out     atomic.Pointer[webhook.Outbox]
	prompts *Prompts
	log     *slog.Logger

	mu   sync.Mutex // guards told, which only saves calls
	told map[string]bool
}

// maxTold is the maximum size of told. It is cleared when it is full.
const maxTold = 10_000

// The states of a stored session that the journal uses.
const (
	stateBooting = "booting" // as a new epoch's first record says
	stateEnded   = "ended"
	stateVoid    = "void"
)

// repeatWithin is the age up to which the end of a conversation is reported again, in case
// the process that stored it crashed before the report. The outbox recognizes repeated
// events for longer.
const repeatWithin = 24 * time.Hour

// The kind and state of prompt notes that the journal uses.
const (
	kindPrompt   = "prompt"
	stateSettled = "settled"
)

// about returns the data that all events of a conversation contain.
func about(visitor string, epoch int64) webhook.Data {
	return webhook.Data{Conversation: history.ID(visitor, epoch), Epoch: epoch, Visitor: control.VisitorHash(visitor)}
}

// SaveSession implements [store.SessionStore]. A conversation starts with the first
// record of its epoch, and counts as new until its first turn has ended. It ends when the
// record says so, or when the next epoch begins. Later records of it report nothing: the
// outbox may no longer know what was reported, or may be new.
func (s *Store) SaveSession(ctx context.Context, row store.Session) (store.Session, error) {
	if s.out.Load() == nil || row.Epoch == 0 || row.State == stateVoid {
		return s.Engine.SaveSession(ctx, row)
	}
	var was store.Session
	var err error
	if row.State == stateBooting || row.State == stateEnded {
		if was, err = s.Session(ctx, row.Visitor); err != nil && !errors.Is(err, store.ErrNotFound) {
			return row, err
		}
	}
	saved, err := s.Engine.SaveSession(ctx, row)
	if err != nil {
		return saved, err
	}
	d := about(row.Visitor, row.Epoch)
	if 0 < was.Epoch && was.Epoch < row.Epoch && was.State != stateEnded && was.State != stateVoid {
		before := about(row.Visitor, was.Epoch)
		before.Reason = "lost"
		s.put(ctx, webhook.ConversationEnded, before, "")
	}
	if row.LastSeq == 0 && row.State != stateEnded {
		s.put(ctx, webhook.ConversationStarted, d, "")
	}
	known := was.Epoch == row.Epoch && was.State == stateEnded && time.Since(was.UpdatedAt) > repeatWithin
	if row.State == stateEnded && !known {
		d.Reason = "ended"
		s.put(ctx, webhook.ConversationEnded, d, "")
	}
	return saved, nil
}

// BeginNote implements [store.NoteStore]. A prompt is reported before it is stored: after
// a crash in between, the event exists, and the process that later stores the prompt
// reports the same event, which counts once.
func (s *Store) BeginNote(ctx context.Context, n store.Note) (store.Note, bool, error) {
	if n.Kind != kindPrompt {
		return s.Engine.BeginNote(ctx, n)
	}
	var body struct {
		Approval bool `json:"approval"`
	}
	_ = json.Unmarshal([]byte(n.Body), &body) // a body that cannot be read is a question
	d := about(n.Visitor, n.Epoch)
	d.Prompt, d.Kind = n.Key, "question"
	if body.Approval {
		d.Kind = "permission"
	}
	s.put(ctx, webhook.PromptWaiting, d, "")
	stored, fresh, err := s.Engine.BeginNote(ctx, n)
	if err == nil && stored.State != stateSettled {
		s.list(ctx, s.prompts.add(ctx, Prompt{Conversation: d.Conversation, ID: n.Key, Permission: body.Approval, Seq: n.Seq}, n.ExpiresAt))
	}
	return stored, fresh, err
}

// SaveNote implements [store.NoteStore].
func (s *Store) SaveNote(ctx context.Context, n store.Note) (store.Note, error) {
	saved, err := s.Engine.SaveNote(ctx, n)
	if err == nil && n.Kind == kindPrompt && n.State == stateSettled {
		s.list(ctx, s.prompts.remove(ctx, history.ID(n.Visitor, n.Epoch), n.Key))
	}
	return saved, err
}

func (s *Store) list(ctx context.Context, err error) {
	if err != nil && ctx.Err() == nil {
		s.log.Warn("failed to list pending prompts", "error", err)
	}
}

// TurnFailed reports that a turn of a conversation, "" if unknown, failed with the event
// numbered seq.
func (s *Store) TurnFailed(ctx context.Context, visitor string, epoch, seq int64, turn string) {
	d := about(visitor, epoch)
	d.Reason, d.Turn = "agent_error", turn
	s.put(ctx, webhook.TurnFailed, d, strconv.FormatInt(seq, 10))
}

// VisitorErased reports that a visitor's current conversation has ended, because all data
// of the visitor is erased.
func (s *Store) VisitorErased(ctx context.Context, visitor string, epoch int64) {
	d := about(visitor, epoch)
	d.Reason = "erased"
	s.put(ctx, webhook.ConversationEnded, d, "")
}

// ErasureDone reports that an erasure is complete. It returns an error if the event could
// not be stored.
func (s *Store) ErasureDone(ctx context.Context, id, visitor string) error {
	return s.out.Load().Put(ctx, webhook.Event{
		Type: webhook.ErasureDone, Time: time.Now(), Data: webhook.Data{Visitor: control.VisitorHash(visitor), Erasure: id},
	})
}

// FeedbackGiven reports that a visitor rated the answer to a turn. Before is the version
// of the visitor's previous rating of it. The event is put before the rating is stored,
// so that a crash in between does not lose it.
func (s *Store) FeedbackGiven(ctx context.Context, visitor string, epoch int64, turn, rating string, before int64) {
	d := about(visitor, epoch)
	d.Turn, d.Rating = turn, rating
	s.put(ctx, webhook.FeedbackGiven, d, fmt.Sprintf("%s %s %d", turn, rating, before))
}

// BudgetUsed reports that four fifths, or all, of a day's budget are used, once per UTC
// day over all processes.
func (s *Store) BudgetUsed(ctx context.Context, budget string, used, limit int) {
	d, today := webhook.Data{Budget: budget, Used: used, Limit: limit}, time.Now().UTC().Format(time.DateOnly)
	if used >= limit-limit/5 {
		s.put(ctx, webhook.BudgetNear, d, budget+" "+today)
	}
	if used >= limit {
		s.put(ctx, webhook.BudgetReached, d, budget+" "+today)
	}
}

// KeyRefused reports that AnyFrame has refused the key since a time.
func (s *Store) KeyRefused(ctx context.Context, since time.Time) {
	s.put(ctx, webhook.KeyRefused, webhook.Data{}, since.UTC().Truncate(time.Hour).Format(time.RFC3339)) // once an hour, over all processes
}

// put puts an event into the outbox, unless this process has already done so.
func (s *Store) put(ctx context.Context, kind string, d webhook.Data, about string) {
	out := s.out.Load()
	if out == nil {
		return
	}
	key := kind + " " + d.Conversation + " " + d.Prompt + " " + d.Turn + " " + about
	s.mu.Lock()
	told := s.told[key]
	s.mu.Unlock()
	if told {
		return
	}
	if err := out.Put(ctx, webhook.Event{Type: kind, Time: time.Now(), Data: d, About: about}); err != nil {
		s.log.Warn("failed to add an event to the webhook outbox", "type", kind, "error", err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.told) >= maxTold {
		clear(s.told)
	}
	s.told[key] = true
}
