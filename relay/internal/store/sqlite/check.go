package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Check checks whether the file at path can be opened and written to. It neither creates
// nor migrates it. On success it returns a note about the file for the operator, which
// may be empty.
func Check(ctx context.Context, path string) (note string, err error) {
	if note, err = check(ctx, path); err != nil {
		return "", fmt.Errorf("store: %s: %w", path, err)
	}
	return note, nil
}

func check(ctx context.Context, path string) (note string, err error) {
	if err = checkPath(path); err != nil {
		return "", err
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "the file will be created at the first start", checkFolder(filepath.Dir(path))
	case err != nil:
		return "", pathError(err)
	case !info.Mode().IsRegular():
		return "", errors.New("is not a regular file")
	case info.Size() == 0:
		return "the file is empty", checkFolder(filepath.Dir(path))
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	if err = inspect(ctx, abs, len(migrations)); err != nil {
		return "", err
	}
	if err = checkFolder(filepath.Dir(path)); err != nil {
		return "", err
	}
	version, err := writeOnce(ctx, abs)
	if err != nil {
		return "", explain(err)
	}
	if version < len(migrations) {
		note = fmt.Sprintf("the file has schema %d; the next start backs it up as %s and migrates it to schema %d",
			version, filepath.Base(backupPath(path, version)), len(migrations))
	}
	return note, nil
}

// checkFolder checks that folder is writable, because SQLite keeps its write-ahead log
// there.
func checkFolder(folder string) error {
	f, err := os.CreateTemp(folder, ".relay-*")
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("its folder %s does not exist", folder)
	}
	if err != nil {
		return fmt.Errorf("its folder %s is not writable: %w", folder, pathError(err))
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// writeOnce writes as Ping does, to a file of any schema.
func writeOnce(ctx context.Context, abs string) (version int, err error) {
	db, err := sql.Open("sqlite", dsn(abs, "mode", "rw"))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err = db.QueryRowContext(ctx, `PRAGMA user_version`).Scan(&version); err != nil || version == 0 {
		return version, err
	}
	_, err = db.ExecContext(ctx, writePing, time.Now().UnixMilli())
	return version, err
}

// CountDue returns how many records of a kind are due at until in the file at path. It
// neither creates nor migrates it; a file that is missing or of an older schema has none.
func CountDue(ctx context.Context, path, kind string, until time.Time) (n int, err error) {
	if _, err = os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return 0, err
	}
	db, err := sql.Open("sqlite", dsn(abs, "mode", "ro"))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var tables int
	err = db.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_schema WHERE name = 'records'`).Scan(&tables)
	if err == nil && tables > 0 {
		err = db.QueryRowContext(ctx, countRecordsQuery, kind, until.UnixMilli()).Scan(&n)
	}
	if err != nil {
		return 0, fmt.Errorf("store: %s: %w", path, explain(err))
	}
	return n, nil
}
