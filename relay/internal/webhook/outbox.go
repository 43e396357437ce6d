package webhook

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/lease"
	"github.com/anyframe-relay/relay/relay/internal/store"
	"github.com/anyframe-relay/relay/relay/internal/telemetry"
)

// The kinds of records. A record of a waiting event has the event's id as key, the
// conversation as owner, and is due when it must next be sent. Only the first event of a
// conversation is ever due.
const (
	kindWaiting = "webhook"
	kindDone    = "webhook.done" // ids that must not be stored again
	kindOff     = "webhook.off"
)

const (
	maxWaiting   = 10_000
	dropAtOnce   = maxWaiting / 100 // so that not every event has to search for the oldest
	giveUpAfter  = 24 * time.Hour
	keepDone     = 8 * 24 * time.Hour // longer than any process reports an old event again
	page         = 200
	workers      = 8
	storeTimeout = 5 * time.Second
)

// Options configures an Outbox.
type Options struct {
	Config Config
	Site   string // of the events
	Store  store.RecordStore
	Leases *lease.Holder
	// Metrics and Log must not be nil.
	Metrics *telemetry.Metrics
	Log     *slog.Logger
	Tuning  Tuning
}

// Tuning holds durations that only tests change. Zero is the default.
type Tuning struct {
	Tick       time.Duration // interval of checks of the outbox; default 1 s
	FirstRetry time.Duration // default 2 s, plus or minus up to half at random
	MaxRetry   time.Duration // default 10 min, minus up to half at random
	MaxWaiting int           // default 10,000 events
}

func (t Tuning) withDefaults() Tuning {
	t.Tick, t.FirstRetry, t.MaxRetry = cmp.Or(t.Tick, time.Second), cmp.Or(t.FirstRetry, 2*time.Second), cmp.Or(t.MaxRetry, 10*time.Minute)
	t.MaxWaiting = cmp.Or(t.MaxWaiting, maxWaiting)
	return t
}

// Outbox holds the undelivered events.
type Outbox struct {
	options Options
	sender  *sender
	wake    chan struct{} // something was stored in this process
	off     atomic.Bool   // the receiver returned 410
}

// New returns an outbox for a valid configuration. It returns nil, which stores nothing,
// if there is no receiver.
func New(o Options) (*Outbox, error) {
	if o.Config.URL == "" {
		return nil, nil //nolint:nilnil // a nil Outbox is one that does nothing
	}
	s, err := newSender(&o.Config)
	if err != nil {
		return nil, err
	}
	o.Tuning = o.Tuning.withDefaults()
	return &Outbox{options: o, sender: s, wake: make(chan struct{}, 1)}, nil
}

// Waiting returns how many undelivered events a store has. The count may include expired
// ones.
func Waiting(ctx context.Context, st store.RecordStore) (int, error) {
	return st.CountRecords(ctx, kindWaiting, time.Time{})
}

// waiting is the body of a record.
type waiting struct {
	Message  message `json:"message"`
	Stored   int64   `json:"stored"` // in milliseconds; rises within a conversation
	Attempts int     `json:"attempts,omitempty"`
}

