package sqlite_test

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/store"
	"github.com/anyframe-relay/relay/relay/internal/store/sqlite"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("got error %v, want none", err)
	}
}

// raw opens the file without the store.
func raw(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	must(t, err)
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { must(t, db.Close()) })
	return db
}

func soon() time.Time { return time.Now().Add(time.Hour) }

// fill writes some rows of each kind and returns the session.
func fill(t *testing.T, s store.Store) store.Session {
	t.Helper()
	must(t, s.Commit("token", []byte("data"), soon()))
	session, err := s.SaveSession(t.Context(), store.Session{Visitor: "v1", Epoch: 2, UpstreamID: "up", ExpiresAt: soon()})
	must(t, err)
	for i := range 3 {
		_, _, err = s.BeginNote(t.Context(), store.Note{
			Visitor: "v1", Kind: "turn", Key: fmt.Sprint(i), Body: strings.Repeat("words ", 2000), ExpiresAt: soon(),
		})
		must(t, err)
	}
	return session
}

func TestFile_Reopened_KeepsRows(t *testing.T) {
	path := filepath.Join(t.TempDir(), "relay.db")
	s := open(t, path)
	want := fill(t, s)
	fence, _, err := s.Acquire(t.Context(), "boot/v1", "a", time.Hour)
	must(t, err)
	_, cursor, err := s.NotesSince(t.Context(), "v1", "turn", 0, 0)
	must(t, err)
	must(t, s.Close())

	s = open(t, path)
	if notes, again, err := s.NotesSince(t.Context(), "v1", "turn", 0, cursor); err != nil || len(notes) != 0 || again != cursor {
		t.Errorf("got notes %+v and cursor %d, %v, want none since %d", notes, again, err, cursor)
	}
	if b, found, err := s.Find("token"); err != nil || !found || string(b) != "data" {
		t.Errorf("got token %q found %v error %v, want it kept", b, found, err)
	}
	if got, err := s.Session(t.Context(), "v1"); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	notes, err := s.Notes(t.Context(), "v1", "turn", 0)
	must(t, err)
	if len(notes) != 3 || notes[0].Key != "0" || notes[2].Key != "2" {
		t.Fatalf("got notes %+v, want the three in order", notes)
	}
	saved, err := s.SaveNote(t.Context(), notes[1])
	must(t, err)
	if notes, _, err := s.NotesSince(t.Context(), "v1", "turn", 0, cursor); err != nil || len(notes) != 1 || notes[0] != saved {
		t.Errorf("got notes %+v since %d, %v, want the one saved", notes, cursor, err)
	}
	if _, ok, err := s.Acquire(t.Context(), "boot/v1", "b", time.Hour); err != nil || ok {
		t.Errorf("got lease %v, %v, want it held by its owner still", ok, err)
	}
	must(t, s.Release(t.Context(), "boot/v1", "a"))
	must(t, s.Close())

	s = open(t, path)
	if again, ok, err := s.Acquire(t.Context(), "boot/v1", "b", time.Hour); err != nil || !ok || again <= fence {
		t.Errorf("got fence %d, %v, %v after %d, want a higher one", again, ok, err, fence)
	}
}

func TestFile_Mode_OwnerOnly(t *testing.T) {
	folder := t.TempDir()
	s := open(t, filepath.Join(folder, "relay.db"))
	fill(t, s)
	files, err := os.ReadDir(folder)
	must(t, err)
	if len(files) < 2 {
		t.Errorf("got %d files, want the database and its log", len(files))
	}
	for _, file := range files {
		info, err := file.Info()
		must(t, err)
		if got := info.Mode().Perm(); got != 0o600 {
			t.Errorf("%s: got mode %v, want 0600", file.Name(), got)
		}
	}
}

func TestOpen_AnyPath_Works(t *testing.T) {
	for _, name := range []string{"a b.db", "a?mode=ro&x=%41.db", "a#b.db", "späße.db", "-.db", "file:x.db"} {
		folder := t.TempDir()
		s := open(t, filepath.Join(folder, name))
		fill(t, s)
		must(t, s.Close())
		files, err := os.ReadDir(folder)
		must(t, err)
		if len(files) != 1 || files[0].Name() != name {
			t.Errorf("got files %v, want %q alone", files, name)
		}
	}
}

// contents reads every file of a folder except SQLite's shared-memory index,
// which SQLite rebuilds from the others.
func contents(t *testing.T, folder string) map[string]string {
	t.Helper()
	files := map[string]string{}
	must(t, filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasSuffix(path, "-shm") {
			return err
		}
		b, err := os.ReadFile(path)
		files[path] = string(b)
		return err
	}))
	return files
}

