package deploy_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/tools/testtools"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/tools/proxytest"
)

const patience = 2 * time.Minute

// program builds the relay once and returns its path.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "relay-deploy-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "relay")
	if out, err := exec.Command("go", "build", "-o", path, "../cmd/relay").CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if path, err := program(); err == nil {
		_ = os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// replica is a relay process.
type replica struct {
	addr, admin string
	cmd         *exec.Cmd
	done        chan struct{}
	mu          sync.Mutex
	log         bytes.Buffer
}

// launch starts a relay and waits until it listens.
func launch(t *testing.T, env ...string) *replica {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	p := &replica{done: make(chan struct{})}
	p.cmd = exec.Command(path, "serve") //nolint:noctx // it is killed by the test's end
	p.cmd.Dir = t.TempDir()
	p.cmd.Env = append([]string{"RELAY_ADDR=127.0.0.1:0", "RELAY_ADMIN_ADDR=127.0.0.1:0", "RELAY_LOG_FORMAT=json"}, env...)
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	listening := make(chan struct{})
	go func() {
		defer close(p.done)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			p.mu.Lock()
			p.log.Write(append(lines.Bytes(), '\n'))
			p.mu.Unlock()
			var line struct{ Msg, Addr string }
			_ = json.Unmarshal(lines.Bytes(), &line)
			switch line.Msg {
			case "admin":
				p.admin = line.Addr
			case "listening":
				p.addr = line.Addr
				close(listening)
			}
		}
	}()
	select {
	case <-listening:
	case <-p.done:
		t.Fatalf("the relay ended before it listened:\n%s", p.said())
	case <-time.After(patience):
		t.Fatalf("the relay does not listen:\n%s", p.said())
	}
	return p
}

func (p *replica) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
	_ = p.cmd.Wait()
}

func (p *replica) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// streams returns the number of event streams that the relay has open.
func (p *replica) streams(t *testing.T) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+p.admin+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := testtools.Client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		if n, ok := strings.CutPrefix(lines.Text(), `relay_streams_open{site="default"} `); ok {
			return n
		}
	}
	t.Fatal("no relay_streams_open in the metrics")
	return ""
}

// harness is a proxy in front of two relays that share a store.
type harness struct {
	t        *testing.T
	plane    *anyframetest.Server
	replicas []*replica
	proxy    *proxytest.Proxy
	direct   http.RoundTripper // the browser's connections, from the visitor's address
}

// visitor and neighbour are the addresses of browsers. They differ from the proxy's address,
// which the relays trust.
const (
	visitor   = "127.0.0.5"
	neighbour = "127.0.0.6"
)

type starter func(context.Context, proxytest.Front) (*proxytest.Proxy, error)

// everywhere runs a test behind each proxy, with the relay on a separate host and at a path.
func everywhere(t *testing.T, test func(t *testing.T, start starter, base string)) {
	for name, start := range map[string]starter{"nginx": proxytest.StartNginx, "caddy": proxytest.StartCaddy} {
		for _, base := range []string{"", "/chat"} {
			t.Run(name+base, func(t *testing.T) {
				t.Parallel()
				testtools.Need(t, name)
				test(t, start, base)
			})
		}
	}
}

func newHarness(t *testing.T, start starter, base string, script anyframetest.Script, env ...string) *harness {
	t.Helper()
	r := &harness{t: t, plane: anyframetest.Start(t, anyframetest.WithAgent(1, script))}
	env = append([]string{
		"ANYFRAME_API_KEY=" + r.plane.Key(), fmt.Sprint("ANYFRAME_AGENT_ID=", r.plane.AgentID()), "ANYFRAME_BASE_URL=" + r.plane.URL(),
		"RELAY_STORE=sqlite:" + filepath.Join(t.TempDir(), "relay.db"), "RELAY_BASE_PATH=" + base, "RELAY_TRUSTED_PROXIES=127.0.0.1",
	}, env...)
	f := proxytest.Front{Dir: t.TempDir(), BasePath: base}
	for range 2 {
		p := launch(t, env...)
		r.replicas, f.Relays = append(r.replicas, p), append(f.Relays, p.addr)
	}
	var err error
	if r.proxy, err = start(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.proxy.Close(); err != nil {
			t.Error("close the proxy:", err)
		}
		if t.Failed() {
			t.Log(r.proxy.Output())
		}
	})
	r.direct = r.from(visitor)
	return r
}

