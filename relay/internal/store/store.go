// Package store defines how the relay persists visitor tokens, each visitor's AnyFrame
// session, notes on conversations, records of other kinds, leases, counters of limits,
// and the set of awake sandboxes. The packages memory, sqlite and redis implement it;
// package stores opens one by its URL.
//
// Every operation is one read or one compare-and-set, so replicas that share a store need
// no other coordination. Every row has an expiry, except for a [Record] that is kept
// until it is deleted. An expired row is invisible immediately, and a later write deletes
// it.
package store

import (
	"context"
	"errors"
	"time"

	"github.com/alexedwards/scs/v2"
)

var (
	// ErrConflict means that a row is no longer at the version at which it was read. Read
	// it again and decide again.
	ErrConflict = errors.New("changed by someone else")

	// ErrNotFound means that the row does not exist or has expired.
	ErrNotFound = errors.New("not found")

	// ErrExpired rejects a row whose expiry is missing or not in the future, and a TTL
	// that is not positive.
	ErrExpired = errors.New("expiry is not in the future")

	// ErrUnavailable means that the backend temporarily cannot be reached or written to:
	// it is locked, or its disk is full. Retry later.
	ErrUnavailable = errors.New("the store is not available")

	// ErrClosed is returned by every call after Close.
	ErrClosed = errors.New("store is closed")
)

// Session is the stored record of a visitor's chat.
type Session struct {
	Visitor    string
	Epoch      int64  // number of the visitor's session; 0 before the first
	UpstreamID string // AnyFrame's id for it; empty if there is none
	State      string // defined by the relay
	LastSeq    int64  // the last seq that the relay has stored as processed

	UpdatedAt time.Time // set by the store on every save
	ExpiresAt time.Time
	Version   int64 // opaque, different after every save; 0 when not stored
}

// Note holds information about a conversation that AnyFrame's log does not contain: a
// turn and its idempotency key, an answered prompt. Visitor, Kind and Key identify it.
type Note struct {
	Visitor, Kind, Key string

	Epoch, Seq int64
	Place      int64 // the note's position in its epoch, see [NoteStore.NotesAt]
	State      string
	Hash       string // of the request, to distinguish a retry from a reused key
	Body       string

	CreatedAt time.Time // set by the store when the note is begun
	ExpiresAt time.Time
	Version   int64 // opaque, different after every save; 0 when not stored
}

// Unplaced is the highest [Note.Place], for a note whose place is not known yet.
const Unplaced = 1<<53 - 1

// Awake is a sandbox that is counted as awake.
type Awake struct {
	Visitor string
	Rank    int64 // the lowest rank is evicted first
	Ticket  int64 // identifies its admission
	Foreign bool  // belongs to another site than the caller's, see [ForSite]
}

// Store is everything that a backend implements. Consumers should take the
// interface of the part they need. A Store is safe for concurrent use. Times
// are truncated to milliseconds and returned in UTC. A call that returns
// [ErrUnavailable], or whose context has ended, may still have taken effect;
// with any other error it has not.
type Store interface {
	TokenStore
	SessionStore
	NoteStore
	RecordStore
	LeaseStore
	LimitStore
	AdmissionStore
	ChangeStore

	// Ping writes to the backend, so that it detects a full disk or a
	// read-only folder. It costs one write.
	Ping(ctx context.Context) error

	// Scrub removes deleted data from all files of this backend. Call it at the end of an
	// erasure; it costs about as much as all writes since the previous call.
	// [ErrUnavailable] means that a reader blocked it: retry.
	Scrub(ctx context.Context) error

	// Close waits for running calls and releases the backend.
	Close() error
}

// TokenStore stores visitor tokens for scs. Committing a token whose expiry is
// not in the future returns [ErrExpired].
type TokenStore interface {
	scs.CtxStore
}

// SessionStore stores one session per visitor.
type SessionStore interface {
	// Session returns the visitor's session. If there is none, it returns a
	// Session in which only Visitor is set.
	Session(ctx context.Context, visitor string) (Session, error)

	// SaveSession stores s if the stored session is at s.Version; 0 means that
	// no session may exist. It returns s with its new version, or
	// [ErrConflict], or [ErrExpired].
	SaveSession(ctx context.Context, s Session) (Session, error)

	// Forget deletes the visitor's session and notes. Tokens, records and leases
	// stay.
	Forget(ctx context.Context, visitor string) error
}

// NoteStore stores any number of notes per visitor.
type NoteStore interface {
	// Note returns one note, or [ErrNotFound].
	Note(ctx context.Context, visitor, kind, key string) (Note, error)

	// Notes returns the visitor's notes of one kind and epoch in the order in
	// which they were begun.
	Notes(ctx context.Context, visitor, kind string, epoch int64) ([]Note, error)

	// NotesSince returns those of [NoteStore.Notes] that were begun or saved after the
	// cursor since, in the order in which they were begun, and the cursor for the next
	// call. Start with 0. The store assigns a higher cursor to each BeginNote and
	// SaveNote of a visitor, also across restarts.
	//
	// Later calls miss no change that was committed before this call returned, but may
	// return one twice. If since is higher than any cursor of the visitor, as after the
	// backend has lost writes, the call starts again at 0. The cost depends on the number
	// of changes, not on the number of notes. A note that expired, was deleted or was
	// saved with another epoch is not reported as removed.
	NotesSince(ctx context.Context, visitor, kind string, epoch, since int64) (notes []Note, cursor int64, err error)

	// NotesAt returns at most limit of those of [NoteStore.Notes] whose Place is in
	// [from, to), ordered by Place, and within one place in the order in which they were
	// begun. If it returns limit notes, there may be more, also at the highest place that
	// it returns. The cursor is for [NoteStore.NotesSince], which then misses no change
	// after this call. The cost depends on limit, not on the number of notes.
	NotesAt(ctx context.Context, visitor, kind string, epoch, from, to int64, limit int) (notes []Note, cursor int64, err error)

	// BeginNote stores n unless a note with its visitor, kind and key exists.
	// It returns the stored note; fresh reports whether that is n. It ignores
	// n.Version and n.CreatedAt. It returns [ErrExpired] if n.ExpiresAt is not
	// in the future.
	BeginNote(ctx context.Context, n Note) (stored Note, fresh bool, err error)

	// SaveNote replaces the note that n identifies if that is at n.Version, and
	// returns n with its new version. CreatedAt and the position among the
	// visitor's notes do not change. It returns [ErrConflict], [ErrNotFound],
	// or [ErrExpired].
	SaveNote(ctx context.Context, n Note) (Note, error)

	// ForgetEpoch deletes the visitor's notes of one epoch, of every kind.
	ForgetEpoch(ctx context.Context, visitor string, epoch int64) error
}

