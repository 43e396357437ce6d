package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
)

// asProgram makes the test binary be the relay, so that tests can run it as a
// process and kill it.
const asProgram = "TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

const patience = 20 * time.Second

// process is a relay running on its own.
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
	p.cmd = exec.Command(os.Args[0], command) //nolint:noctx // it is killed by the test's end
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
		t.Fatalf("the relay ended before it listened:\n%s", p.output())
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

// exit waits for the process to end by itself and returns its exit code.
func (p *process) exit() int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		p.t.Fatalf("the relay does not end:\n%s", p.output())
	}
	_ = p.cmd.Wait() // the exit code says it
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
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
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
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	return res.Body
}

// page is what a visitor's page has got so far: it survives its stream.
type page struct {
	lastID string
	got    []string // id, kind and data of every numbered event
	resets int
}

// listen reads the stream until stop says so or the stream ends.
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
		t.Fatalf("nothing more came after %d events", len(pg.got))
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

func TestAVisitorGoesOnWhereItWasWhenTheRelayIsKilledMidAnswer(t *testing.T) {
	gate := make(chan struct{})
	plane := anyframetest.Start(t, anyframetest.WithAgent(1, slowAgent(gate)))
	env := append(upstream(plane), "RELAY_STORE=sqlite:"+filepath.Join(t.TempDir(), "relay.db"), "RELAY_REPLAY_EVENTS=50")
	relay := launch(t, "serve", env...)
	token := mint(t, relay.url)
	if code, out := call(t, "POST", relay.url+"/v1/messages", token, `{"text":"tell me"}`); code != 202 {
		t.Fatalf("POST /v1/messages: got %d %v, want 202", code, out)
	}
	var pg page
	pg.listen(t, relay.url, token, func() bool { return len(pg.got) >= longAnswer/4 })
	relay.kill()

	relay = launch(t, "serve", env...)
	close(gate)
	pg.listen(t, relay.url, token, func() bool { return pg.has("turn_end") })

	id := plane.Sessions()[0].ID
	log := plane.Log(id)
	if len(pg.got) != len(log) {
		t.Fatalf("events: got %d, want the %d of AnyFrame's log, each once", len(pg.got), len(log))
	}
	for i, row := range log {
		if want := fmt.Sprintf("1-%d ", row.Seq); !strings.HasPrefix(pg.got[i], want) {
			t.Fatalf("event %d: got %q, want id %s", i, pg.got[i], want)
		}
	}
	if pg.resets != 0 || len(plane.Sessions()) != 1 || len(plane.Messages(id)) != 1 {
		t.Errorf("got %d resets, %d sessions, %d messages, want 0, 1, 1", pg.resets, len(plane.Sessions()), len(plane.Messages(id)))
	}
}

func TestSIGTERMEndsGracefullyAndStreamsAreTold(t *testing.T) {
	plane := anyframetest.Start(t)
	relay := launch(t, "serve", upstream(plane)...)
	token := mint(t, relay.url)
	body := stream(t.Context(), t, relay.url, token, "")
	defer body.Close()
	relay.signal(syscall.SIGTERM)
	got, err := io.ReadAll(body)
	if err != nil {
		t.Errorf("the stream: got %v, want a clean end", err)
	}
	if n := len(regexp.MustCompile(`(?m)^retry: \d+$`).FindAllString(string(got), -1)); n != 2 {
		t.Errorf("retry fields: got %d, want one at the start and one at the end, in %q", n, got)
	}
	if code := relay.exit(); code != exitOK {
		t.Errorf("exit code: got %d, want 0; %s", code, relay.output())
	}
	if !strings.Contains(relay.output(), `"msg":"ended"`) {
		t.Errorf("the log does not say that it ended: %s", relay.output())
	}
}

func TestASecondSignalEndsAtOnce(t *testing.T) {
	plane := anyframetest.Start(t)
	relay := launch(t, "serve", upstream(plane)...)
	token := mint(t, relay.url)
	body := stream(t.Context(), t, relay.url, token, "")
	defer body.Close()
	relay.signal(syscall.SIGTERM)
	for deadline := time.Now().Add(patience); !strings.Contains(relay.output(), `"msg":"ending"`); {
		if time.Now().After(deadline) {
			t.Fatal("the first signal has no effect")
		}
		relay.signal(syscall.Signal(0)) // asks only whether it is there
	}
	relay.signal(syscall.SIGTERM)
	if code := relay.exit(); code != exitError || strings.Contains(relay.output(), `"msg":"ended"`) {
		t.Errorf("got exit code %d, want 1 before the streams have ended: %s", code, relay.output())
	}
}

