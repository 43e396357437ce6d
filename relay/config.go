package relay

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/anyframe-relay/relay/relay/internal/admin"
	"github.com/anyframe-relay/relay/relay/internal/challenge"
	"github.com/anyframe-relay/relay/relay/internal/clientip"
	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/history"
	"github.com/anyframe-relay/relay/relay/internal/httpapi"
	"github.com/anyframe-relay/relay/relay/internal/limits"
	"github.com/anyframe-relay/relay/relay/internal/message"
	"github.com/anyframe-relay/relay/relay/internal/redact"
	"github.com/anyframe-relay/relay/relay/internal/store/stores"
	"github.com/anyframe-relay/relay/relay/internal/webhook"
	"github.com/anyframe-relay/relay/relay/internal/widget"
)

// Secret is a string that is never printed: not by %v or %#v, not in JSON, not in a log.
type Secret = redact.Secret

// AdminToken authenticates an operator.
type AdminToken = admin.Token

// ParseAdminTokens parses a list of name:token pairs. Its error quotes no token.
func ParseAdminTokens(list string) ([]AdminToken, error) { return admin.ParseTokens(list) }

// Rate is a number of operations per window. The zero Rate is no limit.
type Rate = limits.Rate

// Rates are limits that all apply. An empty list is no limit.
type Rates = limits.Rates

// Day is the window of a [Rate] per UTC day, which begins at midnight. Shorter windows
// slide.
const Day = limits.Day

// TrustedProxies are the proxies whose forwarding headers determine a visitor's address.
type TrustedProxies = clientip.TrustedProxies

// Visibility is how much of the agent's activity a visitor sees.
type Visibility = event.Visibility

// The visibilities. Each one includes everything that the one before it shows.
const (
	VisibilityChat  = event.VisibilityChat  // visitor and agent text, questions, turn ends
	VisibilityTools = event.VisibilityTools // also tool names and a short summary of their input
	VisibilityFull  = event.VisibilityFull  // everything; for private deployments
)

// Challenge sets when a new session requires a proof of work.
type Challenge = challenge.Mode

// The modes of Challenge.
const (
	ChallengeOff    = challenge.Off    // never
	ChallengeAuto   = challenge.Auto   // when an address's rate, the day's budget or capacity runs low
	ChallengeAlways = challenge.Always // for every new session
)

// Look is the widget's default appearance, which the embedding page may override.
type Look = widget.Look

