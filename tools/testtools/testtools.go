// Package testtools is for tests that run other programs. It skips or fails tests
// whose programs are missing, by one rule.
package testtools

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Need skips the test if a program is missing, or a path if the name has a slash.
// With RELAY_TEST_ALL set, it fails the test instead.
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

// Chromium returns the path of the browser that the tests use: CHROMIUM, by default
// /usr/bin/chromium.
func Chromium() string { return cmp.Or(os.Getenv("CHROMIUM"), "/usr/bin/chromium") }

// Run runs a program, which must succeed, in the test's folder.
func Run(t *testing.T, name string, args ...string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

// Client makes requests to a test's own servers. Its connections are not those of
// http.DefaultTransport: httptest closes these when any test's server is closed, and a
// request whose response has just arrived can fail then.
var Client = &http.Client{Transport: http.DefaultTransport.(*http.Transport).Clone()}

// Request makes a request with a JSON body to a relay, as the visitor or operator with the
// token. The response's body is closed at the end of the test.
func Request(t *testing.T, method, url, token, body string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := Client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

// NodeTests runs tests with Node's test runner, which must pass, in the test's
// folder. The report has the names and errors of failed tests, and a dot for each
// of the others.
func NodeTests(t *testing.T, args ...string) {
	t.Helper()
	Run(t, "node", append([]string{"--test", "--test-reporter=dot"}, args...)...)
}

// Compressed returns the size of data compressed with gzip, in bytes.
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
