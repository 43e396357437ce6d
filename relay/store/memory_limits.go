package store

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// Take implements [Store].
func (m *Memory) Take(ctx context.Context, key string, n, limit int, window time.Duration) (time.Duration, error) {
	if err := m.begin(ctx); err != nil {
		return 0, err
	}
	defer m.mu.Unlock()
	now := time.Now()
	q, gone := m.quota(key, window, now)
	if wait := q.wait(gone, n, limit); wait > 0 {
		return wait, nil
	}
	q.now += int64(n)
	m.quotas.put(key, q, q.expires(), now)
	return 0, nil
}

// Look implements [Store].
func (m *Memory) Look(ctx context.Context, key string, n, limit int, window time.Duration) (time.Duration, error) {
	if err := m.begin(ctx); err != nil {
		return 0, err
	}
	defer m.mu.Unlock()
	q, gone := m.quota(key, window, time.Now())
	return q.wait(gone, n, limit), nil
}

// GiveBack implements [Store].
func (m *Memory) GiveBack(ctx context.Context, key string, n int, window time.Duration) error {
	if err := m.begin(ctx); err != nil {
		return err
	}
	defer m.mu.Unlock()
	now := time.Now()
	q, _ := m.quota(key, window, now)
	q.give(n)
	m.quotas.put(key, q, q.expires(), now)
	return nil
}

func (m *Memory) quota(key string, window time.Duration, now time.Time) (quota, int64) {
	q, _ := m.quotas.get(key, now)
	return q.at(now, window)
}

// Admit implements [Store].
func (m *Memory) Admit(ctx context.Context, visitor string, rank int64, limit int, ttl time.Duration) (int64, bool, error) {
	if err := m.begin(ctx); err != nil {
		return 0, false, err
	}
	defer m.mu.Unlock()
	if ttl <= 0 {
		return 0, false, ErrExpired
	}
	ticket := m.admit(visitor, rank, limit, ttl)
	return ticket, ticket > 0, nil
}

// AdmitAll implements [Store].
func (m *Memory) AdmitAll(ctx context.Context, all []Awake, ttl time.Duration) ([]int64, error) {
	if err := m.begin(ctx); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	if ttl <= 0 {
		return nil, ErrExpired
	}
	tickets := make([]int64, len(all))
	for i, a := range all {
		tickets[i] = m.admit(a.Visitor, a.Rank, 0, ttl)
	}
	return tickets, nil
}

// admit returns the sandbox's ticket, 0 if there are too many.
func (m *Memory) admit(visitor string, rank int64, limit int, ttl time.Duration) int64 {
	now := time.Now()
	m.awake.sweep(now)
	a, counted := m.awake.get(visitor, now)
	if !counted {
		if limit > 0 && len(m.awake.rows) >= limit {
			return 0
		}
		m.ticket++
		a = Awake{Visitor: visitor, Ticket: m.ticket}
	}
	a.Rank = rank
	m.awake.put(visitor, a, now.Add(ttl), now)
	return a.Ticket
}

// Leave implements [Store].
func (m *Memory) Leave(ctx context.Context, visitor string, ticket int64) error {
	if err := m.begin(ctx); err != nil {
		return err
	}
	defer m.mu.Unlock()
	if a, counted := m.awake.get(visitor, time.Now()); counted && a.Ticket == ticket {
		m.awake.remove(visitor)
	}
	return nil
}

// Idlest implements [Store].
func (m *Memory) Idlest(ctx context.Context, below int64, n int) ([]Awake, error) {
	if err := m.begin(ctx); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	m.awake.sweep(time.Now())
	var all []Awake
	for _, r := range m.awake.rows {
		if r.value.Rank < below {
			all = append(all, r.value)
		}
	}
	slices.SortFunc(all, func(a, b Awake) int { return cmp.Compare(a.Rank, b.Rank) })
	return all[:min(n, len(all))], nil
}

// CountAwake implements [Store].
func (m *Memory) CountAwake(ctx context.Context) (int, error) {
	if err := m.begin(ctx); err != nil {
		return 0, err
	}
	defer m.mu.Unlock()
	m.awake.sweep(time.Now())
	return len(m.awake.rows), nil
}

// Shared implements [Store].
func (m *Memory) Shared() bool { return false }
