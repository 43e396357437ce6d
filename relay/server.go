package relay

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/backoff"
	"github.com/anyframe-relay/relay/relay/internal/conversation"
	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/eventlog"
	"github.com/anyframe-relay/relay/relay/internal/httpapi"
	"github.com/anyframe-relay/relay/relay/internal/limits"
	"github.com/anyframe-relay/relay/relay/internal/redact"
	"github.com/anyframe-relay/relay/relay/internal/session"
	"github.com/anyframe-relay/relay/relay/internal/store"
	"github.com/anyframe-relay/relay/relay/internal/store/stores"
	"github.com/anyframe-relay/relay/relay/internal/stream"
	"github.com/anyframe-relay/relay/relay/internal/telemetry"
	"github.com/anyframe-relay/relay/relay/internal/upstream"
	"github.com/anyframe-relay/relay/relay/internal/visitor"
	"github.com/anyframe-relay/relay/relay/internal/widget"
	"github.com/anyframe-relay/relay/web"
)

// Server is a relay: one HTTP handler and the sessions behind it.
type Server struct {
	config    Config
	log       *slog.Logger
	metrics   *telemetry.Metrics
	guard     *upstream.Guard
	limits    *limits.Limits
	store     store.Store
	client    *anyframe.Client
	hub       *session.Hub
	streams   *stream.Server
	streaming stream.Options
	parts     httpapi.Parts
	handler   http.Handler

	pingMu sync.Mutex // held while the store is tried, so that probes don't pile up
	pinged time.Time
	health error
}

// New builds a relay from a valid configuration. It opens the store, makes no
// request, and starts nothing; the caller closes it. Metrics are registered
// with reg, which the caller serves.
func New(ctx context.Context, c Config, log *slog.Logger, reg prometheus.Registerer) (*Server, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	log = slog.New(redact.NewHandler(log.Handler(), redact.KeyPatterns(c.APIKey), upstream.Describe))
	s := &Server{config: c, log: log, metrics: telemetry.NewMetrics(reg)}
	s.guard = upstream.NewGuard(s.metrics, log)
	identities, err := visitor.NewVerifier(string(c.IdentityKey), c.IdentityAudience)
	if err != nil {
		return nil, err
	}
	s.client, err = anyframe.New(
		anyframe.WithAPIKey(string(c.APIKey)),
		anyframe.WithBaseURL(c.BaseURL),
		anyframe.WithDotEnv(""), // whoever runs us has read it
		anyframe.WithTimeout(c.UpstreamTimeout),
		anyframe.WithUserAgent("anyframe-relay"),
		anyframe.WithMiddleware(s.guard.Middleware),
		anyframe.WithLogger(cmp.Or(c.UpstreamLog, slog.New(slog.DiscardHandler))),
	)
	if err != nil {
		return nil, err
	}
	files, err := widget.Load(c.widget(), web.Files())
	if err != nil {
		return nil, fmt.Errorf("read the widget: %w", err)
	}
	if s.store, err = stores.Open(ctx, c.Store, stores.WithRedisPrefix(c.RedisPrefix)); err != nil {
		return nil, err
	}
	notifier, _ := s.store.(store.Notifier)
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "relay_sessions_awake", Help: "Sandboxes counted as awake, over all processes with the same store.",
	}, awake(s.store)))
	s.store = store.Observe(s.store, s.metrics.Stored)
	_ = s.storeHealth(ctx) // which says so in the log; it may come back
	s.limits = limits.New(c.limits(), s.store, s.metrics)
	s.metrics.AwakeLimit.Set(float64(c.MaxSessions))
	s.metrics.StreamsLimit.Set(float64(c.MaxStreams))
	tokens := visitor.NewTokens(s.store, c.VisitorTTL)
	s.streaming = stream.Options{Lifetime: c.StreamLifetime}
	s.streams = stream.New(s.streaming, s.metrics, log)
	s.hub = session.NewHub(session.Options{
		AgentID: c.AgentID, IdleTimeout: c.IdleTimeout, BootTimeout: c.BootTimeout, SendWait: c.SendWait,
		UpstreamTimeout: c.UpstreamTimeout, VisitorTTL: c.VisitorTTL, StreamLifetime: c.StreamLifetime, MaxSessions: c.MaxSessions,
		Conversation: conversation.Options{
			Visibility: c.Visibility, Approvals: c.VisitorApprovals, Patterns: redact.KeyPatterns(c.APIKey),
			Limits: eventlog.Limits{Events: c.ReplayEvents, Bytes: c.ReplayBytes, Compact: event.CompactDeltas},
		},
		Store: s.store, Notifier: notifier, Client: s.client, Quota: s.limits, TokenValid: tokens.Valid, Metrics: s.metrics, Log: log,
	})
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "relay_replay_bytes", Help: "Bytes of events that are kept in memory for returning streams.",
	}, func() float64 { _, bytes := s.hub.Kept(); return float64(bytes) }))
	s.parts = httpapi.Parts{
		Hub: s.hub, Tokens: tokens, Identities: identities, Limits: s.limits, Widget: files, Streams: s.streams,
		Metrics: s.metrics, Log: log, Alive: s.alive, Ready: s.ready,
	}
	s.handler = httpapi.New(c.api(), s.parts)
	if len(c.AllowedOrigins) == 1 && c.AllowedOrigins[0] == "*" {
		log.Warn("RELAY_ALLOWED_ORIGINS is *: any website may use this relay and spend its sandboxes")
	}
	return s, nil
}

