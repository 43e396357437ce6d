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
	now := time.Now()
	if err = s.sweep(ctx, now); err != nil {
		return 0, false, s.wrap(ctx, "admit", err)
	}
	// Nearly always it is counted already, which takes one statement.
	err = s.renewAwake.QueryRowContext(ctx, rank, expiry(now, ttl), visitor, now.UnixMilli()).Scan(&ticket)
	if errors.Is(err, sql.ErrNoRows) {
		err = s.atomically(ctx, func(tx *sql.Tx) (err error) {
			ticket, err = s.admit(ctx, tx, Awake{Visitor: visitor, Rank: rank}, limit, ttl)
			return err
		})
	}
	if err != nil {
		return 0, false, s.wrap(ctx, "admit", err)
	}
	return ticket, ticket > 0, nil
}

// AdmitAll implements [Store].
func (s *SQLite) AdmitAll(ctx context.Context, all []Awake, ttl time.Duration) ([]int64, error) {
	if ttl <= 0 {
		return nil, ErrExpired
	}
	if err := s.sweep(ctx, time.Now()); err != nil {
		return nil, s.wrap(ctx, "admit", err)
	}
	tickets := make([]int64, len(all))
	err := s.atomically(ctx, func(tx *sql.Tx) (err error) {
		for i, a := range all {
			if tickets[i], err = s.admit(ctx, tx, a, 0, ttl); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, s.wrap(ctx, "admit", err)
	}
	return tickets, nil
}

// admit returns the sandbox's ticket, 0 if there are too many.
func (s *SQLite) admit(ctx context.Context, tx *sql.Tx, a Awake, limit int, ttl time.Duration) (ticket int64, err error) {
	now := time.Now() // we have the lock: waiting for it took time
	expires := expiry(now, ttl)
	err = tx.StmtContext(ctx, s.renewAwake).QueryRowContext(ctx, a.Rank, expires, a.Visitor, now.UnixMilli()).Scan(&ticket)
	if !errors.Is(err, sql.ErrNoRows) {
		return ticket, err
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM awake WHERE expires_at <= ?`, now.UnixMilli()); err != nil {
		return 0, err
	}
	if limit > 0 {
		var n int
		err := tx.QueryRowContext(ctx, `SELECT count(*) FROM awake`).Scan(&n)
		if err != nil || n >= limit {
			return 0, err
		}
	}
	err = tx.QueryRowContext(ctx, `INSERT INTO awake (visitor, rank, expires_at) VALUES (?, ?, ?) RETURNING ticket`,
		a.Visitor, a.Rank, expires).Scan(&ticket)
	return ticket, err
}

// expiry is when what begins now has lasted for ttl, in milliseconds.
func expiry(now time.Time, ttl time.Duration) int64 {
	return now.Add(max(ttl, time.Millisecond)).UnixMilli()
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
