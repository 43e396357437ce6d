package main

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/cmd/relay/internal/doctor"
)

func TestExposed_Modes(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("files have no mode")
	}
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for name, mode := range map[string]os.FileMode{
		".env": 0o640, "relay.db": 0o604, "relay.db-wal": 0o620, "relay.db-shm": 0o600, "relay.db.schema-1.bak": 0o644,
		"relay.database": 0o644, "other.db": 0o644, "closed.db": 0o600,
	} {
		if err := os.WriteFile(at(name), nil, mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(at(name), mode); err != nil { // regardless of the umask
			t.Fatal(err)
		}
	}
	for store, want := range map[string][]string{
		"sqlite:" + at("relay.db"):  {at(".env"), at("relay.db"), at("relay.db-wal"), at("relay.db.schema-1.bak")},
		"sqlite:" + at("closed.db"): {at(".env")},
		"sqlite:" + at("none.db"):   {at(".env")},
		"memory:":                   {at(".env")},
		"redis://127.0.0.1":         {at(".env")},
	} {
		if got := exposed(at(".env"), store); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", store, got, want)
		}
	}
	if got := exposed(at("none"), "memory:"); len(got) != 0 {
		t.Errorf("got %q, want nothing of a file that is not there", got)
	}
}

func TestServe_ExposedFiles(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("files have no mode")
	}
	db := filepath.Join(t.TempDir(), "relay.db")
	env := append(upstream(anyframetest.Start(t)), "RELAY_STORE=sqlite:"+db)
	first := launch(t, "serve", env...)
	if strings.Contains(first.output(), "accessible to other users") {
		t.Errorf("got %s, want no warning of a file that the relay has made", first.output())
	}
	first.kill()
	if err := os.Chmod(db, 0o644); err != nil {
		t.Fatal(err)
	}
	if got := launch(t, "serve", env...).output(); !strings.Contains(got, `"level":"WARN","msg":"a file with secrets is accessible to other users"`) || !strings.Contains(got, "chmod 600 "+db) {
		t.Errorf("got %s, want a warning with the command that fixes it", got)
	}
	code, stdout, _ := execute(t, env, "doctor", "--json")
	if f := of(readReport(t, stdout), "files"); code != exitError || f.Result != doctor.ResultFinding || f.Do != "chmod 600 "+db {
		t.Errorf("doctor: got exit %d, %+v, want a finding with the command", code, f)
	}
}
