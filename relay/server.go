package relay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/admin"
	"github.com/anyframe-relay/relay/relay/internal/backoff"
	"github.com/anyframe-relay/relay/relay/internal/control"
	"github.com/anyframe-relay/relay/relay/internal/group"
	"github.com/anyframe-relay/relay/relay/internal/h2events"
	"github.com/anyframe-relay/relay/relay/internal/httpapi"
	"github.com/anyframe-relay/relay/relay/internal/limits"
	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/redact"
	"github.com/anyframe-relay/relay/relay/internal/session"
	"github.com/anyframe-relay/relay/relay/internal/store"
	"github.com/anyframe-relay/relay/relay/internal/store/stores"
	"github.com/anyframe-relay/relay/relay/internal/stream"
	"github.com/anyframe-relay/relay/relay/internal/telemetry"
	"github.com/anyframe-relay/relay/relay/internal/upstream"
	"github.com/anyframe-relay/relay/relay/internal/widget"
	"github.com/anyframe-relay/relay/web"
	"github.com/anyframe-relay/relay/web/console"
)

// Server is a relay: one HTTP handler and the sites behind it.
type Server struct {
	config   Config
	log      *slog.Logger
	metrics  *telemetry.Metrics
	limits   *limits.Limits // of the default site, plus the limits on all sites together
	store    store.Store    // all sites' rows
	notifier store.Notifier // nil if the store has none
	pool     *upstream.Pool
	events   *h2events.Transport
	assets   *widget.Assets
	streams  *stream.Server
	control  *control.Control
	rereads  atomic.Pointer[func() []string] // rereads the settings; nil if they cannot be reread
	admin    *admin.Admin
	members  group.Group // goroutines that retire removed sites
	draining atomic.Bool
	drained  chan struct{}   // closed when draining is set
	open     context.Context // canceled by Close
	end      context.CancelFunc
	closed   atomic.Bool     // no more sites are wired
	running  context.Context // Run's context, guarded by startMu; nil before Run
	startMu  sync.Mutex      // held to start the workers of a wired site, once Run has begun
	none     http.Handler    // serves requests while there is no default site

	reloading sync.Mutex                       // serializes reloads
	sites     atomic.Pointer[map[string]*site] // by name; the default site's name is empty

	pingMu sync.Mutex // held during a ping of the store, so that concurrent probes share one
	pinged time.Time
	health error
}