func TestOpen_ForeignOrDamagedFile_RefusedUnchanged(t *testing.T) {
	valid := func(t *testing.T, path string) {
		t.Helper()
		s := open(t, path)
		fill(t, s)
		must(t, s.Close())
	}
	for _, test := range []struct {
		name  string
		setup func(t *testing.T, path string)
		want  string
	}{
		{"garbage", func(t *testing.T, path string) {
			must(t, os.WriteFile(path, bytes.Repeat([]byte("garbage\n"), 2000), 0o600))
		}, "is not a SQLite database"},
		{"few bytes", func(t *testing.T, path string) {
			must(t, os.WriteFile(path, []byte("hi"), 0o600))
		}, "is not a SQLite database"},
		{"zeros", func(t *testing.T, path string) {
			must(t, os.WriteFile(path, make([]byte, 8192), 0o600))
		}, "is not a SQLite database"},
		{"newer schema", func(t *testing.T, path string) {
			valid(t, path)
			_, err := raw(t, path).ExecContext(t.Context(), `PRAGMA user_version = 99`)
			must(t, err)
		}, "has schema 99"},
		{"another program", func(t *testing.T, path string) {
			_, err := raw(t, path).ExecContext(t.Context(), `CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1)`)
			must(t, err)
		}, "is a database of another program"},
		{"another application id", func(t *testing.T, path string) {
			_, err := raw(t, path).ExecContext(t.Context(), `PRAGMA application_id = 5`)
			must(t, err)
		}, "is a database of another program"},
		{"damaged pages", func(t *testing.T, path string) {
			valid(t, path)
			b, err := os.ReadFile(path)
			must(t, err)
			for i := 4096; i < len(b); i++ {
				b[i] ^= 0x55
			}
			must(t, os.WriteFile(path, b, 0o600))
		}, "is damaged"},
		{"cut short", func(t *testing.T, path string) {
			valid(t, path)
			must(t, os.Truncate(path, 3*4096))
		}, "is damaged"},
		{"a folder", func(t *testing.T, path string) {
			must(t, os.Mkdir(path, 0o700))
		}, "is a folder"},
	} {
		t.Run(test.name, func(t *testing.T) {
			folder := t.TempDir()
			path := filepath.Join(folder, "relay.db")
			test.setup(t, path)
			before := contents(t, folder)
			s, err := sqlite.Open(t.Context(), path)
			if err == nil {
				s.Close()
				t.Fatal("got no error, want one")
			}
			if got := err.Error(); !strings.Contains(got, test.want) || strings.Count(got, path) != 1 || strings.Contains(got, "\n") {
				t.Errorf("got error %q, want one line with %q and the path once", got, test.want)
			}
			after := contents(t, folder)
			for path, b := range before {
				if after[path] != b {
					t.Errorf("got %s changed, want it as it was", path)
				}
			}
			for path := range after {
				if _, ok := before[path]; !ok && len(after[path]) != 0 {
					t.Errorf("got %s left behind, want nothing", path)
				}
			}
		})
	}
}

func TestOpen_InvalidPath_Described(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(folder, "file")
	must(t, os.WriteFile(file, nil, 0o600))
	for path, want := range map[string]string{
		"":                                  "has no file name",
		":memory:":                          "use memory:",
		"//relay.db":                        "two slashes",
		"a\x00b":                            "zero byte",
		folder:                              "is a folder",
		filepath.Join(folder, "no", "x.db"): "does not exist",
		filepath.Join(file, "x.db"):         "not a directory",
		os.DevNull:                          "is not a regular file",
	} {
		s, err := sqlite.Open(t.Context(), path)
		if err == nil {
			s.Close()
			t.Errorf("%q: got no error, want one", path)
			continue
		}
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got error %q, want %q in it", path, err, want)
		}
	}
	if _, err := os.Stat(filepath.Join(folder, "no")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want no folder made", err)
	}
}

func TestOpen_ReadOnlyFolder_Refused(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "relay.db")
	s := open(t, path)
	want := fill(t, s)
	must(t, s.Close())

	// A folder with the name of the log prevents writes even as root.
	must(t, os.Mkdir(path+"-wal", 0o700))
	before, err := os.ReadFile(path)
	must(t, err)
	if _, err = sqlite.Open(t.Context(), path); err == nil || !strings.Contains(err.Error(), "not readable and writable") {
		t.Errorf("got error %v, want it to say that the folder is not writable", err)
	}
	after, err := os.ReadFile(path)
	must(t, err)
	if !bytes.Equal(before, after) {
		t.Error("got the file changed, want it as it was")
	}

	must(t, os.Remove(path+"-wal"))
	s = open(t, path)
	if got, err := s.Session(t.Context(), "v1"); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}
