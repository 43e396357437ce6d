package store_test

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/relay/store"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("got error %v, want none", err)
	}
}

// raw opens the file behind the store's back.
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

func TestSQLite_Reopened_EverythingKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "relay.db")
	s := openSQLite(t, path)
	want := fill(t, s)
	fence, _, err := s.Acquire(t.Context(), "boot/v1", "a", time.Hour)
	must(t, err)
	must(t, s.Close())

	s = openSQLite(t, path)
	if b, found, err := s.Find("token"); err != nil || !found || string(b) != "data" {
		t.Errorf("got token %q found %v error %v, want it kept", b, found, err)
	}
	if got, err := s.Session(t.Context(), "v1"); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	notes, err := s.Notes(t.Context(), "v1", "turn", 0)
	must(t, err)
	if len(notes) != 3 || notes[0].Key != "0" || notes[2].Key != "2" {
		t.Errorf("got notes %+v, want the three in order", notes)
	}
	if _, ok, err := s.Acquire(t.Context(), "boot/v1", "b", time.Hour); err != nil || ok {
		t.Errorf("got lease %v, %v, want it held by its owner still", ok, err)
	}
	must(t, s.Release(t.Context(), "boot/v1", "a"))
	must(t, s.Close())

	s = openSQLite(t, path)
	if again, ok, err := s.Acquire(t.Context(), "boot/v1", "b", time.Hour); err != nil || !ok || again <= fence {
		t.Errorf("got fence %d, %v, %v after %d, want a higher one", again, ok, err, fence)
	}
}

