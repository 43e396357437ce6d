// Package sqlite is a [store.Store] in a SQLite file.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/store"
)

const (
	// Every purgeEvery writes, at most purgeLimit expired rows of each table are
	// deleted. That is more than those writes can add, so that expired rows do
	// not accumulate.
	purgeEvery = 32
	purgeLimit = 64
)

// Store is a [store.Store] in one file that all processes of a machine can share.
//
// An acknowledged write survives a crash of the process. A power failure may lose the
// latest writes, but does not corrupt the file.
type Store struct {
	path   string
	backup string // where the file was copied when it was opened, if it was migrated
	closed atomic.Bool
	writes atomic.Uint64

	generation generation

	// A single connection writes. Writers of this process queue for it until their
	// context ends, instead of polling for the file's lock. Readers do not wait for
	// writers.
	write, read *sql.DB

	find, commit, remove                  *sql.Stmt
	session, insertSession, updateSession *sql.Stmt
	beginNote, saveNote                   *sql.Stmt
	note, notes, notesAt, lastChange      *sql.Stmt
	quota, saveQuota                      *sql.Stmt
	renewAwake, renewAllAwake             *sql.Stmt
	record, saveRecord, insertRecord      *sql.Stmt
	countRevision                         *sql.Stmt
	purge                                 [7]*sql.Stmt

	changedSessions, missingTokens, changedNotes *sql.Stmt
}

// prepare compiles the statements of the calls that every turn makes.
func (s *Store) prepare(ctx context.Context) error {
	for _, p := range []struct {
		stmt  **sql.Stmt
		db    *sql.DB
		query string
	}{
		{&s.find, s.read, `SELECT data FROM tokens WHERE token = ? AND expires_at > ?`},
		{&s.commit, s.write, `INSERT INTO tokens (token, data, expires_at) VALUES (?, ?, ?)
			ON CONFLICT (token) DO UPDATE SET data = excluded.data, expires_at = excluded.expires_at`},
		{&s.remove, s.write, `DELETE FROM tokens WHERE token = ?`},

		{&s.session, s.read, `SELECT epoch, upstream_id, state, last_seq, updated_at, expires_at, version
			FROM sessions WHERE visitor = ? AND expires_at > ?`},
		{&s.insertSession, s.write, `INSERT INTO sessions
			(visitor, epoch, upstream_id, state, last_seq, updated_at, expires_at, version)
			VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
			ON CONFLICT (visitor) DO UPDATE SET epoch = ?2, upstream_id = ?3, state = ?4, last_seq = ?5,
			updated_at = ?6, expires_at = ?7, version = ?8 WHERE expires_at <= ?6`},
		{&s.updateSession, s.write, `UPDATE sessions SET epoch = ?2, upstream_id = ?3, state = ?4, last_seq = ?5,
			updated_at = ?6, expires_at = ?7, version = ?8 WHERE visitor = ?1 AND version = ?9 AND expires_at > ?6`},

		// A note that replaces an expired one moves to the end of the order.
		{&s.beginNote, s.write, `INSERT INTO notes (` + noteColumns + `, changed)
			VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ` + nextChange + `)
			ON CONFLICT (visitor, kind, key) DO UPDATE SET id = (SELECT max(id) + 1 FROM notes),
			epoch = ?4, seq = ?5, state = ?6, hash = ?7, body = ?8, created_at = ?9, expires_at = ?10, version = ?11,
			place = ?12, changed = excluded.changed
			WHERE expires_at <= ?9`},
		{&s.saveNote, s.write, `UPDATE notes SET epoch = ?4, seq = ?5, state = ?6, hash = ?7, body = ?8,
			expires_at = ?9, version = ?10, place = ?12, changed = ` + nextChange + `
			WHERE visitor = ?1 AND kind = ?2 AND key = ?3 AND version = ?11 AND expires_at > ?14`},
		{&s.note, s.read, `SELECT ` + noteColumns + ` FROM notes
			WHERE visitor = ? AND kind = ? AND key = ? AND expires_at > ?`},
		{&s.notes, s.read, notesQuery},
		{&s.notesAt, s.read, notesAtQuery},
		{&s.lastChange, s.read, lastChangeQuery},

		{&s.quota, s.read, quotaQuery},
		{&s.saveQuota, s.write, `INSERT INTO quotas (key, start, now, last, expires_at) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT (key) DO UPDATE SET start = excluded.start, now = excluded.now, last = excluded.last,
			expires_at = excluded.expires_at`},

		{&s.renewAwake, s.write, `UPDATE awake SET rank = ?, expires_at = ? WHERE visitor = ? AND expires_at > ? RETURNING ticket`},
		{&s.renewAllAwake, s.write, `UPDATE awake SET rank = given.rank, expires_at = ?2
			FROM (SELECT value ->> 'Visitor' AS visitor, value ->> 'Rank' AS rank FROM json_each(?1)) AS given
			WHERE awake.visitor = given.visitor AND awake.expires_at > ?3 RETURNING awake.visitor, awake.ticket`},

		{&s.changedSessions, s.read, changedSessionsQuery},
		{&s.missingTokens, s.read, missingTokensQuery},
		{&s.changedNotes, s.read, changedNotesQuery},
		{&s.record, s.read, `SELECT ` + recordColumns + ` FROM records WHERE kind = ? AND key = ? AND expires_at > ?`},
		{&s.insertRecord, s.write, `INSERT INTO records (` + recordColumns + `) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
			ON CONFLICT (kind, key) DO UPDATE SET owner = ?3, due = ?4, body = ?5, updated_at = ?6, expires_at = ?7, version = ?8
			WHERE expires_at <= ?6`},
		{&s.saveRecord, s.write, `UPDATE records SET owner = ?3, due = ?4, body = ?5, updated_at = ?6, expires_at = ?7, version = ?8
			WHERE kind = ?1 AND key = ?2 AND version = ?9 AND expires_at > ?6`},
		{&s.countRevision, s.write, `INSERT INTO revisions (kind, revision) VALUES (?, ?)
			ON CONFLICT (kind) DO UPDATE SET revision = max(revision + 1, excluded.revision)`},

		{&s.purge[0], s.write, purgeQuery("tokens", "token")},
		{&s.purge[1], s.write, purgeQuery("sessions", "visitor")},
		{&s.purge[2], s.write, purgeQuery("notes", "id")},
		{&s.purge[3], s.write, purgeQuery("leases", "fence")},
		{&s.purge[4], s.write, purgeQuery("quotas", "key")},
		{&s.purge[5], s.write, purgeQuery("awake", "ticket")},
		{&s.purge[6], s.write, purgeQuery("records", "id")},
	} {
		var err error
		if *p.stmt, err = p.db.PrepareContext(ctx, p.query); err != nil {
			return err
		}
	}
	return nil
}

