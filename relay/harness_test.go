package relay_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
	"github.com/anyframe-relay/relay/relay/internal/session"
	"github.com/anyframe-relay/relay/tools/ports"
)

// patience is how long a test waits for a condition that should hold almost immediately.
const patience = 2 * time.Minute

// impatience is the timeout of a call to AnyFrame in tests in which a call gets no
// response. All other calls must finish within it, even on a busy machine.
const impatience = 3 * time.Second

// harness is a relay in front of a scripted control plane, both on loopback.
type harness struct {
	t     *testing.T
	plane *anyframetest.Server
	conf  relay.Config
	srv   *relay.Server
	web   *httptest.Server
	logs  *lockedBuffer
	reg   *prometheus.Registry
	name  string         // unique in the process
	label pprof.LabelSet // of every goroutine started since the start: the name
	onLog atomic.Pointer[func(slog.Record)]
	gone  bool
	// sendBuffer is the size in bytes of the send buffers of new connections, 0 for the
	// system's, which hold megabytes on loopback.
	sendBuffer atomic.Int32
}

// harnesses counts the harnesses of the process. An address could be used again.
var harnesses atomic.Int64

// newHarness starts a relay with limits that do not interfere; change adjusts its
// configuration.
func newHarness(t *testing.T, change func(*relay.Config), opts ...anyframetest.Option) *harness {
	t.Helper()
	return harnessFor(t, startPlane(t, opts...), change)
}

// startPlane starts a control plane. All have the same key, so that the patterns that
// mask it are compiled only once.
func startPlane(t *testing.T, opts ...anyframetest.Option) *anyframetest.Server {
	t.Helper()
	plane := anyframetest.New(slices.Concat([]anyframetest.Option{anyframetest.WithKey("afm_test_4QZ7M2KX9C1VB8N6T3WJ5RHD")}, opts)...)
	t.Cleanup(plane.Close)
	if err := ports.Try(t.Context(), plane.Listen); err != nil { // no connection may take its port while it is down
		t.Fatal(err)
	}
	return plane
}

func harnessFor(t *testing.T, plane *anyframetest.Server, change func(*relay.Config)) *harness {
	t.Helper()
	c := relay.DefaultConfig()
	c.APIKey, c.AgentID, c.BaseURL = relay.Secret(plane.Key()), plane.AgentID(), plane.URL()
	c.Store = "memory:"
	c.RateMessages, c.RateIP, c.RateSessions = nil, nil, nil
	c.StreamsPerVisitor, c.StreamsPerIP = 1000, 1000
	if change != nil {
		change(&c)
	}
	r := &harness{t: t, plane: plane, conf: c, logs: &lockedBuffer{}}
	r.name = fmt.Sprint(t.Name(), " ", harnesses.Add(1))
	r.label = pprof.Labels("harness", r.name)
	t.Cleanup(func() { left.stop(r.name) })
	r.start()
	t.Cleanup(r.stop)
	return r
}

func (r *harness) start() {
	r.t.Helper()
	pprof.SetGoroutineLabels(pprof.WithLabels(r.t.Context(), r.label))
	r.reg = prometheus.NewRegistry()
	log := slog.New(logHandler{slog.NewJSONHandler(r.logs, &slog.HandlerOptions{Level: slog.LevelDebug}), r})
	srv, err := relay.New(r.t.Context(), r.conf, log, r.reg)
	if err != nil {
		r.t.Fatal(err)
	}
	r.srv, r.web, r.gone = srv, httptest.NewUnstartedServer(documented().watch(r.conf.BasePath, srv.Handler())), false
	r.web.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if n := r.sendBuffer.Load(); n > 0 {
			_ = c.(*net.TCPConn).SetWriteBuffer(int(n)) //nolint:forcetypeassert // httptest listens on TCP
		}
		return ctx
	}
	r.web.Start()
}

