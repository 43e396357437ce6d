package store

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	sqlite3 "modernc.org/sqlite/lib"
)

// A full disk is imitated by SQLite's own limit on the size of the file, which
// ends in the same result code, on any machine and without a disk to fill.
func TestSQLite_DiskFull_ErrorAndRecovers(t *testing.T) {
	s, err := OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "relay.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Errorf("got error %v, want none", err)
		}
	}()
	expiry := time.Now().Add(time.Hour)
	session, err := s.SaveSession(t.Context(), Session{Visitor: "v1", Epoch: 1, ExpiresAt: expiry})
	if err != nil {
		t.Fatal(err)
	}
	limit := func(pages int) {
		t.Helper()
		if _, err := s.write.ExecContext(t.Context(), fmt.Sprintf(`PRAGMA max_page_count = %d`, pages)); err != nil {
			t.Fatal(err)
		}
	}
	limit(1) // SQLite takes this for the size the file has
	note := Note{Visitor: "v1", Kind: "turn", Key: "k", Body: strings.Repeat("x", 1<<20), ExpiresAt: expiry}
	_, _, err = s.BeginNote(t.Context(), note)
	if !isCode(err, sqlite3.SQLITE_FULL) {
		t.Errorf("got error %v, want the disk full", err)
	}
	if !errors.Is(err, ErrUnavailable) {
		t.Errorf("got error %v, want %v", err, ErrUnavailable)
	}
	if _, err = s.Note(t.Context(), "v1", "turn", "k"); !errors.Is(err, ErrNotFound) {
		t.Errorf("got error %v, want nothing of the note kept", err)
	}
	if got, err := s.Session(t.Context(), "v1"); err != nil || got != session {
		t.Errorf("got %+v, %v, want %+v read while the disk is full", got, err, session)
	}

	limit(1 << 20)
	if _, fresh, err := s.BeginNote(t.Context(), note); err != nil || !fresh {
		t.Errorf("got fresh %v error %v, want the note begun", fresh, err)
	}
	if err = s.Ping(t.Context()); err != nil {
		t.Errorf("got error %v, want none", err)
	}
}

func TestSQLite_ExpiredRows_DeletedInPassing(t *testing.T) {
	s, err := OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "relay.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	// A row that expired long ago, as any row does if one waits.
	for i := range 100 {
		_, err = s.write.ExecContext(t.Context(), fmt.Sprintf(`
			INSERT INTO tokens VALUES ('dead-%[1]d', x'00', %[1]d);
			INSERT INTO sessions VALUES ('dead-%[1]d', 1, '', '', 0, 0, %[1]d, 1);
			INSERT INTO notes VALUES (NULL, 'dead-%[1]d', 'turn', 'k', 1, 0, '', '', '', 0, %[1]d, 1);
			INSERT INTO leases VALUES (NULL, 'dead-%[1]d', 'me', %[1]d)`, i))
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range 2 * purgeEvery {
		if err := s.CommitCtx(t.Context(), fmt.Sprint("live-", i), nil, time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	for table, want := range map[string]int{"tokens": 2 * purgeEvery, "sessions": 0, "notes": 0, "leases": 0} {
		var got int
		if err := s.read.QueryRowContext(t.Context(), `SELECT count(*) FROM `+table).Scan(&got); err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("got %d %s, want %d", got, table, want)
		}
	}
}

// The statements that every turn and every request run must find their rows by
// an index, and an expiry must never be looked for row by row.
func TestSQLite_EveryQuery_UsesIndex(t *testing.T) {
	s, err := OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "relay.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, query := range []string{
		`SELECT data FROM tokens WHERE token = 'x' AND expires_at > 1`,
		`SELECT epoch FROM sessions WHERE visitor = 'x' AND expires_at > 1`,
		`SELECT id FROM notes WHERE visitor = 'x' AND kind = 'x' AND epoch = 1 AND expires_at > 1 ORDER BY id`,
		strings.ReplaceAll(purgeQuery("tokens", "token"), "?", "1"),
		strings.ReplaceAll(purgeQuery("sessions", "visitor"), "?", "1"),
		strings.ReplaceAll(purgeQuery("notes", "id"), "?", "1"),
		strings.ReplaceAll(purgeQuery("leases", "fence"), "?", "1"),
	} {
		rows, err := s.read.QueryContext(t.Context(), `EXPLAIN QUERY PLAN `+query)
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			var id, parent, unused int
			var detail string
			if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(detail, "SCAN") {
				t.Errorf("%s: got %q, want a search by index", query, detail)
			}
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			t.Fatal(err)
		}
	}
}
