package memory

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/anyframe-relay/relay/relay/store"
)

type noteKey struct{ visitor, kind, key string }

type memoryNote struct {
	store.Note
	order int64
}

// BeginNote implements [store.Store].
func (m *Store) BeginNote(ctx context.Context, n store.Note) (store.Note, bool, error) {
	if err := m.begin(ctx); err != nil {
		return store.Note{}, false, err
	}
	defer m.mu.Unlock()
	now := time.Now()
	n.ExpiresAt = store.Millis(n.ExpiresAt)
	if !n.ExpiresAt.After(now) {
		return store.Note{}, false, store.ErrExpired
	}
	k := noteKey{n.Visitor, n.Kind, n.Key}
	if old, ok := m.notes.get(k, now); ok {
		return old.Note, false, nil
	}
	m.notes.remove(k) // an expired one, so that put does not leave it listed
	n.CreatedAt = store.Millis(now)
	n.Version = store.NewVersion()
	m.begun++
	row := &memoryNote{n, m.begun}
	m.notes.put(k, row, n.ExpiresAt, now)
	if m.byVisitor[n.Visitor] == nil {
		m.byVisitor[n.Visitor] = make(map[noteKey]*memoryNote)
	}
	m.byVisitor[n.Visitor][k] = row
	return n, true, nil
}

// SaveNote implements [store.Store].
func (m *Store) SaveNote(ctx context.Context, n store.Note) (store.Note, error) {
	if err := m.begin(ctx); err != nil {
		return store.Note{}, err
	}
	defer m.mu.Unlock()
	now := time.Now()
	n.ExpiresAt = store.Millis(n.ExpiresAt)
	if !n.ExpiresAt.After(now) {
		return store.Note{}, store.ErrExpired
	}
	row, err := m.noteAt(n, now)
	if err != nil {
		return store.Note{}, err
	}
	n.CreatedAt = row.CreatedAt
	n.Version = store.NewVersion()
	row.Note = n
	m.notes.put(noteKey{n.Visitor, n.Kind, n.Key}, row, n.ExpiresAt, now)
	return n, nil
}

// noteAt returns the row that n names if it is at n.Version.
func (m *Store) noteAt(n store.Note, now time.Time) (*memoryNote, error) {
	row, ok := m.notes.get(noteKey{n.Visitor, n.Kind, n.Key}, now)
	if !ok {
		return nil, store.ErrNotFound
	}
	if row.Version != n.Version {
		return nil, store.ErrConflict
	}
	return row, nil
}

// Note implements [store.Store].
func (m *Store) Note(ctx context.Context, visitor, kind, key string) (store.Note, error) {
	if err := m.begin(ctx); err != nil {
		return store.Note{}, err
	}
	defer m.mu.Unlock()
	row, ok := m.notes.get(noteKey{visitor, kind, key}, time.Now())
	if !ok {
		return store.Note{}, store.ErrNotFound
	}
	return row.Note, nil
}

// Notes implements [store.Store].
func (m *Store) Notes(ctx context.Context, visitor, kind string, epoch int64) ([]store.Note, error) {
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
	notes := make([]store.Note, len(rows))
	for i, row := range rows {
		notes[i] = row.Note
	}
	return notes, nil
}

// unlist follows a deleted note.
func (m *Store) unlist(k noteKey) {
	delete(m.byVisitor[k.visitor], k)
	if len(m.byVisitor[k.visitor]) == 0 {
		delete(m.byVisitor, k.visitor)
	}
}
