package relay_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/internal/poll"
	"github.com/anyframe-relay/relay/relay"
)

// patience is how long a test waits for something that should be there at once.
const patience = 2 * time.Minute

// rig is a relay in front of a scripted control plane, both on loopback.
type rig struct {
	t     *testing.T
	plane *anyframetest.Server
	conf  relay.Config
	srv   *relay.Server
	web   *httptest.Server
	logs  *lockedBuffer
	reg   *prometheus.Registry
	label pprof.LabelSet // of every goroutine begun since the start
	onLog atomic.Pointer[func(slog.Record)]
	gone  bool
}

// newRig starts a relay whose limits are out of the way; change adjusts it.
func newRig(t *testing.T, change func(*relay.Config), opts ...anyframetest.Option) *rig {
	t.Helper()
	return rigFor(t, anyframetest.Start(t, opts...), change)
}

func rigFor(t *testing.T, plane *anyframetest.Server, change func(*relay.Config)) *rig {
	t.Helper()
	c := relay.DefaultConfig()
	c.APIKey, c.AgentID, c.BaseURL = relay.Secret(plane.Key()), plane.AgentID(), plane.URL()
	c.Store = "memory:"
	c.RateMessages, c.RateIP, c.RateSessions = relay.Rate{}, relay.Rate{}, relay.Rate{}
	c.StreamsPerVisitor, c.StreamsPerIP = 1000, 1000
	if change != nil {
		change(&c)
	}
	r := &rig{t: t, plane: plane, conf: c, logs: &lockedBuffer{}}
	name := fmt.Sprintf("%s %p", t.Name(), r)
	r.label = pprof.Labels("rig", name)
	t.Cleanup(func() { r.wantNothingLeft(name) })
	r.start()
	t.Cleanup(r.stop)
	return r
}

func (r *rig) start() {
	r.t.Helper()
	pprof.SetGoroutineLabels(pprof.WithLabels(r.t.Context(), r.label))
	r.reg = prometheus.NewRegistry()
	log := slog.New(logHandler{slog.NewJSONHandler(r.logs, &slog.HandlerOptions{Level: slog.LevelDebug}), r})
	srv, err := relay.New(r.t.Context(), r.conf, log, r.reg)
	if err != nil {
		r.t.Fatal(err)
	}
	r.srv, r.web, r.gone = srv, httptest.NewServer(documented().watch(r.conf.BasePath, srv.Handler())), false
}

// stop ends the relay as abruptly as a test can: nothing is drained.
func (r *rig) stop() {
	if r.gone {
		return
	}
	r.gone = true
	r.web.CloseClientConnections()
	if err := r.srv.Close(); err != nil {
		r.t.Error("close:", err)
	}
	r.web.Close()
	if r.t.Failed() {
		r.t.Log(r.logs.tail(100))
	}
}

// wantNothingLeft fails the test if a goroutine that the relay began, or the
// test since, goes on after both have ended.
func (r *rig) wantNothingLeft(label string) {
	pprof.SetGoroutineLabels(context.Background()) // this one does go on
	var all bytes.Buffer
	left := ""
	look := func() bool {
		all.Reset()
		if err := pprof.Lookup("goroutine").WriteTo(&all, 1); err != nil {
			r.t.Fatal(err)
		}
		stacks := strings.Split(all.String(), "\n\n")
		i := slices.IndexFunc(stacks, func(s string) bool {
			// Connections of a control plane that listens again are the test's own.
			return strings.Contains(s, strconv.Quote(label)) && strings.Contains(s, "anyframe-relay/relay/relay.")
		})
		if i < 0 {
			return true
		}
		left = stacks[i]
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		return false
	}
	ended := false
	// A look is dear with so many tests at once, and nearly all have ended soon.
	for wait := 10 * time.Millisecond; !ended && wait < patience/2; wait *= 2 {
		pause := time.NewTimer(wait)
		<-pause.C
		ended = look()
	}
	if !ended {
		r.t.Errorf("goroutine left behind:\n%s", left)
	}
}

// up lets AnyFrame be reached again. What it begins is not the relay's.
func (r *rig) up() {
	r.t.Helper()
	pprof.SetGoroutineLabels(context.Background())
	defer pprof.SetGoroutineLabels(pprof.WithLabels(r.t.Context(), r.label))
	if err := r.plane.Up(); err != nil {
		r.t.Fatal(err)
	}
}

// restart ends the relay and starts another on the same store.
func (r *rig) restart() {
	r.t.Helper()
	r.stop()
	r.start()
}

