package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

const (
	// busyTimeout is how long a call waits for another process that writes.
	busyTimeout = 2 * time.Second

	// readers is how many connections read at once. Reads take microseconds;
	// a few hide one that waits for the disk.
	readers = 4

	// applicationID marks the file as ours: "AFRL".
	applicationID = 0x4146524c
)

// migrations lead from each schema to the next; the schema's number is how
// many have been applied. One that has been released never changes. A file of
// an older schema is copied first, see [backupPath].
var migrations = []string{
	`CREATE TABLE tokens (
		token      TEXT PRIMARY KEY,
		data       BLOB NOT NULL,
		expires_at INTEGER NOT NULL
	) STRICT, WITHOUT ROWID;
	CREATE INDEX tokens_by_expiry ON tokens (expires_at);

	CREATE TABLE sessions (
		visitor     TEXT PRIMARY KEY,
		epoch       INTEGER NOT NULL,
		upstream_id TEXT NOT NULL,
		state       TEXT NOT NULL,
		last_seq    INTEGER NOT NULL,
		updated_at  INTEGER NOT NULL,
		expires_at  INTEGER NOT NULL,
		version     INTEGER NOT NULL
	) STRICT, WITHOUT ROWID;
	CREATE INDEX sessions_by_expiry ON sessions (expires_at);

	CREATE TABLE notes (
		id         INTEGER PRIMARY KEY, -- rises in the order the notes were begun
		visitor    TEXT NOT NULL,
		kind       TEXT NOT NULL,
		key        TEXT NOT NULL,
		epoch      INTEGER NOT NULL,
		seq        INTEGER NOT NULL,
		state      TEXT NOT NULL,
		hash       TEXT NOT NULL,
		body       TEXT NOT NULL,
		created_at INTEGER NOT NULL,
		expires_at INTEGER NOT NULL,
		version    INTEGER NOT NULL,
		UNIQUE (visitor, kind, key)
	) STRICT;
	CREATE INDEX notes_by_expiry ON notes (expires_at);

	CREATE TABLE leases (
		fence      INTEGER PRIMARY KEY AUTOINCREMENT, -- never again one that was given out
		name       TEXT NOT NULL UNIQUE,
		owner      TEXT NOT NULL,
		expires_at INTEGER NOT NULL
	) STRICT;
	CREATE INDEX leases_by_expiry ON leases (expires_at);

	CREATE TABLE ping (
		id INTEGER PRIMARY KEY CHECK (id = 1),
		at INTEGER NOT NULL
	) STRICT;`,

	`CREATE TABLE quotas (
		key        TEXT PRIMARY KEY,
		start      INTEGER NOT NULL, -- of the present window
		now        INTEGER NOT NULL, -- taken in it
		last       INTEGER NOT NULL, -- taken in the one before
		expires_at INTEGER NOT NULL
	) STRICT, WITHOUT ROWID;
	CREATE INDEX quotas_by_expiry ON quotas (expires_at);

	CREATE TABLE awake (
		ticket     INTEGER PRIMARY KEY AUTOINCREMENT, -- never again one that was given out
		visitor    TEXT NOT NULL UNIQUE,
		rank       INTEGER NOT NULL,
		expires_at INTEGER NOT NULL
	) STRICT;
	CREATE INDEX awake_by_expiry ON awake (expires_at);
	CREATE INDEX awake_by_rank ON awake (rank);`,
}

// OpenSQLite opens the store in the file at path and creates it, readable by
// its owner only, where there is none. A file that is damaged, of a newer
// schema or not ours is refused and left as it is.
func OpenSQLite(ctx context.Context, path string) (*SQLite, error) {
	return openSQLite(ctx, path, migrations)
}

func openSQLite(ctx context.Context, path string, migrations []string) (*SQLite, error) {
	if err := checkPath(path); err != nil {
		return nil, err
	}
	s := &SQLite{path: path}
	if err := s.open(ctx, migrations); err != nil {
		for _, db := range []*sql.DB{s.read, s.write} {
			if db != nil {
				err = errors.Join(err, db.Close())
			}
		}
		return nil, fmt.Errorf("store: %s: %w", path, err)
	}
	return s, nil
}

