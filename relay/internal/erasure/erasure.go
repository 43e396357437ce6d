package erasure

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/store"
)

// Kind is the kind of the records, one for each erasure.
const Kind = "erasure"

// Reason is why a conversation is erased.
type Reason string

// The reasons.
const (
	ByVisitor  Reason = "visitor"
	ByOperator Reason = "operator"
	Retention  Reason = "retention"
)

// Erasure is a request to erase and its progress. Completed erasures are kept as receipts
// for a while; they contain no content and no id of AnyFrame's.
type Erasure struct {
	ID      string
	Visitor string
	// Conversation is the id of the conversation; "" is all of the visitor's.
	Conversation string
	Epoch        int64 // of that conversation
	Reason       Reason
	RequestedAt  time.Time
	// DeletedAt is when everything was deleted at AnyFrame and in the store. DoneAt is
	// when the repetition had confirmed it. Zero means not yet.
	DeletedAt, DoneAt time.Time
	// Deleted is how many sessions were deleted at AnyFrame.
	Deleted int
	Tries   int // since the last success

	version int64
}

type body struct {
	Conversation string `json:"conversation,omitempty"`
	Epoch        int64  `json:"epoch,omitempty"`
	Reason       Reason `json:"reason"`
	Requested    int64  `json:"requested"` // in milliseconds
	DeletedAt    int64  `json:"deleted_at,omitempty"`
	Done         int64  `json:"done,omitempty"`
	Deleted      int    `json:"deleted,omitempty"`
	Tries        int    `json:"tries,omitempty"`
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return store.FromMillis(ms)
}

func read(r store.Record) (Erasure, error) {
	var b body
	if err := json.Unmarshal([]byte(r.Body), &b); err != nil {
		return Erasure{}, fmt.Errorf("read an erasure's record: %w", err)
	}
	return Erasure{
		ID: r.Key, Visitor: r.Owner, Conversation: b.Conversation, Epoch: b.Epoch, Reason: b.Reason,
		RequestedAt: fromMillis(b.Requested), DeletedAt: fromMillis(b.DeletedAt), DoneAt: fromMillis(b.Done),
		Deleted: b.Deleted, Tries: b.Tries, version: r.Version,
	}, nil
}

// record returns e as it is stored, to be retried at due.
func (w *Worker) record(e *Erasure, due time.Time) (store.Record, error) {
	text, err := json.Marshal(body{
		e.Conversation, e.Epoch, e.Reason, millis(e.RequestedAt), millis(e.DeletedAt), millis(e.DoneAt), e.Deleted, e.Tries,
	})
	r := store.Record{Kind: Kind, Key: e.ID, Owner: e.Visitor, Due: due, Body: string(text), Version: e.version}
	if !e.DoneAt.IsZero() {
		r.Due, r.ExpiresAt = time.Time{}, time.Now().Add(w.Receipts)
	}
	return r, err
}

func (w *Worker) save(ctx context.Context, e *Erasure, due time.Time) error {
	r, err := w.record(e, due)
	if err != nil {
		return err
	}
	saved, err := w.Store.SaveRecord(ctx, r)
	if err == nil {
		e.version = saved.Version
	}
	return err
}

// Find returns the erasure with this id, or [store.ErrNotFound].
func (w *Worker) Find(ctx context.Context, id string) (Erasure, error) {
	r, err := w.Store.Record(ctx, Kind, id)
	if err != nil {
		return Erasure{}, err
	}
	return read(r)
}

// Waiting returns how many erasures of a store are not completed.
func Waiting(ctx context.Context, rows store.RecordStore) (int, error) {
	return rows.CountRecords(ctx, Kind, time.Now().Add(10*365*24*time.Hour))
}

func newID() string { return strings.ToLower(rand.Text()) }

