package relay_test

import (
	"cmp"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The race detector makes code that processes megabytes byte by byte twenty times slower,
// and its own memory distorts memory measurements. Such tests are in files that it
// excludes, and make test runs them without it. It runs TestSoak there, too, with
// more seeds than with the detector.
func TestRace_TestsLeftOut_RunByMake(t *testing.T) {
	t.Parallel()
	makefile, err := os.ReadFile("../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	step := regexp.MustCompile(`\$\(ALL\) -run '([^']+)' (\./[^&]+) &&`).FindSubmatch(makefile)
	if step == nil {
		t.Fatal("Makefile: found no step of make test without the race detector")
	}
	run, packages := regexp.MustCompile(string(step[1])), strings.Fields(string(step[2]))
	leftOut := regexp.MustCompile(`(?m)^//go:build !race$`)
	test := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	if !run.MatchString("TestSoak") {
		t.Errorf("%s of make test's plain step does not match TestSoak", run)
	}
	found := 0
	err = filepath.WalkDir("..", func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() && (d.Name() == "node_modules" || d.Name() == ".git") {
			return cmp.Or(err, filepath.SkipDir)
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		code, err := os.ReadFile(path)
		if err != nil || !leftOut.Match(code) {
			return err
		}
		pkg := "./" + filepath.ToSlash(strings.TrimPrefix(filepath.Dir(path), "../"))
		if !slices.Contains(packages, pkg) {
			t.Errorf("%s: got %q, want %s among the packages of make test's plain step", path, packages, pkg)
		}
		for _, name := range test.FindAllSubmatch(code, -1) {
			if found++; !run.Match(name[1]) {
				t.Errorf("%s: %s does not match %s of make test's plain step", path, name[1], run)
			}
		}
		return nil
	})
	if err != nil || found == 0 {
		t.Errorf("got %d tests and %v, want some", found, err)
	}
}
