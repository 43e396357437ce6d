package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// backupPath returns where the file at path is copied before its migration.
func backupPath(path string, schema int) string { return fmt.Sprintf("%s.schema-%d.bak", path, schema) }

// backUp copies the file at the absolute path abs to its [backupPath], replacing an
// earlier copy of the same schema. The caller holds the write lock, so the file cannot
// change during the copy. The copy is complete and synced before it is renamed to its
// final name.
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
	if err = f.Close(); err != nil { // VACUUM INTO accepts an empty file
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
