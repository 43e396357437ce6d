package sqlite

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/store"
	sqlite3 "modernc.org/sqlite/lib"
)

// SQLite's limit on the size of a file returns the same error as a full disk.
func TestWrite_DiskFull_UnavailableThenRecovers(t *testing.T) {
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "relay.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Errorf("got error %v, want none", err)
		}
	}()
	expiry := time.Now().Add(time.Hour)
	session, err := s.SaveSession(t.Context(), store.Session{Visitor: "v1", Epoch: 1, ExpiresAt: expiry})
	if err != nil {
		t.Fatal(err)
	}
	limit := func(pages int) {
		t.Helper()
		if _, err := s.write.ExecContext(t.Context(), fmt.Sprintf(`PRAGMA max_page_count = %d`, pages)); err != nil {
			t.Fatal(err)
		}
	}
	limit(1) // SQLite raises this to the current size of the file
	note := store.Note{Visitor: "v1", Kind: "turn", Key: "k", Body: strings.Repeat("x", 1<<20), ExpiresAt: expiry}
	_, _, err = s.BeginNote(t.Context(), note)
	if !isCode(err, sqlite3.SQLITE_FULL) {
		t.Errorf("got error %v, want the disk full", err)
	}
	if !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("got error %v, want %v", err, store.ErrUnavailable)
	}
	if _, err = s.Note(t.Context(), "v1", "turn", "k"); !errors.Is(err, store.ErrNotFound) {
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

func TestWrite_ExpiredRows_Deleted(t *testing.T) {
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "relay.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	// These rows expired long ago.
	for i := range 100 {
		_, err = s.write.ExecContext(t.Context(), fmt.Sprintf(`
			INSERT INTO tokens VALUES ('dead-%[1]d', x'00', %[1]d);
			INSERT INTO sessions VALUES ('dead-%[1]d', 1, '', '', 0, 0, %[1]d, 1);
			INSERT INTO notes VALUES (NULL, 'dead-%[1]d', 'turn', 'k', 1, 0, '', '', '', 0, %[1]d, 1, 1, 0);
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

// The statements of every turn and request must find their rows by an index, and
// so must the search for expired rows.
func TestQueries_Plan_NoTableScan(t *testing.T) {
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "relay.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for query, want := range map[string]string{
		`SELECT data FROM tokens WHERE token = 'x' AND expires_at > 1`:          "(token=?",
		`SELECT epoch FROM sessions WHERE visitor = 'x' AND expires_at > 1`:     "(visitor=?",
		`SELECT id FROM notes WHERE visitor = 'x' AND kind = 'x' AND key = 'x'`: "(visitor=? AND kind=? AND key=?",
		notesQuery:                        "notes_by_change (visitor=? AND changed>?)",
		notesAtQuery:                      "notes_by_place (visitor=? AND kind=? AND epoch=? AND place>? AND place<?)",
		lastChangeQuery:                   "notes_by_change (visitor=?)",
		purgeQuery("tokens", "token"):     "(expires_at<?",
		purgeQuery("sessions", "visitor"): "(expires_at<?",
		purgeQuery("notes", "id"):         "(expires_at<?",
		purgeQuery("leases", "fence"):     "(expires_at<?",
		purgeQuery("quotas", "key"):       "(expires_at<?",
		purgeQuery("awake", "ticket"):     "(expires_at<?",
		purgeQuery("records", "id"):       "(expires_at<?",
		recordsQuery:                      "(kind=? AND key>?)",
		recordsOfQuery:                    "records_by_owner (kind=? AND owner=? AND key>?)",
		recordsDueQuery:                   "records_by_due (kind=? AND due<?)",
		recordsLatestQuery:                "records_by_due (kind=? AND (due,key)<(?,?))",
		countRecordsQuery:                 "records_by_due (kind=? AND due<?)",
	} {
		rows, err := s.read.QueryContext(t.Context(), `EXPLAIN QUERY PLAN `+strings.ReplaceAll(query, "?", "1"))
		if err != nil {
			t.Fatal(err)
		}
		var plan []string
		for rows.Next() {
			var id, parent, unused int
			var detail string
			if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
				t.Fatal(err)
			}
			plan = append(plan, detail)
			if strings.HasPrefix(detail, "SCAN") || strings.Contains(detail, "TEMP B-TREE") && strings.Contains(query, "records") {
				t.Errorf("%s: got %q, want a search by index", query, detail)
			}
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(strings.Join(plan, "\n"), want) {
			t.Errorf("%s: got plan %q, want %q in it", query, plan, want)
		}
	}
}