func onDisk(t *testing.T) func(*relay.Config) {
	path := filepath.Join(t.TempDir(), "relay.db")
	return func(c *relay.Config) { c.Store = "sqlite:" + path }
}

// browser is one visitor that carries a bearer token.
type browser struct {
	r     *rig
	token string
}

type answer struct {
	status int
	header http.Header
	body   string
	json   map[string]any
}

func (a answer) code() string { s, _ := a.json["code"].(string); return s }

func (r *rig) visitor() *browser {
	r.t.Helper()
	a := (&browser{r: r}).do("POST", "/v1/visitor", `{"carrier":"bearer"}`)
	token, _ := a.json["token"].(string)
	if a.status != 200 || token == "" {
		r.t.Fatalf("POST /v1/visitor: got %d %s, want a token", a.status, a.body)
	}
	return &browser{r, token}
}

// do makes a request. Headers come in pairs.
func (b *browser) do(method, path, body string, headers ...string) answer {
	b.r.t.Helper()
	var in io.Reader
	if body != "" {
		in = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(context.Background(), method, b.r.web.URL+b.r.conf.BasePath+path, in)
	if err != nil {
		b.r.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if b.token != "" {
		req.Header.Set("Authorization", "Bearer "+b.token)
	}
	for pair := range slices.Chunk(headers, 2) {
		if req.Header.Set(pair[0], pair[1]); pair[0] == "Host" {
			req.Host = pair[1]
		}
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		b.r.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		b.r.t.Fatalf("%s %s: read: %v", method, path, err)
	}
	a := answer{status: res.StatusCode, header: res.Header, body: string(text)}
	_ = json.Unmarshal(text, &a.json)
	return a
}

func quote(s string) string { b, _ := json.Marshal(s); return string(b) }

// say posts a message and wants it accepted.
func (b *browser) say(text, key string) answer {
	b.r.t.Helper()
	a := b.do("POST", "/v1/messages", `{"text":`+quote(text)+`}`, "Idempotency-Key", key)
	if a.status != http.StatusAccepted {
		b.r.t.Fatalf("POST /v1/messages %q: got %d %s, want 202", text, a.status, a.body)
	}
	return a
}

// upstream is the id of the visitor's newest session on the control plane.
func (r *rig) upstream() string {
	r.t.Helper()
	all := r.plane.Sessions()
	if len(all) == 0 {
		r.t.Fatal("the control plane has no session")
	}
	newest := all[0]
	for _, s := range all {
		if s.CreatedAt.After(newest.CreatedAt) {
			newest = s
		}
	}
	return newest.ID
}

// event is one event as a browser gets it.
type event struct {
	id, kind, data string
	json           map[string]any
}

func (e event) String() string { return fmt.Sprintf("%s %s %s", e.id, e.kind, e.data) }
func (e event) str(key string) string {
	s, _ := e.json[key].(string)
	return s
}

// tab is one open event stream.
type tab struct {
	t      *testing.T
	cancel context.CancelFunc
	res    *http.Response
	done   chan struct{}

	mu     sync.Mutex
	events []event
	raw    strings.Builder
	retry  string
	grew   chan struct{}
}

// open opens a stream. The last event id goes in the header.
func (b *browser) open(lastEventID string) *tab {
	b.r.t.Helper()
	return b.openAt("/v1/events", "Last-Event-ID", lastEventID)
}

func (b *browser) openAt(path string, headers ...string) *tab {
	b.r.t.Helper()
	x, refusal := b.tryOpenAt(path, headers...)
	if x == nil {
		b.r.t.Fatalf("GET %s: got %d %s, want 200", path, refusal.status, refusal.body)
	}
	return x
}

// tryOpen opens a stream, or returns the code of the refusal.
func (b *browser) tryOpen() (x *tab, code string) {
	b.r.t.Helper()
	x, refusal := b.tryOpenAt("/v1/events")
	return x, refusal.code()
}

func (b *browser) tryOpenAt(path string, headers ...string) (*tab, answer) {
	b.r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.r.web.URL+b.r.conf.BasePath+path, nil)
	if err != nil {
		b.r.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+b.token)
	for pair := range slices.Chunk(headers, 2) {
		if pair[1] != "" {
			req.Header.Set(pair[0], pair[1])
		}
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		cancel()
		b.r.t.Fatal(err)
	}
	if res.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		cancel()
		a := answer{status: res.StatusCode, header: res.Header, body: string(body)}
		_ = json.Unmarshal(body, &a.json)
		return nil, a
	}
	// A stream has its connection to itself: the relay's side doesn't see the answer.
	documented().answered(http.MethodGet, "/v1/events", fmt.Sprint(res.StatusCode), res.Header, nil)
	x := &tab{t: b.r.t, cancel: cancel, res: res, done: make(chan struct{}), grew: make(chan struct{}, 1)}
	go x.read()
	b.r.t.Cleanup(x.close)
	return x, answer{}
}

