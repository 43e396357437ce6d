package sqlite

import (
	"context"
	"database/sql"
	"fmt"
)

// migrations lead from each schema to the next. The schema's number is the
// number of migrations applied. A released migration never changes. A file with
// an older schema is copied before it is migrated, see [backupPath].
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

	// The cursor of the last change of a note. Existing notes count as begun in
	// the order of their ids and not changed since.
	`ALTER TABLE notes ADD COLUMN changed INTEGER NOT NULL DEFAULT 0;
	UPDATE notes SET changed = id;
	CREATE INDEX notes_by_change ON notes (visitor, changed, kind, epoch);`,

	// The position of a note in its epoch. For notes of earlier builds, it is derived
	// from the seq and from the body of that time.
	`ALTER TABLE notes ADD COLUMN place INTEGER NOT NULL DEFAULT 0;
	UPDATE notes SET place = CASE
		WHEN state IN ('sent', 'settled') THEN
			max(0, seq - 1, CASE WHEN json_valid(body) THEN coalesce(json_extract(body, '$.after'), 0) ELSE 0 END)
		WHEN state = 'held' THEN -1
		ELSE 9007199254740991 END;
	CREATE INDEX notes_by_place ON notes (visitor, kind, epoch, place);`,

	// A record that is never due, or never expires, has the largest integer in that
	// column.
	`CREATE TABLE records (
		id         INTEGER PRIMARY KEY,
		kind       TEXT NOT NULL,
		key        TEXT NOT NULL,
		owner      TEXT NOT NULL,
		due        INTEGER NOT NULL,
		body       TEXT NOT NULL,
		updated_at INTEGER NOT NULL,
		expires_at INTEGER NOT NULL,
		version    INTEGER NOT NULL,
		UNIQUE (kind, key)
	) STRICT;
	CREATE INDEX records_by_owner ON records (kind, owner, key);
	CREATE INDEX records_by_due ON records (kind, due, key);
	CREATE INDEX records_by_expiry ON records (expires_at);

	CREATE TABLE revisions ( -- of the kinds of records
		kind     TEXT PRIMARY KEY,
		revision INTEGER NOT NULL
	) STRICT, WITHOUT ROWID;`,
}

// migrate migrates the file to the newest schema in one transaction.
func (s *Store) migrate(ctx context.Context, abs string, migrations []string) error {
	return s.atomically(ctx, func(tx *sql.Tx) error {
		var version int
		if err := tx.QueryRowContext(ctx, `PRAGMA user_version`).Scan(&version); err != nil {
			return err
		}
		if err := checkVersion(version, len(migrations)); err != nil { // another process may have migrated it in the meantime
			return err
		}
		if version == len(migrations) {
			return nil
		}
		if version > 0 {
			if err := backUp(ctx, abs, version); err != nil {
				return fmt.Errorf("back up before the schema changes: %w", err)
			}
			s.backup = backupPath(abs, version)
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
