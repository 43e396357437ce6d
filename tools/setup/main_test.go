package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestAdvice_Manager_OneCommand(t *testing.T) {
	for _, test := range []struct {
		there   []string
		missing []need
		want    string
	}{
		{
			[]string{"apt-get", "brew"},
			[]need{compiler, browser},
			"a C compiler and Chromium missing; run: sudo apt-get update && sudo apt-get install -y gcc libc6-dev chromium",
		},
		{
			[]string{"apt-get"},
			[]need{firefox, webkit},
			"Firefox and WebKitGTK missing; run: sudo apt-get update && sudo apt-get install -y firefox-esr webkit2gtk-driver xvfb",
		},
		{[]string{"apk"}, []need{browser}, "Chromium missing; run: sudo apk add chromium"},
		{nil, []need{browser}, "Chromium missing; install it, or name Chromium in CHROMIUM"},
	} {
		got := advice(test.missing, func(program string) bool { return slices.Contains(test.there, program) })
		if got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

func TestManagers_Needs_AllProvided(t *testing.T) {
	for _, m := range managers {
		for _, n := range []need{compiler, browser, firefox, nginx, caddy, redis, metrics, php, http} {
			if m.packages[n] == "" {
				t.Errorf("%s: got no package for %s, want one", m.program, n)
			}
		}
	}
}

func TestModules_LockFile_InstalledOnce(t *testing.T) {
	// A fake npm, which counts its runs, is first in the path.
	folder, bin := t.TempDir(), t.TempDir()
	runs := filepath.Join(bin, "runs")
	script := "#!/bin/sh\nmkdir -p node_modules && echo \"$@\" >>" + runs + "\n"
	if err := os.WriteFile(filepath.Join(bin, "npm"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	install := func(lock string, want int) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(folder, "package-lock.json"), []byte(lock), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := installModules(t.Context(), folder); err != nil {
			t.Fatalf("got error %v, want none", err)
		}
		b, err := os.ReadFile(runs)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Count(string(b), "ci "); got != want {
			t.Errorf("got %d runs of npm ci, want %d", got, want)
		}
	}
	install("one", 1)
	install("one", 1)
	install("two", 2)
	if err := os.RemoveAll(filepath.Join(folder, "node_modules")); err != nil {
		t.Fatal(err)
	}
	install("two", 3)
}