// read is a reader of event streams of the tests' own, so that a mistake in the
// client's cannot hide one in the relay's writer.
func (x *tab) read() {
	defer close(x.done)
	defer x.res.Body.Close()
	lines := bufio.NewReader(x.res.Body)
	var e event
	var data bool // the frame has some
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return // half a frame counts for nothing
		}
		x.mu.Lock()
		x.raw.WriteString(line)
		line = strings.TrimSuffix(line, "\n")
		switch field, value, _ := strings.Cut(line, ":"); {
		case line == "":
			if data {
				_ = json.Unmarshal([]byte(e.data), &e.json)
				documented().event(e.kind, e.data)
				x.events = append(x.events, e)
			}
			e, data = event{}, false
		case field == "id":
			e.id = strings.TrimPrefix(value, " ")
		case field == "event":
			e.kind = strings.TrimPrefix(value, " ")
		case field == "data":
			e.data, data = e.data+strings.TrimPrefix(value, " "), true
		case field == "retry":
			x.retry = strings.TrimPrefix(value, " ")
		}
		x.mu.Unlock()
		select {
		case x.grew <- struct{}{}:
		default:
		}
	}
}

func (x *tab) close() {
	x.cancel()
	<-x.done
}

func (x *tab) all() []event {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Clone(x.events)
}

// until waits until cond holds of all events so far, and returns them.
func (x *tab) until(what string, cond func([]event) bool) []event {
	x.t.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		if got := x.all(); cond(got) {
			return got
		}
		select {
		case <-x.grew:
		case <-x.done:
			if got := x.all(); cond(got) {
				return got
			}
			x.t.Fatalf("the stream ended before %s; got\n%s", what, lines(x.all()))
		case <-timeout.C:
			x.t.Fatalf("%s did not come; got\n%s", what, lines(x.all()))
		}
	}
}

// ended waits until the stream is over.
func (x *tab) ended() []event {
	x.t.Helper()
	select {
	case <-x.done:
	case <-time.After(patience):
		x.t.Fatal("the stream did not end")
	}
	return x.all()
}

func lines[T fmt.Stringer](events []T) string {
	var b strings.Builder
	for _, e := range events {
		b.WriteString("  " + e.String() + "\n")
	}
	return b.String()
}

func count(events []event, kind string) (n int) {
	for _, e := range events {
		if e.kind == kind {
			n++
		}
	}
	return n
}

// turnEnds waits for the n-th end of a turn.
func (x *tab) turnEnds(n int) []event {
	x.t.Helper()
	return x.until(fmt.Sprintf("turn end %d", n), func(es []event) bool { return count(es, "turn_end") >= n })
}

// status waits for a session event with this status.
func (x *tab) status(want string) {
	x.t.Helper()
	x.until("status "+want, func(es []event) bool {
		return slices.ContainsFunc(es, func(e event) bool { return e.kind == "session" && e.str("status") == want })
	})
}

// told is a line of the oracle: what a visitor must get for one row of the
// control plane's own log.
type told struct{ id, kind, text string }

func (o told) String() string { return o.id + " " + o.kind + " " + o.text }

// oracle is what a visitor who sees the chat must have got of a session, told
// from the control plane's log and nothing of the relay's.
func (r *rig) oracle(epoch int, id string) []told {
	r.t.Helper()
	var out []told
	for _, row := range r.plane.Log(id) {
		var p struct {
			Type, Text, Question string
			Delta                bool
			Message              struct {
				Content []struct{ Type, Text string }
			}
		}
		if err := json.Unmarshal(row.Payload, &p); err != nil {
			r.t.Fatal(err)
		}
		o := told{id: fmt.Sprintf("%d-%d", epoch, row.Seq)}
		switch p.Type {
		case "user_message":
			o.kind, o.text = "user", p.Text
		case "assistant":
			for _, b := range p.Message.Content {
				if b.Type == "text" {
					o.text += b.Text
				}
			}
			if o.kind = "text"; p.Delta {
				o.kind = "delta"
			}
			if o.text == "" {
				continue
			}
		case "ask_user_question":
			o.kind, o.text = "question", p.Question
		case "permission_request":
			o.kind = "approval"
		case "result":
			o.kind, o.text = "turn_end", "done"
		case "_error":
			o.kind, o.text = "turn_end", "failed"
		default:
			continue
		}
		out = append(out, o)
	}
	return out
}

