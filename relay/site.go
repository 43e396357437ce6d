package relay

import (
	"context"
	"log/slog"
	"net/http"
	"reflect"
	"sync"
	"sync/atomic"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/admission"
	"github.com/anyframe-relay/relay/relay/internal/challenge"
	"github.com/anyframe-relay/relay/relay/internal/consent"
	"github.com/anyframe-relay/relay/relay/internal/conversation"
	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/eventlog"
	"github.com/anyframe-relay/relay/relay/internal/feedback"
	"github.com/anyframe-relay/relay/relay/internal/history"
	"github.com/anyframe-relay/relay/relay/internal/httpapi"
	"github.com/anyframe-relay/relay/relay/internal/journal"
	"github.com/anyframe-relay/relay/relay/internal/limits"
	"github.com/anyframe-relay/relay/relay/internal/past"
	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/redact"
	"github.com/anyframe-relay/relay/relay/internal/session"
	"github.com/anyframe-relay/relay/relay/internal/store"
	"github.com/anyframe-relay/relay/relay/internal/telemetry"
	"github.com/anyframe-relay/relay/relay/internal/upstream"
	"github.com/anyframe-relay/relay/relay/internal/usage"
	"github.com/anyframe-relay/relay/relay/internal/visitor"
	"github.com/anyframe-relay/relay/relay/internal/visitorctx"
	"github.com/anyframe-relay/relay/relay/internal/widget"
)

// site is an agent and its visitors. Its parts are built on the first request, so that a
// site without visitors costs little more than its settings.
type site struct {
	server *Server
	name   string // empty for the default site
	usage  *usage.Counter

	mu     sync.Mutex // guards config, wired and gone: wired is built from config, and never for a site that is gone
	config Config
	wired  *wired // nil before the first request
	gone   bool
}

// wired holds the parts that serve a site.
type wired struct {
	log      *slog.Logger
	metrics  *telemetry.Metrics
	store    store.Store // the site's view of the store
	route    *upstream.Route
	client   *anyframe.Client
	tokens   *visitor.Tokens
	contexts *visitorctx.Keeper
	feedback *feedback.Book
	usage    *usage.Counter
	// consent and challenge are replaced when settings change.
	consent   atomic.Pointer[consent.Gate]
	challenge atomic.Pointer[challenge.Booth]
	hub       *session.Hub
	journal   *journal.Store
	prompts   *journal.Prompts // prompts that wait for a person
	sending   sending
	book      *history.Book
	past      *past.Reader
	erasing   erasing

	limits  atomic.Pointer[limits.Limits] // replaced when settings change
	handler atomic.Pointer[http.Handler]  // likewise
}

// newSite returns a site that has not been wired.
func (s *Server) newSite(name string, c Config) *site {
	return &site{server: s, name: name, config: c, usage: usage.New(store.ForSite(s.store, name), s.siteLog(name, &c))}
}

// label names the site in metrics and logs.
func (s *site) label() string {
	if s.name == "" {
		return defaultSite
	}
	return s.name
}

// use returns the site's parts, building them if necessary, or [problem.NotFound] if the
// site has been removed.
func (s *site) use() (*wired, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.gone:
		return nil, problem.NotFound
	case s.wired == nil && s.server.closed.Load():
		return nil, problem.Draining
	case s.wired == nil:
		w, err := s.wire()
		if err != nil {
			return nil, err
		}
		s.wired = w
	}
	return s.wired, nil
}

// current returns the site's parts, or nil if they have not been built.
func (s *site) current() *wired {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.wired
}