func purgeQuery(table, key string) string {
	return fmt.Sprintf(`DELETE FROM %s WHERE %s IN
		(SELECT %s FROM %s WHERE expires_at <= ? ORDER BY expires_at LIMIT %d)`, table, key, key, table, purgeLimit)
}

// exec runs one statement that writes and returns how many rows it changed.
// Every [purgeEvery] calls it deletes expired rows first.
func (s *Store) exec(ctx context.Context, now time.Time, stmt *sql.Stmt, args ...any) (int64, error) {
	if err := s.sweep(ctx, now); err != nil {
		return 0, err
	}
	result, err := stmt.ExecContext(ctx, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

func (s *Store) sweep(ctx context.Context, now time.Time) error {
	if s.writes.Add(1)%purgeEvery != 0 {
		return nil
	}
	for _, stmt := range s.purge {
		if _, err := stmt.ExecContext(ctx, now.UnixMilli()); err != nil {
			return fmt.Errorf("delete expired rows: %w", err)
		}
	}
	return nil
}

// wrap adds what the call was doing to err, and distinguishes the end of the context and
// a closed store from a database error.
func (s *Store) wrap(ctx context.Context, doing string, err error) error {
	switch {
	case err == nil:
		return nil
	case s.closed.Load():
		return store.ErrClosed
	case ctx.Err() != nil:
		return store.Unavailable(ctx, doing)
	case transient(err):
		return fmt.Errorf("store: %s: %w: %w", doing, store.ErrUnavailable, err)
	default:
		return fmt.Errorf("store: %s: %w", doing, err)
	}
}

const writePing = `INSERT INTO ping (id, at) VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET at = excluded.at`

// Ping implements [store.Store].
func (s *Store) Ping(ctx context.Context) error {
	_, err := s.write.ExecContext(ctx, writePing, time.Now().UnixMilli())
	return s.wrap(ctx, "ping", err)
}

// Backup returns the path of the copy that was made because opening the file migrated it,
// or "". The copy still contains data that is deleted from the store later.
func (s *Store) Backup() string { return s.backup }

// Scrub implements [store.Store]. Deleted text is overwritten in the file when it is
// deleted. Copies of it remain only in the write-ahead log, which a checkpoint empties.
func (s *Store) Scrub(ctx context.Context) error {
	var busy, pages, moved int
	err := s.write.QueryRowContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`).Scan(&busy, &pages, &moved)
	if err == nil && busy != 0 {
		err = fmt.Errorf("%w: the write-ahead log is being read", store.ErrUnavailable)
	}
	return s.wrap(ctx, "scrub", err)
}

// atomically runs f in a transaction that takes the write lock at its start, so
// that it never has to be retried.
func (s *Store) atomically(ctx context.Context, f func(*sql.Tx) error) error {
	tx, err := s.write.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err = f(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// Close implements [store.Store].
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	// The writer is closed last: it checkpoints the write-ahead log.
	err := errors.Join(s.read.Close(), s.write.Close())
	if err != nil {
		return fmt.Errorf("store: close %s: %w", s.path, err)
	}
	return nil
}
