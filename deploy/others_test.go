package deploy_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/tools/proxytest"
	"github.com/anyframe-relay/relay/tools/testtools"
)

// Each third-party client receives every event once, in order, through cuts in the
// middle of its streams and the restart of a relay, directly and behind each proxy.
func TestOtherClients_CutsAndARestart_GetEveryEventOnce(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	t.Parallel()
	const cuts = 4
	testtools.Need(t, "node", "nginx", "caddy", "../clients/others/node_modules/eventsource")
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("RELAY_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("RELAY_SEED=%d", seed)

	var words strings.Builder // makes all events different
	for n := range 300 {
		fmt.Fprintf(&words, "word%d ", n)
	}
	plane := anyframetest.Start(t, anyframetest.WithAgent(1, func(c *anyframetest.Chat) { c.Say(words.String()) }))
	env := []string{
		"ANYFRAME_API_KEY=" + plane.Key(), fmt.Sprint("ANYFRAME_AGENT_ID=", plane.AgentID()), "ANYFRAME_BASE_URL=" + plane.URL(),
		"RELAY_STORE=sqlite:" + filepath.Join(t.TempDir(), "relay.db"), "RELAY_TRUSTED_PROXIES=127.0.0.1",
		"RELAY_RATE_IP=off", "RELAY_STREAMS_PER_IP=100", "RELAY_STREAMS_PER_VISITOR=100",
	}
	relays := []*replica{launch(t, env...), launch(t, env...)}
	knife := newKnife(seed, cuts)
	lines := []*line{knife.line(t, relays[0].addr), knife.line(t, relays[1].addr)}
	ways := map[string]string{"direct": "http://" + lines[0].addr()}
	var roots bytes.Buffer
	for name, start := range map[string]starter{"nginx": proxytest.StartNginx, "caddy": proxytest.StartCaddy} {
		f := proxytest.Front{Dir: t.TempDir(), Relays: []string{lines[0].addr(), lines[1].addr()}}
		p, err := start(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = p.Close() })
		certificate, err := f.Roots()
		if err != nil {
			t.Fatal(err)
		}
		roots.Write(certificate)
		ways[name] = p.URL
	}

	b := &harness{t: t, plane: plane, proxy: &proxytest.Proxy{URL: "http://" + relays[1].addr}, direct: plain(t)}
	who := b.mint()
	b.say(who, "hello")
	got := runOthers(t, strings.TrimPrefix(who[1], "Bearer "), ways, roots.Bytes())
	want := func() (ids []string) {
		for _, row := range plane.Log(plane.Sessions()[0].ID) {
			ids = append(ids, fmt.Sprintf("1-%d", row.Seq))
		}
		return ids
	}
	idle := func() bool {
		return strings.Contains(b.do(b.direct, "GET", "/v1/session", "", who...).text, `"agent_busy":false`)
	}
	has := func() bool {
		ids := want()
		return idle() && got.all(ids[len(ids)-1], knife.halved)
	}
	wait(t, "the first turn, through cuts", got, has)
	wait(t, "all streams", got, func() bool {
		a, _ := strconv.Atoi(relays[0].streams(t))
		b, _ := strconv.Atoi(relays[1].streams(t))
		return a+b == got.clients
	})
	if n := knife.cuts(); n < got.clients*cuts*3/4 {
		t.Errorf("got %d cuts of %d clients, want about %d each", n, got.clients, cuts)
	}

	if err := relays[0].cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	b.say(who, "again")
	<-relays[0].done
	lines[0].leadTo(launch(t, env...).addr)
	wait(t, "the second turn, over a restart", got, has)

	ids := want()
	for client, numbered := range got.of {
		want := ids
		// It stores an id when it reads the line, so an event cut just after that is
		// lost.
		if strings.HasSuffix(client, ".fetch-event-source") {
			want = slices.DeleteFunc(slices.Clone(ids), func(id string) bool {
				return knife.halved(client, id) && !slices.Contains(numbered, id)
			})
		}
		if !slices.Equal(numbered, want) {
			at := 0
			for at < min(len(numbered), len(want)) && numbered[at] == want[at] {
				at++
			}
			t.Errorf("%s: got %d events, want %d, each once and in order; then %v came, want %v",
				client, len(numbered), len(want), numbered[at:min(at+3, len(numbered))], want[at:min(at+3, len(want))])
		}
	}
}

// wait waits until the clients have the wanted events.
func wait(t *testing.T, what string, got *others, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !done(); time.Sleep(20 * time.Millisecond) {
		if err := got.fault(); err != nil {
			t.Fatal(err)
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: got %v, want it at all clients", what, got.counts())
		}
	}
}

// others is the output of the clients.
type others struct {
	clients int
	mu      sync.Mutex
	of      map[string][]string // the ids of the numbered events, by client
	wrong   []string
}

// runOthers runs each client against each address of a relay until the test ends.
func runOthers(t *testing.T, token string, ways map[string]string, roots []byte) *others {
	t.Helper()
	trusted := filepath.Join(t.TempDir(), "roots.pem")
	if err := os.WriteFile(trusted, roots, 0o600); err != nil {
		t.Fatal(err)
	}
	list, err := json.Marshal(ways)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", "run.mjs")
	cmd.Dir = "../clients/others"
	cmd.Env = append(os.Environ(), "TOKEN="+token, "WAYS="+string(list), "NODE_EXTRA_CA_CERTS="+trusted)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	const kinds = 6
	o := &others{clients: kinds * len(ways), of: map[string][]string{}}
	var wg sync.WaitGroup
	wg.Go(func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			o.take(lines.Bytes())
		}
		_ = cmd.Wait()
	})
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		wg.Wait()
		if t.Failed() {
			t.Log(said.String())
		}
	})
	return o
}

func (o *others) take(b []byte) {
	var e struct {
		Client, Kind, ID string
		JSON             bool
	}
	err := json.Unmarshal(b, &e)
	o.mu.Lock()
	defer o.mu.Unlock()
	if err != nil || !e.JSON || e.Kind == "problem" || e.Kind == "reset" {
		o.wrong = append(o.wrong, string(b))
	}
	if o.of[e.Client] == nil {
		o.of[e.Client] = []string{}
	}
	if e.ID != "" {
		o.of[e.Client] = append(o.of[e.Client], e.ID)
	}
}

// fault is an event that no client may receive: data that is not JSON, a problem, a
// reset.
func (o *others) fault() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.wrong) > 0 {
		return errors.New("got " + o.wrong[0])
	}
	return nil
}

// all reports whether every client has reached id.
func (o *others) all(id string, lost func(client, id string) bool) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for client, ids := range o.of {
		if len(ids) == 0 || ids[len(ids)-1] != id && !lost(client, id) {
			return false
		}
	}
	return len(o.of) == o.clients
}

func (o *others) counts() map[string]int {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := map[string]int{}
	for client, ids := range o.of {
		n[client] = len(ids)
	}
	return n
}

// plain is a transport that reaches a relay directly.
func plain(t *testing.T) http.RoundTripper {
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return transport
}