// awake tells how many sandboxes are counted as awake, NaN if nobody can say.
func awake(st store.Store) func() float64 {
	return func() float64 {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		n, err := st.CountAwake(ctx)
		if err != nil {
			return math.NaN()
		}
		return float64(n)
	}
}

// Handler serves the public routes.
func (s *Server) Handler() http.Handler { return s.handler }

// WriteTimeout is how long an answer that is not a stream may take; the HTTP
// server that serves Handler should allow as much.
func (s *Server) WriteTimeout() time.Duration {
	return s.config.SendWait + session.ConnectWait + 2*s.config.UpstreamTimeout + 10*time.Second
}

// Run hears what other processes tell, if the store lets them, and watches
// whether AnyFrame takes our key, until ctx ends.
func (s *Server) Run(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() { s.hub.Subscribe(ctx) })
	s.watchKey(ctx)
	wg.Wait()
}

// A refused key is tried again every retryKey for the first quickKeyTries times, and
// every minute after that.
const (
	retryKey      = 10 * time.Second
	quickKeyTries = 30
)

// watchKey asks AnyFrame for the key's account at the start, and again for as long as
// the key is refused, so that mending it needs no restart. It ends with ctx.
func (s *Server) watchKey(ctx context.Context) {
	for attempt := 0; ctx.Err() == nil; attempt++ {
		_, err := s.client.Me(ctx, anyframe.CallRetries(-1))
		var wait <-chan time.Time // forever: the key is good
		switch {
		case s.guard.KeyRefused() && attempt < quickKeyTries:
			wait = time.After(retryKey)
		case s.guard.KeyRefused():
			wait = time.After(time.Minute)
		case err != nil:
			wait = time.After(backoff.Delay(attempt, time.Minute)) // AnyFrame is not there yet
		}
		select {
		case <-wait:
		case <-s.guard.Refusals():
			attempt = -1
			backoff.Sleep(ctx, retryKey)
		case <-ctx.Done():
		}
	}
}

// Drain makes the relay not ready, refuses new work, and ends the event streams
// spread over five seconds; their browsers come back, here or elsewhere. It
// returns when the last has ended, or with ctx.
func (s *Server) Drain(ctx context.Context) {
	s.hub.BeginDrain()
	s.streams.Drain()
	for s.streams.Open() > 0 && ctx.Err() == nil {
		backoff.Sleep(ctx, 20*time.Millisecond)
	}
}

// Close ends the sessions, waits for all that the relay has started, and closes
// the store. Sandboxes are left to go to sleep by themselves.
func (s *Server) Close() error {
	s.streams.Close()
	s.hub.Close()
	s.client.CloseIdleConnections()
	return s.store.Close()
}

// alive answers as long as the process does: GET /healthz.
func (s *Server) alive(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("ok\n"))
}

// ready tells whether the relay can do its work, and if not, why:
// GET /readyz.
func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	out := struct {
		Ready   bool     `json:"ready"`
		Reasons []string `json:"reasons"`
	}{true, []string{}}
	not := func(reason string) { out.Ready, out.Reasons = false, append(out.Reasons, reason) }
	if s.hub.Draining() {
		not("draining")
	}
	if err := s.storeHealth(r.Context()); err != nil {
		not("the store cannot be reached")
	}
	if s.guard.KeyRefused() {
		not("AnyFrame refuses our key")
	}
	code := http.StatusOK
	if !out.Ready {
		code = http.StatusServiceUnavailable
	}
	w.Header().Set("Cache-Control", "no-store")
	_ = httpapi.WriteJSON(w, code, out) // strings: cannot fail
}

// storeHealth tries the store, at most once a second however many ask.
func (s *Server) storeHealth(ctx context.Context) error {
	s.pingMu.Lock()
	defer s.pingMu.Unlock()
	if time.Since(s.pinged) < time.Second {
		return s.health
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	err := s.store.Ping(ctx)
	if (err == nil) != (s.health == nil) || s.pinged.IsZero() && err != nil {
		if err != nil {
			s.log.Error("the store cannot be reached", "error", err)
		} else {
			s.log.Info("the store is back")
		}
	}
	s.pinged, s.health = time.Now(), err
	return err
}
