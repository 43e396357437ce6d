package stores_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/anyframe-relay/relay/relay/internal/store/stores"
)

func TestOpen_Error_HidesURL(t *testing.T) {
	for _, url := range []string{
		"redis://user:hunter2@cache:port/0", "rediss://:hunter2@cache/x", "memory:hunter2", "hunter2",
		"hunter2:hunter2", "HUNTER2:x", "postgres://hunter2@db", "sqlite//:hunter2", "hunter2hunter2hunter2:x",
	} {
		s, err := stores.Open(t.Context(), url)
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

func TestValid_EachKind_KnownOrNot(t *testing.T) {
	for url, valid := range map[string]bool{
		"memory:": true, "sqlite:x": true, "redis://host": true, "rediss://host:6380/2": true,
		"": false, "memory": false, "memory:x": false, "sqlite:": false, "sqlite": false, "redis://host/x": false, "foo:bar": false,
	} {
		if err := stores.Valid(url); (err == nil) != valid {
			t.Errorf("%s: got error %v, want valid %v", url, err, valid)
		}
	}
	if err := stores.Valid("redis://host", stores.WithRedisPrefix("a{b}")); err == nil {
		t.Error("got no error for a prefix with braces, want one")
	}
}

func TestCheck_EachKind_NoteOrError(t *testing.T) {
	for _, test := range []struct{ url, note, err string }{
		{"memory:", "forgotten when the relay ends", ""},
		{"sqlite:" + filepath.Join(t.TempDir(), "new.db"), "will be created", ""},
		{"sqlite:", "", "has no file name"},
		{"redis://host/x", "", "redis"},
		{"foo:bar", "", "not supported"},
	} {
		note, err := stores.Check(t.Context(), test.url)
		if test.err == "" && (err != nil || !strings.Contains(note, test.note)) {
			t.Errorf("%s: got %q, %v, want %q", test.url, note, err, test.note)
		}
		if test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
			t.Errorf("%s: got %v, want an error with %q", test.url, err, test.err)
		}
	}
}
