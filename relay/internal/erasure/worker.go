package erasure

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/backoff"
	"github.com/anyframe-relay/relay/relay/internal/history"
	"github.com/anyframe-relay/relay/relay/internal/lease"
	"github.com/anyframe-relay/relay/relay/internal/redact"
	"github.com/anyframe-relay/relay/relay/internal/store"
	"github.com/anyframe-relay/relay/relay/internal/telemetry"
	"github.com/anyframe-relay/relay/relay/internal/upstream"
)

const (
	leaseName = "erasure"

	// lookEvery is how often a replica looks for due erasures.
	lookEvery = time.Second
	// batch is how many erasures are read at once, and together how many of them are
	// processed concurrently.
	batch, together = 32, 4
	// liveWait is how long an attempt waits for a sandbox to go down.
	liveWait = 10 * time.Second
	// maxBackoff is the maximum time between two attempts.
	maxBackoff = 5 * time.Minute
	// noteTimeout bounds the final write of an attempt.
	noteTimeout = 10 * time.Second
)

// Store is the part of the store that erasures need.
type Store interface {
	store.RecordStore
	store.LeaseStore
	ForgetEpoch(ctx context.Context, visitor string, epoch int64) error
	Scrub(ctx context.Context) error
}

// Ender ends the activity of what is erased. Both of its methods must be idempotent.
type Ender interface {
	// EraseEpoch ends a visitor's epoch if it is the current one, and removes it from the
	// visitor's row and streams. With idle, it does nothing if a turn is running, and
	// returns busy.
	EraseEpoch(ctx context.Context, visitor string, epoch int64, idle bool) (busy bool, err error)
	// EraseVisitor revokes every token of the visitor, ends the streams, and deletes the
	// visitor's notes. Before that, it records in the history what is needed to delete
	// the current session at AnyFrame.
	EraseVisitor(ctx context.Context, visitor string) error
	// EraseUnused is EraseVisitor for a visitor who has sent nothing. It reports whether
	// that is so; then there is nothing to repeat later.
	EraseUnused(ctx context.Context, visitor string) (unused bool, err error)
}

// errBusy says that retention must wait.
var errBusy = errors.New("a turn runs")

// Options configures a Worker.
type Options struct {
	Store  Store
	Book   *history.Book
	Client *anyframe.Client
	Ender  Ender
	// Also deletes other packages' data about a visitor's epoch, 0 being all of the
	// visitor. It must be idempotent.
	Also []func(ctx context.Context, visitor string, epoch int64) error
	// Done is called at least once for each completed erasure. It may be nil.
	Done func(ctx context.Context, e Erasure) error

	// Retention is how long a conversation may be idle before it is erased; 0 is forever.
	Retention time.Duration
	// Receipts is how long completed erasures are kept.
	Receipts time.Duration
	// Unused is Receipts for visitors who had sent nothing.
	Unused time.Duration
	// Settle is how long after the deletion it is repeated. Default 45s.
	Settle time.Duration
	// CallTimeout is the timeout of one call to AnyFrame.
	CallTimeout time.Duration

	Metrics *telemetry.Metrics
	Log     *slog.Logger
}

// Worker processes erasures. Use [New].
type Worker struct {
	Options
	leases lease.Holder
	wake   chan struct{} // one slot: there is work
}

// New returns a worker that does nothing until [Worker.Run].
func New(o Options) *Worker {
	if o.Settle == 0 {
		o.Settle = 45 * time.Second
	}
	return &Worker{
		Options: o, wake: make(chan struct{}, 1),
		leases: lease.Holder{Store: o.Store, Owner: newID(), TTL: 15 * time.Second, Log: o.Log},
	}
}