func checkPath(path string) error {
	switch {
	case path == "":
		return errors.New("store: sqlite: names no file, write sqlite:relay.db")
	case path == ":memory:":
		return errors.New("store: write memory: for a store without a file")
	case strings.ContainsRune(path, 0):
		return errors.New("store: the path of a file holds no zero byte")
	case strings.HasPrefix(path, "//") && !strings.HasPrefix(path, "///"):
		return errors.New("store: write sqlite:relay.db or sqlite:/folder/relay.db, without the two slashes")
	}
	return nil
}

func (s *SQLite) open(ctx context.Context, migrations []string) error {
	fresh, err := claim(s.path)
	if err != nil {
		return err
	}
	abs, err := filepath.Abs(s.path)
	if err != nil {
		return err
	}
	if !fresh {
		if err = inspect(ctx, abs, len(migrations)); err != nil {
			return err
		}
	}
	if s.write, err = sql.Open("sqlite", dsn(abs, "_txlock", "immediate", "_synchronous", "NORMAL")); err != nil {
		return err
	}
	s.write.SetMaxOpenConns(1)
	if s.read, err = sql.Open("sqlite", dsn(abs, "_query_only", "1")); err != nil {
		return err
	}
	s.read.SetMaxOpenConns(readers)
	s.read.SetMaxIdleConns(readers)
	if err = s.useWAL(ctx); err != nil {
		return explain(err)
	}
	if err = s.migrate(ctx, abs, migrations); err != nil {
		return explain(err)
	}
	if err = s.prepare(ctx); err != nil {
		return explain(err)
	}
	return explain(s.Ping(ctx))
}

// claim says whether the file at path is ours to fill: empty, or created just
// now. It opens no file that exists: closing one would drop the locks that
// another store of this process may hold on it.
func claim(path string) (fresh bool, err error) {
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return false, errors.New("is a folder, name a file in it")
	case err == nil && !info.Mode().IsRegular():
		return false, errors.New("is not a regular file")
	case err == nil:
		return info.Size() == 0, nil
	case !errors.Is(err, fs.ErrNotExist):
		return false, pathError(err)
	}
	folder := filepath.Dir(path)
	if _, err = os.Stat(folder); errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("its folder %s does not exist", folder)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	switch {
	case errors.Is(err, fs.ErrExist): // another process was faster
		return true, nil
	case errors.Is(err, fs.ErrPermission):
		return false, fmt.Errorf("its folder %s is not writable: %w", folder, pathError(err))
	case err != nil:
		return false, fmt.Errorf("cannot be created: %w", pathError(err))
	}
	return true, f.Close()
}

// pathError takes the path out of err, whose caller names it already.
func pathError(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}

// inspect looks at an existing file through a connection that cannot write.
// SQLite may leave a shared-memory index beside it, which holds no data.
func inspect(ctx context.Context, abs string, newest int) (err error) {
	db, err := sql.Open("sqlite", dsn(abs, "mode", "ro"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)

	// One transaction, so that all answers are about the same moment, even
	// while another process creates the tables.
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return explain(err)
	}
	defer func() { err = errors.Join(err, tx.Rollback()) }()
	var tables, version, application int
	for _, ask := range []struct {
		query string
		into  *int
	}{
		{`SELECT count(*) FROM sqlite_schema`, &tables},
		{`PRAGMA user_version`, &version},
		{`PRAGMA application_id`, &application},
	} {
		if err = tx.QueryRowContext(ctx, ask.query).Scan(ask.into); err != nil {
			return explain(err)
		}
	}
	// Empty, yet with a header: another process is about to fill it.
	if application != applicationID && (application != 0 || version != 0 || tables != 0) {
		return errors.New("is the database of another program")
	}
	if err = checkVersion(version, newest); err != nil {
		return err
	}
	var found string
	if err = tx.QueryRowContext(ctx, `PRAGMA quick_check(1)`).Scan(&found); err != nil {
		return explain(err)
	}
	if found != "ok" {
		return fmt.Errorf("is damaged, restore it from a backup or move it away: %s",
			strings.ReplaceAll(found, "\n", ": "))
	}
	return nil
}