// wire builds the site's parts. The caller holds mu.
func (s *site) wire() (*wired, error) {
	c, server := &s.config, s.server
	w := &wired{metrics: server.metrics, store: store.ForSite(server.store, s.name), log: server.siteLog(s.name, c), usage: s.usage}
	if s.name != "" {
		w.metrics = server.metrics.ForSite(s.name)
	}
	prepared, err := s.prepare(c)
	if err != nil {
		return nil, err
	}
	outbox, err := c.outbox(s.label(), w.store, w.metrics, w.log)
	if err != nil {
		return nil, err
	}
	route, client, err := server.pool.Route(c.account())
	if err != nil {
		return nil, err
	}
	// Nothing after this fails: the route counts until retire.
	w.route, w.client = route, client
	l := server.limits
	if s.name != "" {
		l = l.ForSite(w.limitsOf(c), w.store, w.metrics)
	} else {
		l = l.With(w.limitsOf(c), w.store)
	}
	w.limits.Store(l)
	w.tokens = visitor.NewTokens(w.store, c.VisitorTTL)
	w.contexts = &visitorctx.Keeper{Store: w.store, TTL: c.VisitorTTL}
	engineStore := session.Store(w.store)
	if c.tuning.Store != nil {
		engineStore = c.tuning.Store(w.store)
	}
	w.prompts = &journal.Prompts{Store: w.store}
	w.journal = journal.Watch(engineStore, outbox, w.prompts, w.log)
	w.book = &history.Book{Store: w.store, TTL: c.VisitorTTL, Forever: c.Retention > 0}
	w.hub = session.NewHub(session.Options{
		AgentID: c.AgentID, IdleTimeout: c.IdleTimeout, BootTimeout: c.BootTimeout, SendWait: c.SendWait,
		UpstreamTimeout: c.UpstreamTimeout, VisitorTTL: c.VisitorTTL, ProvisionalTTL: visitor.ProvisionalTTL, StreamLifetime: c.StreamLifetime,
		MaxSessions: server.config.MaxSessions, MaxOwn: c.maxOwn(&server.config), SleepForeign: server.sleep,
		Conversation: c.conversation(), Store: w.journal, Notifier: store.NotifierForSite(server.notifier, s.name), Client: client, Quota: quota{w},
		Admission: &admission.Desk{Quota: quota{w}, Pause: server.control, Consent: agreed{w}, Challenge: w.challenge.Load}, Contexts: c.agentContexts(w.contexts),
		Pause: server.control, History: w.book, TokenValid: w.tokens.Valid, TokenKey: visitor.Key, TurnFailed: w.journal.TurnFailed,
		Metrics: w.metrics, Log: w.log, Tuning: c.tuning.Session,
	})
	w.feedback = feedback.New(feedback.Options{
		Store: w.store, TTL: c.VisitorTTL, Hint: w.hub.Publish, Log: w.log,
		Rates: w.rates, Rated: w.rated,
	})
	w.past = past.New(past.Options{Book: w.book, Notes: w.store, Contexts: w.contexts, TTL: c.VisitorTTL, Conversation: w.hub.ConversationOptions, Log: w.log})
	w.erasing.worker = s.eraser(w, client)
	s.serveWith(w, prepared)
	server.send(w, outbox)
	server.erase(w)
	if server.draining.Load() {
		w.hub.BeginDrain()
	}
	if len(c.AllowedOrigins) == 1 && c.AllowedOrigins[0] == "*" {
		w.log.Warn("RELAY_ALLOWED_ORIGINS is *: any website can embed this relay and use up its sandboxes")
	}
	return w, nil
}

// close ends all activity of the site.
func (w *wired) close() {
	w.feedback.Close()
	w.hub.Close()
}

// agreed checks visitors against the consent that the site currently requires.
type agreed struct{ *wired }

// Check implements [admission.Consent].
func (a agreed) Check(ctx context.Context, visitor string) error {
	return a.consent.Load().Check(ctx, visitor)
}

// fallible holds the parts of a handler whose construction can fail.
type fallible struct {
	identities *visitor.Verifier
	files      *widget.Files
}

// prepare builds those parts for the settings c, and changes nothing.
func (s *site) prepare(c *Config) (p fallible, err error) {
	if p.identities, err = visitor.NewVerifier(string(c.IdentityKey), c.IdentityAudience); err != nil {
		return p, err
	}
	p.files, err = s.server.assets.ForSite(c.widget(s.name))
	return p, err
}

