package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	sqlite3 "modernc.org/sqlite/lib"
)

const (
	// busyTimeout is how long a call waits for a write of another process.
	busyTimeout = 2 * time.Second

	// readers is the number of connections that read. Reads take microseconds;
	// a few connections suffice when one of them waits for the disk.
	readers = 4

	// applicationID identifies the file as a relay's: "AFRL".
	applicationID = 0x4146524c
)

// Open opens the store in the file at path. If there is none, it creates one that only
// its owner can read. It refuses a file that is damaged, has a newer schema or is not a
// relay's, and does not change it.
func Open(ctx context.Context, path string) (*Store, error) {
	return openWith(ctx, path, migrations)
}

func openWith(ctx context.Context, path string, migrations []string) (*Store, error) {
	if err := checkPath(path); err != nil {
		return nil, err
	}
	s := &Store{path: path}
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
		return errors.New("store: sqlite: has no file name; write, for example, sqlite:relay.db")
	case path == ":memory:":
		return errors.New("store: use memory: for a store without a file")
	case strings.ContainsRune(path, 0):
		return errors.New("store: the path contains a zero byte")
	case strings.HasPrefix(path, "//") && !strings.HasPrefix(path, "///"):
		return errors.New("store: remove the two slashes: write sqlite:relay.db or sqlite:/folder/relay.db")
	}
	return nil
}

func (s *Store) open(ctx context.Context, migrations []string) error {
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

// useWAL switches the file permanently to write-ahead logging. SQLite's busy
// timeout does not apply to this statement, so useWAL retries it.
func (s *Store) useWAL(ctx context.Context) error {
	deadline := time.Now().Add(busyTimeout)
	for {
		var mode string
		err := s.write.QueryRowContext(ctx, `PRAGMA journal_mode = WAL`).Scan(&mode)
		switch {
		case err == nil && mode != "wal":
			return fmt.Errorf("is on a file system where SQLite cannot use a write-ahead log (it offers %s): use a local disk", mode)
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

// dsn returns the name of the file at the absolute path abs, with our settings
// and the key-value pairs in more.
func dsn(abs string, more ...string) string {
	q := url.Values{
		"_busy_timeout": {fmt.Sprint(busyTimeout.Milliseconds())},
		"_defensive":    {"1"},
		"_dqs":          {"0"},
		"_error_rc":     {"1"},
		// The limit makes the log shrink after a burst. secure_delete overwrites deleted
		// text, also in pages that become free: erased data must not remain in any file
		// (see Scrub).
		"_pragma": {"journal_size_limit(16777216)", "secure_delete(1)"},
	}
	for i := 0; i+1 < len(more); i += 2 {
		q.Set(more[i], more[i+1])
	}
	u := url.URL{Scheme: "file", Path: filepath.ToSlash(abs), RawQuery: q.Encode()}
	return u.String()
}
