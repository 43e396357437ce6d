package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// claim creates the file at path if there is none, and reports whether it is empty. It
// does not open an existing file: closing it would release the locks that another store
// of this process holds on it.
func claim(path string) (fresh bool, err error) {
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return false, errors.New("is a folder; use the path of a file")
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
	case errors.Is(err, fs.ErrExist): // another process created it first
		return true, nil
	case errors.Is(err, fs.ErrPermission):
		return false, fmt.Errorf("its folder %s is not writable: %w", folder, pathError(err))
	case err != nil:
		return false, fmt.Errorf("cannot be created: %w", pathError(err))
	}
	return true, f.Close()
}

// pathError strips the path from err, because the caller adds it.
func pathError(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}

// inspect checks an existing file through a read-only connection. SQLite may
// leave a shared-memory index beside it, which holds no data.
func inspect(ctx context.Context, abs string, newest int) (err error) {
	db, err := sql.Open("sqlite", dsn(abs, "mode", "ro"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)

	// One transaction reads one snapshot, even while another process creates
	// the tables.
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
	// A file with a header and no tables: another process is about to fill it.
	if application != applicationID && (application != 0 || version != 0 || tables != 0) {
		return errors.New("is a database of another program")
	}
	if err = checkVersion(version, newest); err != nil {
		return err
	}
	var found string
	if err = tx.QueryRowContext(ctx, `PRAGMA quick_check(1)`).Scan(&found); err != nil {
		return explain(err)
	}
	if found != "ok" {
		return fmt.Errorf("is damaged; restore it from a backup or move it away: %s",
			strings.ReplaceAll(found, "\n", ": "))
	}
	return nil
}

func checkVersion(version, newest int) error {
	if version > newest {
		return fmt.Errorf("has schema %d, but this relay supports only up to %d: use a newer relay", version, newest)
	}
	return nil
}
