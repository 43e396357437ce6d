package main

import (
	"os"
	"slices"
	"testing"
)

func TestCommandsAreTheShellBlocksOfEachSection(t *testing.T) {
	text := "# Relay\n## Try it\n```sh\n# a comment, no heading\nmake demo\n```\nor\n```html\n<b>\n```\n## More\n```sh\none\n```\n```sh\ntwo\n```\n"
	want := []block{{"Try it", "# a comment, no heading\nmake demo\n"}, {"More", "one\n"}, {"More", "two\n"}}
	if got := commands(text); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestREADMEHasCommandsThatServe(t *testing.T) {
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

func TestWhatTheRelaySaysOfItselfIsUnderstood(t *testing.T) {
	for line, want := range map[string]string{
		`{"time":"…","level":"INFO","msg":"listening","addr":"[::]:8080","version":"x"}`: "[::]:8080",
		`time=… level=INFO msg=listening addr=127.0.0.1:8080 version=x`:                  "127.0.0.1:8080",
	} {
		if got := listening.FindStringSubmatch(line); got == nil || got[1] != want {
			t.Errorf("%s: got %q, want %s", line, got, want)
		}
	}
}
