package store

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"
)

// Memory is a [Store] that ends with the process. The zero value is not ready;
// use [NewMemory].
type Memory struct {
	mu       sync.Mutex // held for the few map operations of one call
	closed   bool
	tokens   table[string, []byte]
	sessions table[string, Session]
	notes    table[noteKey, *memoryNote]
	leases   table[string, lease]
	quotas   table[string, quota]
	awake    table[string, Awake]

	byVisitor map[string]map[noteKey]*memoryNote // the rows of notes again
	begun     int64                              // notes begun so far
	fence     int64                              // the last fence given out
	ticket    int64                              // the last ticket given out
}

type noteKey struct{ visitor, kind, key string }

type memoryNote struct {
	Note
	order int64
}

type lease struct {
	owner string
	fence int64
}

// NewMemory returns an empty store.
func NewMemory() *Memory {
	m := &Memory{
		tokens:    newTable[string, []byte](),
		sessions:  newTable[string, Session](),
		notes:     newTable[noteKey, *memoryNote](),
		leases:    newTable[string, lease](),
		quotas:    newTable[string, quota](),
		awake:     newTable[string, Awake](),
		byVisitor: make(map[string]map[noteKey]*memoryNote),
	}
	m.notes.removed = m.unlist
	return m
}

// begin locks the store for one call, unless the call is void already.
func (m *Memory) begin(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return ErrClosed
	}
	return nil
}

// Find implements scs.Store.
func (m *Memory) Find(token string) ([]byte, bool, error) {
	return m.FindCtx(context.Background(), token)
}

// FindCtx implements scs.CtxStore.
func (m *Memory) FindCtx(ctx context.Context, token string) ([]byte, bool, error) {
	if err := m.begin(ctx); err != nil {
		return nil, false, err
	}
	defer m.mu.Unlock()
	b, ok := m.tokens.get(token, time.Now())
	return slices.Clone(b), ok, nil
}

// Commit implements scs.Store.
func (m *Memory) Commit(token string, b []byte, expiry time.Time) error {
	return m.CommitCtx(context.Background(), token, b, expiry)
}

// CommitCtx implements scs.CtxStore.
func (m *Memory) CommitCtx(ctx context.Context, token string, b []byte, expiry time.Time) error {
	if err := m.begin(ctx); err != nil {
		return err
	}
	defer m.mu.Unlock()
	now := time.Now()
	expiry = millis(expiry)
	if !expiry.After(now) {
		return ErrExpired
	}
	m.tokens.put(token, slices.Clone(b), expiry, now)
	return nil
}

// Delete implements scs.Store.
func (m *Memory) Delete(token string) error {
	return m.DeleteCtx(context.Background(), token)
}

// DeleteCtx implements scs.CtxStore.
func (m *Memory) DeleteCtx(ctx context.Context, token string) error {
	if err := m.begin(ctx); err != nil {
		return err
	}
	defer m.mu.Unlock()
	m.tokens.remove(token)
	return nil
}

// Session implements [Store].
func (m *Memory) Session(ctx context.Context, visitor string) (Session, error) {
	if err := m.begin(ctx); err != nil {
		return Session{}, err
	}
	defer m.mu.Unlock()
	s, _ := m.sessions.get(visitor, time.Now())
	s.Visitor = visitor
	return s, nil
}

// SaveSession implements [Store].
func (m *Memory) SaveSession(ctx context.Context, s Session) (Session, error) {
	if err := m.begin(ctx); err != nil {
		return Session{}, err
	}
	defer m.mu.Unlock()
	now := time.Now()
	s.ExpiresAt = millis(s.ExpiresAt)
	if !s.ExpiresAt.After(now) {
		return Session{}, ErrExpired
	}
	if old, _ := m.sessions.get(s.Visitor, now); old.Version != s.Version {
		return Session{}, ErrConflict
	}
	s.UpdatedAt = millis(now)
	s.Version = newVersion()
	m.sessions.put(s.Visitor, s, s.ExpiresAt, now)
	return s, nil
}

// BeginNote implements [Store].
func (m *Memory) BeginNote(ctx context.Context, n Note) (Note, bool, error) {
	if err := m.begin(ctx); err != nil {
		return Note{}, false, err
	}
	defer m.mu.Unlock()
	now := time.Now()
	n.ExpiresAt = millis(n.ExpiresAt)
	if !n.ExpiresAt.After(now) {
		return Note{}, false, ErrExpired
	}
	k := noteKey{n.Visitor, n.Kind, n.Key}
	if old, ok := m.notes.get(k, now); ok {
		return old.Note, false, nil
	}
	m.notes.remove(k) // an expired one, so that put does not leave it listed
	n.CreatedAt = millis(now)
	n.Version = newVersion()
	m.begun++
	row := &memoryNote{n, m.begun}
	m.notes.put(k, row, n.ExpiresAt, now)
	if m.byVisitor[n.Visitor] == nil {
		m.byVisitor[n.Visitor] = make(map[noteKey]*memoryNote)
	}
	m.byVisitor[n.Visitor][k] = row
	return n, true, nil
}