// Config configures a [Server]. [DefaultConfig] returns every default; APIKey and AgentID
// have none.
type Config struct {
	// APIKey is the AnyFrame key. It is sent to BaseURL only.
	APIKey  redact.Secret
	AgentID int64
	// BaseURL is AnyFrame's address. If empty, the client's default is used.
	BaseURL string

	// BasePath is the prefix of all routes, such as /chat. Empty is the root.
	BasePath string
	// PublicURL is the URL at which browsers reach the relay. If set, its origin is the
	// only one that counts as same-origin, also behind a proxy that rewrites Host.
	PublicURL string
	// Loopback says that the relay listens only on a loopback address. Without a
	// PublicURL, requests for hosts other than localhost are then refused.
	Loopback bool
	// EmbedURL is the URL in the page's embed code. If empty, PublicURL is used.
	EmbedURL string
	// Store is memory:, sqlite:PATH, redis://… or rediss://…. It may contain a password.
	Store string
	// RedisPrefix precedes every key in Redis. All relays that share a store must use the
	// same prefix.
	RedisPrefix string

	// AllowedOrigins are the other sites that may call the relay: exact origins,
	// including those of app shells such as capacitor://localhost, https://*.example.com
	// for all subdomains, or * for all.
	AllowedOrigins []string
	TrustedProxies clientip.TrustedProxies

	// IdentityKey verifies the website's own JWTs, whose sub identifies a visitor on
	// every device. It is an HS256 secret of at least 32 bytes, or a PEM public key
	// (RS256, ES256, EdDSA). If empty, no JWT is accepted.
	IdentityKey redact.Secret
	// IdentityAudience must be in the JWT's aud. If empty, a JWT that has an aud is
	// refused, because it is meant for another service.
	IdentityAudience string

	// Webhook is where the relay sends its events.
	Webhook Webhook

	// AdminTokens authenticate operators. Without any, every client that can reach the
	// admin listener is an operator, so the listener must then be on loopback.
	AdminTokens []AdminToken
	// AdminHosts are the host names that the admin listener accepts, besides localhost
	// and IP addresses.
	AdminHosts []string
	// ConsoleRead lets operators read conversations with their token. Every read is
	// logged.
	ConsoleRead bool

	Visibility Visibility
	// VisitorApprovals lets visitors decide the permission prompts of their own session.
	VisitorApprovals bool
	// BootOnOpen boots a sandbox when the panel opens instead of on the first turn.
	BootOnOpen bool

	// IdleTimeout is how long AnyFrame keeps an unused sandbox awake.
	IdleTimeout time.Duration
	// BootTimeout is how long a sandbox may take to boot.
	BootTimeout time.Duration
	// SendWait is how long a turn waits for the sandbox to boot.
	SendWait time.Duration
	// UpstreamTimeout is the timeout of one call to AnyFrame.
	UpstreamTimeout time.Duration
	// VisitorTTL is how long a visitor's token is valid.
	VisitorTTL time.Duration
	// Retention is how long an idle conversation is kept before it is deleted at AnyFrame
	// and in the store. 0 keeps conversations forever.
	Retention time.Duration
	// StreamLifetime is the maximum lifetime of an event stream. Each stream's lifetime
	// is shortened at random by up to a fifth.
	StreamLifetime time.Duration

	RateMessages Rates // per visitor
	RateIP       Rates // requests, per address
	RateSessions Rates // new sessions per address

	TurnsPerDay       int // of all visitors, counted when AnyFrame accepts them; 0 is no limit
	MaxSessions       int // concurrently awake
	SessionsPerDay    int // new sessions; 0 is no limit
	MaxStreams        int
	StreamsPerVisitor int
	StreamsPerIP      int

	// Notice is a line under the widget's composer. If empty, the widget says, in its
	// language, that this is an AI and may be wrong.
	Notice string
	// NoNotice removes that line.
	NoNotice bool
	// PrivacyURL is linked from the notice.
	PrivacyURL string
	// Consent is the text that visitors must accept before their first message. If empty,
	// no consent is required.
	Consent string

	// Challenge sets when a new session requires a proof of work from the browser.
	Challenge Challenge

	// Feedback lets visitors rate answers.
	Feedback bool

	// NoContext stops page and site context about a visitor from being sent to the agent.
	NoContext bool
	// MaxContext is the maximum size in bytes of each of the two contexts; 0 accepts
	// none.
	MaxContext int

	MaxMessage      int // in bytes of text
	MaxAttachment   int // in bytes
	MaxAttachments  int
	AttachmentTypes []string

	ReplayEvents int // kept in memory per session
	ReplayBytes  int

	// Traces receives the trace of every turn, from its request to the first event of the
	// answer. If nil, nothing is traced.
	Traces trace.TracerProvider
	// UpstreamLog receives a line for every request to AnyFrame. If nil, nothing is
	// logged.
	UpstreamLog *slog.Logger

	// Sites are additional agents behind this relay. If there is at least one, the
	// default site, which this Config describes, is optional: an AgentID of 0 omits it.
	Sites []Site

	ofMany bool // this Config is one of the Sites of another

	Look Look
	// Triggers turns the page at / into the demo's page, which lists the words to type
	// and what each shows.
	Triggers []Trigger

	tuning tuning
}

// Trigger is a word that makes the scripted agent show a feature.
type Trigger = widget.Trigger