func TestDemoNeedsNothingAndSaysWhatToOpen(t *testing.T) {
	relay := launch(t, "demo")
	url := regexp.MustCompile(`Open (http://localhost:\d+/) in a browser`)
	var found []string
	for deadline := time.Now().Add(patience); found == nil; found = url.FindStringSubmatch(relay.output()) {
		if time.Now().After(deadline) {
			t.Fatalf("no URL in %s", relay.output())
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, found[1], nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	html, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, trigger := range anyframetest.DemoTriggers() {
		if !strings.Contains(string(html), `data-word="`+trigger.Word+`"`) {
			t.Errorf("the page does not offer %q", trigger.Word)
		}
	}
	if !strings.Contains(string(html), "&lt;script async src=&#34;"+found[1]+"widget.js&#34;&gt;") {
		t.Error("the page does not show the tag that embeds the widget")
	}
	token := mint(t, relay.url)
	if code, out := call(t, "POST", relay.url+"/v1/messages", token, `{"text":"a table please"}`); code != 202 {
		t.Fatalf("POST /v1/messages: got %d %v, want 202", code, out)
	}
	var pg page
	pg.listen(t, relay.url, token, func() bool { return pg.has("turn_end") })
	if !strings.Contains(strings.Join(pg.got, "\n"), `| --- |`) && !strings.Contains(strings.Join(pg.got, "\n"), `|---`) {
		t.Errorf("no table in the answer:\n%s", strings.Join(pg.got, "\n"))
	}
}

func runHere(t *testing.T, vars map[string]string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	t.Chdir(t.TempDir())
	var out, errs bytes.Buffer
	code = run(t.Context(), args, lookup(vars), &out, &errs)
	return code, out.String(), errs.String()
}

func TestWrongSettingsAreListedAllAtOnce(t *testing.T) {
	code, _, stderr := runHere(t, map[string]string{"RELAY_RATE_IP": "lots", "RELAY_BOOT": "later"}, "serve")
	if code != exitUsage {
		t.Errorf("exit code: got %d, want 2", code)
	}
	for _, name := range []string{"ANYFRAME_API_KEY", "ANYFRAME_AGENT_ID", "RELAY_RATE_IP", "RELAY_BOOT"} {
		if !strings.Contains(stderr, "  "+name+" ") {
			t.Errorf("%s is not listed in\n%s", name, stderr)
		}
	}
}

func TestAStoreThatCannotBeIsNamedWithoutItsPassword(t *testing.T) {
	for url, want := range map[string]string{
		"valkey://u:afm_secret@host": "redis://", "redis://u:afm_secret@host?master_name=": "master_name=",
		"redis://u:afm_secret@host/1?addr=host:1": "cluster", "redis:u:afm_secret@host": "URL",
	} {
		vars := map[string]string{"RELAY_STORE": url, "ANYFRAME_API_KEY": "afm_x1234", "ANYFRAME_AGENT_ID": "1"}
		code, _, stderr := runHere(t, vars, "serve")
		if code != exitUsage || !strings.Contains(stderr, "RELAY_STORE names no store: ") || !strings.Contains(stderr, want) || strings.Contains(stderr, "afm_secret") {
			t.Errorf("%s: got exit %d and %q, want 2, the setting and %q", url, code, stderr, want)
		}
	}
}

func TestATakenPortIsOneClearLine(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a test's own port
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, setting := range []string{"RELAY_ADDR", "RELAY_ADMIN_ADDR"} {
		vars := map[string]string{"RELAY_ADDR": "127.0.0.1:0", "RELAY_ADMIN_ADDR": "", "RELAY_STORE": "memory:", "ANYFRAME_API_KEY": "afm_x1234", "ANYFRAME_AGENT_ID": "1"}
		vars[setting] = l.Addr().String()
		code, _, stderr := runHere(t, vars, "serve")
		want := "relay: " + l.Addr().String() + " is taken by another program; set " + setting + " to another address\n"
		if code != exitError || stderr != want {
			t.Errorf("got exit %d and %q, want 1 and %q", code, stderr, want)
		}
	}
}

func TestACorruptStoreIsOneClearLineAndLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "relay.db")
	garbage := []byte(strings.Repeat("this is no database. ", 400))
	if err := os.WriteFile(path, garbage, 0o600); err != nil {
		t.Fatal(err)
	}
	vars := map[string]string{"RELAY_ADDR": "127.0.0.1:0", "RELAY_ADMIN_ADDR": "", "RELAY_STORE": "sqlite:" + path, "ANYFRAME_API_KEY": "afm_x1234", "ANYFRAME_AGENT_ID": "1"}
	code, _, stderr := runHere(t, vars, "serve")
	if code != exitError || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, path) {
		t.Errorf("got exit %d and %q, want 1 and one line that names the file", code, stderr)
	}
	if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, garbage) {
		t.Error("the file was changed")
	}
}

func TestCommands(t *testing.T) {
	for _, tc := range []struct {
		args           []string
		code           int
		stdout, stderr string
	}{
		{[]string{"version"}, exitOK, "relay ", ""},
		{[]string{"help"}, exitOK, "RELAY_STORE", ""},
		{[]string{"--help"}, exitOK, "relay demo", ""},
		{[]string{"sevre"}, exitUsage, "", `there is no command "sevre"`},
		{[]string{"serve", "--port=1"}, exitUsage, "", "takes no arguments"},
	} {
		code, stdout, stderr := runHere(t, nil, tc.args...)
		if code != tc.code || !strings.Contains(stdout, tc.stdout) || !strings.Contains(stderr, tc.stderr) {
			t.Errorf("relay %v: got %d, %q, %q, want %d, %q, %q", tc.args, code, stdout, stderr, tc.code, tc.stdout, tc.stderr)
		}
	}
}
