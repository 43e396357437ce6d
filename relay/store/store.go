// Package store keeps what the relay must not forget: visitor tokens, which
// AnyFrame session a visitor has, what AnyFrame's log does not say about a
// conversation, who may create a session just now, and what has been used of
// the limits that hold for all processes together.
//
// Every operation is one read or one compare-and-set, so that replicas which
// share a store need nothing else to agree on. Every row has an expiry; an
// expired row is invisible at once and is deleted in passing by later writes.
package store

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/alexedwards/scs/v2"
)

var (
	// ErrConflict says that a row is no longer at the version it was read at.
	// Read it again and decide anew.
	ErrConflict = errors.New("changed by someone else")

	// ErrNotFound says that there is no such row, or that it has expired.
	ErrNotFound = errors.New("not found")

	// ErrExpired refuses a row that would be expired from the start: its
	// expiry is missing or not in the future, or a time to live is not positive.
	ErrExpired = errors.New("expiry is not in the future")

	// ErrUnavailable says that the backend cannot be reached, or cannot write at
	// the moment: it is locked, or its disk is full. It heals by itself.
	ErrUnavailable = errors.New("the store is not available")

	// ErrClosed is returned by every call after Close.
	ErrClosed = errors.New("store is closed")
)

// Session is what the store knows of a visitor's chat.
type Session struct {
	Visitor    string
	Epoch      int64  // which of the visitor's sessions this is; 0 before the first
	UpstreamID string // AnyFrame's id for it; empty while there is none
	State      string // the relay's word for where it stands
	LastSeq    int64  // the last seq the relay is sure of

	UpdatedAt time.Time // set by the store on every save
	ExpiresAt time.Time
	Version   int64 // opaque, another after every save; 0 when not stored
}

// Note is something the relay knows about a conversation that AnyFrame's log
// does not: a turn and its idempotency key, an answered prompt. Visitor, Kind
// and Key name it.
type Note struct {
	Visitor, Kind, Key string

	Epoch, Seq int64
	State      string
	Hash       string // of what was sent, to tell a repetition from a misuse of the key
	Body       string

	CreatedAt time.Time // set by the store when the note is begun
	ExpiresAt time.Time
	Version   int64 // opaque, another after every save; 0 when not stored
}

// Awake is a sandbox that is counted as awake.
type Awake struct {
	Visitor string
	Rank    int64 // who ranks lowest is put to sleep first
	Ticket  int64 // of its admission
}

// Store is safe for concurrent use. Times are kept to the millisecond and come
// back in UTC. A call that returns [ErrUnavailable], or whose context ended, may
// still have taken effect; with any other error it has not.
type Store interface {
	// The scs store holds visitor tokens. Committing a token whose expiry is
	// not in the future fails with [ErrExpired].
	scs.CtxStore

	// Session returns the visitor's session, or the zero Session with Visitor
	// set when there is none.
	Session(ctx context.Context, visitor string) (Session, error)

	// SaveSession stores s if the stored session is still at s.Version, where
	// 0 means that there must be none. It returns s as stored, with its new
	// version, or [ErrConflict], or [ErrExpired].
	SaveSession(ctx context.Context, s Session) (Session, error)

	// BeginNote stores n unless a note of its visitor, kind and key exists,
	// and returns what is stored then. Fresh says that it was n. n.Version and
	// n.CreatedAt are ignored. It returns [ErrExpired] if n has no future.
	BeginNote(ctx context.Context, n Note) (stored Note, fresh bool, err error)

	// SaveNote replaces the note that n names if it is still at n.Version and
	// returns it with its new version. CreatedAt and the place among the
	// visitor's notes stay. It returns [ErrConflict], [ErrNotFound], or
	// [ErrExpired].
	SaveNote(ctx context.Context, n Note) (Note, error)

	// Note returns one note, or [ErrNotFound].
	Note(ctx context.Context, visitor, kind, key string) (Note, error)

	// Notes returns the visitor's notes of a kind and epoch in the order in
	// which they were begun.
	Notes(ctx context.Context, visitor, kind string, epoch int64) ([]Note, error)

	// Forget deletes the visitor's session and notes. Tokens and leases stay.
	Forget(ctx context.Context, visitor string) error

	// Acquire takes the lease called name for ttl, or renews it if owner holds
	// it; ok says whether owner holds it now. A lease that ran out is anyone's.
	// Renewing keeps the fence; taking it gives a fence higher than any before
	// it, so that whoever kept working past the end of his lease can be told
	// from its next owner.
	Acquire(ctx context.Context, name, owner string, ttl time.Duration) (fence int64, ok bool, err error)

	// Release gives the lease back before its time. It does nothing when owner
	// does not hold it.
	Release(ctx context.Context, name, owner string) error

	// Take counts n more of what key names, unless more than limit would have
	// come within window then, and returns 0; else it counts nothing and returns
	// how long to wait until there is room for n, if nothing else comes. Windows
	// begin at multiples of their length since 1970 and slide: what came in the
	// one before counts by how much of it is still in sight, so neither a window
	// of the clock nor a sliding one of even use sees more than limit. A clock
	// that is set back gives nothing back. Use a key with one window only.
	Take(ctx context.Context, key string, n, limit int, window time.Duration) (wait time.Duration, err error)

	// Look returns what Take would, and counts nothing.
	Look(ctx context.Context, key string, n, limit int, window time.Duration) (wait time.Duration, err error)

	// GiveBack undoes one Take that came to nothing.
	GiveBack(ctx context.Context, key string, n int, window time.Duration) error

	// Admit counts the visitor's sandbox as awake for ttl. One that is counted
	// is renewed: it gets the rank and keeps its ticket. Another gets a ticket
	// higher than any before it, unless limit or more are counted, when ok is
	// false. A limit of 0 is none.
	Admit(ctx context.Context, visitor string, rank int64, limit int, ttl time.Duration) (ticket int64, ok bool, err error)

	// AdmitAll counts many sandboxes in one go, each as Admit does without a
	// limit, and returns their tickets in the same order. It ignores the tickets
	// of those it is given.
	AdmitAll(ctx context.Context, all []Awake, ttl time.Duration) (tickets []int64, err error)

	// Leave ends the count of the visitor's sandbox, if it is still the one that
	// got this ticket.
	Leave(ctx context.Context, visitor string, ticket int64) error

	// Idlest returns at most n of the sandboxes that are counted as awake and
	// rank below the given rank, lowest first.
	Idlest(ctx context.Context, below int64, n int) ([]Awake, error)

	// CountAwake returns how many sandboxes are counted as awake.
	CountAwake(ctx context.Context) (int, error)

	// Shared reports whether processes of several machines use the store, so
	// that even requests are worth counting there.
	Shared() bool

	// Ping writes to the backend, so that a full disk or a read-only folder
	// shows. It costs one write.
	Ping(ctx context.Context) error

	// Close waits for running calls and frees the backend.
	Close() error
}

