// Package stop keeps the wishes that a conversation's agent be stopped until AnyFrame has
// been told. A wish is a record in the store, so it outlives the process that took it: a
// [Desk] fulfils what it is given at once, and what other processes left when it is due.
// The process that works on a wish has a lease, which expires soon after the process ends;
// a wish that could not be fulfilled is retried with backoff.
//
// A [Stopper] stops one visitor's turns: it decides what a turn's state makes of a wish, and
// has the one function that stops what AnyFrame has unfinished. [Waiting] are the turns that
// are held here and that AnyFrame has not been asked to take.
//
// The package does not know sessions, replicas or HTTP: what must not happen meanwhile, and
// how a session goes to sleep, is seen to by package session.
package stop

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/anyframe-relay/relay/relay/internal/backoff"
	"github.com/anyframe-relay/relay/relay/internal/redact"
	"github.com/anyframe-relay/relay/relay/internal/store"
)

const (
	// kind is that of the records: one for each visitor, by their id.
	kind = "stop"
	// lookEvery is how often a process looks for wishes that others left.
	lookEvery = time.Second
	// maxDelay is the longest time between two tries.
	maxDelay = 15 * time.Second
	// someDue is how many wishes a process takes at once.
	someDue = 16
)

// ErrInFlight says that a wish cannot be fulfilled yet, since a message is on its way to
// AnyFrame. It is tried again soon, and is nothing to worry about.
var ErrInFlight = errors.New("a message is on its way")

// Wish is that AnyFrame stops what it has unfinished of a conversation.
type Wish struct {
	Visitor string    `json:"-"`
	Epoch   int64     `json:"epoch"`
	All     bool      `json:"all,omitempty"` // also what no turn that is to be stopped began
	At      time.Time `json:"at"`            // when it was first uttered
	Tries   int       `json:"tries,omitempty"`
}

// Desk fulfils wishes. It is safe for concurrent use.
type Desk struct {
	Store store.RecordStore
	// Fulfil does what a wish says. Nil means that it is done, or that there is nothing
	// left to do.
	Fulfil func(context.Context, Wish) error
	// Hold keeps other processes from a visitor's wish until release is called. It reports
	// false if one of them is at it.
	Hold func(ctx context.Context, visitor string) (release func(), ok bool, err error)
	// Go starts a goroutine of the owner's. It reports false once the owner has closed.
	Go func(func()) bool
	// Context is what the work is done in.
	Context context.Context
	Log     *slog.Logger
	// Seconds is told how long wishes took, and Failed counts the tries that failed.
	Seconds prometheus.Observer
	Failed  prometheus.Counter

	mu sync.Mutex      // a visitor is in at exactly while a goroutine here is at their wish
	at map[string]bool // by visitor
}

// Request stores a wish, and begins to fulfil it if it can. Of a visitor's wishes the one
// for the newest epoch stays.
func (d *Desk) Request(ctx context.Context, w Wish) error {
	w.At = time.Now()
	for {
		r, err := d.Store.Record(ctx, kind, w.Visitor)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		if err == nil {
			if was := read(r); was.Epoch == w.Epoch {
				w.All, w.At = w.All || was.All, was.At
			}
		}
		r.Kind, r.Key, r.Owner, r.Due, r.Body = kind, w.Visitor, w.Visitor, time.Now(), w.body()
		if _, err = d.Store.SaveRecord(ctx, r); errors.Is(err, store.ErrConflict) {
			continue
		}
		if err == nil {
			d.Try(w.Visitor)
		}
		return err
	}
}

// Pending returns how many wishes a store has.
func Pending(ctx context.Context, s store.RecordStore) (int, error) {
	return s.CountRecords(ctx, kind, time.Time{})
}

// Try fulfils a visitor's wish, if there is one that is due, in a goroutine.
func (d *Desk) Try(visitor string) { d.Go(func() { d.fulfil(visitor) }) }

// Run fulfils what other processes left, until ctx ends.
func (d *Desk) Run(ctx context.Context) {
	for ctx.Err() == nil {
		due, err := d.Store.RecordsDue(ctx, kind, time.Now(), someDue)
		if err != nil && ctx.Err() == nil {
			d.Log.Debug("failed to look for pending stops", "error", err)
		}
		for _, r := range due {
			d.Try(r.Key)
		}
		backoff.Sleep(ctx, lookEvery+backoff.Jitter(lookEvery/5))
	}
}

// enter marks a visitor's wish as being worked on here, and reports whether it was not yet.
func (d *Desk) enter(visitor string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.at == nil {
		d.at = map[string]bool{}
	}
	busy := d.at[visitor]
	d.at[visitor] = true
	return !busy
}

func (d *Desk) leave(visitor string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.at, visitor)
}

// fulfil does what a visitor's wish says, as often as it takes.
func (d *Desk) fulfil(visitor string) {
	if !d.enter(visitor) {
		return
	}
	defer d.leave(visitor)
	release, ok, err := d.Hold(d.Context, visitor)
	if err != nil || !ok {
		return
	}
	defer release()
	for d.Context.Err() == nil {
		w, r, ok := d.due(visitor)
		if !ok {
			return
		}
		err := d.Fulfil(d.Context, w)
		if err == nil {
			err = d.Store.DeleteRecord(d.Context, kind, visitor, r.Version)
			if err == nil {
				d.Seconds.Observe(time.Since(w.At).Seconds())
				return
			}
			if errors.Is(err, store.ErrConflict) { // there is another wish since
				continue
			}
		}
		if d.Context.Err() != nil {
			return
		}
		wait := backoff.Delay(w.Tries, maxDelay)
		if errors.Is(err, ErrInFlight) {
			wait = lookEvery
		} else {
			w.Tries++
			d.Failed.Inc()
			d.Log.Warn("failed to stop a turn", "visitor", redact.ID(visitor), "attempt", w.Tries, "error", err)
		}
		r.Due, r.Body = time.Now().Add(wait), w.body()
		if _, err := d.Store.SaveRecord(d.Context, r); err != nil && !errors.Is(err, store.ErrConflict) {
			d.Log.Warn("failed to save a stop", "visitor", redact.ID(visitor), "error", err)
		}
		backoff.Sleep(d.Context, wait)
	}
}

// due returns a visitor's wish if it is due.
func (d *Desk) due(visitor string) (w Wish, r store.Record, ok bool) {
	r, err := d.Store.Record(d.Context, kind, visitor)
	if err != nil || r.Due.After(time.Now()) {
		return w, r, false
	}
	w = read(r)
	w.Visitor = visitor
	return w, r, true
}

func (w Wish) body() string {
	b, _ := json.Marshal(w) // numbers and times: cannot fail
	return string(b)
}

func read(r store.Record) (w Wish) {
	_ = json.Unmarshal([]byte(r.Body), &w) // this package wrote it; of another form, it is for no epoch
	return w
}
