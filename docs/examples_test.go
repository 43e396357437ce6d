package docs

import (
	"bufio"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/anyframe-relay/relay/tools/testtools"
)

func TestDocs_APIExamples_Work(t *testing.T) {
	t.Parallel()
	testtools.Need(t, "curl")
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	env := append(os.Environ(), "RELAY_ADDR=127.0.0.1:0", "RELAY_ADMIN_ADDR=", "RELAY_LOG_FORMAT=json")
	addr := startDemo(t, path, t.TempDir(), env)

	var script, last strings.Builder
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(read(t, "http-api.md"), -1) {
		for line := range strings.Lines(block[1]) {
			switch {
			case strings.Contains(line, "go run ./cmd/relay demo"): // in the other terminal
			case strings.Contains(line, "last of all"):
				last.WriteString(line)
			default:
				script.WriteString(regexp.MustCompile(`(?m)(curl -sN .*?) +#.*$`).ReplaceAllString(line, "$1 | sed 5q")) // otherwise it would not end
			}
		}
	}
	text := strings.ReplaceAll(script.String()+last.String(), "127.0.0.1:8181", addr)
	out, err := exec.CommandContext(t.Context(), "sh", "-c", text).CombinedOutput()
	if err != nil {
		t.Errorf("got %v", err)
	}
	got := string(out)
	for want, n := range map[string]int{
		`{"token":"`: 1, `"status":"none"`: 3, "HTTP/1.1 204": 2, `{"turn":"4f9c2b7e","epoch":1,`: 1, `{"turn":"80d1a3c5","epoch":1,`: 1,
		"prompt_unknown": 2, "event: session": 1, `{"events":[`: 1, "visitor_unknown": 0,
	} {
		if count := strings.Count(got, want); count != n {
			t.Errorf("%s: got it %d times, want %d", want, count, n)
		}
	}
	if t.Failed() {
		t.Logf("%s\n%s", text, got)
	}
}

// startDemo runs the program's demo in a folder until the test ends, and returns its
// address. The environment must select JSON logs.
func startDemo(t *testing.T, program, dir string, env []string) (addr string) {
	t.Helper()
	demo := exec.Command(program, "demo") //nolint:noctx // ended below
	demo.Dir, demo.Env = dir, env
	said, err := demo.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := demo.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = demo.Process.Signal(syscall.SIGTERM)
		_ = demo.Wait()
	})
	listening := regexp.MustCompile(`"listening","addr":"([^"]+)"`)
	lines := bufio.NewScanner(said)
	for lines.Scan() {
		if found := listening.FindStringSubmatch(lines.Text()); found != nil {
			go func() { // ends with the demo, which would otherwise block on its output
				for lines.Scan() {
				}
			}()
			return found[1]
		}
	}
	t.Fatalf("the demo does not listen: %v", lines.Err())
	return ""
}