// Wake makes the worker look for work immediately.
func (w *Worker) Wake() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Run works until ctx ends. Work in progress is then abandoned, and repeated later.
func (w *Worker) Run(ctx context.Context) {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	var scanned time.Time
	for ctx.Err() == nil {
		if w.Retention > 0 && time.Since(scanned) >= w.scanEvery() {
			scanned = time.Now()
			if err := w.scan(ctx); err != nil {
				w.Log.Warn("failed to erase idle conversations", "error", err)
			}
		}
		more, err := w.round(ctx)
		if err != nil {
			w.Log.Debug("failed to look for pending erasures", "error", err)
		}
		if more {
			continue
		}
		select {
		case <-w.wake:
		case <-look.C:
		case <-ctx.Done():
		}
	}
}

// round processes a batch of due erasures, if no other replica does, and reports whether
// there may be more.
func (w *Worker) round(ctx context.Context) (more bool, err error) {
	due, err := w.Store.RecordsDue(ctx, Kind, time.Now(), batch)
	if err != nil || len(due) == 0 {
		return false, err
	}
	release, ok, err := w.leases.Try(ctx, leaseName)
	if err != nil || !ok {
		return false, err
	}
	defer release()
	slots := make(chan struct{}, together)
	var all sync.WaitGroup
	for _, r := range due {
		slots <- struct{}{} // released in bounded time
		all.Go(func() {
			defer func() { <-slots }()
			w.try(ctx, r)
		})
	}
	all.Wait()
	return len(due) == batch && ctx.Err() == nil, nil
}

// try processes one erasure, or schedules its next attempt.
func (w *Worker) try(ctx context.Context, r store.Record) {
	e, err := read(r)
	if err != nil {
		w.Log.Error("failed to read an erasure", "erasure", r.Key, "error", err)
		return
	}
	ctx = upstream.For(ctx, upstream.NewCaller(e.Visitor))
	err = w.erase(ctx, &e)
	if ctx.Err() != nil {
		return
	}
	note, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteTimeout)
	defer cancel()
	switch {
	case errors.Is(err, errBusy):
		err = w.spare(note, &e)
	case err == nil:
		err = w.advance(note, &e)
	default:
		e.Tries++
		w.Metrics.EraseFailures.Inc()
		w.Log.Warn("failed to erase", "erasure", e.ID, "visitor", w.name(&e), "tries", e.Tries, "error", err)
		err = w.save(note, &e, time.Now().Add(backoff.Delay(e.Tries-1, maxBackoff)))
	}
	if err != nil && !errors.Is(err, store.ErrConflict) {
		w.Log.Debug("failed to save an erasure", "error", err)
	}
}

// advance records that nothing is left of what e erases: for the first time, or after the
// repetition.
func (w *Worker) advance(ctx context.Context, e *Erasure) error {
	now := time.Now()
	e.Tries = 0
	if e.DeletedAt.IsZero() {
		e.DeletedAt = now
		return w.save(ctx, e, now.Add(w.Settle))
	}
	if now.Before(e.DeletedAt.Add(w.Settle)) {
		return w.save(ctx, e, e.DeletedAt.Add(w.Settle))
	}
	e.DoneAt = now
	if w.Done != nil {
		if err := w.Done(ctx, *e); err != nil {
			e.DoneAt = time.Time{}
			return errors.Join(err, w.save(ctx, e, now.Add(lookEvery)))
		}
	}
	if err := w.save(ctx, e, time.Time{}); err != nil {
		return err
	}
	w.completed(e)
	return nil
}

// spare abandons an erasure by retention, because a turn is running or has run since.
func (w *Worker) spare(ctx context.Context, e *Erasure) error {
	if err := w.Book.Spare(ctx, e.Conversation); err != nil {
		return err
	}
	return w.Store.DeleteRecord(ctx, Kind, e.ID, e.version)
}

