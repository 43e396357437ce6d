package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"math"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/store"
)

const (
	recordColumns = `kind, key, owner, due, body, updated_at, expires_at, version`

	listRecords = `SELECT ` + recordColumns + ` FROM records WHERE kind = ? AND `

	recordsQuery       = listRecords + `key > ? AND expires_at > ? ORDER BY key LIMIT ?`
	recordsOfQuery     = listRecords + `owner = ? AND key > ? AND expires_at > ? ORDER BY key LIMIT ?`
	recordsDueQuery    = listRecords + `due <= ? AND expires_at > ? ORDER BY due, key LIMIT ?`
	recordsLatestQuery = listRecords + `(due, key) < (?, ?) AND expires_at > ? ORDER BY due DESC, key DESC LIMIT ?`
	countRecordsQuery  = `SELECT count(*) FROM records WHERE kind = ? AND due <= ?`

	// none is stored for a record that is never due, or never expires.
	none = math.MaxInt64
)

func millisOrNone(t time.Time) int64 {
	if t.IsZero() {
		return none
	}
	return t.UnixMilli()
}

func timeOrNone(ms int64) time.Time {
	if ms == none {
		return time.Time{}
	}
	return store.FromMillis(ms)
}

func scanRecord(row interface{ Scan(into ...any) error }) (r store.Record, err error) {
	var due, updated, expires int64
	err = row.Scan(&r.Kind, &r.Key, &r.Owner, &due, &r.Body, &updated, &expires, &r.Version)
	r.Due, r.UpdatedAt, r.ExpiresAt = timeOrNone(due), store.FromMillis(updated), timeOrNone(expires)
	return r, err
}

// Record implements [store.Store].
func (s *Store) Record(ctx context.Context, kind, key string) (store.Record, error) {
	r, err := scanRecord(s.record.QueryRowContext(ctx, kind, key, time.Now().UnixMilli()))
	if errors.Is(err, sql.ErrNoRows) {
		return store.Record{}, store.ErrNotFound
	}
	if err != nil {
		return store.Record{}, s.wrap(ctx, "read record", err)
	}
	return r, nil
}

// SaveRecord implements [store.Store].
func (s *Store) SaveRecord(ctx context.Context, r store.Record) (store.Record, error) {
	now, old := time.Now(), r.Version
	r, err := r.Ready(now)
	if err != nil {
		return store.Record{}, err
	}
	args := []any{r.Kind, r.Key, r.Owner, millisOrNone(r.Due), r.Body, now.UnixMilli(), millisOrNone(r.ExpiresAt), r.Version}
	stmt := s.insertRecord
	if old != 0 {
		stmt, args = s.saveRecord, append(args, old)
	}
	changed, err := s.changeRecord(ctx, now, r.Kind, func(tx *sql.Tx) (sql.Result, error) {
		return tx.StmtContext(ctx, stmt).ExecContext(ctx, args...)
	})
	if err != nil {
		return store.Record{}, s.wrap(ctx, "save record", err)
	}
	if !changed {
		return store.Record{}, store.ErrConflict
	}
	return r, nil
}

// DeleteRecord implements [store.Store].
func (s *Store) DeleteRecord(ctx context.Context, kind, key string, version int64) error {
	changed, err := s.changeRecord(ctx, time.Now(), kind, func(tx *sql.Tx) (sql.Result, error) {
		return tx.ExecContext(ctx, `DELETE FROM records WHERE kind = ? AND key = ? AND version = ?`, kind, key, version)
	})
	if err != nil || changed {
		return s.wrap(ctx, "delete record", err)
	}
	switch _, err = s.Record(ctx, kind, key); {
	case errors.Is(err, store.ErrNotFound):
		return nil
	case err != nil:
		return err
	}
	return store.ErrConflict
}

// changeRecord runs change and counts the kind's revision if it changed a row.
func (s *Store) changeRecord(ctx context.Context, now time.Time, kind string, change func(*sql.Tx) (sql.Result, error)) (changed bool, err error) {
	if err = s.sweep(ctx, now); err != nil {
		return false, err
	}
	err = s.atomically(ctx, func(tx *sql.Tx) error {
		result, err := change(tx)
		if err != nil {
			return err
		}
		rows, err := result.RowsAffected()
		if err != nil || rows == 0 {
			return err
		}
		changed = true
		_, err = tx.StmtContext(ctx, s.countRevision).ExecContext(ctx, kind, now.UnixMicro())
		return err
	})
	return changed, err
}

// Records implements [store.Store].
func (s *Store) Records(ctx context.Context, kind, after string, limit int) ([]store.Record, error) {
	return s.listRecords(ctx, recordsQuery, limit, kind, after)
}

// RecordsOf implements [store.Store].
func (s *Store) RecordsOf(ctx context.Context, kind, owner, after string, limit int) ([]store.Record, error) {
	return s.listRecords(ctx, recordsOfQuery, limit, kind, owner, after)
}

// RecordsDue implements [store.Store].
func (s *Store) RecordsDue(ctx context.Context, kind string, until time.Time, limit int) ([]store.Record, error) {
	return s.listRecords(ctx, recordsDueQuery, limit, kind, until.UnixMilli())
}

// RecordsLatest implements [store.Store].
func (s *Store) RecordsLatest(ctx context.Context, kind string, due time.Time, key string, limit int) ([]store.Record, error) {
	return s.listRecords(ctx, recordsLatestQuery, limit, kind, millisOrNone(due), key)
}

// listRecords runs a query whose last arguments are the time and the limit.
func (s *Store) listRecords(ctx context.Context, query string, limit int, args ...any) (found []store.Record, err error) {
	if limit <= 0 {
		return nil, ctx.Err()
	}
	rows, err := s.read.QueryContext(ctx, query, append(args, time.Now().UnixMilli(), limit)...)
	if err != nil {
		return nil, s.wrap(ctx, "list records", err)
	}
	defer func() {
		if err = errors.Join(err, rows.Err(), rows.Close()); err != nil {
			found, err = nil, s.wrap(ctx, "list records", err)
		}
	}()
	for rows.Next() {
		r, err := scanRecord(rows)
		if err != nil {
			return nil, err
		}
		found = append(found, r)
	}
	return found, nil
}

// CountRecords implements [store.Store].
func (s *Store) CountRecords(ctx context.Context, kind string, until time.Time) (n int, err error) {
	err = s.read.QueryRowContext(ctx, countRecordsQuery, kind, millisOrNone(until)).Scan(&n)
	return n, s.wrap(ctx, "count records", err)
}

// RecordsRevision implements [store.Store].
func (s *Store) RecordsRevision(ctx context.Context, kind string) (revision int64, err error) {
	err = s.read.QueryRowContext(ctx, `SELECT revision FROM revisions WHERE kind = ?`, kind).Scan(&revision)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return revision, s.wrap(ctx, "read revision", err)
}