// limits returns the limits that c configures.
func (c *Config) limits() limits.Options {
	api := c.api("")
	return limits.Options{
		RateMessages: c.RateMessages, RateIP: c.RateIP, RateSessions: c.RateSessions,
		TurnsPerDay: c.TurnsPerDay, SessionsPerDay: c.SessionsPerDay, MaxStreams: c.MaxStreams, StreamsPerVisitor: c.StreamsPerVisitor, StreamsPerIP: c.StreamsPerIP,
		MaxBody: int(api.MaxBody()),
		Secret:  string(c.APIKey),
	}
}

// api returns the options of a site's handlers.
func (c *Config) api(site string) httpapi.Options {
	return httpapi.Options{
		BasePath: c.BasePath, Site: site, PublicURL: c.PublicURL, AllowedOrigins: c.AllowedOrigins, TrustedProxies: c.TrustedProxies, Loopback: c.Loopback,
		VisitorApprovals: c.VisitorApprovals, BootOnOpen: c.BootOnOpen, Playground: len(c.Triggers) > 0,
		Notice: c.Notice, NoNotice: c.NoNotice, PrivacyURL: c.PrivacyURL, Feedback: c.Feedback,
		Limits: message.Limits{
			MaxMessage: c.MaxMessage, MaxAttachment: c.MaxAttachment, MaxAttachments: c.MaxAttachments, AttachmentTypes: c.AttachmentTypes,
			Context: !c.NoContext, MaxContext: c.MaxContext,
		},
		Traces: c.Traces,
	}
}

// widget returns what a site's widget files depend on.
func (c *Config) widget(site string) widget.Options {
	path := ""
	if site != "" {
		path = httpapi.SitePath(site)
	}
	return widget.Options{
		SitePath: path,
		BasePath: c.BasePath, PublicURL: cmp.Or(c.EmbedURL, c.PublicURL), AllowedOrigins: c.AllowedOrigins,
		Look: c.Look, Triggers: c.Triggers, BootOnOpen: c.BootOnOpen,
	}
}

// DefaultConfig returns a Config that lacks only APIKey and AgentID.
func DefaultConfig() Config {
	return Config{
		Store:             "sqlite:relay.db",
		RedisPrefix:       stores.DefaultRedisPrefix,
		Visibility:        VisibilityChat,
		IdleTimeout:       5 * time.Minute,
		BootTimeout:       180 * time.Second,
		SendWait:          20 * time.Second,
		UpstreamTimeout:   30 * time.Second,
		VisitorTTL:        720 * time.Hour,
		StreamLifetime:    10 * time.Minute,
		RateMessages:      Rates{{Limit: 20, Window: time.Minute}, {Limit: 300, Window: Day}},
		RateIP:            Rates{{Limit: 120, Window: time.Minute}},
		RateSessions:      Rates{{Limit: 6, Window: time.Hour}},
		MaxSessions:       200,
		MaxStreams:        50000,
		StreamsPerVisitor: 8,
		StreamsPerIP:      64,
		Challenge:         ChallengeOff,
		MaxContext:        4 << 10,
		MaxMessage:        16 << 10,
		MaxAttachment:     4 << 20,
		MaxAttachments:    4,
		AttachmentTypes:   []string{"image/png", "image/jpeg", "image/gif", "image/webp", "text/*"},
		ReplayEvents:      2000,
		ReplayBytes:       1 << 20,
		Webhook:           Webhook{Format: webhook.FormatJSON},
	}
}

// RetentionDue returns how many conversations Retention would delete if the relay started
// now. It deletes nothing.
func (c *Config) RetentionDue(ctx context.Context) (int, error) {
	return stores.CountDue(ctx, c.Store, history.Kind, time.Now().Add(-c.Retention), stores.WithRedisPrefix(c.RedisPrefix))
}

// CheckStore opens the store, writes to it and closes it. It returns a human-readable
// note about what it found, or an error.
func (c *Config) CheckStore(ctx context.Context) (note string, err error) {
	return stores.Check(ctx, c.Store, stores.WithRedisPrefix(c.RedisPrefix))
}
