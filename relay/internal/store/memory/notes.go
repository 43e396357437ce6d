package memory

import (
	"cmp"
	"container/list"
	"context"
	"slices"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/store"
)

type noteKey struct{ visitor, kind, key string }

// noteList identifies the notes of one kind and epoch of a visitor.
type noteList struct {
	kind  string
	epoch int64
}

// noteIndex has the notes of one kind and epoch of a visitor in two orders.
type noteIndex struct {
	changes *list.List // by changed, latest last
	places  []*noteRow // by Place, then by begun
}

func comparePlaces(a, b *noteRow) int {
	return cmp.Or(cmp.Compare(a.Place, b.Place), cmp.Compare(a.begun, b.begun))
}

// noteRow is a note and its place in the index of its kind and epoch.
type noteRow struct {
	store.Note
	begun   int64 // value of Store.changes when the note was begun
	changed int64 // the same, when it was begun or saved last
	list    noteList
	element *list.Element
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
	m.notes.remove(k) // an expired row, which put would keep listed
	n.CreatedAt = store.Millis(now)
	n.Version = store.NewVersion()
	m.changes++
	row := &noteRow{Note: n, begun: m.changes, changed: m.changes}
	m.notes.put(k, row, n.ExpiresAt, now)
	m.enlist(row)
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
	k := noteKey{n.Visitor, n.Kind, n.Key}
	row, ok := m.notes.get(k, now)
	switch {
	case !ok:
		return store.Note{}, store.ErrNotFound
	case row.Version != n.Version:
		return store.Note{}, store.ErrConflict
	}
	n.CreatedAt = row.CreatedAt
	n.Version = store.NewVersion()
	m.changes++
	m.unlist(row)
	row.Note, row.changed = n, m.changes
	m.enlist(row)
	m.notes.put(k, row, n.ExpiresAt, now)
	return n, nil
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
	notes, _, err := m.NotesSince(ctx, visitor, kind, epoch, 0)
	return notes, err
}

// NotesSince implements [store.Store].
func (m *Store) NotesSince(ctx context.Context, visitor, kind string, epoch, since int64) ([]store.Note, int64, error) {
	if err := m.begin(ctx); err != nil {
		return nil, 0, err
	}
	defer m.mu.Unlock()
	if since > m.changes {
		since = 0
	}
	l := m.lists[visitor][noteList{kind, epoch}]
	if l == nil {
		return nil, m.changes, nil
	}
	now := time.Now()
	var rows []*noteRow
	for e := l.changes.Back(); e != nil; e = e.Prev() {
		row := e.Value.(*noteRow)
		if row.changed <= since {
			break
		}
		if row.ExpiresAt.After(now) {
			rows = append(rows, row)
		}
	}
	slices.SortFunc(rows, func(a, b *noteRow) int { return cmp.Compare(a.begun, b.begun) })
	notes := make([]store.Note, len(rows))
	for i, row := range rows {
		notes[i] = row.Note
	}
	return notes, m.changes, nil
}

// NotesAt implements [store.Store].
func (m *Store) NotesAt(ctx context.Context, visitor, kind string, epoch, from, to int64, limit int) ([]store.Note, int64, error) {
	if err := m.begin(ctx); err != nil {
		return nil, 0, err
	}
	defer m.mu.Unlock()
	l := m.lists[visitor][noteList{kind, epoch}]
	if l == nil {
		return nil, m.changes, nil
	}
	now := time.Now()
	var notes []store.Note
	at, _ := slices.BinarySearchFunc(l.places, from, func(row *noteRow, place int64) int { return cmp.Compare(row.Place, place) })
	for _, row := range l.places[at:] {
		if row.Place >= to || len(notes) == limit {
			break
		}
		if row.ExpiresAt.After(now) {
			notes = append(notes, row.Note)
		}
	}
	return notes, m.changes, nil
}

// enlist adds row to the index of its kind and epoch.
func (m *Store) enlist(row *noteRow) {
	lists := m.lists[row.Visitor]
	if lists == nil {
		lists = make(map[noteList]*noteIndex)
		m.lists[row.Visitor] = lists
	}
	row.list = noteList{row.Kind, row.Epoch}
	l := lists[row.list]
	if l == nil {
		l = &noteIndex{changes: list.New()}
		lists[row.list] = l
	}
	row.element = l.changes.PushBack(row)
	at, _ := slices.BinarySearchFunc(l.places, row, comparePlaces)
	l.places = slices.Insert(l.places, at, row)
}

// unlist removes row from its index, and an index that has become empty. The row must not
// have changed since it was added.
func (m *Store) unlist(row *noteRow) {
	lists := m.lists[row.Visitor]
	l := lists[row.list]
	l.changes.Remove(row.element)
	if at, found := slices.BinarySearchFunc(l.places, row, comparePlaces); found {
		l.places = slices.Delete(l.places, at, at+1)
	}
	if l.changes.Len() > 0 {
		return
	}
	if delete(lists, row.list); len(lists) == 0 {
		delete(m.lists, row.Visitor)
	}
}

// forgetNotes deletes the visitor's notes.
func (m *Store) forgetNotes(visitor string) {
	for _, l := range m.lists[visitor] {
		m.removeNotes(l)
	}
}

// ForgetEpoch implements [store.Store].
func (m *Store) ForgetEpoch(ctx context.Context, visitor string, epoch int64) error {
	if err := m.begin(ctx); err != nil {
		return err
	}
	defer m.mu.Unlock()
	for list, l := range m.lists[visitor] {
		if list.epoch == epoch {
			m.removeNotes(l)
		}
	}
	return nil
}

func (m *Store) removeNotes(l *noteIndex) {
	for e := l.changes.Front(); e != nil; {
		row := e.Value.(*noteRow)
		e = e.Next()
		m.notes.remove(noteKey{row.Visitor, row.Kind, row.Key})
	}
}