// erase deletes what e is about. It returns nil once nothing is left of it.
func (w *Worker) erase(ctx context.Context, e *Erasure) error {
	if e.Conversation != "" {
		// A worker that crashed may have saved the erasure without hiding the
		// conversation.
		c, by, err := w.Book.Erase(ctx, e.Conversation, e.ID)
		if errors.Is(err, store.ErrNotFound) {
			return w.after(ctx, e)
		}
		if err != nil || by != e.ID { // another erasure deletes it
			return err
		}
		if e.Reason == Retention && !c.ActiveAt.Before(e.RequestedAt) {
			return errBusy
		}
		busy, err := w.Ender.EraseEpoch(ctx, e.Visitor, e.Epoch, e.Reason == Retention)
		if err != nil {
			return err
		}
		if busy {
			return errBusy
		}
		// Before the record is removed: until then it hides what this deletes.
		if err := w.also(ctx, e); err != nil {
			return err
		}
		if err := w.conversation(ctx, e, &c); err != nil {
			return err
		}
		return w.after(ctx, e)
	}
	if err := w.Ender.EraseVisitor(ctx, e.Visitor); err != nil {
		return err
	}
	var failed error
	err := w.Book.Each(ctx, e.Visitor, func(c history.Conversation) (bool, error) {
		c, _, err := w.Book.Erase(ctx, c.ID, e.ID)
		if errors.Is(err, store.ErrNotFound) {
			return true, nil
		}
		if err == nil {
			err = w.conversation(ctx, e, &c)
		}
		failed = errors.Join(failed, err)
		return ctx.Err() == nil, nil // continue: the other conversations must not wait for this one
	})
	if err = errors.Join(err, failed); err != nil {
		return err
	}
	return w.after(ctx, e)
}

// after deletes what is left in the store.
func (w *Worker) after(ctx context.Context, e *Erasure) error {
	if e.Conversation == "" {
		if err := w.Ender.EraseVisitor(ctx, e.Visitor); err != nil { // notes written in the meantime
			return err
		}
	} else if err := w.Store.ForgetEpoch(ctx, e.Visitor, e.Epoch); err != nil {
		return err
	}
	if err := w.also(ctx, e); err != nil {
		return err
	}
	return w.Store.Scrub(ctx)
}

// conversation deletes one conversation at AnyFrame, and then in the store.
func (w *Worker) conversation(ctx context.Context, e *Erasure, c *history.Conversation) error {
	for _, id := range append([]string{c.Upstream}, c.Lost...) {
		deleted, err := w.delete(ctx, id)
		if err != nil {
			return err
		}
		if deleted {
			e.Deleted++
		}
	}
	if err := w.Store.ForgetEpoch(ctx, c.Visitor, c.Epoch); err != nil {
		return err
	}
	return w.Book.Remove(ctx, c.ID) // last: it contains what is needed to repeat all of this
}

// delete deletes one of AnyFrame's sessions. If its sandbox is up, it is first
// terminated, and delete waits for it.
func (w *Worker) delete(ctx context.Context, id string) (deleted bool, err error) {
	for deadline, try := time.Now().Add(liveWait), 0; ; try++ {
		err = w.call(ctx, func(ctx context.Context) error { return w.Client.Sessions.Delete(ctx, id) })
		switch {
		case err == nil:
			return true, nil
		case errors.Is(err, anyframe.ErrNotFound):
			return false, nil
		case !errors.Is(err, anyframe.ErrConflict) || time.Now().After(deadline):
			return false, err
		}
		err = w.call(ctx, func(ctx context.Context) error {
			_, err := w.Client.Sessions.Terminate(ctx, id)
			return err
		})
		if err != nil && !errors.Is(err, anyframe.ErrNotFound) && !errors.Is(err, anyframe.ErrConflict) {
			return false, err
		}
		backoff.Sleep(ctx, min(100*time.Millisecond<<min(try, 10), 2*time.Second))
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
	}
}

func (w *Worker) call(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, w.CallTimeout)
	defer cancel()
	return f(ctx)
}

// name returns the visitor's id in log lines.
func (w *Worker) name(e *Erasure) string { return redact.ID(e.Visitor) }