// from returns connections from another address.
func (r *harness) from(addr string) http.RoundTripper {
	transport := r.proxy.Transport(addr)
	r.t.Cleanup(transport.CloseIdleConnections)
	return transport
}

// send makes a request through the proxy. Headers are pairs of name and value. The caller
// closes the response body.
func (r *harness) send(ctx context.Context, over http.RoundTripper, method, url, body string, headers ...string) *http.Response {
	r.t.Helper()
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := over.RoundTrip(req)
	if err != nil {
		r.t.Fatalf("%s %s: %v", method, url, err)
	}
	return res
}

type answer struct {
	*http.Response
	text string
}

func (r *harness) do(over http.RoundTripper, method, path, body string, headers ...string) answer {
	r.t.Helper()
	res := r.send(r.t.Context(), over, method, r.proxy.URL+path, body, headers...)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatalf("%s %s: %v", method, path, err)
	}
	return answer{res, string(text)}
}

// mint creates a visitor and returns the header with the token.
func (r *harness) mint() []string {
	r.t.Helper()
	a := r.do(r.direct, "POST", "/v1/visitor", `{"carrier":"bearer"}`)
	var out struct{ Token string }
	if err := json.Unmarshal([]byte(a.text), &out); err != nil || out.Token == "" {
		r.t.Fatalf("POST /v1/visitor: got %d %s, want a token", a.StatusCode, a.text)
	}
	return []string{"Authorization", "Bearer " + out.Token}
}

// say posts a message and fails the test unless it is accepted.
func (r *harness) say(who []string, text string) {
	r.t.Helper()
	if a := r.post(who, text); a.StatusCode != http.StatusAccepted {
		r.t.Fatalf("POST /v1/messages: got %d %s, want 202", a.StatusCode, a.text)
	}
}

func (r *harness) post(who []string, text string) answer {
	r.t.Helper()
	return r.do(r.direct, "POST", "/v1/messages", `{"text":"`+text+`"}`, who...)
}

// stream is one open event stream.
type stream struct {
	r      *harness
	cancel context.CancelFunc
	res    *http.Response
	lines  *bufio.Scanner
}

func (r *harness) open(who []string, lastID string) *stream {
	r.t.Helper()
	return r.openOver(r.direct, 2, who, lastID)
}

func (r *harness) openOver(over http.RoundTripper, version int, who []string, lastID string) *stream {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	res := r.send(ctx, over, "GET", r.proxy.URL+"/v1/events", "", append([]string{"Last-Event-ID", lastID}, who...)...)
	x := &stream{r, cancel, res, bufio.NewScanner(res.Body)}
	r.t.Cleanup(x.close)
	if res.StatusCode != http.StatusOK || res.ProtoMajor != version {
		r.t.Fatalf("GET /v1/events: got %d over %s, want 200 over HTTP/%d", res.StatusCode, res.Proto, version)
	}
	return x
}

func (x *stream) close() {
	x.cancel()
	_ = x.res.Body.Close()
}

type event struct{ id, kind, data string }

// next waits for the next event.
func (x *stream) next() event {
	x.r.t.Helper()
	var e event
	for x.lines.Scan() {
		switch field, value, _ := strings.Cut(x.lines.Text(), ": "); field {
		case "id":
			e.id = value
		case "event":
			e.kind = value
		case "data":
			e.data = value
		case "":
			if e.kind != "" {
				return e
			}
		}
	}
	x.r.t.Fatalf("the stream ended: %v", x.lines.Err())
	return e
}

// until waits for an event of this kind.
func (x *stream) until(kind string) {
	x.r.t.Helper()
	for e := x.next(); e.kind != kind; e = x.next() {
		if e.kind == "problem" {
			x.r.t.Fatalf("got a problem, %s, want %s", e.data, kind)
		}
	}
}
