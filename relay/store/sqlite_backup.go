package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// backupPath is where the file at path is copied to before its schema changes.
func backupPath(path string, schema int) string { return fmt.Sprintf("%s.schema-%d.bak", path, schema) }

// backUp copies the file at the absolute path abs, of the schema given, to its
// [backupPath], in the place of an earlier copy of the same schema. Whoever
// calls it holds the lock for writing, so nothing can change meanwhile. The
// copy is complete and on the disk before it gets its name.
func backUp(ctx context.Context, abs string, schema int) (err error) {
	f, err := os.CreateTemp(filepath.Dir(abs), filepath.Base(abs)+".*.bak") // readable by its owner only
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	if err = f.Close(); err != nil { // SQLite takes an empty file for its own
		return err
	}
	if err = copyInto(ctx, abs, f.Name()); err != nil {
		return err
	}
	if err = syncFile(f.Name()); err != nil {
		return err
	}
	return os.Rename(f.Name(), backupPath(abs, schema))
}

func copyInto(ctx context.Context, abs, to string) (err error) {
	db, err := sql.Open("sqlite", dsn(abs, "mode", "ro"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	_, err = db.ExecContext(ctx, `VACUUM INTO ?`, to)
	return err
}

func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
