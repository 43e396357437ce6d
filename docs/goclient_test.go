package docs

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// TestDocs_GoClientPrograms_Compile builds each complete program of the page as a
// package of this module. The package exists only in an overlay of the file system.
func TestDocs_GoClientPrograms_Compile(t *testing.T) {
	programs := regexp.MustCompile("(?s)```go\n(package main\n.*?)```").FindAllStringSubmatch(read(t, "go-client.md"), -1)
	if len(programs) == 0 {
		t.Fatal("got no program")
	}
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range programs {
		file, overlay := filepath.Join(t.TempDir(), "main.go"), filepath.Join(t.TempDir(), "overlay.json")
		text, err := json.Marshal(map[string]map[string]string{
			"Replace": {filepath.Join(root, "docs", "program", "main.go"): file},
		})
		if err != nil {
			t.Fatal(err)
		}
		for path, content := range map[string][]byte{file: []byte(p[1]), overlay: text} {
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		cmd := exec.CommandContext(t.Context(), "go", "build", "-overlay", overlay, "-o", filepath.Join(t.TempDir(), "program"), "./docs/program")
		cmd.Dir = root
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s\nin\n%s", err, out, p[1])
		}
	}
}