// LeaseStore grants exclusive leases by name.
type LeaseStore interface {
	// Acquire takes the lease called name for ttl, or renews it if owner holds it; ok
	// reports whether owner now holds it. Any owner can take an expired lease. Renewing
	// keeps the fence. Taking returns a fence higher than any before, so that an owner
	// that continued after its lease expired can be distinguished from the next one.
	Acquire(ctx context.Context, name, owner string, ttl time.Duration) (fence int64, ok bool, err error)

	// Release ends the lease early. It does nothing if owner does not hold it.
	Release(ctx context.Context, name, owner string) error
}

// LimitStore counts usage against limits. Use each key with one window only, or only with
// Count, whose window does not slide: a limit per day uses a key per day.
//
// Windows begin at multiples of their length since 1970 and slide: usage in the previous
// window counts in proportion to how much of it still overlaps. Setting the clock back
// does not release any usage.
type LimitStore interface {
	// Take adds n to key's counter and returns 0 if the total within window
	// stays at or below limit. Otherwise it adds nothing and returns how long
	// to wait until n would fit, assuming no other calls.
	Take(ctx context.Context, key string, n, limit int, window time.Duration) (wait time.Duration, err error)

	// Look returns what Take would, and adds nothing.
	Look(ctx context.Context, key string, n, limit int, window time.Duration) (wait time.Duration, err error)

	// GiveBack undoes one Take of n.
	GiveBack(ctx context.Context, key string, n int, window time.Duration) error

	// Count adds n to a counter and returns its total, and whether n was added. It does
	// not add a positive n if the total would exceed limit; a limit of 0 means no limit.
	// A negative n subtracts, down to 0, and an n of 0 only reads. The counter is kept
	// until until. It returns [ErrExpired] if that is not in the future.
	Count(ctx context.Context, key string, n, limit int, until time.Time) (total int, ok bool, err error)

	// Shared reports whether processes on several machines use the store. Only
	// then is it worth counting every request there.
	Shared() bool
}

// AdmissionStore counts the sandboxes that are awake, one per visitor.
type AdmissionStore interface {
	// Admit counts the visitor's sandbox as awake for ttl. If it is already counted,
	// Admit renews it with the new rank and keeps its ticket. Otherwise it gets a ticket
	// higher than any before, unless limit or more sandboxes are counted; then ok is
	// false. A limit of 0 means no limit.
	Admit(ctx context.Context, visitor string, rank int64, limit int, ttl time.Duration) (ticket int64, ok bool, err error)

	// AdmitAll admits many sandboxes without a limit and returns their tickets
	// in the same order. It ignores the tickets in all.
	AdmitAll(ctx context.Context, all []Awake, ttl time.Duration) (tickets []int64, err error)

	// Leave stops counting the visitor's sandbox if its ticket is still the one
	// given.
	Leave(ctx context.Context, visitor string, ticket int64) error

	// Idlest returns at most n of the sandboxes that rank below the given rank,
	// lowest first.
	Idlest(ctx context.Context, below int64, n int) ([]Awake, error)

	// CountAwake returns how many sandboxes are counted as awake.
	CountAwake(ctx context.Context) (int, error)
}

// Mark is the state of a visitor's rows that a process has last seen.
type Mark struct {
	Visitor string
	Version int64 // of the session; 0 means that there was none

	// Notes is a cursor of the visitor's notes, see [NoteStore.NotesSince]. A negative
	// cursor means that notes are not compared.
	Notes int64

	// Tokens are the keys of tokens that existed.
	Tokens []string
}

// ChangeStore reports which visitors' rows have changed, in one call for many of them.
type ChangeStore interface {
	// Generation returns a number that differs from an earlier call's if another process
	// may have written in between. Writes through this Store do not change it. A backend
	// that cannot detect other writers returns a different number with each call.
	Generation(ctx context.Context) (int64, error)

	// Changed returns the indices, in ascending order, of the marks that no longer hold.
	// A mark does not hold if the session is at another version, a note was begun or
	// saved after the cursor, the cursor is higher than any, or a token is gone. Changed
	// may also return a mark that holds, but never omits one that did not hold when the
	// call began. It costs the backend a few commands for hundreds of marks.
	Changed(ctx context.Context, marks []Mark) ([]int, error)
}

// Notifier is implemented by a backend through which processes can notify each other that
// a visitor's rows have changed. A notification is a hint to read them before the next
// poll. Hints are lost while the backend is unavailable.
type Notifier interface {
	// Publish sends a hint to every other process that subscribes.
	Publish(ctx context.Context, visitor string) error

	// Subscribe calls notify with the visitor of every hint that another
	// process published, one call at a time, until ctx ends.
	Subscribe(ctx context.Context, notify func(visitor string))
}
