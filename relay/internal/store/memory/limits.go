package memory

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/store"
)

// Take implements [store.Store].
func (m *Store) Take(ctx context.Context, key string, n, limit int, window time.Duration) (time.Duration, error) {
	if err := m.begin(ctx); err != nil {
		return 0, err
	}
	defer m.mu.Unlock()
	now := time.Now()
	q, passed := m.quota(key, window, now)
	if wait := q.Wait(passed, n, limit); wait > 0 {
		return wait, nil
	}
	q.Add(n)
	m.quotas.put(key, q, q.Expires(), now)
	return 0, nil
}

// Look implements [store.Store].
func (m *Store) Look(ctx context.Context, key string, n, limit int, window time.Duration) (time.Duration, error) {
	if err := m.begin(ctx); err != nil {
		return 0, err
	}
	defer m.mu.Unlock()
	q, passed := m.quota(key, window, time.Now())
	return q.Wait(passed, n, limit), nil
}

// GiveBack implements [store.Store].
func (m *Store) GiveBack(ctx context.Context, key string, n int, window time.Duration) error {
	if err := m.begin(ctx); err != nil {
		return err
	}
	defer m.mu.Unlock()
	now := time.Now()
	q, _ := m.quota(key, window, now)
	q.Give(n)
	m.quotas.put(key, q, q.Expires(), now)
	return nil
}

// Count implements [store.Store].
func (m *Store) Count(ctx context.Context, key string, n, limit int, until time.Time) (int, bool, error) {
	if err := m.begin(ctx); err != nil {
		return 0, false, err
	}
	defer m.mu.Unlock()
	now := time.Now()
	if !until.After(now) {
		return 0, false, store.ErrExpired
	}
	was, _ := m.counters.get(key, now)
	total, ok := store.Sum(was, n, limit)
	if total != was {
		m.counters.put(key, total, until, now)
	}
	return total, ok, nil
}

func (m *Store) quota(key string, window time.Duration, now time.Time) (store.Quota, int64) {
	q, _ := m.quotas.get(key, now)
	return q.At(now, window)
}

// Admit implements [store.Store].
func (m *Store) Admit(ctx context.Context, visitor string, rank int64, limit int, ttl time.Duration) (int64, bool, error) {
	if err := m.begin(ctx); err != nil {
		return 0, false, err
	}
	defer m.mu.Unlock()
	if ttl <= 0 {
		return 0, false, store.ErrExpired
	}
	ticket := m.admit(visitor, rank, limit, ttl)
	return ticket, ticket > 0, nil
}

// AdmitAll implements [store.Store].
func (m *Store) AdmitAll(ctx context.Context, all []store.Awake, ttl time.Duration) ([]int64, error) {
	if err := m.begin(ctx); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	if ttl <= 0 {
		return nil, store.ErrExpired
	}
	tickets := make([]int64, len(all))
	for i, a := range all {
		tickets[i] = m.admit(a.Visitor, a.Rank, 0, ttl)
	}
	return tickets, nil
}

// admit returns the sandbox's ticket, or 0 if the limit is reached.
func (m *Store) admit(visitor string, rank int64, limit int, ttl time.Duration) int64 {
	now := time.Now()
	m.awake.sweep(now)
	a, counted := m.awake.get(visitor, now)
	if !counted {
		if limit > 0 && len(m.awake.rows) >= limit {
			return 0
		}
		m.ticket++
		a = store.Awake{Visitor: visitor, Ticket: m.ticket}
	}
	a.Rank = rank
	m.awake.put(visitor, a, now.Add(ttl), now)
	return a.Ticket
}

// Leave implements [store.Store].
func (m *Store) Leave(ctx context.Context, visitor string, ticket int64) error {
	if err := m.begin(ctx); err != nil {
		return err
	}
	defer m.mu.Unlock()
	if a, counted := m.awake.get(visitor, time.Now()); counted && a.Ticket == ticket {
		m.awake.remove(visitor)
	}
	return nil
}

// Idlest implements [store.Store].
func (m *Store) Idlest(ctx context.Context, below int64, n int) ([]store.Awake, error) {
	if err := m.begin(ctx); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	m.awake.sweep(time.Now())
	var all []store.Awake
	for _, r := range m.awake.rows {
		if r.value.Rank < below {
			all = append(all, r.value)
		}
	}
	slices.SortFunc(all, func(a, b store.Awake) int { return cmp.Compare(a.Rank, b.Rank) })
	return all[:min(n, len(all))], nil
}

// CountAwake implements [store.Store].
func (m *Store) CountAwake(ctx context.Context) (int, error) {
	if err := m.begin(ctx); err != nil {
		return 0, err
	}
	defer m.mu.Unlock()
	m.awake.sweep(time.Now())
	return len(m.awake.rows), nil
}

// Shared implements [store.Store].
func (m *Store) Shared() bool { return false }
