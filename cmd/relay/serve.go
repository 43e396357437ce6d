package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/cmd/relay/internal/doctor"
	"github.com/anyframe-relay/relay/relay"
)

const (
	headerTimeout  = 10 * time.Second
	maxHeaderBytes = 16 << 10
	idleTimeout    = 2 * time.Minute
	shutdownLimit  = 10 * time.Second
)

var levels = map[string]*slog.Level{
	"debug": new(slog.LevelDebug), "info": new(slog.LevelInfo), "warn": new(slog.LevelWarn), "error": new(slog.LevelError),
}

// serve runs the relay until ctx ends.
func serve(ctx context.Context, demo bool, lookup func(string) (string, bool), stdout, stderr io.Writer) int {
	s := defaults()
	env, envErr := readEnvironment(lookup, envFile)
	readErr := env.read(s)
	again := &reloader{lookup: lookup}
	var plane *anyframetest.Server
	if demo {
		var err error
		if plane, err = startDemo(); err != nil {
			fmt.Fprintln(stderr, "relay:", err)
			return exitError
		}
		defer plane.Close()
		again.plane = plane
		forDemo(s, env, plane)
	}
	signals, stop := hangups(s)
	defer stop()
	fileErr := env.readSites(s)
	if demo {
		sitesForDemo(s, plane)
	}
	if fileErr != nil {
		fmt.Fprintln(stderr, fileErr)
	}
	if wrong := problems(envErr, readErr, s.relay.Validate()); len(wrong) > 0 {
		fmt.Fprintln(stderr, "relay: invalid settings:")
		for _, line := range wrong {
			fmt.Fprintln(stderr, "  "+line)
		}
		fmt.Fprintln(stderr, "Run relay help for a list of all settings, or relay demo to try the relay without any.")
		return exitUsage
	}
	if fileErr != nil {
		return exitUsage
	}
	log := newLogger(stderr, s, s.logLevel)
	again.log = log
	if s.traces != "" {
		s.relay.UpstreamLog = newLogger(stderr, s, s.traces)
	}
	limitMemory(lookup, os.DirFS("/"), log)
	for _, path := range exposed(envFile, s.relay.Store) {
		log.Warn("a file with secrets is accessible to other users", "path", path, "do", doctor.Restrict(path))
	}
	traces, err := startTraces(ctx, s, lookup, log)
	if err == nil {
		if traces != nil {
			s.relay.Traces = traces
		}
		err = listenAndServe(ctx, s, demo, again, signals, stdout)
		endTraces(ctx, traces)
	}
	if err != nil {
		fmt.Fprintln(stderr, "relay:", err)
		return exitError
	}
	return exitOK
}

// startDemo starts a scripted stand-in for AnyFrame in this process.
func startDemo() (*anyframetest.Server, error) {
	plane := anyframetest.New(
		anyframetest.WithAgent(1, anyframetest.Demo()),
		anyframetest.WithBootDelay(1500*time.Millisecond),
		anyframetest.WithPace(35*time.Millisecond),
	)
	if err := plane.Listen("127.0.0.1:0"); err != nil {
		return nil, fmt.Errorf("start the scripted agent: %w", err)
	}
	return plane, nil
}

// pointAt makes a site use the scripted stand-in for AnyFrame.
func pointAt(plane *anyframetest.Server, c *relay.Config) {
	c.APIKey, c.AgentID, c.BaseURL = relay.Secret(plane.Key()), plane.AgentID(), plane.URL()
}

// sitesForDemo makes all sites of the file use the stand-in, whatever the file says: it has
// neither their keys nor their agents.
func sitesForDemo(s *settings, plane *anyframetest.Server) {
	for i := range s.relay.Sites {
		pointAt(plane, &s.relay.Sites[i].Config)
	}
}

// forDemo makes the default site use the stand-in, and sets defaults for the demo, which
// all sites inherit. It must be called before the sites are read.
func forDemo(s *settings, env environment, plane *anyframetest.Server) {
	c := &s.relay
	pointAt(plane, c)
	if v, _, _ := env.get("RELAY_STORE"); v == "" {
		c.Store = "memory:"
	}
	if v, _, _ := env.get("RELAY_VISIBILITY"); v == "" {
		c.Visibility = relay.VisibilityTools // to show tools in use
	}
	if v, _, _ := env.get("RELAY_APPROVALS"); v == "" {
		c.VisitorApprovals = true // to show permission prompts
	}
	if v, _, _ := env.get("RELAY_FEEDBACK"); v == "" {
		c.Feedback = true // to show ratings
	}
	for _, t := range anyframetest.DemoTriggers() {
		c.Triggers = append(c.Triggers, relay.Trigger{Word: t.Word, Shows: t.Shows})
	}
	if c.Look.Title == "" {
		c.Look.Title = "AnyFrame Relay demo"
	}
	if c.Look.Greeting == "" && len(c.Look.Starters) == 0 {
		c.Look.Greeting = "Hello! I am a scripted demo agent. Type anything, or try one of these."
		c.Look.Starters = []string{"Show me a table", "Use a tool", "Ask me a question", "Write something long"}
	}
}

