package main

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

func TestCommands_ShellBlocks_BySection(t *testing.T) {
	text := "# Relay\n## Try it\n```sh\n# a comment, no heading\nmake demo\n```\nor\n```html\n<b>\n```\n## More\n```sh\none\n```\n```sh\ntwo\n```\n"
	want := []block{{"Try it", "# a comment, no heading\nmake demo\n"}, {"More", "one\n"}, {"More", "two\n"}}
	if got := commands(text); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestCommands_README_Serve(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	servers := 0
	for _, b := range commands(string(readme)) {
		if serves.MatchString(b.text) {
			servers++
		}
	}
	if servers < 2 {
		t.Errorf("got %d blocks that serve, want the demo and the relay itself", servers)
	}
}

func TestStep_Failure_Reported(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the commands are for a shell")
	}
	bin := t.TempDir() // a go command that exits immediately
	if err := os.WriteFile(filepath.Join(bin, "go"), []byte("#!/bin/sh\necho it went wrong\nexit 3\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	n := newcomer{t.TempDir(), []string{"PATH=" + bin + ":" + os.Getenv("PATH")}, "afm_test"}
	for text, want := range map[string]string{
		"false\ntrue\n":             "exit status 1",
		"echo $NOBODY_SET_THIS\n":   "exit status",
		"go run ./cmd/relay demo\n": "it went wrong",
		`test "afm_…" = afm_test`:   "",
	} {
		err := n.follow(t.Context(), block{"section", text})
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}

func TestStep_RealDemo_ServesAndEnds(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the commands are for a shell")
	}
	n := newcomer{"../..", os.Environ(), "afm_test"}
	if err := n.follow(t.Context(), block{"section", "go run ./cmd/relay demo\n"}); err != nil {
		t.Error(err)
	}
}

func TestAddress_RelayOutput_Parsed(t *testing.T) {
	for line, want := range map[string]string{
		`{"time":"…","level":"INFO","msg":"listening","addr":"[::]:8080","version":"x"}`: "[::]:8080",
		`time=… level=INFO msg=listening addr=127.0.0.1:8080 version=x`:                  "127.0.0.1:8080",
	} {
		if got := listening.FindStringSubmatch(line); got == nil || got[1] != want {
			t.Errorf("%s: got %q, want %s", line, got, want)
		}
	}
}

func TestEnvironment_Step_NewHomeSameNetwork(t *testing.T) {
	t.Setenv("SSL_CERT_FILE", "/certs")
	t.Setenv("RELAY_STORE", "memory:")
	env := environment(t.Context(), "/home/new", "http://plane")
	for line, want := range map[string]bool{
		"HOME=/home/new": true, "SSL_CERT_FILE=/certs": true, "ANYFRAME_BASE_URL=http://plane": true, "RELAY_STORE=memory:": false, "HOME=" + os.Getenv("HOME"): false,
	} {
		if got := slices.Contains(env, line); got != want {
			t.Errorf("%s: got %v, want %v", line, got, want)
		}
	}
}