// SaveNote implements [Store].
func (m *Memory) SaveNote(ctx context.Context, n Note) (Note, error) {
	if err := m.begin(ctx); err != nil {
		return Note{}, err
	}
	defer m.mu.Unlock()
	now := time.Now()
	n.ExpiresAt = millis(n.ExpiresAt)
	if !n.ExpiresAt.After(now) {
		return Note{}, ErrExpired
	}
	row, err := m.noteAt(n, now)
	if err != nil {
		return Note{}, err
	}
	n.CreatedAt = row.CreatedAt
	n.Version = newVersion()
	row.Note = n
	m.notes.put(noteKey{n.Visitor, n.Kind, n.Key}, row, n.ExpiresAt, now)
	return n, nil
}

// noteAt returns the row that n names if it is at n.Version.
func (m *Memory) noteAt(n Note, now time.Time) (*memoryNote, error) {
	row, ok := m.notes.get(noteKey{n.Visitor, n.Kind, n.Key}, now)
	if !ok {
		return nil, ErrNotFound
	}
	if row.Version != n.Version {
		return nil, ErrConflict
	}
	return row, nil
}

// Note implements [Store].
func (m *Memory) Note(ctx context.Context, visitor, kind, key string) (Note, error) {
	if err := m.begin(ctx); err != nil {
		return Note{}, err
	}
	defer m.mu.Unlock()
	row, ok := m.notes.get(noteKey{visitor, kind, key}, time.Now())
	if !ok {
		return Note{}, ErrNotFound
	}
	return row.Note, nil
}

// Notes implements [Store].
func (m *Memory) Notes(ctx context.Context, visitor, kind string, epoch int64) ([]Note, error) {
	if err := m.begin(ctx); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	now := time.Now()
	var rows []*memoryNote
	for k, row := range m.byVisitor[visitor] {
		if k.kind == kind && row.Epoch == epoch && row.ExpiresAt.After(now) {
			rows = append(rows, row)
		}
	}
	slices.SortFunc(rows, func(a, b *memoryNote) int { return cmp.Compare(a.order, b.order) })
	notes := make([]Note, len(rows))
	for i, row := range rows {
		notes[i] = row.Note
	}
	return notes, nil
}

// Forget implements [Store].
func (m *Memory) Forget(ctx context.Context, visitor string) error {
	if err := m.begin(ctx); err != nil {
		return err
	}
	defer m.mu.Unlock()
	m.sessions.remove(visitor)
	for k := range m.byVisitor[visitor] {
		m.notes.remove(k)
	}
	return nil
}

// unlist follows a deleted note.
func (m *Memory) unlist(k noteKey) {
	delete(m.byVisitor[k.visitor], k)
	if len(m.byVisitor[k.visitor]) == 0 {
		delete(m.byVisitor, k.visitor)
	}
}

// Acquire implements [Store].
func (m *Memory) Acquire(ctx context.Context, name, owner string, ttl time.Duration) (int64, bool, error) {
	if err := m.begin(ctx); err != nil {
		return 0, false, err
	}
	defer m.mu.Unlock()
	if ttl <= 0 {
		return 0, false, ErrExpired
	}
	now := time.Now()
	l, held := m.leases.get(name, now)
	if held && l.owner != owner {
		return 0, false, nil
	}
	if !held {
		m.fence++
		l = lease{owner, m.fence}
	}
	m.leases.put(name, l, now.Add(ttl), now)
	return l.fence, true, nil
}

// Release implements [Store].
func (m *Memory) Release(ctx context.Context, name, owner string) error {
	if err := m.begin(ctx); err != nil {
		return err
	}
	defer m.mu.Unlock()
	if l, held := m.leases.get(name, time.Now()); held && l.owner == owner {
		m.leases.remove(name)
	}
	return nil
}

// Ping implements [Store].
func (m *Memory) Ping(ctx context.Context) error {
	if err := m.begin(ctx); err != nil {
		return err
	}
	m.mu.Unlock()
	return nil
}

// Close implements [Store]. What was stored is gone.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	m.tokens, m.sessions, m.leases = newTable[string, []byte](), newTable[string, Session](), newTable[string, lease]()
	m.notes, m.byVisitor = newTable[noteKey, *memoryNote](), nil
	m.quotas, m.awake = newTable[string, quota](), newTable[string, Awake]()
	return nil
}