// numbered is what a stream's numbered events say, in the oracle's words.
func numbered(events []event) []told {
	var out []told
	for _, e := range events {
		if e.id != "" {
			out = append(out, inWords(e))
		}
	}
	return out
}

func inWords(e event) told {
	o := told{id: e.id, kind: e.kind}
	switch e.kind {
	case "user":
		o.text = e.str("text")
	case "text":
		o.text = e.str("text")
		if delta, _ := e.json["delta"].(bool); delta {
			o.kind = "delta"
		}
	case "question":
		o.text = e.str("question")
	case "turn_end":
		o.text = e.str("reason")
	}
	return o
}

func after(all []told, id string) []told {
	i := slices.IndexFunc(all, func(o told) bool { return o.id == id })
	return all[i+1:]
}

// same fails the test unless got is want.
func same(t *testing.T, what string, got, want []told) {
	t.Helper()
	if slices.Equal(got, want) {
		return
	}
	i := 0
	for i < min(len(got), len(want)) && got[i] == want[i] {
		i++
	}
	t.Fatalf("%s: differ at %d: got %d events\n%swant %d\n%s", what, i, len(got), lines(got[i:min(len(got), i+8)]), len(want), lines(want[i:min(len(want), i+8)]))
}

// shown is the text of the agent's last answer as a browser shows it, by the
// rules that the stream promises.
func shown(events []event) string {
	var blocks []string
	open := ""
	for _, e := range events {
		switch e.kind {
		case "reset":
			blocks, open = nil, ""
		case "text":
			if delta, _ := e.json["delta"].(bool); delta {
				open += e.str("text")
				continue
			}
			if open != e.str("text") && open != "" {
				blocks = append(blocks, open)
			}
			blocks, open = append(blocks, e.str("text")), ""
		}
	}
	return strings.Join(append(blocks, open), "")
}

// logHandler shows the rig what is logged.
type logHandler struct {
	slog.Handler
	r *rig
}

func (h logHandler) Handle(ctx context.Context, rec slog.Record) error {
	if do := h.r.onLog.Load(); do != nil {
		(*do)(rec)
	}
	return h.Handler.Handle(ctx, rec)
}

func (h logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return logHandler{h.Handler.WithAttrs(attrs), h.r}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b = bytes.Buffer{}
}

// tail is the last lines, at most n.
func (l *lockedBuffer) tail(n int) string {
	lines := strings.SplitAfter(l.String(), "\n")
	return strings.Join(lines[max(len(lines)-n-1, 0):], "")
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestMain lets many tests wait at once, wants every goroutine gone in the end,
// and everything as docs/openapi.yaml has it.
func TestMain(m *testing.M) {
	flag.Parse()
	if flag.Lookup("test.fuzz").Value.String() != "" { // has workers and goroutines of its own
		os.Exit(m.Run())
	}
	if err := flag.Set("test.parallel", "16"); err != nil {
		panic(err)
	}
	if err := beginPoller(); err != nil {
		panic(err)
	}
	before := runtime.NumGoroutine()
	code := m.Run()
	if code == 0 && !settled(before) {
		_ = pprof.Lookup("goroutine").WriteTo(os.Stderr, 1)
		fmt.Fprintf(os.Stderr, "goroutines left behind: got %d, want %d\n", runtime.NumGoroutine(), before)
		code = 1
	}
	if code == 0 && documented().told(os.Stderr) {
		code = 1
	}
	os.Exit(code)
}

// beginPoller lets the poller's goroutines begin, which are the process's, so that
// no test has begun them.
func beginPoller() error {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0") //nolint:noctx // does not wait
	if err != nil {
		return err
	}
	defer conn.Close()
	w, err := poll.Of(conn.(net.Conn), nil)
	if errors.Is(err, poll.ErrUnsupported) {
		return nil
	}
	if err == nil {
		w.Remove()
	}
	return err
}

// settled waits until no more goroutines than that are left.
func settled(most int) bool {
	return within(func() bool {
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		return runtime.NumGoroutine() <= most
	})
}

// within waits until cond holds, and reports false if patience ends first. It
// looks now and then: a hundred tests that look all the time would be what they
// wait for.
func within(cond func() bool) bool {
	look := time.NewTicker(2 * time.Millisecond)
	defer look.Stop()
	for deadline := time.Now().Add(patience); !cond(); <-look.C {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}
