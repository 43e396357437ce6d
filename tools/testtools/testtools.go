// Package testtools is for tests that run other programs: what is missing for them is
// skipped or a failure, everywhere by the same rule.
package testtools

import (
	"bytes"
	"compress/gzip"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Need skips the test when something is missing: a program, or a path if it has a slash.
// Where RELAY_TEST_ALL is set, nothing may be missing.
func Need(t *testing.T, things ...string) {
	t.Helper()
	for _, thing := range things {
		var err error
		if strings.Contains(thing, "/") {
			_, err = os.Stat(thing)
		} else {
			_, err = exec.LookPath(thing)
		}
		switch {
		case err == nil:
		case os.Getenv("RELAY_TEST_ALL") != "":
			t.Fatalf("missing: %v", err)
		default:
			t.Skipf("missing: %v (go run ./tools/setup installs it)", err)
		}
	}
}

// Run runs a program, which must succeed, in the test's folder.
func Run(t *testing.T, name string, args ...string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

// NodeTests runs tests of Node's test runner, which must pass, in the test's folder. Of
// those that fail, the report has the names and errors; of the others, a dot each.
func NodeTests(t *testing.T, args ...string) {
	t.Helper()
	Run(t, "node", append([]string{"--test", "--test-reporter=dot"}, args...)...)
}

// Compressed is the size of data as gzip, in bytes.
func Compressed(t *testing.T, data []byte) int {
	t.Helper()
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Len()
}
