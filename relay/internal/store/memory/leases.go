package memory

import (
	"context"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/store"
)

type lease struct {
	owner string
	fence int64
}

// Acquire implements [store.Store].
func (m *Store) Acquire(ctx context.Context, name, owner string, ttl time.Duration) (int64, bool, error) {
	if err := m.begin(ctx); err != nil {
		return 0, false, err
	}
	defer m.mu.Unlock()
	if ttl <= 0 {
		return 0, false, store.ErrExpired
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

// Release implements [store.Store].
func (m *Store) Release(ctx context.Context, name, owner string) error {
	if err := m.begin(ctx); err != nil {
		return err
	}
	defer m.mu.Unlock()
	if l, held := m.leases.get(name, time.Now()); held && l.owner == owner {
		m.leases.remove(name)
	}
	return nil
}