// serveWith builds the site's handler. The caller holds mu.
func (s *site) serveWith(w *wired, p fallible) {
	c := &s.config
	w.consent.Store(consent.New(c.Consent, w.store, consent.TTL{Full: c.VisitorTTL, Provisional: visitor.ProvisionalTTL}))
	w.challenge.Store(challenge.New(challenge.Options{
		Mode: c.Challenge, Secret: string(c.APIKey), Site: s.name, Store: w.store,
		Count: func(result string) { w.metrics.Challenges.WithLabelValues(result).Inc() },
	}))
	if c.Challenge != challenge.Off { // export every result from the start, at zero
		for _, result := range challenge.Results() {
			w.metrics.Challenges.WithLabelValues(result)
		}
	}
	parts := httpapi.Parts{
		Hub: w.hub, Tokens: w.tokens, Identities: p.identities, Contexts: w.contexts, Consent: w.consent.Load(), Challenge: w.challenge.Load(), Feedback: w.feedback, Limits: w.limits.Load(), Control: s.server.control, Book: w.book, Past: w.past, Erasures: w.erasing.worker, Widget: p.files, Streams: s.server.streams.ForSite(w.metrics),
		Metrics: w.metrics, Log: w.log,
	}
	if s.name == "" {
		parts.Alive, parts.Ready = s.server.alive, s.server.ready
	}
	handler := httpapi.New(c.api(s.name), parts)
	w.handler.Store(&handler)
}

// change applies other settings: at once, except for the agent and its account, which
// apply to new epochs. Open sessions and streams continue. It returns the former settings.
// If it fails, it has changed nothing.
func (s *site) change(c Config) (was Config, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	was = s.config
	w := s.wired
	if w == nil {
		s.config = c
		return was, nil
	}
	outbox, err := c.outbox(s.label(), w.store, w.metrics, w.log)
	if err != nil {
		return was, err
	}
	prepared, err := s.prepare(&c)
	if err != nil {
		return was, err
	}
	if err := w.route.Use(c.account()); err != nil {
		return was, err
	}
	s.config = c // nothing after this fails
	if !reflect.DeepEqual(c.Webhook, was.Webhook) {
		w.journal.Use(outbox)
		s.server.send(w, outbox)
	}
	w.limits.Store(w.limits.Load().With(w.limitsOf(&c), w.store))
	w.hub.Change(session.Live{AgentID: c.AgentID, MaxOwn: c.maxOwn(&s.server.config), Conversation: c.conversation(), Contexts: c.agentContexts(w.contexts)})
	s.serveWith(w, prepared)
	return was, nil
}

// retire ends a removed site: first its streams, with a problem, then everything else.
func (s *site) retire() {
	s.mu.Lock()
	s.gone = true
	w := s.wired
	s.mu.Unlock()
	if w == nil {
		return
	}
	w.route.Close()
	w.hub.Retire()
	s.server.send(w, nil)
	s.server.stopErasing(w)
	s.server.members.Go(func() {
		w.close()
		w.metrics.ForgetSite(s.label())
	})
}

// account returns the AnyFrame account of the site's agent.
func (c *Config) account() upstream.Account {
	return upstream.Account{BaseURL: c.BaseURL, Key: string(c.APIKey)}
}

// conversation returns what the site's visitors see of the agent.
func (c *Config) conversation() conversation.Options {
	return conversation.Options{
		Visibility: c.Visibility, Approvals: c.VisitorApprovals, Patterns: c.patterns(),
		Limits: eventlog.Limits{Events: c.ReplayEvents, Bytes: c.ReplayBytes, Compact: event.CompactDeltas},
	}
}

// patterns returns the patterns of the site's key, which are masked in everything that is
// shown or logged.
func (c *Config) patterns() *redact.Patterns {
	if len(c.Sites) > 0 || c.ofMany {
		return redact.SitePatterns(c.APIKey)
	}
	return redact.KeyPatterns(c.APIKey)
}

// maxOwn is how many sandboxes of the site may be awake, or 0 if only the limit on all
// sites applies.
func (c *Config) maxOwn(main *Config) int {
	if c.MaxSessions < main.MaxSessions {
		return c.MaxSessions
	}
	return 0
}