// stop stops the relay as abruptly as a test can, without draining.
func (r *harness) stop() {
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

// up makes AnyFrame reachable again. Goroutines that it starts are not the relay's.
func (r *harness) up() {
	r.t.Helper()
	pprof.SetGoroutineLabels(context.Background())
	defer pprof.SetGoroutineLabels(pprof.WithLabels(r.t.Context(), r.label))
	if err := r.plane.Up(); err != nil {
		r.t.Fatal(err)
	}
}

// restart stops the relay and starts another on the same store.
func (r *harness) restart() {
	r.t.Helper()
	r.stop()
	r.start()
}

// restartWith restarts the relay with a changed configuration. Tests set timeouts that a
// busy machine may exceed only after what must succeed has succeeded without them.
func (r *harness) restartWith(change func(*relay.Config)) {
	r.t.Helper()
	if r.conf.Store == "memory:" {
		r.t.Fatal("a restart loses all that is stored in memory")
	}
	change(&r.conf)
	r.restart()
}

func sqliteFile(t *testing.T) func(*relay.Config) {
	path := filepath.Join(t.TempDir(), "relay.db")
	return func(c *relay.Config) { c.Store = "sqlite:" + path }
}

// file returns the path of the relay's SQLite file.
func (r *harness) file() string { return strings.TrimPrefix(r.conf.Store, "sqlite:") }

// lingering returns a tuning that keeps unused sessions in memory for d.
func lingering(d time.Duration) relay.Tuning { return relay.Tuning{Session: session.Tuning{Linger: d}} }

// unwatching returns a tuning with which a relay never rereads a session on its own.
func unwatching() relay.Tuning {
	return relay.Tuning{Session: session.Tuning{Resync: time.Hour}}
}

// logHandler passes log records to the harness.
type logHandler struct {
	slog.Handler
	r *harness
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

// tail returns the last n lines at most.
func (l *lockedBuffer) tail(n int) string {
	lines := strings.SplitAfter(l.String(), "\n")
	return strings.Join(lines[max(len(lines)-n-1, 0):], "")
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestMain lets many tests wait at once. It fails if goroutines are left at the end, or
// if anything differs from docs/openapi.yaml. The labels of the goroutines that it prints
// name their tests.
func TestMain(m *testing.M) {
	flag.Parse()
	if flag.Lookup("test.fuzz").Value.String() != "" { // fuzzing has workers and goroutines of its own
		os.Exit(m.Run())
	}
	if err := flag.Set("test.parallel", "16"); err != nil {
		panic(err)
	}
	if err := errors.Join(beginPoller(), trustCertificate()); err != nil {
		panic(err)
	}
	go left.watch()
	before := runtime.NumGoroutine()
	code := m.Run()
	if code == 0 && !settled(before) {
		_ = pprof.Lookup("goroutine").WriteTo(os.Stderr, 1)
		fmt.Fprintf(os.Stderr, "goroutines left behind: got %d, want %d\n", runtime.NumGoroutine(), before)
		code = 1
	}
	if code == 0 && left.told(os.Stderr) {
		code = 1
	}
	if code == 0 && documented().told(os.Stderr) {
		code = 1
	}
	os.Exit(code)
}

// within waits until cond holds, and returns false if patience runs out first. It polls
// ever more slowly, because a hundred tests that poll constantly would slow each other
// down.
func within(cond func() bool) bool {
	pause := time.Millisecond
	for deadline := time.Now().Add(patience); !cond(); pause = min(pause*5/4, 25*time.Millisecond) {
		if time.Now().After(deadline) {
			return false
		}
		<-time.After(pause)
	}
	return true
}

// parallel calls do n times, eight at a time.
func parallel(n int, do func(i int)) {
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := worker; i < n; i += 8 {
				do(i)
			}
		})
	}
	wg.Wait()
}

// eventually polls until cond holds.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	if !within(cond) {
		t.Fatalf("%s: did not happen", what)
	}
}

// awaitLog waits until a line of the relay's log contains a text.
func (r *harness) awaitLog(text string) {
	r.t.Helper()
	eventually(r.t, "a line with "+text, func() bool { return strings.Contains(r.logs.String(), text) })
}
