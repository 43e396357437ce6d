package store

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

const quotaQuery = `SELECT start, now, last FROM quotas WHERE key = ? AND expires_at > ?`

// Take implements [Store].
func (s *SQLite) Take(ctx context.Context, key string, n, limit int, window time.Duration) (wait time.Duration, err error) {
	err = s.changeQuota(ctx, key, window, func(q *quota, gone int64) bool {
		if wait = q.wait(gone, n, limit); wait > 0 {
			return false
		}
		q.now += int64(n)
		return true
	})
	return wait, s.wrap(ctx, "take of a quota", err)
}

// Look implements [Store].
func (s *SQLite) Look(ctx context.Context, key string, n, limit int, window time.Duration) (time.Duration, error) {
	now := time.Now()
	q, gone, err := readQuota(s.quota.QueryRowContext(ctx, key, now.UnixMilli()), window, now)
	if err != nil {
		return 0, s.wrap(ctx, "look at a quota", err)
	}
	return q.wait(gone, n, limit), nil
}

// GiveBack implements [Store].
func (s *SQLite) GiveBack(ctx context.Context, key string, n int, window time.Duration) error {
	err := s.changeQuota(ctx, key, window, func(q *quota, _ int64) bool {
		q.give(n)
		return true
	})
	return s.wrap(ctx, "give back to a quota", err)
}

// changeQuota keeps what change makes of a quota, unless it returns false.
func (s *SQLite) changeQuota(ctx context.Context, key string, window time.Duration, change func(q *quota, gone int64) bool) error {
	if err := s.sweep(ctx, time.Now()); err != nil {
		return err
	}
	return s.atomically(ctx, func(tx *sql.Tx) error {
		now := time.Now() // we have the lock: waiting for it took time
		q, gone, err := readQuota(tx.QueryRowContext(ctx, quotaQuery, key, now.UnixMilli()), window, now)
		if err != nil || !change(&q, gone) {
			return err
		}
		_, err = tx.StmtContext(ctx, s.saveQuota).ExecContext(ctx, key, q.start, q.now, q.last, q.expires().UnixMilli())
		return err
	})
}

func readQuota(row *sql.Row, window time.Duration, now time.Time) (quota, int64, error) {
	var q quota
	if err := row.Scan(&q.start, &q.now, &q.last); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return q, 0, err
	}
	q, gone := q.at(now, window)
	return q, gone, nil
}

// Admit implements [Store].
func (s *SQLite) Admit(ctx context.Context, visitor string, rank int64, limit int, ttl time.Duration) (ticket int64, ok bool, err error) {
	if ttl <= 0 {
		return 0, false, ErrExpired
	}
	if err = s.sweep(ctx, time.Now()); err != nil {
		return 0, false, s.wrap(ctx, "admit", err)
	}
	err = s.atomically(ctx, func(tx *sql.Tx) error {
		now := time.Now() // we have the lock: waiting for it took time
		expires := now.Add(max(ttl, time.Millisecond)).UnixMilli()
		if _, err := tx.ExecContext(ctx, `DELETE FROM awake WHERE expires_at <= ?`, now.UnixMilli()); err != nil {
			return err
		}
		err := tx.QueryRowContext(ctx, `UPDATE awake SET rank = ?, expires_at = ? WHERE visitor = ? RETURNING ticket`,
			rank, expires, visitor).Scan(&ticket)
		if ok = err == nil; !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if limit > 0 {
			var n int
			err := tx.QueryRowContext(ctx, `SELECT count(*) FROM awake`).Scan(&n)
			if err != nil || n >= limit {
				return err
			}
		}
		ok = true
		return tx.QueryRowContext(ctx, `INSERT INTO awake (visitor, rank, expires_at) VALUES (?, ?, ?) RETURNING ticket`,
			visitor, rank, expires).Scan(&ticket)
	})
	if err != nil {
		return 0, false, s.wrap(ctx, "admit", err)
	}
	return ticket, ok, nil
}

// Leave implements [Store].
func (s *SQLite) Leave(ctx context.Context, visitor string, ticket int64) error {
	_, err := s.write.ExecContext(ctx, `DELETE FROM awake WHERE visitor = ? AND ticket = ?`, visitor, ticket)
	return s.wrap(ctx, "leave", err)
}

// Idlest implements [Store].
func (s *SQLite) Idlest(ctx context.Context, below int64, n int) ([]Awake, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT visitor, rank, ticket FROM awake
		WHERE rank < ? AND expires_at > ? ORDER BY rank LIMIT ?`, below, time.Now().UnixMilli(), n)
	if err != nil {
		return nil, s.wrap(ctx, "find the idlest", err)
	}
	defer rows.Close()
	var all []Awake
	for rows.Next() {
		var a Awake
		if err := rows.Scan(&a.Visitor, &a.Rank, &a.Ticket); err != nil {
			return nil, s.wrap(ctx, "find the idlest", err)
		}
		all = append(all, a)
	}
	return all, s.wrap(ctx, "find the idlest", rows.Err())
}

// CountAwake implements [Store].
func (s *SQLite) CountAwake(ctx context.Context) (n int, err error) {
	err = s.read.QueryRowContext(ctx, `SELECT count(*) FROM awake WHERE expires_at > ?`, time.Now().UnixMilli()).Scan(&n)
	return n, s.wrap(ctx, "count the awake", err)
}

// Shared implements [Store]. The processes are of one machine, and a write for
// every request would be dear.
func (s *SQLite) Shared() bool { return false }
