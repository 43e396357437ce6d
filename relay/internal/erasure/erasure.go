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

// Erasure is a wish to erase and what has become of it. Done ones are kept as receipts
// for a while; they have no words and no id of AnyFrame's.
type Erasure struct {
	ID      string
	Visitor string
	// Conversation is the id of the one conversation; "" is all of the visitor's.
	Conversation string
	Epoch        int64 // of that conversation
	Reason       Reason
	RequestedAt  time.Time
	// DeletedAt is when AnyFrame and the store had nothing of it any more, DoneAt when that
	// was seen to have stayed so. Zero: not yet.
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

// record is e as it is stored, to be tried again at due.
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

// Waiting returns how many erasures of a store are not done.
func Waiting(ctx context.Context, rows store.RecordStore) (int, error) {
	return rows.CountRecords(ctx, Kind, time.Now().Add(10*365*24*time.Hour))
}

func newID() string { return strings.ToLower(rand.Text()) }

// Conversation erases one conversation, by the id that package history names it by. When
// it returns, the erasure is in the store, and the conversation is no longer shown. It
// returns the erasure's id; one that is being erased keeps the erasure that it has.
// [store.ErrNotFound] is returned for a conversation that is not there.
func (w *Worker) Conversation(ctx context.Context, id string, reason Reason) (string, error) {
	c, err := w.Book.Find(ctx, id)
	if err != nil {
		return "", err
	}
	if c.Erasing != "" {
		return c.Erasing, nil
	}
	e := Erasure{ID: newID(), Visitor: c.Visitor, Conversation: id, Epoch: c.Epoch, Reason: reason, RequestedAt: time.Now()}
	if err := w.save(ctx, &e, time.Now()); err != nil {
		return "", err
	}
	_, by, err := w.Book.Erase(ctx, id, e.ID)
	if err == nil && by == e.ID {
		// What of it cannot be done at once is the worker's.
		if reason != Retention {
			if _, err := w.Ender.EraseEpoch(ctx, c.Visitor, c.Epoch, false); err != nil {
				w.Log.Debug("failed to end an erased conversation", "erasure", e.ID, "error", err)
			}
		}
		w.begun(&e)
		return by, nil
	}
	// Another worker erases it, or the worker does what was not come to here.
	if err == nil {
		err = w.Store.DeleteRecord(ctx, Kind, e.ID, e.version)
		if errors.Is(err, store.ErrConflict) { // it is under way, and will find nothing to do
			err = nil
		}
	}
	return by, err
}

// Visitor erases all of a visitor's conversations, and what else there is of the visitor.
// When it returns, the wish is in the store, no token of the visitor's is good any more, and
// streams have ended. The erasure's id is returned also if that could not be finished: the
// worker will.
func (w *Worker) Visitor(ctx context.Context, visitor string, reason Reason) (string, error) {
	e := Erasure{ID: newID(), Visitor: visitor, Reason: reason, RequestedAt: time.Now()}
	if err := w.save(ctx, &e, time.Now()); err != nil {
		return "", err
	}
	if err := w.Ender.EraseVisitor(ctx, visitor); err != nil {
		w.Log.Warn("failed to erase", "erasure", e.ID, "error", err)
	}
	w.begun(&e)
	return e.ID, nil
}

func (w *Worker) begun(e *Erasure) {
	w.Log.Info("erasure requested", "erasure", e.ID, "visitor", w.name(e), "epoch", e.Epoch, "reason", string(e.Reason))
	w.Wake()
}
