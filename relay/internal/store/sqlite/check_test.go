package sqlite

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheck_EachFile_ReportsWithoutChange(t *testing.T) {
	folder := t.TempDir()
	garbage := filepath.Join(folder, "garbage")
	if err := os.WriteFile(garbage, []byte(strings.Repeat("garbage\n", 2000)), 0o600); err != nil {
		t.Fatal(err)
	}
	newer := previous(t, 1)
	if _, err := direct(t, newer).ExecContext(t.Context(), `PRAGMA user_version = 99`); err != nil {
		t.Fatal(err)
	}
	blocked := previous(t, 1)
	if err := os.Mkdir(blocked+"-wal", 0o700); err != nil { // prevents writes even as root
		t.Fatal(err)
	}
	present := filepath.Join(folder, "present.db")
	s, err := Open(t.Context(), present)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() // after the check, which examines a store in use
	for _, test := range []struct{ path, note, err string }{
		{filepath.Join(folder, "new.db"), "will be created", ""},
		{present, "", ""},
		{filepath.Join(folder, "no", "new.db"), "", "does not exist"},
		{folder, "", "is not a regular file"},
		{garbage, "", "is not a SQLite database"},
		{newer, "", "has schema 99"},
		{blocked, "", "not readable and writable"},
		{"", "", "has no file name"},
	} {
		note, err := Check(t.Context(), test.path)
		if test.err == "" && (err != nil || !strings.Contains(note, test.note)) {
			t.Errorf("%s: got %q, %v, want %q", test.path, note, err, test.note)
		}
		if test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
			t.Errorf("%s: got %v, want an error with %q", test.path, err, test.err)
		}
	}
	files, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !strings.HasPrefix(f.Name(), "present.db") && f.Name() != "garbage" {
			t.Errorf("got %s left behind, want nothing", f.Name())
		}
	}
}

func TestCheck_OlderSchema_NotMigrated(t *testing.T) {
	path := previous(t, 1)
	was := migrations
	migrations = append(migrations[:len(was):len(was)], tomorrows)
	t.Cleanup(func() { migrations = was })
	note, err := Check(t.Context(), path)
	if err != nil || !strings.Contains(note, "has schema 1; the next start backs it up as relay.db.schema-1.bak") {
		t.Errorf("got %q, %v, want a note on the next start", note, err)
	}
	if got := ask[int](t, direct(t, path), `PRAGMA user_version`); got != 1 || len(backups(t, path)) != 0 {
		t.Errorf("got schema %d and backups %q, want 1 and none", got, backups(t, path))
	}
}