func newLogger(w io.Writer, s *settings, level string) *slog.Logger {
	style := s.logStyle
	if f, ok := w.(*os.File); style == "" && ok && isatty.IsTerminal(f.Fd()) {
		style = "text"
	}
	opts := &slog.HandlerOptions{Level: levels[level]}
	if style == "text" {
		return slog.New(slog.NewTextHandler(w, opts))
	}
	return slog.New(slog.NewJSONHandler(w, opts))
}

func listen(ctx context.Context, addr, setting string) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("listen on %s: address already in use; set %s to another address", addr, setting)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("listen on %s: permission denied; set %s to another address", addr, setting)
	case err != nil:
		return nil, fmt.Errorf("listen on %s, set by %s: %w", addr, setting, err)
	}
	return l, nil
}

func listenAndServe(ctx context.Context, s *settings, demo bool, again *reloader, signals <-chan os.Signal, stdout io.Writer) error {
	log := again.log
	public, err := listen(ctx, s.addr, "RELAY_ADDR")
	if err != nil {
		return err
	}
	defer public.Close()                                    // for an early return; a started server closes it itself
	url := strings.TrimSuffix(s.relay.PublicURL, "/") + "/" // the only origin that is served then
	if s.relay.PublicURL == "" {
		url = browserURL(public.Addr()) + s.relay.BasePath + "/"
		if demo {
			s.relay.EmbedURL = url
		}
	}
	s.relay.Loopback = loopback(public.Addr())
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), buildInfo())
	srv, err := relay.New(ctx, s.relay, log, reg)
	if err != nil {
		return err
	}
	again.server = srv
	srv.OnReload(again.reload)
	console := "" // a line with the console's URL, for the demo
	web := publicServer(srv, log)
	servers := map[*http.Server]net.Listener{web: public}
	if s.admin != "" {
		l, err := listen(ctx, s.admin, "RELAY_ADMIN_ADDR")
		if err != nil {
			_ = srv.Close() // report the first error
			return err
		}
		servers[adminServer(srv, reg)] = l
		log.Info("admin", "addr", l.Addr().String())
		console = fmt.Sprintf("\nThe operators' console is at %s/.", browserURL(l.Addr()))
	}

	failed := make(chan error, len(servers))
	var wg sync.WaitGroup
	running, stop := context.WithCancel(ctx)
	defer stop()
	wg.Go(func() { srv.Run(running) })
	wg.Go(func() { again.follow(running, signals) })
	for server, l := range servers {
		wg.Go(func() {
			if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				failed <- err
			}
		})
	}
	log.Info("listening", "addr", public.Addr().String(), "version", version())
	if demo {
		fmt.Fprintf(stdout, "%s\nOpen %s in a browser and say hello. Press Ctrl-C to end the demo.\n\n", console, url)
	}

	select {
	case err = <-failed:
		err = fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
		log.Info("shutting down", "open_streams_end_within", "5s")
	}
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownLimit)
	defer cancel()
	srv.Drain(limit)
	stop()
	for server := range servers {
		if server.Shutdown(limit) != nil {
			_ = server.Close() // closes the remaining connections
		}
	}
	wg.Wait()
	if closeErr := srv.Close(); closeErr != nil && err == nil {
		err = fmt.Errorf("close the store: %w", closeErr)
	}
	log.Info("shut down")
	return err
}

// publicServer returns the server for visitors. It sets no ReadTimeout, because the relay
// limits the time for a body itself. Event streams set their own write deadlines.
func publicServer(srv *relay.Server, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler: srv.Handler(), ReadHeaderTimeout: headerTimeout, MaxHeaderBytes: maxHeaderBytes, IdleTimeout: idleTimeout,
		WriteTimeout: srv.WriteTimeout(), ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// buildInfo returns a metric whose label is the version that is running.
func buildInfo() prometheus.Collector {
	g := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "relay_build_info", Help: "Always 1; the label has the version.",
		ConstLabels: prometheus.Labels{"version": version()},
	})
	g.Set(1)
	return g
}

// adminServer returns the server for operators.
func adminServer(srv *relay.Server, reg *prometheus.Registry) *http.Server {
	open, debugging := http.NewServeMux(), http.NewServeMux()
	open.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{}))
	debugging.HandleFunc("GET /debug/pprof/", pprof.Index)
	debugging.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	debugging.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	debugging.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	debugging.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	// Returns unused memory to the system, so that the memory in use can be measured.
	debugging.HandleFunc("POST /debug/free", func(http.ResponseWriter, *http.Request) {
		runtime.GC() // pooled objects become garbage only with the second collection
		debug.FreeOSMemory()
	})
	return &http.Server{
		Handler: srv.AdminHandler(open, debugging), ReadHeaderTimeout: headerTimeout, MaxHeaderBytes: maxHeaderBytes, IdleTimeout: idleTimeout,
	}
}

// loopback reports whether addr can be reached only from this machine.
func loopback(addr net.Addr) bool {
	tcp, ok := addr.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// browserURL returns the URL of addr for a browser on this machine.
func browserURL(addr net.Addr) string {
	host, port, err := net.SplitHostPort(addr.String())
	if ip := net.ParseIP(host); err != nil || ip == nil || ip.IsUnspecified() || ip.IsLoopback() && host == "127.0.0.1" {
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, port)
}