// Conversation erases one conversation, by its id in package history. When it returns,
// the erasure is stored, and the conversation is no longer shown. It returns the
// erasure's id; a conversation that is already being erased keeps its erasure. It returns
// [store.ErrNotFound] if there is no such conversation.
func (w *Worker) Conversation(ctx context.Context, id string, reason Reason) (string, error) {
	c, err := w.Book.Find(ctx, id)
	if err == nil && c.Erasing != "" {
		if found, err := w.insist(ctx, c.Erasing, reason); found || err != nil {
			return c.Erasing, err
		}
		c, err = w.Book.Find(ctx, id) // retention may have spared it since
	}
	if err != nil || c.Erasing != "" {
		return c.Erasing, err
	}
	if reason == Retention && time.Since(c.ActiveAt) < w.Retention { // used since it was found
		return "", nil
	}
	e := Erasure{ID: newID(), Visitor: c.Visitor, Conversation: id, Epoch: c.Epoch, Reason: reason, RequestedAt: time.Now()}
	if err := w.save(ctx, &e, time.Now()); err != nil {
		return "", err
	}
	_, by, err := w.Book.Erase(ctx, id, e.ID)
	if err == nil && by == e.ID {
		// The worker does whatever cannot be done immediately.
		if reason != Retention {
			if _, err := w.Ender.EraseEpoch(ctx, c.Visitor, c.Epoch, false); err != nil {
				w.Log.Debug("failed to end an erased conversation", "erasure", e.ID, "error", err)
			}
		}
		w.begun(&e)
		return by, nil
	}
	// Another worker is erasing it, or the worker finishes what was not reached here.
	if err == nil {
		err = w.Store.DeleteRecord(ctx, Kind, e.ID, e.version)
		if errors.Is(err, store.ErrConflict) { // it is in progress, and will find nothing to do
			err = nil
		}
	}
	return by, err
}

// insist makes a request the reason of an erasure that retention began, and would abandon
// if a turn runs. It reports whether there is such an erasure.
func (w *Worker) insist(ctx context.Context, id string, reason Reason) (found bool, err error) {
	for reason != Retention {
		e, err := w.Find(ctx, id)
		if errors.Is(err, store.ErrNotFound) {
			return false, nil
		}
		if err != nil || e.Reason != Retention || !e.DoneAt.IsZero() {
			return err == nil, err
		}
		e.Reason, e.RequestedAt = reason, time.Now()
		if err = w.save(ctx, &e, time.Now()); err == nil {
			w.begun(&e)
			return true, nil
		}
		if !errors.Is(err, store.ErrConflict) {
			return false, err
		}
	}
	return true, nil
}

// Visitor erases all of a visitor's conversations, and all other data of the visitor.
// When it returns, the request is stored, all tokens of the visitor are revoked, and
// streams have ended. It returns the erasure's id even if that could not be completed:
// the worker will complete it.
//
// If provisional, the visitor has probably sent nothing. If so, the erasure is complete
// when Visitor returns: it costs the worker nothing and leaves no rows for long, because
// anybody can request any number of them.
func (w *Worker) Visitor(ctx context.Context, visitor string, provisional bool, reason Reason) (string, error) {
	e := Erasure{ID: newID(), Visitor: visitor, Reason: reason, RequestedAt: time.Now()}
	if provisional {
		done, err := w.unused(ctx, &e)
		if done {
			return e.ID, nil
		}
		if err != nil {
			w.Log.Debug("failed to erase a visitor who may have sent nothing", "erasure", e.ID, "error", err)
		}
	}
	if err := w.save(ctx, &e, time.Now()); err != nil {
		return "", err
	}
	if err := w.Ender.EraseVisitor(ctx, visitor); err != nil {
		w.Log.Warn("failed to erase", "erasure", e.ID, "error", err)
	}
	w.begun(&e)
	return e.ID, nil
}

// unused completes the erasure of a visitor who has sent nothing, and reports whether it
// did. Otherwise the whole erasure is needed.
func (w *Worker) unused(ctx context.Context, e *Erasure) (done bool, err error) {
	if done, err = w.Ender.EraseUnused(ctx, e.Visitor); err != nil || !done {
		return false, err
	}
	if err = w.also(ctx, e); err != nil {
		return false, err
	}
	receipt := *e
	receipt.DeletedAt = time.Now()
	receipt.DoneAt = receipt.DeletedAt
	r, err := w.record(&receipt, time.Time{})
	if err != nil {
		return false, err
	}
	r.ExpiresAt = time.Now().Add(w.Unused)
	if _, err = w.Store.SaveRecord(ctx, r); err != nil {
		return false, err
	}
	w.completed(&receipt)
	return true, nil
}

func (w *Worker) begun(e *Erasure) {
	w.Log.Info("erasure requested", "erasure", e.ID, "visitor", w.name(e), "epoch", e.Epoch, "reason", string(e.Reason))
	w.Wake()
}

func (w *Worker) completed(e *Erasure) {
	w.Metrics.Erasures.WithLabelValues(string(e.Reason)).Inc()
	w.Log.Info("erasure done", "erasure", e.ID, "visitor", w.name(e), "epoch", e.Epoch, "deleted", e.Deleted)
}

// also deletes what other packages have.
func (w *Worker) also(ctx context.Context, e *Erasure) error {
	for _, also := range w.Also {
		if err := also(ctx, e.Visitor, e.Epoch); err != nil {
			return err
		}
	}
	return nil
}