func checkVersion(version, newest int) error {
	if version > newest {
		return fmt.Errorf("is of schema %d, this relay knows up to %d: run a newer relay", version, newest)
	}
	return nil
}

// useWAL switches the file to write-ahead logging, which it then stays in.
// SQLite does not wait for others here, so we do.
func (s *SQLite) useWAL(ctx context.Context) error {
	deadline := time.Now().Add(busyTimeout)
	for {
		var mode string
		err := s.write.QueryRowContext(ctx, `PRAGMA journal_mode = WAL`).Scan(&mode)
		switch {
		case err == nil && mode != "wal":
			return fmt.Errorf("lies where SQLite can keep no write-ahead log (it offers %s): use a local disk", mode)
		case err == nil:
			return nil
		case !isCode(err, sqlite3.SQLITE_BUSY) || time.Now().After(deadline):
			return err
		}
		timer := time.NewTimer(5 * time.Millisecond)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

// migrate brings the file to the newest schema, all the way or not at all.
func (s *SQLite) migrate(ctx context.Context, abs string, migrations []string) error {
	return s.atomically(ctx, func(tx *sql.Tx) error {
		var version int
		if err := tx.QueryRowContext(ctx, `PRAGMA user_version`).Scan(&version); err != nil {
			return err
		}
		if err := checkVersion(version, len(migrations)); err != nil { // whoever was faster may be newer
			return err
		}
		if version == len(migrations) {
			return nil
		}
		if version > 0 {
			if err := backUp(ctx, abs, version); err != nil {
				return fmt.Errorf("back up before the schema changes: %w", err)
			}
		}
		for i, script := range migrations[version:] {
			if _, err := tx.ExecContext(ctx, script); err != nil {
				return fmt.Errorf("migrate to schema %d: %w", version+i+1, err)
			}
		}
		_, err := tx.ExecContext(ctx,
			fmt.Sprintf(`PRAGMA application_id = %d; PRAGMA user_version = %d`, applicationID, len(migrations)))
		return err
	})
}

// dsn names the file at the absolute path abs with our settings and more.
func dsn(abs string, more ...string) string {
	q := url.Values{
		"_busy_timeout": {fmt.Sprint(busyTimeout.Milliseconds())},
		"_defensive":    {"1"},
		"_dqs":          {"0"},
		"_error_rc":     {"1"},
		// The log shrinks again after a burst, and what a visitor said does
		// not stay in freed pages where erasing it costs no extra write.
		"_pragma": {"journal_size_limit(16777216)", "secure_delete(fast)"},
	}
	for i := 0; i+1 < len(more); i += 2 {
		q.Set(more[i], more[i+1])
	}
	u := url.URL{Scheme: "file", Path: filepath.ToSlash(abs), RawQuery: q.Encode()}
	return u.String()
}

// explain says in our words what SQLite says in its own about a file.
func explain(err error) error {
	switch {
	case isCode(err, sqlite3.SQLITE_NOTADB):
		return fmt.Errorf("is not a SQLite database: %w", err)
	case isCode(err, sqlite3.SQLITE_CORRUPT):
		return fmt.Errorf("is damaged, restore it from a backup or move it away: %w", err)
	case isCode(err, sqlite3.SQLITE_READONLY), isCode(err, sqlite3.SQLITE_CANTOPEN), isCode(err, sqlite3.SQLITE_PERM):
		return fmt.Errorf("file or folder is not readable and writable: %w", err)
	case isCode(err, sqlite3.SQLITE_FULL):
		return fmt.Errorf("has no room to grow: %w", err)
	case isCode(err, sqlite3.SQLITE_BUSY):
		return fmt.Errorf("is locked by another process: %w", err)
	default:
		return err
	}
}

// isCode compares primary result codes; the byte above tells kinds of one.
func isCode(err error, code int) bool {
	e, ok := errors.AsType[*sqlite.Error](err)
	return ok && e.Code()&0xff == code
}

// passes reports whether err is a trouble of the file or its disk that may be
// over in a moment, with nothing wrong in what is stored.
func passes(err error) bool {
	return slices.ContainsFunc([]int{
		sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR,
		sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_NOMEM,
	}, func(code int) bool { return isCode(err, code) })
}
