package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// ARCHITECTURE.md names every package, so that its purpose can be looked up.
func TestArchitecture_Packages_AllNamed(t *testing.T) {
	t.Parallel()
	text := read(t, "../ARCHITECTURE.md")
	folders, err := filepath.Glob("../relay/internal/*")
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob("../cmd/relay/internal/*")
	if err != nil {
		t.Fatal(err)
	}
	if folders = append(folders, more...); len(folders) < 40 {
		t.Fatalf("got %d packages, want those of the relay", len(folders))
	}
	for _, folder := range folders {
		if info, err := os.Stat(folder); err != nil || !info.IsDir() {
			continue
		}
		if !regexp.MustCompile(`\b` + filepath.Base(folder) + `\b`).MatchString(text) {
			t.Errorf("ARCHITECTURE.md does not name %s", folder)
		}
	}
}
