// Package docs tests that the documents match the code.
package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDocs_ThreatModel_NamedTestsExist looks up each named test in the code.
func TestDocs_ThreatModel_NamedTestsExist(t *testing.T) {
	page, err := os.ReadFile("security.md")
	if err != nil {
		t.Fatal(err)
	}
	functions := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	err = filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			if err == nil && d.IsDir() && d.Name() == "node_modules" {
				return fs.SkipDir
			}
			return err
		}
		code, err := os.ReadFile(path)
		for _, found := range declared.FindAllSubmatch(code, -1) {
			functions[string(found[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`((?:Test|Fuzz)\\w+)`").FindAllSubmatch(page, -1)
	if len(named) < 60 {
		t.Errorf("got %d tests named, want those of a whole threat model", len(named))
	}
	for _, name := range named {
		if !functions[string(name[1])] {
			t.Errorf("security.md names %s, which does not exist", name[1])
		}
	}
	inBrowser := regexp.MustCompile("`(web/[^`]+js)` \"([^\"]+)\"").FindAllSubmatch(page, -1)
	if len(inBrowser) == 0 {
		t.Error("security.md names no test of the widget")
	}
	for _, found := range inBrowser {
		code, err := os.ReadFile(filepath.Join("..", string(found[1])))
		if err != nil || !regexp.MustCompile("test\\([\"`]"+regexp.QuoteMeta(string(found[2]))).Match(code) {
			t.Errorf("security.md names %q in %s, which is not there (%v)", found[2], found[1], err)
		}
	}
}