// Put stores an event, unless it was already stored or its type is not subscribed to. It
// calls the store, but not the receiver.
func (o *Outbox) Put(ctx context.Context, e Event) error {
	if o == nil || !o.options.Config.wants(e.Type) || o.off.Load() {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	e.Data.Site = o.options.Site
	id, st := e.id(), o.options.Store
	if _, err := st.Record(ctx, kindDone, id); !errors.Is(err, store.ErrNotFound) {
		return err
	}
	if err := o.makeRoom(ctx); err != nil {
		return err
	}
	before, err := o.of(ctx, e.Data.Conversation)
	if err != nil {
		return err
	}
	w := waiting{Message: e.message(), Stored: time.Now().UnixMilli()}
	if n := len(before); n > 0 {
		w.Stored = max(w.Stored, before[n-1].Stored+1)
	}
	r := store.Record{Kind: kindWaiting, Key: id, Owner: e.Data.Conversation, ExpiresAt: time.Now().Add(giveUpAfter + time.Hour)}
	if len(before) == 0 {
		r.Due = time.Now()
	}
	if r.Body, err = w.text(); err != nil {
		return err
	}
	if r, err = st.SaveRecord(ctx, r); errors.Is(err, store.ErrConflict) {
		return nil // it is already waiting
	}
	if err != nil {
		return err
	}
	if _, err := st.Record(ctx, kindDone, id); err == nil { // delivered since the check above
		o.remove(ctx, r)
		return nil
	}
	if len(before) > 0 {
		err = o.release(ctx, e.Data.Conversation) // the events before it may have been sent by now, by a sender that has not seen this one
	}
	if err == nil {
		select {
		case o.wake <- struct{}{}:
		default:
		}
	}
	return err
}

func (w *waiting) text() (string, error) {
	text, err := json.Marshal(w)
	return string(text), err
}

// item is a waiting event with its record.
type item struct {
	waiting
	record store.Record
}

// of returns a conversation's events, first one first. Events without a conversation are
// not ordered, so none precedes them.
func (o *Outbox) of(ctx context.Context, conversation string) ([]item, error) {
	if conversation == "" {
		return nil, nil
	}
	var all []item
	for after := ""; ; {
		records, err := o.options.Store.RecordsOf(ctx, kindWaiting, conversation, after, page)
		if err != nil {
			return nil, err
		}
		for _, r := range records {
			after = r.Key
			if i, ok := o.read(ctx, r); ok {
				all = append(all, i)
			}
		}
		if len(records) < page {
			break
		}
	}
	slices.SortFunc(all, func(a, b item) int {
		return cmp.Or(cmp.Compare(a.Stored, b.Stored), cmp.Compare(a.record.Key, b.record.Key))
	})
	return all, nil
}

// read decodes a record. It deletes a record that cannot be decoded, which would
// otherwise stay forever.
func (o *Outbox) read(ctx context.Context, r store.Record) (item, bool) {
	i := item{record: r}
	if err := json.Unmarshal([]byte(r.Body), &i.waiting); err != nil {
		o.options.Log.Error("failed to read an event in the webhook outbox", "id", r.Key, "error", err)
		o.remove(ctx, r)
		return item{}, false
	}
	return i, true
}

// release makes a conversation's first event due, if it is not.
func (o *Outbox) release(ctx context.Context, conversation string) error {
	all, err := o.of(ctx, conversation)
	if err != nil || len(all) == 0 || !all[0].record.Due.IsZero() {
		return err
	}
	r := all[0].record
	r.Due = time.Now()
	if _, err = o.options.Store.SaveRecord(ctx, r); errors.Is(err, store.ErrConflict) {
		return nil // another process did
	}
	return err
}

// makeRoom drops the oldest events if too many are waiting.
func (o *Outbox) makeRoom(ctx context.Context) error {
	n, err := o.options.Store.CountRecords(ctx, kindWaiting, time.Time{})
	if err != nil || n < o.options.Tuning.MaxWaiting {
		return err
	}
	var all []item
	err = o.each(ctx, func(i item) { all = append(all, i) })
	if err != nil {
		return err
	}
	slices.SortFunc(all, func(a, b item) int { return cmp.Compare(a.Stored, b.Stored) })
	drop := max(len(all)-o.options.Tuning.MaxWaiting, 0) + min(dropAtOnce, o.options.Tuning.MaxWaiting/10+1)
	for _, i := range all[:min(drop, len(all))] {
		o.options.Metrics.Webhook(telemetry.WebhookDropped)
		if err := o.finish(ctx, i); err != nil {
			return err
		}
	}
	o.options.Log.Warn("webhook outbox full: dropped the oldest events", "events", drop)
	return nil
}

// each calls do for every waiting event.
func (o *Outbox) each(ctx context.Context, do func(item)) error {
	for after := ""; ; {
		records, err := o.options.Store.Records(ctx, kindWaiting, after, page)
		if err != nil {
			return err
		}
		for _, r := range records {
			after = r.Key
			if i, ok := o.read(ctx, r); ok {
				do(i)
			}
		}
		if len(records) < page {
			return nil
		}
	}
}

// finish removes an event permanently, and makes the conversation's next one due.
func (o *Outbox) finish(ctx context.Context, i item) error {
	done := store.Record{Kind: kindDone, Key: i.record.Key, ExpiresAt: time.Now().Add(keepDone)}
	if _, err := o.options.Store.SaveRecord(ctx, done); err != nil && !errors.Is(err, store.ErrConflict) {
		return err
	}
	o.remove(ctx, i.record)
	if i.record.Owner == "" {
		return nil
	}
	return o.release(ctx, i.record.Owner)
}

func (o *Outbox) remove(ctx context.Context, r store.Record) {
	err := o.options.Store.DeleteRecord(ctx, r.Kind, r.Key, r.Version)
	if errors.Is(err, store.ErrConflict) { // it was made due in the meantime
		if r, err = o.options.Store.Record(ctx, r.Kind, r.Key); err == nil {
			err = o.options.Store.DeleteRecord(ctx, r.Kind, r.Key, r.Version)
		}
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		o.options.Log.Warn("failed to remove an event from the webhook outbox", "error", err)
	}
}

// receiver returns an id of the receiver for the store, which must not contain its URL.
func (o *Outbox) receiver() string {
	sum := sha256.Sum256([]byte(string(o.options.Config.URL) + "\x00" + string(o.options.Config.Secret)))
	return hex.EncodeToString(sum[:])
}