// New builds a relay from a valid configuration. It opens the store, but makes no request
// to AnyFrame and starts no goroutine. The caller must call Close. Metrics are registered
// with reg, which the caller serves.
func New(ctx context.Context, c Config, log *slog.Logger, reg prometheus.Registerer) (*Server, error) {
	if err := errors.Join(c.Validate(), c.validateSites()); err != nil {
		return nil, err
	}
	s := &Server{config: c, metrics: telemetry.NewMetrics(reg), log: log, drained: make(chan struct{})}
	s.open, s.end = context.WithCancel(context.WithoutCancel(ctx))
	s.log = s.siteLog("", &c)
	s.events = h2events.New(anyframe.DefaultTransport(), h2events.Options{})
	s.pool = upstream.NewPool(upstream.PoolOptions{
		Transport: s.events,
		Timeout:   c.UpstreamTimeout, Calls: cmp.Or(c.UpstreamLog, slog.New(slog.DiscardHandler)), Metrics: s.metrics, Log: s.log, Refused: s.keyRefused,
	})
	var err error
	if s.assets, err = widget.LoadAssets(web.Files()); err != nil {
		return nil, fmt.Errorf("read the widget: %w", err)
	}
	if s.store, err = stores.Open(ctx, c.Store, stores.WithRedisPrefix(c.RedisPrefix)); err != nil {
		return nil, fmt.Errorf("open the store, set by RELAY_STORE: %w", err)
	}
	if b, ok := s.store.(interface{ Backup() string }); ok && b.Backup() != "" {
		s.log.Warn("the store was migrated to a newer schema; a copy of the old one was kept", "copy", b.Backup())
	}
	s.notifier, _ = s.store.(store.Notifier)
	gauge := func(name, help string, value func() float64) {
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
	}
	gauge("relay_upstream_connections", "HTTP/2 connections that carry AnyFrame's event streams.", func() float64 { return float64(s.events.Connections()) })
	gauge("relay_sessions_awake", "Sandboxes counted as awake, over all processes on the same store.", asked(s.store.CountAwake))
	unobserved := s.store
	s.store = store.Observe(s.store, s.metrics.Stored)
	_ = s.storeHealth(ctx) // logs a failure; the store may recover
	s.limits = limits.New(c.allLimits(), store.ForSite(s.store, ""), s.metrics)
	s.metrics.AwakeLimit.Set(float64(c.MaxSessions))
	s.metrics.StreamsLimit.Set(float64(c.MaxStreams))
	s.control = control.New(control.Options{Store: s.store, Changed: s.decided, Log: s.log})
	streaming := c.tuning.Stream
	streaming.Lifetime = c.StreamLifetime
	s.streams = stream.New(streaming, s.metrics, s.log)
	gauge("relay_replay_bytes", "Bytes of events kept in memory for resumed streams.", func() float64 { _, bytes := s.kept(); return float64(bytes) })
	gauge("relay_erasures_pending", "Pending erasures, over all processes on the same store.", asked(s.erasuresPending(unobserved)))
	gauge("relay_blocks", "Visitors and addresses blocked by operators.", func() float64 { return float64(len(s.control.State().Blocks())) })
	s.none = httpapi.New(c.api(""), httpapi.Parts{Limits: s.limits, Metrics: s.metrics, Log: s.log, Alive: s.alive, Ready: s.ready})
	all := map[string]*site{}
	for name, own := range c.bySite() {
		all[name] = s.newSite(name, own)
	}
	s.sites.Store(&all)
	reg.MustRegister(newBudgets(s, unobserved))
	if main := all[""]; main != nil {
		if _, err := main.use(); err != nil {
			_ = s.Close() // the first error is the one to return
			return nil, err
		}
	}
	_ = s.control.Load(ctx) // logs a failure; the state is read again later
	s.admin = admin.New(admin.Options{Tokens: c.AdminTokens, Hosts: c.AdminHosts, Read: c.ConsoleRead}, admin.Parts{
		Control: s.control, Sites: s.operated, Rows: s.siteRows, Usage: s.usage, Reload: s.reread, Records: s.store, Page: console.Files,
		Draining: s.drained, Metrics: s.metrics, Log: s.log,
	})
	return s, nil
}

// bySite returns the settings of each site by name. Shared settings are the same in each.
func (c *Config) bySite() map[string]Config {
	all := map[string]Config{}
	if c.hasDefault() {
		all[""] = *c
	}
	for _, site := range c.Sites {
		all[site.Name] = site.Config.with(c)
	}
	return all
}

// siteLog returns the logger of a site.
func (s *Server) siteLog(name string, c *Config) *slog.Logger {
	log := slog.New(redact.NewHandler(s.log.Handler(), c.patterns(), upstream.Describe))
	if name != "" {
		log = log.With("site", name)
	}
	return log
}

// kept returns how many events and bytes the event logs of all sites hold.
func (s *Server) kept() (events, bytes int) {
	for w := range s.inUse() {
		n, size := w.hub.Kept()
		events, bytes = events+n, bytes+size
	}
	return events, bytes
}

// inUse yields the wired sites.
func (s *Server) inUse() iter.Seq[*wired] {
	return func(yield func(*wired) bool) {
		for _, site := range *s.sites.Load() {
			if w := site.current(); w != nil && !yield(w) {
				return
			}
		}
	}
}

// sleep puts a sandbox of any site to sleep unless it is in use, and reports whether it
// did.
func (s *Server) sleep(ctx context.Context, a store.Awake) (bool, error) {
	name, visitor := store.SiteOf(a.Visitor)
	site := (*s.sites.Load())[name]
	if site == nil {
		return false, nil // no site has its key any more
	}
	w, err := site.use()
	if err != nil {
		return false, err
	}
	a.Visitor, a.Foreign = visitor, false
	return w.hub.PutToSleep(ctx, a)
}

// Handler serves the public routes of all sites.
func (s *Server) Handler() http.Handler { return http.HandlerFunc(s.dispatch) }

