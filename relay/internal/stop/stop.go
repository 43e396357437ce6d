// Package stop stores requests to stop a conversation's agent until AnyFrame has been
// called. A request, called a wish, is a record in the store, so it survives the process
// that received it. A [Desk] fulfills its own wishes immediately, and wishes that other
// processes left when they are due. The process that works on a wish has a lease, which
// expires soon after a crash. A wish that could not be fulfilled is retried with backoff.
//
// A [Stopper] stops one visitor's turns: it decides what a wish means for a turn in its
// state, and has the only function that stops unfinished work at AnyFrame. [Waiting]
// holds the turns that wait in this process and have not been sent to AnyFrame.
//
// The package does not depend on sessions, replicas or HTTP: package session provides
// mutual exclusion and puts the session to sleep.
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
	// kind is the kind of the records: one for each visitor, with the visitor's id as
	// key.
	kind = "stop"
	// lookEvery is how often a process looks for wishes that others left.
	lookEvery = time.Second
	// maxDelay is the maximum time between two attempts.
	maxDelay = 15 * time.Second
	// someDue is how many wishes a process takes at once.
	someDue = 16
)

// ErrInFlight means that a wish cannot be fulfilled yet, because a message is in flight
// to AnyFrame. It is retried soon, and is not a failure.
var ErrInFlight = errors.New("a message is on its way")

// Wish is a request to stop AnyFrame's unfinished work in a conversation.
type Wish struct {
	Visitor string    `json:"-"`
	Epoch   int64     `json:"epoch"`
	All     bool      `json:"all,omitempty"` // also work that was not begun by a turn with a stop request
	At      time.Time `json:"at"`            // when it was first requested
	Tries   int       `json:"tries,omitempty"`
}

// Desk fulfills wishes. It is safe for concurrent use.
type Desk struct {
	Store store.RecordStore
	// Fulfil carries out a wish. Nil means that it is done, or that there is nothing left
	// to do.
	Fulfil func(context.Context, Wish) error
	// Hold keeps other processes from a visitor's wish until release is called. It
	// returns false if one of them is working on it.
	Hold func(ctx context.Context, visitor string) (release func(), ok bool, err error)
	// Go starts a goroutine of the owner's. It returns false once the owner has closed.
	Go func(func()) bool
	// Context is the context of the work.
	Context context.Context
	Log     *slog.Logger
	// Seconds observes how long wishes took, and Failed counts failed attempts.
	Seconds prometheus.Observer
	Failed  prometheus.Counter

	mu sync.Mutex      // a visitor is in at exactly while a goroutine of this process works on their wish
	at map[string]bool // by visitor
}

// Request stores a wish, and starts to fulfill it if possible. Of a visitor's wishes, the
// one for the newest epoch is kept.
func (d *Desk) Request(ctx context.Context, w Wish) error {
	w.At = time.Now()
	for {
		r, err := d.Store.Record(ctx, kind, w.Visitor)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		if err == nil {
			switch was := read(r); {
			case was.Epoch == w.Epoch:
				w.All, w.At = w.All || was.All, was.At
			case was.Epoch > w.Epoch: // nothing runs in an earlier conversation
				d.Try(w.Visitor)
				return nil
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

// Try fulfills a visitor's wish in a goroutine, if there is one that is due.
func (d *Desk) Try(visitor string) { d.Go(func() { d.fulfil(visitor) }) }

// Run fulfills wishes that other processes left, until ctx ends.
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

// enter marks a visitor's wish as being worked on in this process, and reports whether it
// was not yet.
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

// fulfil fulfills a visitor's wish, repeating as often as necessary.
func (d *Desk) fulfil(visitor string) {
	if !d.enter(visitor) {
		return
	}
	defer d.leave(visitor)
	for more := true; more && d.Context.Err() == nil; {
		var wait time.Duration
		wait, more = d.attempt(visitor)
		backoff.Sleep(d.Context, wait)
	}
}

// attempt tries once to fulfill a visitor's wish, and reports whether another attempt must
// follow after wait. It holds the wish for that time only: a process whose lease has
// expired leaves the wish to the next holder at its next attempt.
func (d *Desk) attempt(visitor string) (wait time.Duration, more bool) {
	release, ok, err := d.Hold(d.Context, visitor)
	if err != nil || !ok {
		return 0, false
	}
	defer release()
	w, r, ok := d.due(visitor)
	if !ok {
		return 0, false
	}
	err = d.Fulfil(d.Context, w)
	if err == nil {
		err = d.Store.DeleteRecord(d.Context, kind, visitor, r.Version)
		if err == nil {
			d.Seconds.Observe(time.Since(w.At).Seconds())
			return 0, false
		}
		if errors.Is(err, store.ErrConflict) { // there is a newer wish
			return 0, true
		}
	}
	if d.Context.Err() != nil {
		return 0, false
	}
	wait = backoff.Delay(w.Tries, maxDelay)
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
	return wait, true
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
	b, _ := json.Marshal(w) // numbers and times only: cannot fail
	return string(b)
}

func read(r store.Record) (w Wish) {
	_ = json.Unmarshal([]byte(r.Body), &w) // this package wrote it; in another format, it is for no epoch
	return w
}
