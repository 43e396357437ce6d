// Package memory is a [store.Store] that keeps its rows in this process and loses
// them when the process ends.
package memory

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/store"
)

// Store is a [store.Store] in memory. Use [New]; the zero value is not ready.
type Store struct {
	mu       sync.Mutex // guards all fields; held for the map operations of one call
	closed   bool
	tokens   table[string, []byte]
	sessions table[string, store.Session]
	notes    table[noteKey, *noteRow]
	records  table[recordKey, store.Record]
	leases   table[string, lease]
	quotas   table[string, store.Quota]
	counters table[string, int]
	awake    table[string, store.Awake]

	lists   map[string]map[noteList]*noteIndex // the rows of notes, by visitor
	kinds   map[string]*recordKind             // the rows of records, by kind
	changes int64                              // notes begun or saved so far
	fence   int64                              // the last fence given out
	ticket  int64                              // the last ticket given out
}

// New returns an empty store.
func New() *Store {
	m := &Store{
		tokens:   newTable[string, []byte](),
		sessions: newTable[string, store.Session](),
		notes:    newTable[noteKey, *noteRow](),
		records:  newTable[recordKey, store.Record](),
		leases:   newTable[string, lease](),
		quotas:   newTable[string, store.Quota](),
		counters: newTable[string, int](),
		awake:    newTable[string, store.Awake](),
		lists:    make(map[string]map[noteList]*noteIndex),
		kinds:    make(map[string]*recordKind),
	}
	m.notes.removed = m.unlist
	m.records.removed = m.unlistRecord
	return m
}

// begin locks the store for one call, unless ctx has ended or the store is closed.
func (m *Store) begin(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return store.ErrClosed
	}
	return nil
}

// Find implements scs.Store.
func (m *Store) Find(token string) ([]byte, bool, error) {
	return m.FindCtx(context.Background(), token)
}

// FindCtx implements scs.CtxStore.
func (m *Store) FindCtx(ctx context.Context, token string) ([]byte, bool, error) {
	if err := m.begin(ctx); err != nil {
		return nil, false, err
	}
	defer m.mu.Unlock()
	b, ok := m.tokens.get(token, time.Now())
	return slices.Clone(b), ok, nil
}

// Commit implements scs.Store.
func (m *Store) Commit(token string, b []byte, expiry time.Time) error {
	return m.CommitCtx(context.Background(), token, b, expiry)
}

// CommitCtx implements scs.CtxStore.
func (m *Store) CommitCtx(ctx context.Context, token string, b []byte, expiry time.Time) error {
	if err := m.begin(ctx); err != nil {
		return err
	}
	defer m.mu.Unlock()
	now := time.Now()
	expiry = store.Millis(expiry)
	if !expiry.After(now) {
		return store.ErrExpired
	}
	m.tokens.put(token, slices.Clone(b), expiry, now)
	return nil
}

// Delete implements scs.Store.
func (m *Store) Delete(token string) error {
	return m.DeleteCtx(context.Background(), token)
}

// DeleteCtx implements scs.CtxStore.
func (m *Store) DeleteCtx(ctx context.Context, token string) error {
	if err := m.begin(ctx); err != nil {
		return err
	}
	defer m.mu.Unlock()
	m.tokens.remove(token)
	return nil
}

// Session implements [store.Store].
func (m *Store) Session(ctx context.Context, visitor string) (store.Session, error) {
	if err := m.begin(ctx); err != nil {
		return store.Session{}, err
	}
	defer m.mu.Unlock()
	s, _ := m.sessions.get(visitor, time.Now())
	s.Visitor = visitor
	return s, nil
}

// SaveSession implements [store.Store].
func (m *Store) SaveSession(ctx context.Context, s store.Session) (store.Session, error) {
	if err := m.begin(ctx); err != nil {
		return store.Session{}, err
	}
	defer m.mu.Unlock()
	now := time.Now()
	s.ExpiresAt = store.Millis(s.ExpiresAt)
	if !s.ExpiresAt.After(now) {
		return store.Session{}, store.ErrExpired
	}
	if old, _ := m.sessions.get(s.Visitor, now); old.Version != s.Version {
		return store.Session{}, store.ErrConflict
	}
	s.UpdatedAt = store.Millis(now)
	s.Version = store.NewVersion()
	m.sessions.put(s.Visitor, s, s.ExpiresAt, now)
	return s, nil
}

// Forget implements [store.Store].
func (m *Store) Forget(ctx context.Context, visitor string) error {
	if err := m.begin(ctx); err != nil {
		return err
	}
	defer m.mu.Unlock()
	m.sessions.remove(visitor)
	m.forgetNotes(visitor)
	return nil
}

// Ping implements [store.Store].
func (m *Store) Ping(ctx context.Context) error {
	if err := m.begin(ctx); err != nil {
		return err
	}
	m.mu.Unlock()
	return nil
}

// Scrub implements [store.Store]. There are no files.
func (m *Store) Scrub(ctx context.Context) error { return m.Ping(ctx) }

// Close implements [store.Store]. It drops all rows.
func (m *Store) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	m.tokens, m.sessions, m.leases = newTable[string, []byte](), newTable[string, store.Session](), newTable[string, lease]()
	m.notes, m.lists = newTable[noteKey, *noteRow](), nil
	m.records, m.kinds = newTable[recordKey, store.Record](), nil
	m.quotas, m.awake = newTable[string, store.Quota](), newTable[string, store.Awake]()
	return nil
}