// dispatch routes a request to the site that its path names, or to the default site. The
// default site also gets paths that name an unknown site, because it has no such routes
// and answers 404.
func (s *Server) dispatch(w http.ResponseWriter, r *http.Request) {
	all := *s.sites.Load()
	site := all[s.siteIn(r, all)]
	if site == nil {
		s.none.ServeHTTP(w, r)
		return
	}
	serving, err := site.use()
	if err != nil {
		if !errors.Is(err, problem.NotFound) {
			s.log.Error("failed to serve a site", "site", site.label(), "error", err)
		}
		_ = problem.Write(w, err)
		return
	}
	(*serving.handler.Load()).ServeHTTP(w, r)
}

// siteIn returns the site name in a request's path, or the empty string if the path names
// no existing site. Like the router, it does not match an escaped name.
func (s *Server) siteIn(r *http.Request, all map[string]*site) string {
	rest, ok := strings.CutPrefix(cmp.Or(r.URL.RawPath, r.URL.Path), s.config.BasePath+httpapi.SitePath(""))
	name, _, _ := strings.Cut(rest, "/")
	if !ok || all[name] == nil {
		return ""
	}
	return name
}

// decided applies an operators' decision in this process.
func (s *Server) decided(was, is *control.State) {
	s.metrics.Paused.Set(0)
	if is.Pause() != nil {
		s.metrics.Paused.Set(1)
	}
	for w := range s.inUse() {
		w.hub.NotifyStreams()
	}
	if p := is.Pause(); p != nil && p.Stop && (was.Pause() == nil || *was.Pause() != *p) {
		s.members.Go(func() { s.stopAll(*p) })
	}
}

// AdminHandler serves operators: the API, debug under /debug, and everything else from
// open. The API and debug require a token if any are configured.
func (s *Server) AdminHandler(open, debug http.Handler) http.Handler {
	return s.admin.Handler(open, debug)
}

// WriteTimeout is the maximum duration of an answer that is not a stream. The HTTP server
// that serves Handler should allow at least that.
func (s *Server) WriteTimeout() time.Duration {
	return s.config.SendWait + session.ConnectWait + 2*s.config.UpstreamTimeout + 10*time.Second
}

// Run receives hints from other processes, if the store supports them, and checks whether
// AnyFrame accepts our keys, until ctx ends.
func (s *Server) Run(ctx context.Context) {
	var wg sync.WaitGroup
	if s.notifier != nil {
		wg.Go(func() { s.notifier.Subscribe(ctx, s.hinted) })
	}
	wg.Go(func() { s.control.Run(ctx) })
	wg.Go(func() { s.startSites(ctx) })
	var first *upstream.Route
	if main := (*s.sites.Load())[""]; main != nil {
		first = main.current().route
	}
	s.pool.Watch(ctx, first)
	wg.Wait()
}

// hinted passes another process's hint to its site.
func (s *Server) hinted(name string) {
	of, visitor := store.SiteOf(name)
	if site := (*s.sites.Load())[of]; site != nil {
		if w := site.current(); w != nil {
			w.hub.Hinted(visitor)
			w.feedback.Hinted(visitor)
		}
	}
}

// Drain makes the relay not ready, refuses new work, and ends the event streams, spread
// over five seconds. Browsers then reconnect to the process that replaces this one, or to
// another replica. Drain returns when the last stream has ended, or when ctx ends.
func (s *Server) Drain(ctx context.Context) {
	if !s.draining.Swap(true) {
		close(s.drained)
	}
	for w := range s.inUse() {
		w.hub.BeginDrain()
	}
	s.streams.Drain()
	for s.streams.Open() > 0 && ctx.Err() == nil {
		backoff.Sleep(ctx, 20*time.Millisecond)
	}
}

// Close ends the sessions, waits for everything the relay has started, and closes the
// store. Sandboxes are left to fall asleep by their own timeout.
func (s *Server) Close() error {
	s.closeSites()
	s.pool.Close()
	return s.store.Close()
}

// closeSites ends all activity of the sites.
func (s *Server) closeSites() {
	s.closed.Store(true) // first: a site is wired before this, or never
	s.end()
	s.streams.Close()
	for w := range s.inUse() {
		s.send(w, nil)
		w.close()
	}
	s.members.Close()
}
