package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/tools/testtools"
)

// execute runs the program until it exits.
func execute(t *testing.T, env []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Dir = t.TempDir()
	cmd.Env = append([]string{asProgram + "=1", "PATH=" + os.Getenv("PATH")}, env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		if _, ok := errors.AsType[*exec.ExitError](err); !ok {
			t.Fatal(err)
		}
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// until waits for a condition.
func until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for !cond() {
		if ctx.Err() != nil {
			t.Fatalf("%s: did not happen", what)
		}
	}
}

// asProgram is an environment variable that makes the test binary run as the relay, so that
// tests can start it as a process and kill it.
const asProgram = "TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

const patience = 20 * time.Second

// process is a relay that runs as a separate process.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	url  string
	done chan struct{}
	mu   sync.Mutex
	out  bytes.Buffer
}

// launch starts the relay and waits until it listens.
func launch(t *testing.T, command string, env ...string) *process {
	t.Helper()
	p := &process{t: t, done: make(chan struct{})}
	p.cmd = exec.Command(os.Args[0], command) //nolint:noctx // killed at the end of the test
	p.cmd.Dir = t.TempDir()
	p.cmd.Env = append([]string{asProgram + "=1", "PATH=" + os.Getenv("PATH"), "RELAY_ADDR=127.0.0.1:0", "RELAY_ADMIN_ADDR=", "RELAY_LOG_FORMAT=json"}, env...)
	p.cmd.Stdout = p
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	addr := make(chan string, 1)
	go func() {
		defer close(p.done)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			_, _ = p.Write(append(lines.Bytes(), '\n'))
			var line struct{ Msg, Addr string }
			if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "listening" {
				addr <- line.Addr
			}
		}
	}()
	select {
	case a := <-addr:
		p.url = "http://" + a
	case <-p.done:
		t.Fatalf("the relay exited before it listened:\n%s", p.output())
	case <-time.After(patience):
		t.Fatalf("the relay does not listen:\n%s", p.output())
	}
	return p
}

func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.Write(b)
}

func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
	_ = p.cmd.Wait()
}

// exit waits until the process exits by itself and returns its exit code.
func (p *process) exit() int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		p.t.Fatalf("the relay does not exit:\n%s", p.output())
	}
	_ = p.cmd.Wait() // the exit code is checked instead
	return p.cmd.ProcessState.ExitCode()
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// call makes a request as the visitor with this token.
func call(t *testing.T, method, url, token, body string) (int, map[string]any) {
	t.Helper()
	res := testtools.Request(t, method, url, token, body)
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	_ = json.Unmarshal(text, &out)
	return res.StatusCode, out
}

func mint(t *testing.T, url string) string {
	t.Helper()
	code, out := call(t, "POST", url+"/v1/visitor", "", `{"carrier":"bearer"}`)
	token, _ := out["token"].(string)
	if code != 200 || token == "" {
		t.Fatalf("POST /v1/visitor: got %d %v, want a token", code, out)
	}
	return token
}

// stream opens the visitor's event stream.
func stream(ctx context.Context, t *testing.T, url, token, lastID string) io.ReadCloser {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/v1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	if lastID != "" {
		req.Header.Set("Last-Event-ID", lastID)
	}
	res, err := testtools.Client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	return res.Body
}

// page holds the events that a visitor's page has received. It outlives a stream.
type page struct {
	lastID string
	got    []string // id, kind and data of every numbered event
	resets int
}

// listen reads the stream until stop returns true or the stream ends.
func (pg *page) listen(t *testing.T, url, token string, stop func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	body := stream(ctx, t, url, token, pg.lastID)
	defer body.Close()
	var id, kind, data string
	for lines := bufio.NewScanner(body); !stop() && lines.Scan(); {
		switch field, value, _ := strings.Cut(lines.Text(), ": "); field {
		case "id":
			id = value
		case "event":
			kind = value
		case "data":
			data = value
		case "":
			if kind == "reset" {
				pg.resets++
			}
			if id != "" {
				pg.lastID = id
				pg.got = append(pg.got, id+" "+kind+" "+data)
			}
			id, kind, data = "", "", ""
		}
	}
	if ctx.Err() != nil {
		t.Fatalf("no more events after %d events", len(pg.got))
	}
}

func (pg *page) has(kind string) bool {
	return len(pg.got) > 0 && strings.Contains(pg.got[len(pg.got)-1], " "+kind+" ")
}

const longAnswer = 400 // words

func slowAgent(gate <-chan struct{}) anyframetest.Script {
	return func(c *anyframetest.Chat) {
		c.Say(strings.Repeat("before ", longAnswer/2))
		select {
		case <-gate:
		case <-c.Context().Done():
			return
		}
		c.Say(strings.Repeat("after ", longAnswer/2))
	}
}

func upstream(plane *anyframetest.Server) []string {
	return []string{"ANYFRAME_API_KEY=" + plane.Key(), fmt.Sprint("ANYFRAME_AGENT_ID=", plane.AgentID()), "ANYFRAME_BASE_URL=" + plane.URL()}
}

func runHere(t *testing.T, vars map[string]string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	t.Chdir(t.TempDir())
	var out, errs bytes.Buffer
	code = run(t.Context(), args, lookup(vars), &out, &errs)
	return code, out.String(), errs.String()
}

// reply is the result of a request.
type reply struct {
	code int
	body string
	err  error
}

// ask makes a request as the visitor with this token. It may be called from any
// goroutine.
func ask(t *testing.T, method, url, token, body string, headers ...string) (r reply) {
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		return reply{err: err}
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+token)
	for pair := range slices.Chunk(headers, 2) {
		req.Header.Set(pair[0], pair[1])
	}
	res, err := testtools.Client.Do(req)
	if err != nil {
		return reply{err: err}
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return reply{res.StatusCode, string(text), err}
}