func TestSQLite_Files_ReadableByOwnerOnly(t *testing.T) {
	folder := t.TempDir()
	s := openSQLite(t, filepath.Join(folder, "relay.db"))
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

func TestSQLite_PathWithAnyCharacter_Works(t *testing.T) {
	for _, name := range []string{"a b.db", "a?mode=ro&x=%41.db", "a#b.db", "späße.db", "-.db", "file:x.db"} {
		folder := t.TempDir()
		s := openSQLite(t, filepath.Join(folder, name))
		fill(t, s)
		must(t, s.Close())
		files, err := os.ReadDir(folder)
		must(t, err)
		if len(files) != 1 || files[0].Name() != name {
			t.Errorf("got files %v, want %q alone", files, name)
		}
	}
}

// contents reads every file of a folder but SQLite's shared-memory index,
// which is built anew from the others whenever it is needed.
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

func TestSQLite_ForeignOrCorruptFile_RefusedUnchanged(t *testing.T) {
	valid := func(t *testing.T, path string) {
		t.Helper()
		s := openSQLite(t, path)
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
		}, "is of schema 99"},
		{"another program", func(t *testing.T, path string) {
			_, err := raw(t, path).ExecContext(t.Context(), `CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1)`)
			must(t, err)
		}, "is the database of another program"},
		{"another application id", func(t *testing.T, path string) {
			_, err := raw(t, path).ExecContext(t.Context(), `PRAGMA application_id = 5`)
			must(t, err)
		}, "is the database of another program"},
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
			s, err := store.Open(t.Context(), "sqlite:"+path)
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

func TestSQLite_BadPath_ErrorNamesProblem(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(folder, "file")
	must(t, os.WriteFile(file, nil, 0o600))
	for path, want := range map[string]string{
		"":                                  "names no file",
		":memory:":                          "write memory:",
		"//relay.db":                        "two slashes",
		"a\x00b":                            "zero byte",
		folder:                              "is a folder",
		filepath.Join(folder, "no", "x.db"): "does not exist",
		filepath.Join(file, "x.db"):         "not a directory",
		os.DevNull:                          "is not a regular file",
	} {
		s, err := store.Open(t.Context(), "sqlite:"+path)
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

func TestOpen_InvalidURL_ErrorWithoutURL(t *testing.T) {
	for _, url := range []string{
		"redis://user:hunter2@cache:port/0", "rediss://:hunter2@cache/x", "memory:hunter2", "hunter2",
		"hunter2:hunter2", "HUNTER2:x", "postgres://hunter2@db", "sqlite//:hunter2", "hunter2hunter2hunter2:x",
	} {
		s, err := store.Open(t.Context(), url)
		if err == nil {
			s.Close()
			t.Errorf("%s: got no error, want one", url)
			continue
		}
		scheme, _, _ := strings.Cut(url, ":")
		if got := err.Error(); strings.Contains(strings.ToLower(got), "hunter2") && scheme != "hunter2" {
			t.Errorf("%s: got error %q, want the scheme at most", url, got)
		}
	}
}

func TestSQLite_ReadOnlyPlace_Opens(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "relay.db")
	s := openSQLite(t, path)
	want := fill(t, s)
	must(t, s.Close())

	// A folder in the place of the log keeps even root from writing.
	must(t, os.Mkdir(path+"-wal", 0o700))
	before, err := os.ReadFile(path)
	must(t, err)
	if _, err = store.Open(t.Context(), "sqlite:"+path); err == nil || !strings.Contains(err.Error(), "not readable and writable") {
		t.Errorf("got error %v, want it to say that the folder is not writable", err)
	}
	after, err := os.ReadFile(path)
	must(t, err)
	if !bytes.Equal(before, after) {
		t.Error("got the file changed, want it as it was")
	}

	must(t, os.Remove(path+"-wal"))
	s = openSQLite(t, path)
	if got, err := s.Session(t.Context(), "v1"); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}

func TestSQLite_TwoHandles_Share(t *testing.T) {
	path := filepath.Join(t.TempDir(), "relay.db")
	handles := make([]store.Store, 8)
	var wg sync.WaitGroup
	for i := range handles { // all at once: one creates the file, the others wait
		wg.Go(func() {
			var err error
			if handles[i], err = store.Open(t.Context(), "sqlite:"+path); err != nil {
				t.Errorf("got error %v, want none", err)
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	defer func() {
		for _, s := range handles {
			must(t, s.Close())
		}
	}()
	a, b := handles[0], handles[1]
	must(t, a.Commit("token", []byte("x"), soon()))
	if _, found, err := b.Find("token"); err != nil || !found {
		t.Errorf("got found %v error %v, want what the other handle wrote", found, err)
	}

	const rounds = 50
	_, err := a.SaveSession(t.Context(), store.Session{Visitor: "v1", ExpiresAt: soon()})
	must(t, err)
	for _, s := range []store.Store{a, b} {
		wg.Go(func() {
			for range rounds {
				for {
					session, err := s.Session(t.Context(), "v1")
					if err == nil {
						session.LastSeq++
						_, err = s.SaveSession(t.Context(), session)
					}
					if err == nil {
						break
					}
					if !errors.Is(err, store.ErrConflict) {
						t.Errorf("got error %v, want none but conflicts", err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	got, err := b.Session(t.Context(), "v1")
	must(t, err)
	if got.LastSeq != 2*rounds {
		t.Errorf("got %d increments, want %d", got.LastSeq, 2*rounds)
	}
	if _, ok, err := a.Acquire(t.Context(), "boot/v1", "a", time.Hour); err != nil || !ok {
		t.Errorf("got lease %v, %v, want it", ok, err)
	}
	if _, ok, err := b.Acquire(t.Context(), "boot/v1", "b", time.Hour); err != nil || ok {
		t.Errorf("got lease %v, %v, want it refused", ok, err)
	}
}

func TestSQLite_Locked_StopsWaitingWithContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "relay.db")
	s := openSQLite(t, path)
	want := fill(t, s)
	other := raw(t, path)
	_, err := other.ExecContext(t.Context(), `BEGIN IMMEDIATE`)
	must(t, err)

	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err = s.Ping(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got error %v, want %v", err, context.DeadlineExceeded)
	}
	if _, err = s.SaveSession(ctx, want); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got error %v, want %v", err, context.DeadlineExceeded)
	}
	if got, err := s.Session(t.Context(), "v1"); err != nil || got != want {
		t.Errorf("got %+v, %v, want readers served meanwhile", got, err)
	}

	_, err = other.ExecContext(t.Context(), `ROLLBACK`)
	must(t, err)
	must(t, s.Ping(t.Context()))
	if _, err = s.SaveSession(t.Context(), want); err != nil {
		t.Errorf("got error %v, want the store well again", err)
	}
}

// writerEnv makes the test binary a process that writes to the file it names,
// until it is killed.
const writerEnv = "STORE_TEST_WRITER"

func TestMain(m *testing.M) {
	if path := os.Getenv(writerEnv); path != "" {
		fmt.Println("error", writeUntilKilled(path))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// writeUntilKilled prints the key of each note once the store has it.
func writeUntilKilled(path string) error {
	ctx := context.Background()
	s, err := store.Open(ctx, "sqlite:"+path)
	if err != nil {
		return err
	}
	for i := range 1_000_000 {
		key := fmt.Sprint(os.Getpid(), "-", i)
		n, _, err := s.BeginNote(ctx, store.Note{Visitor: "v1", Kind: "turn", Key: key, ExpiresAt: soon()})
		if err != nil {
			return err
		}
		n.State = "sent"
		if _, err = s.SaveNote(ctx, n); err != nil {
			return err
		}
		if _, err = fmt.Println(key); err != nil {
			return err
		}
	}
	return errors.New("was not killed")
}

func TestSQLite_ProcessKilled_AcknowledgedWritesKept(t *testing.T) {
	self, err := os.Executable()
	must(t, err)
	path := filepath.Join(t.TempDir(), "relay.db")
	acknowledged := map[string]bool{}
	for round := range 4 {
		cmd := exec.CommandContext(t.Context(), self)
		cmd.Env = append(os.Environ(), writerEnv+"="+path)
		out, err := cmd.StdoutPipe()
		must(t, err)
		must(t, cmd.Start())
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			if n == 20+37*round {
				must(t, cmd.Process.Kill())
			}
			if strings.HasPrefix(lines.Text(), "error") {
				t.Fatalf("got %q from the writer, want it at work", lines.Text())
			}
			acknowledged[lines.Text()] = true
		}
		if err = cmd.Wait(); err == nil {
			t.Fatal("got the writer ended by itself, want it killed")
		}
	}

	s := openSQLite(t, path)
	notes, err := s.Notes(t.Context(), "v1", "turn", 0)
	must(t, err)
	stored := map[string]string{}
	for _, n := range notes {
		stored[n.Key] = n.State
	}
	if len(acknowledged) < 4*20 {
		t.Errorf("got %d acknowledged writes, want more to look at", len(acknowledged))
	}
	for key := range acknowledged {
		if stored[key] != "sent" {
			t.Errorf("got note %s in state %q, want sent", key, stored[key])
		}
	}
	must(t, s.Ping(t.Context()))
}
