package memory

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/store"
)

type recordKey struct{ kind, key string }

// recordKind is a kind's revision and its records in three orders. Each order is a sorted
// slice of small entries: with a hundred thousand records, moving half of a slice takes
// less time than the rest of a request.
type recordKind struct {
	revision int64
	keys     []string
	owned    []ownedKey
	due      []dueKey
}

type ownedKey struct{ owner, key string }

func compareOwned(a, b ownedKey) int {
	return cmp.Or(cmp.Compare(a.owner, b.owner), cmp.Compare(a.key, b.key))
}

type dueKey struct {
	due int64 // in milliseconds
	key string
}

func compareDue(a, b dueKey) int { return cmp.Or(cmp.Compare(a.due, b.due), cmp.Compare(a.key, b.key)) }

// never is the expiry, in the table, of a record that is kept until it is deleted.
var never = time.Unix(1<<40, 0)

// Record implements [store.Store].
func (m *Store) Record(ctx context.Context, kind, key string) (store.Record, error) {
	if err := m.begin(ctx); err != nil {
		return store.Record{}, err
	}
	defer m.mu.Unlock()
	r, ok := m.records.get(recordKey{kind, key}, time.Now())
	if !ok {
		return store.Record{}, store.ErrNotFound
	}
	return r, nil
}

// SaveRecord implements [store.Store].
func (m *Store) SaveRecord(ctx context.Context, r store.Record) (store.Record, error) {
	if err := m.begin(ctx); err != nil {
		return store.Record{}, err
	}
	defer m.mu.Unlock()
	now := time.Now()
	had := r.Version
	r, err := r.Ready(now)
	if err != nil {
		return store.Record{}, err
	}
	k := recordKey{r.Kind, r.Key}
	if old, _ := m.records.get(k, now); old.Version != had {
		return store.Record{}, store.ErrConflict
	}
	m.records.remove(k) // from the orders as well, expired or not
	expires := r.ExpiresAt
	if expires.IsZero() {
		expires = never
	}
	m.records.put(k, r, expires, now)
	m.enlistRecord(r)
	return r, nil
}

// DeleteRecord implements [store.Store].
func (m *Store) DeleteRecord(ctx context.Context, kind, key string, version int64) error {
	if err := m.begin(ctx); err != nil {
		return err
	}
	defer m.mu.Unlock()
	k := recordKey{kind, key}
	switch old, ok := m.records.get(k, time.Now()); {
	case !ok:
		return nil
	case old.Version != version:
		return store.ErrConflict
	}
	m.records.remove(k)
	m.kinds[kind].revision++
	return nil
}

// Records implements [store.Store].
func (m *Store) Records(ctx context.Context, kind, after string, limit int) ([]store.Record, error) {
	return m.list(ctx, kind, limit, func(k *recordKind, take func(key string) bool) {
		at, found := slices.BinarySearch(k.keys, after)
		if found {
			at++
		}
		for _, key := range k.keys[at:] {
			if !take(key) {
				return
			}
		}
	})
}

// RecordsOf implements [store.Store].
func (m *Store) RecordsOf(ctx context.Context, kind, owner, after string, limit int) ([]store.Record, error) {
	return m.list(ctx, kind, limit, func(k *recordKind, take func(key string) bool) {
		at, found := slices.BinarySearchFunc(k.owned, ownedKey{owner, after}, compareOwned)
		if found {
			at++
		}
		for _, o := range k.owned[at:] {
			if o.owner != owner || !take(o.key) {
				return
			}
		}
	})
}

// RecordsDue implements [store.Store].
func (m *Store) RecordsDue(ctx context.Context, kind string, until time.Time, limit int) ([]store.Record, error) {
	return m.list(ctx, kind, limit, func(k *recordKind, take func(key string) bool) {
		for _, d := range k.due {
			if d.due > until.UnixMilli() || !take(d.key) {
				return
			}
		}
	})
}

// RecordsLatest implements [store.Store].
func (m *Store) RecordsLatest(ctx context.Context, kind string, due time.Time, key string, limit int) ([]store.Record, error) {
	return m.list(ctx, kind, limit, func(k *recordKind, take func(key string) bool) {
		at := len(k.due)
		if !due.IsZero() {
			at, _ = slices.BinarySearchFunc(k.due, dueKey{due.UnixMilli(), key}, compareDue)
		}
		for _, d := range slices.Backward(k.due[:at]) {
			if !take(d.key) {
				return
			}
		}
	})
}

// list returns the unexpired records among those that walk passes to take, until take
// returns false.
func (m *Store) list(ctx context.Context, kind string, limit int, walk func(k *recordKind, take func(key string) bool)) ([]store.Record, error) {
	if err := m.begin(ctx); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	k := m.kinds[kind]
	if k == nil || limit <= 0 {
		return nil, nil
	}
	now := time.Now()
	var found []store.Record
	walk(k, func(key string) bool {
		if r, ok := m.records.get(recordKey{kind, key}, now); ok {
			found = append(found, r)
		}
		return len(found) < limit
	})
	return found, nil
}

// CountRecords implements [store.Store].
func (m *Store) CountRecords(ctx context.Context, kind string, until time.Time) (int, error) {
	if err := m.begin(ctx); err != nil {
		return 0, err
	}
	defer m.mu.Unlock()
	k := m.kinds[kind]
	switch {
	case k == nil:
		return 0, nil
	case until.IsZero():
		return len(k.keys), nil
	}
	n, _ := slices.BinarySearchFunc(k.due, dueKey{until.UnixMilli() + 1, ""}, compareDue)
	return n, nil
}

// RecordsRevision implements [store.Store].
func (m *Store) RecordsRevision(ctx context.Context, kind string) (int64, error) {
	if err := m.begin(ctx); err != nil {
		return 0, err
	}
	defer m.mu.Unlock()
	if k := m.kinds[kind]; k != nil {
		return k.revision, nil
	}
	return 0, nil
}

// enlistRecord adds a record to the orders of its kind.
func (m *Store) enlistRecord(r store.Record) {
	k := m.kinds[r.Kind]
	if k == nil {
		k = &recordKind{}
		m.kinds[r.Kind] = k
	}
	k.revision++
	k.keys = enter(k.keys, r.Key, cmp.Compare[string])
	k.owned = enter(k.owned, ownedKey{r.Owner, r.Key}, compareOwned)
	if !r.Due.IsZero() {
		k.due = enter(k.due, dueKey{r.Due.UnixMilli(), r.Key}, compareDue)
	}
}

// unlistRecord removes a record from the orders of its kind. The kind stays, with its
// revision.
func (m *Store) unlistRecord(r store.Record) {
	k := m.kinds[r.Kind]
	k.keys = leave(k.keys, r.Key, cmp.Compare[string])
	k.owned = leave(k.owned, ownedKey{r.Owner, r.Key}, compareOwned)
	if !r.Due.IsZero() {
		k.due = leave(k.due, dueKey{r.Due.UnixMilli(), r.Key}, compareDue)
	}
}

func enter[T any](sorted []T, v T, compare func(a, b T) int) []T {
	at, _ := slices.BinarySearchFunc(sorted, v, compare)
	return slices.Insert(sorted, at, v)
}

func leave[T any](sorted []T, v T, compare func(a, b T) int) []T {
	if at, found := slices.BinarySearchFunc(sorted, v, compare); found {
		return slices.Delete(sorted, at, at+1)
	}
	return sorted
}
