package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/store"
)

const quotaQuery = `SELECT start, now, last FROM quotas WHERE key = ? AND expires_at > ?`

// Take implements [store.Store].
func (s *Store) Take(ctx context.Context, key string, n, limit int, window time.Duration) (wait time.Duration, err error) {
	err = s.changeQuota(ctx, key, window, func(q *store.Quota, passed int64) bool {
		if wait = q.Wait(passed, n, limit); wait > 0 {
			return false
		}
		q.Add(n)
		return true
	})
	return wait, s.wrap(ctx, "take of a quota", err)
}

// Look implements [store.Store].
func (s *Store) Look(ctx context.Context, key string, n, limit int, window time.Duration) (time.Duration, error) {
	now := time.Now()
	q, passed, err := readQuota(s.quota.QueryRowContext(ctx, key, now.UnixMilli()), window, now)
	if err != nil {
		return 0, s.wrap(ctx, "look at a quota", err)
	}
	return q.Wait(passed, n, limit), nil
}

// GiveBack implements [store.Store].
func (s *Store) GiveBack(ctx context.Context, key string, n int, window time.Duration) error {
	err := s.changeQuota(ctx, key, window, func(q *store.Quota, _ int64) bool {
		q.Give(n)
		return true
	})
	return s.wrap(ctx, "give back to a quota", err)
}

// changeQuota stores the quota that change returns true for.
func (s *Store) changeQuota(ctx context.Context, key string, window time.Duration, change func(q *store.Quota, passed int64) bool) error {
	if err := s.sweep(ctx, time.Now()); err != nil {
		return err
	}
	return s.atomically(ctx, func(tx *sql.Tx) error {
		now := time.Now() // read after the lock is taken, which may take time
		q, passed, err := readQuota(tx.QueryRowContext(ctx, quotaQuery, key, now.UnixMilli()), window, now)
		if err != nil || !change(&q, passed) {
			return err
		}
		_, err = tx.StmtContext(ctx, s.saveQuota).ExecContext(ctx, key, q.Start, q.Current, q.Previous, q.Expires().UnixMilli())
		return err
	})
}

// Count implements [store.Store]. A counter is a quota row without a window.
func (s *Store) Count(ctx context.Context, key string, n, limit int, until time.Time) (total int, ok bool, err error) {
	now := time.Now()
	if !until.After(now) {
		return 0, false, store.ErrExpired
	}
	read := func(row *sql.Row) (total int, err error) {
		var start, last int64
		if err = row.Scan(&start, &total, &last); errors.Is(err, sql.ErrNoRows) {
			err = nil
		}
		return total, err
	}
	if n == 0 {
		total, err = read(s.quota.QueryRowContext(ctx, key, now.UnixMilli()))
		return total, err == nil, s.wrap(ctx, "read a counter", err)
	}
	if err := s.sweep(ctx, now); err != nil {
		return 0, false, s.wrap(ctx, "count", err)
	}
	err = s.atomically(ctx, func(tx *sql.Tx) error {
		if total, err = read(tx.QueryRowContext(ctx, quotaQuery, key, time.Now().UnixMilli())); err != nil {
			return err
		}
		if total, ok = store.Sum(total, n, limit); !ok {
			return nil
		}
		_, err = tx.StmtContext(ctx, s.saveQuota).ExecContext(ctx, key, 0, total, 0, until.UnixMilli())
		return err
	})
	if err != nil {
		return 0, false, s.wrap(ctx, "count", err)
	}
	return total, ok, nil
}

func readQuota(row *sql.Row, window time.Duration, now time.Time) (store.Quota, int64, error) {
	var q store.Quota
	if err := row.Scan(&q.Start, &q.Current, &q.Previous); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return q, 0, err
	}
	q, passed := q.At(now, window)
	return q, passed, nil
}

