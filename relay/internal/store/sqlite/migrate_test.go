package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/store"
)

// previous creates a file with the given schema, as an older relay left it.
func previous(t *testing.T, schema int) (path string) {
	t.Helper()
	script, err := os.ReadFile(fmt.Sprintf("testdata/schema-%d.sql", schema))
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "relay.db")
	db := direct(t, path)
	if _, err = db.ExecContext(t.Context(), "PRAGMA journal_mode = WAL;"+string(script)); err != nil {
		t.Fatal(err)
	}
	if err = db.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// direct opens the file without the store.
func direct(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { db.Close() })
	return db
}

func ask[T any](t *testing.T, db *sql.DB, query string) (got T) {
	t.Helper()
	if err := db.QueryRowContext(t.Context(), query).Scan(&got); err != nil {
		t.Fatalf("%s: got %v, want an answer", query, err)
	}
	return got
}

// opened opens the store with one more migration, so that there is always one to
// apply.
func opened(t *testing.T, path, next string) *Store {
	t.Helper()
	s, err := openWith(t.Context(), path, append(slices.Clone(migrations), next))
	if err != nil {
		t.Fatalf("got error %v, want the file brought up to date", err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

const tomorrows = `CREATE TABLE tomorrow (x INTEGER); ALTER TABLE tokens ADD COLUMN y INTEGER`

func backups(t *testing.T, path string) []string {
	t.Helper()
	found, err := filepath.Glob(path + ".*")
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// columns describes the columns of all tables of a file.
func columns(t *testing.T, db *sql.DB) string {
	t.Helper()
	return ask[string](t, db, `SELECT group_concat(line, char(10)) FROM (
		SELECT concat_ws(' ', m.name, c.name, c.type, c."notnull", c.pk) AS line
		FROM sqlite_schema m, pragma_table_info(m.name) c ORDER BY 1)`)
}

func TestMigrations_Released_Unchanged(t *testing.T) {
	for schema := 1; schema <= max(1, len(migrations)-1); schema++ {
		was := columns(t, direct(t, previous(t, schema)))
		db := direct(t, filepath.Join(t.TempDir(), "new.db"))
		for _, script := range migrations[:schema] {
			if _, err := db.ExecContext(t.Context(), script); err != nil {
				t.Fatal(err)
			}
		}
		if got := columns(t, db); got != was {
			t.Errorf("schema %d: got\n%s\nwant\n%s", schema, got, was)
		}
	}
}

func TestMigrate_OlderSchema_BackedUpAndMigrated(t *testing.T) {
	for schema := 1; schema <= max(1, len(migrations)-1); schema++ {
		t.Run(fmt.Sprint("schema ", schema), func(t *testing.T) {
			path := previous(t, schema)
			s := opened(t, path, tomorrows)
			if b, found, err := s.FindCtx(t.Context(), "token-1"); err != nil || !found || string(b) != "data" {
				t.Errorf("got token %q, %v, %v, want it kept", b, found, err)
			}
			session, err := s.Session(t.Context(), "visitor-1")
			if err != nil || session.Epoch != 3 || session.UpstreamID != "sess_1" || session.LastSeq != 41 || session.Version != 77 {
				t.Errorf("got session %+v, %v, want it kept", session, err)
			}
			if _, err = s.SaveSession(t.Context(), session); err != nil {
				t.Errorf("got %v, want the session saved", err)
			}
			notes, err := s.Notes(t.Context(), "visitor-1", "turn", 3)
			if err != nil || len(notes) != 2 || notes[0].Key != "k1" || notes[1].Body != `{"text":"second"}` {
				t.Errorf("got notes %+v, %v, want both in order", notes, err)
			}
			notes, cursor, err := s.NotesSince(t.Context(), "visitor-1", "turn", 3, 0)
			if err != nil || len(notes) != 2 || notes[0].Key != "k1" {
				t.Fatalf("got notes %+v, %v, want both in order", notes, err)
			}
			saved, err := s.SaveNote(t.Context(), notes[0])
			if err != nil {
				t.Fatal(err)
			}
			if notes, _, err = s.NotesSince(t.Context(), "visitor-1", "turn", 3, cursor); err != nil || len(notes) != 1 || notes[0] != saved {
				t.Errorf("got notes %+v since %d, %v, want %+v alone", notes, cursor, err, saved)
			}
			if notes, _, err = s.NotesAt(t.Context(), "visitor-1", "turn", 3, 40, 41, 9); err != nil || len(notes) != 1 || notes[0].Key != "k2" || notes[0].Place != 40 {
				t.Errorf("got notes %+v at 40, %v, want k2, whose seq is 41", notes, err)
			}
			if _, ok, err := s.Acquire(t.Context(), "wake:visitor-1", "me", time.Minute); err != nil || ok {
				t.Errorf("got lease %v, %v, want it another's still", ok, err)
			}
			if fence, ok, err := s.Acquire(t.Context(), "new", "me", time.Minute); err != nil || !ok || fence <= 12 {
				t.Errorf("got fence %d, %v, %v, want one above 12", fence, ok, err)
			}

			copied := backupPath(path, schema)
			if got := backups(t, path); !slices.Equal(got, []string{copied}) {
				t.Fatalf("got backups %q, want %q alone", got, copied)
			}
			if info, err := os.Stat(copied); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("got %v, %v, want a backup for its owner only", info.Mode(), err)
			}
			db := direct(t, copied)
			if got := ask[int](t, db, `PRAGMA user_version`); got != schema {
				t.Errorf("backup: got schema %d, want %d", got, schema)
			}
			if got := ask[string](t, db, `PRAGMA integrity_check`); got != "ok" {
				t.Errorf("backup: got %s, want it whole", got)
			}
			if got := ask[int](t, db, `SELECT (SELECT version FROM sessions) + (SELECT count(*) FROM notes)`); got != 79 {
				t.Errorf("backup: got rows that sum up to %d, want those before the store was used, 79", got)
			}
		})
	}
}

// To downgrade, as in docs/operating.md, replace the file with its backup and
// start the older relay.
func TestBackup_Downgrade_Opens(t *testing.T) {
	path := filepath.Join(t.TempDir(), "relay.db")
	s, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	want, err := s.SaveSession(t.Context(), store.Session{Visitor: "v", Epoch: 4, ExpiresAt: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	if err = s.Close(); err != nil {
		t.Fatal(err)
	}
	if err = opened(t, path, tomorrows).Close(); err != nil {
		t.Fatal(err)
	}
	if _, err = Open(t.Context(), path); err == nil || !strings.Contains(err.Error(), "use a newer relay") {
		t.Fatalf("got %v, want the older relay to refuse the file", err)
	}
	if err = os.Rename(backupPath(path, len(migrations)), path); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(t.Context(), path); err != nil {
		t.Fatalf("got %v, want the copy opened", err)
	}
	defer s.Close()
	if got, err := s.Session(t.Context(), "v"); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}

func TestMigrate_Failure_ChangesNothing(t *testing.T) {
	path := previous(t, 1)
	_, err := openWith(t.Context(), path, append(slices.Clone(migrations), `CREATE TABLE half (x INTEGER); INSERT INTO nowhere VALUES (1)`))
	if err == nil || !strings.Contains(err.Error(), fmt.Sprint("migrate to schema ", len(migrations)+1)) {
		t.Fatalf("got %v, want an error that names the schema", err)
	}
	db := direct(t, path)
	if got := ask[int](t, db, `PRAGMA user_version`); got != 1 {
		t.Errorf("got schema %d, want 1 still", got)
	}
	if got := ask[int](t, db, `SELECT count(*) FROM sqlite_schema WHERE name = 'half'`); got != 0 {
		t.Error("got half a migration, want none of it")
	}
	if err = db.Close(); err != nil {
		t.Fatal(err)
	}
	if got := backups(t, path); len(got) != 1 {
		t.Errorf("got backups %q, want one", got)
	}
	s := opened(t, path, tomorrows) // a newer relay starts
	if got := backups(t, path); len(got) != 1 {
		t.Errorf("got backups %q, want the newer in the place of the older", got)
	}
	if session, err := s.Session(t.Context(), "visitor-1"); err != nil || session.Epoch != 3 {
		t.Errorf("got %+v, %v, want the session kept", session, err)
	}
}

func TestMigrate_BackupFails_ChangesNothing(t *testing.T) {
	path := previous(t, 1)
	// A folder with the name of the backup prevents the backup even as root.
	if err := os.MkdirAll(filepath.Join(backupPath(path, 1), "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := openWith(t.Context(), path, append(slices.Clone(migrations), tomorrows))
	if err == nil || !strings.Contains(err.Error(), "back up before the schema changes") {
		t.Errorf("got %v, want an error that speaks of the backup", err)
	}
	if got := ask[int](t, direct(t, path), `PRAGMA user_version`); got != 1 {
		t.Errorf("got schema %d, want 1 still", got)
	}
	if got := backups(t, path); len(got) != 1 {
		t.Errorf("got %q, want nothing left behind", got)
	}
}

func TestMigrate_ConcurrentProcesses_OneBackup(t *testing.T) {
	path := previous(t, 1)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			s, err := openWith(context.Background(), path, append(slices.Clone(migrations), tomorrows))
			if err != nil {
				t.Errorf("got error %v, want all to come up", err)
				return
			}
			if err = s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := backups(t, path); len(got) != 1 {
		t.Fatalf("got backups %q, want one", got)
	}
	if got := ask[int](t, direct(t, backupPath(path, 1)), `PRAGMA user_version`); got != 1 {
		t.Errorf("backup: got schema %d, want 1", got)
	}
}

func TestMigrate_NewOrCurrentFile_NoBackup(t *testing.T) {
	path := filepath.Join(t.TempDir(), "relay.db")
	for range 2 {
		s, err := Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		if err = s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if got := backups(t, path); len(got) != 0 {
		t.Errorf("got backups %q, want none", got)
	}
}
