// Package record handles a visitor's row in the store: the visitor's AnyFrame session,
// its epoch, and how far its log got. A [Record] holds the newest version of the row that
// this process has seen, and writes it by compare-and-set. It also restores the row if
// the store has lost it.
//
// The package does not apply changes of the row to the session in memory. A caller that
// reads the row and applies it must hold the record's slot meanwhile, see [Record.Lock].
package record

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/store"
)

// StateVoid marks the row of a forgotten visitor, for the replicas that have a stream
// open.
const StateVoid = "void"

// storeTimeout bounds writes that no request waits for.
const storeTimeout = 5 * time.Second

// Record is one visitor's row. It is safe for concurrent use.
type Record struct {
	store   store.SessionStore
	visitor string
	ttl     time.Duration // how long the row is kept after its last change

	// io is a slot for one holder, which reads the row and applies it, so that two
	// goroutines never do that at once.
	io chan struct{}

	mu     sync.Mutex // guards row, the newest version that this process has seen, and loaded
	row    store.Session
	loaded bool // it has been read
}

// New returns the record of a visitor. Nothing has been read yet.
func New(s store.SessionStore, visitor string, ttl time.Duration) *Record {
	return &Record{store: s, visitor: visitor, ttl: ttl, io: make(chan struct{}, 1)}
}