// Admit implements [store.Store].
func (s *Store) Admit(ctx context.Context, visitor string, rank int64, limit int, ttl time.Duration) (ticket int64, ok bool, err error) {
	if ttl <= 0 {
		return 0, false, store.ErrExpired
	}
	now := time.Now()
	if err = s.sweep(ctx, now); err != nil {
		return 0, false, s.wrap(ctx, "admit", err)
	}
	// The sandbox is nearly always counted already; renewing takes one statement.
	err = s.renewAwake.QueryRowContext(ctx, rank, expiry(now, ttl), visitor, now.UnixMilli()).Scan(&ticket)
	if errors.Is(err, sql.ErrNoRows) {
		err = s.atomically(ctx, func(tx *sql.Tx) (err error) {
			ticket, err = s.admit(ctx, tx, store.Awake{Visitor: visitor, Rank: rank}, limit, ttl)
			return err
		})
	}
	if err != nil {
		return 0, false, s.wrap(ctx, "admit", err)
	}
	return ticket, ticket > 0, nil
}

// AdmitAll implements [store.Store].
func (s *Store) AdmitAll(ctx context.Context, all []store.Awake, ttl time.Duration) ([]int64, error) {
	if ttl <= 0 {
		return nil, store.ErrExpired
	}
	if err := s.sweep(ctx, time.Now()); err != nil {
		return nil, s.wrap(ctx, "admit", err)
	}
	rows, err := json.Marshal(all)
	if err != nil {
		return nil, s.wrap(ctx, "admit", err)
	}
	tickets := make([]int64, len(all))
	err = s.atomically(ctx, func(tx *sql.Tx) error {
		counted, err := s.renewAll(ctx, tx, string(rows), ttl)
		if err != nil {
			return err
		}
		for i, a := range all {
			if tickets[i] = counted[a.Visitor]; tickets[i] != 0 {
				continue
			}
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

// renewAll renews those of the sandboxes that are counted, and returns their tickets by
// visitor. The sandboxes are a JSON array of [store.Awake]. One statement for all takes
// half the time of one for each.
func (s *Store) renewAll(ctx context.Context, tx *sql.Tx, sandboxes string, ttl time.Duration) (map[string]int64, error) {
	now := time.Now() // read after the lock is taken
	rows, err := tx.StmtContext(ctx, s.renewAllAwake).QueryContext(ctx, sandboxes, expiry(now, ttl), now.UnixMilli())
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	tickets := map[string]int64{}
	for rows.Next() {
		var visitor string
		var ticket int64
		if err := rows.Scan(&visitor, &ticket); err != nil {
			return nil, err
		}
		tickets[visitor] = ticket
	}
	return tickets, rows.Err()
}

// admit returns the sandbox's ticket, or 0 if the limit is reached.
func (s *Store) admit(ctx context.Context, tx *sql.Tx, a store.Awake, limit int, ttl time.Duration) (ticket int64, err error) {
	now := time.Now() // read after the lock is taken, which may take time
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

// expiry returns when a row that begins at now expires, in milliseconds.
func expiry(now time.Time, ttl time.Duration) int64 {
	return now.Add(max(ttl, time.Millisecond)).UnixMilli()
}

// Leave implements [store.Store].
func (s *Store) Leave(ctx context.Context, visitor string, ticket int64) error {
	_, err := s.write.ExecContext(ctx, `DELETE FROM awake WHERE visitor = ? AND ticket = ?`, visitor, ticket)
	return s.wrap(ctx, "leave", err)
}

// Idlest implements [store.Store].
func (s *Store) Idlest(ctx context.Context, below int64, n int) ([]store.Awake, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT visitor, rank, ticket FROM awake
		WHERE rank < ? AND expires_at > ? ORDER BY rank LIMIT ?`, below, time.Now().UnixMilli(), n)
	if err != nil {
		return nil, s.wrap(ctx, "find the idlest", err)
	}
	defer rows.Close()
	var all []store.Awake
	for rows.Next() {
		var a store.Awake
		if err := rows.Scan(&a.Visitor, &a.Rank, &a.Ticket); err != nil {
			return nil, s.wrap(ctx, "find the idlest", err)
		}
		all = append(all, a)
	}
	return all, s.wrap(ctx, "find the idlest", rows.Err())
}

// CountAwake implements [store.Store].
func (s *Store) CountAwake(ctx context.Context) (n int, err error) {
	err = s.read.QueryRowContext(ctx, `SELECT count(*) FROM awake WHERE expires_at > ?`, time.Now().UnixMilli()).Scan(&n)
	return n, s.wrap(ctx, "count the awake", err)
}

// Shared implements [store.Store]. All processes run on one machine, and a write
// per request would be expensive.
func (s *Store) Shared() bool { return false }