// Herald is a store through which processes can tell each other at once that
// something of a visitor's has changed. It is a hint to read again what one
// would read sooner or later anyway: while the store is away hints are lost.
type Herald interface {
	// Tell gives a hint to every other process that hears.
	Tell(ctx context.Context, visitor string) error

	// Hear calls heard with every visitor whom another process tells of, until
	// ctx ends. One call comes after the other.
	Hear(ctx context.Context, heard func(visitor string))
}

var schemePattern = regexp.MustCompile(`^[a-z][a-z0-9+.-]{0,15}$`)

// Option is something that only some stores want to know.
type Option func(*options)

type options struct{ redisPrefix string }

// WithRedisPrefix makes the keys of a store in Redis begin with prefix. The
// default is [DefaultRedisPrefix].
func WithRedisPrefix(prefix string) Option { return func(o *options) { o.redisPrefix = prefix } }

const kinds = "write memory:, sqlite:PATH, redis://… or rediss://…"

// Open opens the store that url names: "memory:" for one that ends with the
// process, "sqlite:PATH" for a file, "redis:" or "rediss:" as [OpenRedis] takes
// them. No error shows more of url than its scheme or the path of a file, since
// the rest may hold a password.
func Open(ctx context.Context, url string, opts ...Option) (Store, error) {
	o := options{redisPrefix: DefaultRedisPrefix}
	for _, opt := range opts {
		opt(&o)
	}
	scheme, rest, ok := strings.Cut(url, ":")
	switch {
	case !ok:
		return nil, errors.New("store: " + kinds)
	case scheme == "memory" && rest == "":
		return NewMemory(), nil
	case scheme == "memory":
		return nil, errors.New("store: memory: takes nothing after the colon")
	case scheme == "sqlite":
		s, err := OpenSQLite(ctx, rest)
		if err != nil {
			return nil, err
		}
		return s, nil
	case scheme == "redis", scheme == "rediss":
		s, err := OpenRedis(ctx, url, o.redisPrefix)
		if err != nil {
			return nil, err
		}
		return s, nil
	case schemePattern.MatchString(scheme):
		return nil, fmt.Errorf("store: %s: is not supported, %s", scheme, kinds)
	default:
		return nil, errors.New("store: unknown kind, " + kinds)
	}
}

// Valid returns what is wrong with url as it is written. Nothing is opened.
func Valid(url string, opts ...Option) error {
	o := options{redisPrefix: DefaultRedisPrefix}
	for _, opt := range opts {
		opt(&o)
	}
	scheme, rest, _ := strings.Cut(url, ":")
	switch {
	case url == "memory:":
		return nil
	case scheme == "sqlite" && rest != "":
		return nil // its file is looked at when it is opened
	case scheme == "redis", scheme == "rediss":
		s, err := newRedis(url, o.redisPrefix)
		if err != nil {
			return err
		}
		return s.Close()
	default:
		return errors.New(kinds)
	}
}

// unavailable is the error of a call whose context has ended: because nobody
// wants its result any more, or because the backend took too long.
func unavailable(ctx context.Context, doing string) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("store: %s: %w: %w", doing, ErrUnavailable, ctx.Err())
	}
	return fmt.Errorf("store: %s: %w", doing, ctx.Err())
}

// newVersion returns a version no row had before. Versions are random, not
// counted, so that a row which was deleted and stored again never returns to a
// version that someone still holds.
func newVersion() int64 {
	var b [8]byte
	rand.Read(b[:])                                    // never fails: see crypto/rand
	return int64(binary.BigEndian.Uint64(b[:])>>1 | 1) //nolint:gosec // the shift leaves 63 bits
}

// millis cuts t to what every store can keep.
func millis(t time.Time) time.Time { return time.UnixMilli(t.UnixMilli()).UTC() }