// Lock takes the slot for reading the row and applying it. It is held across calls to the
// store.
func (r *Record) Lock(ctx context.Context) (unlock func(), err error) {
	select {
	case r.io <- struct{}{}:
		return func() { <-r.io }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Row returns the newest row that this process has seen, and whether it has been applied.
func (r *Record) Row() (row store.Session, loaded bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.row, r.loaded
}

// Set enters a newer row.
func (r *Record) Set(row store.Session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.row = row
}

// setIf is Set for a row of the same epoch; it ignores any other.
func (r *Record) setIf(row store.Session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.row.Epoch == row.Epoch {
		r.row = row
	}
}

// SetLoaded sets whether the row has been applied.
func (r *Record) SetLoaded(loaded bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.loaded = loaded
}

// Read reads the row from the store. For a forgotten visitor it returns
// [problem.VisitorUnknown].
func (r *Record) Read(ctx context.Context) (store.Session, error) {
	row, err := r.store.Session(ctx, r.visitor)
	if err == nil && row.State == StateVoid {
		err = problem.VisitorUnknown
	}
	return row, err
}

// Save changes the stored row of an epoch. It returns [store.ErrConflict] and changes
// nothing if another process has begun another epoch, or ended this one while it had not
// ended here.
func (r *Record) Save(ctx context.Context, epoch int64, ended bool, change func(*store.Session)) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	row, _ := r.Row()
	for {
		if row.Epoch != epoch {
			return store.ErrConflict
		}
		over := event.Status(row.State) == event.StatusEnded
		if change(&row); over { // an end is final: the change may have been computed before the end was seen
			row.State = string(event.StatusEnded)
		}
		row.ExpiresAt = time.Now().Add(r.ttl)
		saved, err := r.store.SaveSession(ctx, row)
		if err == nil {
			r.setIf(saved)
			return nil
		}
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
		fresh, err := r.store.Session(ctx, r.visitor)
		if err != nil {
			return err
		}
		if fresh.UpstreamID != row.UpstreamID || (event.Status(fresh.State) == event.StatusEnded && !ended) {
			return store.ErrConflict
		}
		row = fresh
	}
}

// Begin stores the epoch after row's, with AnyFrame's session id. It returns
// [store.ErrConflict] if another process has begun an epoch or forgotten the visitor. The
// caller holds the slot, and calls Set when it has applied the row.
func (r *Record) Begin(ctx context.Context, row store.Session, id string) (store.Session, error) {
	for {
		next := row
		next.Epoch++
		next.UpstreamID, next.State, next.LastSeq = id, string(event.StatusBooting), 0
		next.ExpiresAt = time.Now().Add(r.ttl)
		saved, err := r.store.SaveSession(ctx, next)
		if !errors.Is(err, store.ErrConflict) {
			return saved, err
		}
		// Another process may just have stored how far the ended epoch went.
		fresh, err := r.store.Session(ctx, r.visitor)
		if err != nil {
			return fresh, err
		}
		if fresh.Epoch != row.Epoch || fresh.UpstreamID != row.UpstreamID || fresh.State == StateVoid || fresh.Version == row.Version {
			return fresh, store.ErrConflict
		}
		row = fresh
	}
}

// Erased reports whether the row's epoch was erased: it keeps its number, which is never
// reused, and has no AnyFrame session.
func Erased(row store.Session) bool { return row.Epoch > 0 && row.UpstreamID == "" }

// Extend keeps the row at least as long as the visitor's token, which ends at until.
// Otherwise a visitor who returns only to read would lose the conversation, and the next
// session would reuse an epoch number. The row may expire up to 5 % early. Extend reports
// whether it had to write.
func (r *Record) Extend(ctx context.Context, ended bool, until time.Time) (extended bool, err error) {
	row, _ := r.Row()
	if row.Epoch == 0 || !row.ExpiresAt.Before(until.Add(-r.ttl/20)) {
		return false, nil
	}
	if err := r.Save(ctx, row.Epoch, ended, func(*store.Session) {}); !errors.Is(err, store.ErrConflict) {
		return err == nil, err
	}
	return false, nil // another process changed it, which also extended it
}

// Forget deletes everything that the store has of a visitor except a tombstone, which
// also names the sandbox that is put to sleep. The tombstone is kept for keep.
func Forget(ctx context.Context, s store.SessionStore, visitor string, keep time.Duration) error {
	last, err := s.Session(ctx, visitor)
	if err != nil {
		return err
	}
	if err := s.Forget(ctx, visitor); err != nil {
		return err
	}
	for {
		row, err := s.Session(ctx, visitor)
		if err != nil {
			return err
		}
		row.State, row.UpstreamID = StateVoid, last.UpstreamID
		row.ExpiresAt = time.Now().Add(keep)
		if _, err = s.SaveSession(ctx, row); !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
}

// Blank removes AnyFrame's session from the row of an ended epoch, and returns the row.
// Changed is false if it had been removed, or if the row is of another epoch or void. The
// caller holds the slot.
func (r *Record) Blank(ctx context.Context, epoch int64) (row store.Session, changed bool, err error) {
	for {
		row, err = r.store.Session(ctx, r.visitor)
		if err != nil || row.Epoch != epoch || row.State == StateVoid || row.UpstreamID == "" {
			return row, false, err
		}
		row.UpstreamID, row.State, row.LastSeq = "", string(event.StatusEnded), 0
		row.ExpiresAt = time.Now().Add(r.ttl)
		row, err = r.store.SaveSession(ctx, row)
		if !errors.Is(err, store.ErrConflict) {
			return row, err == nil, err
		}
	}
}

// Erase deletes everything that the store has of a visitor except a tombstone, as
// [Forget] does, whose epoch counts as erased. It calls kept with the row's epoch and
// session before they are lost. It may be called again.
func Erase(ctx context.Context, s EraseStore, visitor string, keep time.Duration, kept func(epoch int64, id string) error) error {
	mark, err := void(ctx, s, visitor, keep, kept)
	// The row must never be absent, or a token would be valid for that moment.
	for epoch := int64(0); err == nil && epoch <= mark.Epoch; epoch++ {
		err = s.ForgetEpoch(ctx, visitor, epoch)
	}
	return err
}

// EraseUnused is [Erase] for a visitor who has begun no conversation. It reports whether
// that is so; if not, it changes nothing. From then on, none can begin.
func EraseUnused(ctx context.Context, s store.SessionStore, visitor string, keep time.Duration) (unused bool, err error) {
	for {
		row, err := s.Session(ctx, visitor)
		if err != nil || row.Epoch > 0 {
			return false, err
		}
		row.State = StateVoid
		if until := time.Now().Add(keep); row.ExpiresAt.Before(until) { // the tombstone of a full erasure is kept for longer
			row.ExpiresAt = until
		}
		if _, err = s.SaveSession(ctx, row); !errors.Is(err, store.ErrConflict) {
			return err == nil, err
		}
	}
}

// EraseStore is the part of the store that [Erase] needs.
type EraseStore interface {
	store.SessionStore
	ForgetEpoch(ctx context.Context, visitor string, epoch int64) error
}

func void(ctx context.Context, s store.SessionStore, visitor string, keep time.Duration, kept func(epoch int64, id string) error) (store.Session, error) {
	for {
		row, err := s.Session(ctx, visitor)
		if err != nil {
			return row, err
		}
		if row.UpstreamID != "" && row.Epoch > 0 {
			if err := kept(row.Epoch, row.UpstreamID); err != nil {
				return row, err
			}
		}
		row.State, row.UpstreamID, row.LastSeq = StateVoid, "", 0
		row.ExpiresAt = time.Now().Add(keep)
		row, err = s.SaveSession(ctx, row)
		if !errors.Is(err, store.ErrConflict) {
			return row, err
		}
	}
}
