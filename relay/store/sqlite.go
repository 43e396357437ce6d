package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

const (
	// purgeEvery is how many writes pass between two looks for expired rows,
	// and purgeLimit how many of each table one look deletes at most: more
	// than that many writes can add, so that the dead never pile up.
	purgeEvery = 32
	purgeLimit = 64
)

// SQLite is a [Store] in one file, for all the processes of one machine.
//
// An acknowledged write survives the death of the process; the last moments
// before a power cut may be lost, but nothing older and never the file.
type SQLite struct {
	path   string
	closed atomic.Bool
	writes atomic.Uint64

	// One connection writes, so that writers of this process queue for it,
	// leaving the queue when their context ends, rather than poll for the lock
	// of the file. Readers never wait for it.
	write, read *sql.DB

	find, commit, remove                  *sql.Stmt
	session, insertSession, updateSession *sql.Stmt
	beginNote, saveNote                   *sql.Stmt
	note, notes                           *sql.Stmt
	quota, saveQuota, renewAwake          *sql.Stmt
	purge                                 [6]*sql.Stmt
}

const noteColumns = `visitor, kind, key, epoch, seq, state, hash, body, created_at, expires_at, version`

// prepare compiles the statements of the calls that a turn makes.
func (s *SQLite) prepare(ctx context.Context) error {
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

		// A note that takes an expired one's place is the youngest again.
		{&s.beginNote, s.write, `INSERT INTO notes (` + noteColumns + `)
			VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
			ON CONFLICT (visitor, kind, key) DO UPDATE SET id = (SELECT max(id) + 1 FROM notes),
			epoch = ?4, seq = ?5, state = ?6, hash = ?7, body = ?8, created_at = ?9, expires_at = ?10, version = ?11
			WHERE expires_at <= ?9`},
		{&s.saveNote, s.write, `UPDATE notes SET epoch = ?4, seq = ?5, state = ?6, hash = ?7, body = ?8,
			expires_at = ?9, version = ?10
			WHERE visitor = ?1 AND kind = ?2 AND key = ?3 AND version = ?11 AND expires_at > ?12`},
		{&s.note, s.read, `SELECT ` + noteColumns + ` FROM notes
			WHERE visitor = ? AND kind = ? AND key = ? AND expires_at > ?`},
		{&s.notes, s.read, `SELECT ` + noteColumns + ` FROM notes
			WHERE visitor = ? AND kind = ? AND epoch = ? AND expires_at > ? ORDER BY id`},

		{&s.quota, s.read, quotaQuery},
		{&s.saveQuota, s.write, `INSERT INTO quotas (key, start, now, last, expires_at) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT (key) DO UPDATE SET start = excluded.start, now = excluded.now, last = excluded.last,
			expires_at = excluded.expires_at`},

		{&s.renewAwake, s.write, `UPDATE awake SET rank = ?, expires_at = ? WHERE visitor = ? AND expires_at > ? RETURNING ticket`},

		{&s.purge[0], s.write, purgeQuery("tokens", "token")},
		{&s.purge[1], s.write, purgeQuery("sessions", "visitor")},
		{&s.purge[2], s.write, purgeQuery("notes", "id")},
		{&s.purge[3], s.write, purgeQuery("leases", "fence")},
		{&s.purge[4], s.write, purgeQuery("quotas", "key")},
		{&s.purge[5], s.write, purgeQuery("awake", "ticket")},
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

// exec runs one statement that writes and says how many rows it changed. Now
// and then it deletes expired rows first.
func (s *SQLite) exec(ctx context.Context, now time.Time, stmt *sql.Stmt, args ...any) (int64, error) {
	if err := s.sweep(ctx, now); err != nil {
		return 0, err
	}
	result, err := stmt.ExecContext(ctx, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

func (s *SQLite) sweep(ctx context.Context, now time.Time) error {
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

// wrap says what we were doing, and lets the caller tell the end of the
// context or of the store from a fault of the database.
func (s *SQLite) wrap(ctx context.Context, doing string, err error) error {
	switch {
	case err == nil:
		return nil
	case s.closed.Load():
		return ErrClosed
	case ctx.Err() != nil:
		return unavailable(ctx, doing)
	case passes(err):
		return fmt.Errorf("store: %s: %w: %w", doing, ErrUnavailable, err)
	default:
		return fmt.Errorf("store: %s: %w", doing, err)
	}
}

// Find implements scs.Store.
func (s *SQLite) Find(token string) ([]byte, bool, error) {
	return s.FindCtx(context.Background(), token)
}

// FindCtx implements scs.CtxStore.
func (s *SQLite) FindCtx(ctx context.Context, token string) ([]byte, bool, error) {
	var b []byte
	err := s.find.QueryRowContext(ctx, token, time.Now().UnixMilli()).Scan(&b)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, false, nil
	}
	return b, err == nil, s.wrap(ctx, "find token", err)
}

// Commit implements scs.Store.
func (s *SQLite) Commit(token string, b []byte, expiry time.Time) error {
	return s.CommitCtx(context.Background(), token, b, expiry)
}

// CommitCtx implements scs.CtxStore.
func (s *SQLite) CommitCtx(ctx context.Context, token string, b []byte, expiry time.Time) error {
	now := time.Now()
	if !millis(expiry).After(now) {
		return ErrExpired
	}
	if b == nil {
		b = []byte{} // nil would be NULL
	}
	_, err := s.exec(ctx, now, s.commit, token, b, expiry.UnixMilli())
	return s.wrap(ctx, "commit token", err)
}

// Delete implements scs.Store.
func (s *SQLite) Delete(token string) error {
	return s.DeleteCtx(context.Background(), token)
}

// DeleteCtx implements scs.CtxStore.
func (s *SQLite) DeleteCtx(ctx context.Context, token string) error {
	_, err := s.exec(ctx, time.Now(), s.remove, token)
	return s.wrap(ctx, "delete token", err)
}

// Session implements [Store].
func (s *SQLite) Session(ctx context.Context, visitor string) (Session, error) {
	got := Session{Visitor: visitor}
	var updated, expires int64
	err := s.session.QueryRowContext(ctx, visitor, time.Now().UnixMilli()).Scan(
		&got.Epoch, &got.UpstreamID, &got.State, &got.LastSeq, &updated, &expires, &got.Version)
	if errors.Is(err, sql.ErrNoRows) {
		return Session{Visitor: visitor}, nil
	}
	if err != nil {
		return Session{}, s.wrap(ctx, "read session", err)
	}
	got.UpdatedAt, got.ExpiresAt = fromMillis(updated), fromMillis(expires)
	return got, nil
}

// SaveSession implements [Store].
func (s *SQLite) SaveSession(ctx context.Context, session Session) (Session, error) {
	now := time.Now()
	session.ExpiresAt = millis(session.ExpiresAt)
	if !session.ExpiresAt.After(now) {
		return Session{}, ErrExpired
	}
	old := session.Version
	session.UpdatedAt = millis(now)
	session.Version = newVersion()
	args := []any{
		session.Visitor, session.Epoch, session.UpstreamID, session.State, session.LastSeq,
		now.UnixMilli(), session.ExpiresAt.UnixMilli(), session.Version,
	}
	stmt := s.insertSession
	if old != 0 {
		stmt, args = s.updateSession, append(args, old)
	}
	changed, err := s.exec(ctx, now, stmt, args...)
	if err != nil {
		return Session{}, s.wrap(ctx, "save session", err)
	}
	if changed == 0 {
		return Session{}, ErrConflict
	}
	return session, nil
}

// BeginNote implements [Store].
func (s *SQLite) BeginNote(ctx context.Context, n Note) (Note, bool, error) {
	n.ExpiresAt = millis(n.ExpiresAt)
	n.Version = newVersion()
	// A note that is there when we insert may have gone when we look, but each
	// time that takes someone who deletes it just then.
	for range 8 {
		now := time.Now()
		if !n.ExpiresAt.After(now) {
			return Note{}, false, ErrExpired
		}
		n.CreatedAt = millis(now)
		changed, err := s.exec(ctx, now, s.beginNote, n.Visitor, n.Kind, n.Key, n.Epoch, n.Seq, n.State, n.Hash, n.Body,
			n.CreatedAt.UnixMilli(), n.ExpiresAt.UnixMilli(), n.Version)
		if err != nil {
			return Note{}, false, s.wrap(ctx, "begin note", err)
		}
		if changed != 0 {
			return n, true, nil
		}
		old, err := s.Note(ctx, n.Visitor, n.Kind, n.Key)
		if !errors.Is(err, ErrNotFound) {
			return old, false, err
		}
	}
	return Note{}, false, ErrConflict
}

// SaveNote implements [Store].
func (s *SQLite) SaveNote(ctx context.Context, n Note) (Note, error) {
	now := time.Now()
	n.ExpiresAt = millis(n.ExpiresAt)
	if !n.ExpiresAt.After(now) {
		return Note{}, ErrExpired
	}
	old, err := s.noteAt(ctx, n)
	if err != nil {
		return Note{}, err
	}
	n.CreatedAt = old.CreatedAt
	n.Version = newVersion()
	changed, err := s.exec(ctx, now, s.saveNote, n.Visitor, n.Kind, n.Key, n.Epoch, n.Seq, n.State, n.Hash, n.Body,
		n.ExpiresAt.UnixMilli(), n.Version, old.Version, now.UnixMilli())
	if err != nil {
		return Note{}, s.wrap(ctx, "save note", err)
	}
	if changed == 0 {
		return Note{}, ErrConflict
	}
	return n, nil
}

// noteAt returns the note that n names if it is at n.Version. That it still is
// when it is written to, the write has to see to.
func (s *SQLite) noteAt(ctx context.Context, n Note) (Note, error) {
	got, err := s.Note(ctx, n.Visitor, n.Kind, n.Key)
	if err == nil && got.Version != n.Version {
		err = ErrConflict
	}
	return got, err
}

// Note implements [Store].
func (s *SQLite) Note(ctx context.Context, visitor, kind, key string) (Note, error) {
	n, err := scanNote(s.note.QueryRowContext(ctx, visitor, kind, key, time.Now().UnixMilli()))
	if errors.Is(err, sql.ErrNoRows) {
		return Note{}, ErrNotFound
	}
	return n, s.wrap(ctx, "read note", err)
}

// Notes implements [Store].
func (s *SQLite) Notes(ctx context.Context, visitor, kind string, epoch int64) ([]Note, error) {
	rows, err := s.notes.QueryContext(ctx, visitor, kind, epoch, time.Now().UnixMilli())
	if err != nil {
		return nil, s.wrap(ctx, "read notes", err)
	}
	defer rows.Close()
	var notes []Note
	for rows.Next() {
		n, err := scanNote(rows)
		if err != nil {
			return nil, s.wrap(ctx, "read notes", err)
		}
		notes = append(notes, n)
	}
	return notes, s.wrap(ctx, "read notes", rows.Err())
}

func scanNote(row interface{ Scan(dest ...any) error }) (n Note, err error) {
	var created, expires int64
	err = row.Scan(&n.Visitor, &n.Kind, &n.Key, &n.Epoch, &n.Seq, &n.State, &n.Hash, &n.Body,
		&created, &expires, &n.Version)
	if err != nil {
		return Note{}, err
	}
	n.CreatedAt, n.ExpiresAt = fromMillis(created), fromMillis(expires)
	return n, nil
}

func fromMillis(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

// Forget implements [Store].
func (s *SQLite) Forget(ctx context.Context, visitor string) error {
	err := s.atomically(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM sessions WHERE visitor = ?`, visitor); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `DELETE FROM notes WHERE visitor = ?`, visitor)
		return err
	})
	return s.wrap(ctx, "forget visitor", err)
}

// Acquire implements [Store].
func (s *SQLite) Acquire(ctx context.Context, name, owner string, ttl time.Duration) (fence int64, ok bool, err error) {
	if ttl <= 0 {
		return 0, false, ErrExpired
	}
	now := time.Now()
	if err = s.sweep(ctx, now); err != nil {
		return 0, false, s.wrap(ctx, "acquire lease", err)
	}
	err = s.atomically(ctx, func(tx *sql.Tx) error {
		// The clock is read once we have the lock: waiting for it took time.
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

// Release implements [Store].
func (s *SQLite) Release(ctx context.Context, name, owner string) error {
	_, err := s.write.ExecContext(ctx, `DELETE FROM leases WHERE name = ? AND owner = ?`, name, owner)
	return s.wrap(ctx, "release lease", err)
}

const writePing = `INSERT INTO ping (id, at) VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET at = excluded.at`

// Ping implements [Store].
func (s *SQLite) Ping(ctx context.Context) error {
	_, err := s.write.ExecContext(ctx, writePing, time.Now().UnixMilli())
	return s.wrap(ctx, "ping", err)
}

// atomically runs f in a transaction that holds the lock from its first
// statement on, and so never has to be repeated.
func (s *SQLite) atomically(ctx context.Context, f func(*sql.Tx) error) error {
	tx, err := s.write.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err = f(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// Close implements [Store].
func (s *SQLite) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	// The writer last: it folds the write-ahead log back into the file.
	err := errors.Join(s.read.Close(), s.write.Close())
	if err != nil {
		return fmt.Errorf("store: close %s: %w", s.path, err)
	}
	return nil
}
