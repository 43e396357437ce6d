package sqlite

import (
	"context"
	"database/sql"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/store"
)

// Acquire implements [store.Store].
func (s *Store) Acquire(ctx context.Context, name, owner string, ttl time.Duration) (fence int64, ok bool, err error) {
	if ttl <= 0 {
		return 0, false, store.ErrExpired
	}
	now := time.Now()
	if err = s.sweep(ctx, now); err != nil {
		return 0, false, s.wrap(ctx, "acquire lease", err)
	}
	err = s.atomically(ctx, func(tx *sql.Tx) error {
		// Read the clock only after taking the lock, which may take time.
		now = time.Now()
		_, err := tx.ExecContext(ctx, `DELETE FROM leases WHERE name = ? AND expires_at <= ?`, name, now.UnixMilli())
		if err != nil {
			return err
		}
		result, err := tx.ExecContext(ctx, `INSERT INTO leases (name, owner, expires_at) VALUES (?, ?, ?)
			ON CONFLICT (name) DO UPDATE SET expires_at = excluded.expires_at WHERE owner = excluded.owner`,
			name, owner, now.Add(max(ttl, time.Millisecond)).UnixMilli())
		if err != nil {
			return err
		}
		changed, err := result.RowsAffected()
		if err != nil || changed == 0 {
			return err
		}
		ok = true
		return tx.QueryRowContext(ctx, `SELECT fence FROM leases WHERE name = ?`, name).Scan(&fence)
	})
	if err != nil {
		return 0, false, s.wrap(ctx, "acquire lease", err)
	}
	return fence, ok, nil
}

// Release implements [store.Store].
func (s *Store) Release(ctx context.Context, name, owner string) error {
	_, err := s.write.ExecContext(ctx, `DELETE FROM leases WHERE name = ? AND owner = ?`, name, owner)
	return s.wrap(ctx, "release lease", err)
}
