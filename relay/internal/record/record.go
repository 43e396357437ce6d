// Package record is a visitor's row in the store: which of AnyFrame's sessions is theirs,
// under which epoch, and how far its log got. A [Record] is the newest that this process
// has seen of the row, and writes it by compare-and-set; it also restores the row if the
// store has lost it.
//
// The package does not know what a change of the row means to the session that is in
// memory. A caller that reads the row and takes it over must hold the record's slot
// meanwhile, see [Record.Lock].
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

// StateVoid marks the row of a visitor who was forgotten, for the replicas that have a
// stream open.
const StateVoid = "void"

// storeTimeout bounds what is written when no request waits for it.
const storeTimeout = 5 * time.Second

// Record is one visitor's row. It is safe for concurrent use.
type Record struct {
	store   store.SessionStore
	visitor string
	ttl     time.Duration // how long the row is kept from its last change

	// io has one slot: its holder reads the row and takes it over, so that no two do
	// that at once.
	io chan struct{}

	mu     sync.Mutex // row is the newest that this process has seen
	row    store.Session
	loaded bool // it has been read
}

// New returns the record of a visitor, of which nothing has been read yet.
func New(s store.SessionStore, visitor string, ttl time.Duration) *Record {
	return &Record{store: s, visitor: visitor, ttl: ttl, io: make(chan struct{}, 1)}
}

// Lock takes the slot for reading the row and taking it over. It is held across calls to
// the store.
func (r *Record) Lock(ctx context.Context) (unlock func(), err error) {
	select {
	case r.io <- struct{}{}:
		return func() { <-r.io }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Row returns the newest row that this process has seen, and whether what it says has been
// taken over.
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

// setIf is Set for a row of the same epoch; it does nothing for any other.
func (r *Record) setIf(row store.Session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.row.Epoch == row.Epoch {
		r.row = row
	}
}

// SetLoaded says whether the row has been taken over.
func (r *Record) SetLoaded(loaded bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.loaded = loaded
}

// Read reads the row from the store. Of a visitor who was forgotten it returns
// [problem.VisitorUnknown].
func (r *Record) Read(ctx context.Context) (store.Session, error) {
	row, err := r.store.Session(ctx, r.visitor)
	if err == nil && row.State == StateVoid {
		err = problem.VisitorUnknown
	}
	return row, err
}

// Save changes the stored row of an epoch. A row that another process has moved to another
// epoch, or ended while it had not ended here, is left alone: [store.ErrConflict].
func (r *Record) Save(ctx context.Context, epoch int64, ended bool, change func(*store.Session)) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	row, _ := r.Row()
	for {
		if row.Epoch != epoch {
			return store.ErrConflict
		}
		over := event.Status(row.State) == event.StatusEnded
		if change(&row); over { // for good: the change may have been thought of before the end was known
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

// Begin stores the epoch after row's, whose session AnyFrame calls id. The caller has the
// slot, and enters the row when it has taken it over.
func (r *Record) Begin(ctx context.Context, row store.Session, id string) (store.Session, error) {
	row.Epoch++
	row.UpstreamID, row.State, row.LastSeq = id, string(event.StatusBooting), 0
	row.ExpiresAt = time.Now().Add(r.ttl)
	return r.store.SaveSession(ctx, row)
}

// Erased reports whether the epoch of a row was: it keeps its number, which is never given
// again, and names no session of AnyFrame's.
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
	return false, nil // another process changed it, and so it is kept
}

// Forget deletes all that the store has of a visitor except a mark that this was done,
// with the sandbox that goes to sleep now. The mark stays for as long as keep.
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

// Blank makes the row of an epoch that has ended forget which session of AnyFrame's it was,
// and returns it. Changed is false if it had, or if the row is of another epoch or void. The
// caller has the slot.
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

// Erase deletes all that the store has of a visitor except a mark, as [Forget] does, whose
// epoch was erased. Kept is told what the row names before nothing else does. It may be
// called again.
func Erase(ctx context.Context, s EraseStore, visitor string, keep time.Duration, kept func(epoch int64, id string) error) error {
	mark, err := void(ctx, s, visitor, keep, kept)
	// The row is never gone, or a token would be good for that moment.
	for epoch := int64(0); err == nil && epoch <= mark.Epoch; epoch++ {
		err = s.ForgetEpoch(ctx, visitor, epoch)
	}
	return err
}

// EraseStore is what [Erase] needs of the store.
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
