package sqlite_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/store"
	"github.com/anyframe-relay/relay/relay/internal/store/sqlite"
	"github.com/anyframe-relay/relay/relay/internal/store/storetest"
)

func TestFile_SeveralHandles_Shared(t *testing.T) {
	path := filepath.Join(t.TempDir(), "relay.db")
	handles := make([]*sqlite.Store, 8)
	var wg sync.WaitGroup
	for i := range handles { // all at once: one creates the file, the others wait
		wg.Go(func() {
			var err error
			if handles[i], err = sqlite.Open(t.Context(), path); err != nil {
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
	for _, s := range []*sqlite.Store{a, b} {
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

func TestWrite_Locked_EndsWithContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "relay.db")
	s := open(t, path)
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

// writerEnv names a file that the test binary writes to until it is killed.
const writerEnv = "STORE_TEST_WRITER"

func TestMain(m *testing.M) {
	if path := os.Getenv(writerEnv); path != "" {
		fmt.Println("error", writeUntilKilled(path))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// writeUntilKilled prints the key of each note after the store has acknowledged it.
func writeUntilKilled(path string) error {
	ctx := context.Background()
	s, err := sqlite.Open(ctx, path)
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

func TestFile_ProcessKilled_KeepsAcknowledgedWrites(t *testing.T) {
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

	s := open(t, path)
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

func TestGeneration_AnotherHandleWrites_OnlyThenAnother(t *testing.T) {
	path := filepath.Join(t.TempDir(), "relay.db")
	var handles [2]*sqlite.Store
	for i := range handles {
		var err error
		handles[i], err = sqlite.Open(t.Context(), path)
		must(t, err)
		defer func() { must(t, handles[i].Close()) }()
	}
	storetest.GenerationTellsOthersWrites(t, handles[0], handles[1], true)
}
