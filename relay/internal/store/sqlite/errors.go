package sqlite

import (
	"errors"
	"fmt"
	"slices"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// explain adds a description to SQLite's error about a file.
func explain(err error) error {
	switch {
	case isCode(err, sqlite3.SQLITE_NOTADB):
		return fmt.Errorf("is not a SQLite database: %w", err)
	case isCode(err, sqlite3.SQLITE_CORRUPT):
		return fmt.Errorf("is damaged; restore it from a backup or move it away: %w", err)
	case isCode(err, sqlite3.SQLITE_READONLY), isCode(err, sqlite3.SQLITE_CANTOPEN), isCode(err, sqlite3.SQLITE_PERM):
		return fmt.Errorf("file or folder is not readable and writable: %w", err)
	case isCode(err, sqlite3.SQLITE_FULL):
		return fmt.Errorf("cannot grow, the disk is full: %w", err)
	case isCode(err, sqlite3.SQLITE_BUSY):
		return fmt.Errorf("is locked by another process: %w", err)
	default:
		return err
	}
}

// isCode compares primary result codes, which are the lowest byte.
func isCode(err error, code int) bool {
	e, ok := errors.AsType[*sqlite.Error](err)
	return ok && e.Code()&0xff == code
}

// transient reports whether err is a condition of the file or its disk that may
// pass by itself and has not damaged what is stored.
func transient(err error) bool {
	return slices.ContainsFunc([]int{
		sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR,
		sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_NOMEM,
	}, func(code int) bool { return isCode(err, code) })
}
