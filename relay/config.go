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

// Secret is a string that is never shown: not by %v or %#v, not in JSON, not in a log.
type Secret = redact.Secret

// AdminToken identifies an operator.
type AdminToken = admin.Token

// ParseAdminTokens reads a list of name:token. The error quotes no token.
func ParseAdminTokens(list string) ([]AdminToken, error) { return admin.ParseTokens(list) }

// Rate is so many times per window. The zero Rate is no limit.
type Rate = limits.Rate

// Rates are limits that hold together. None is no limit.
type Rates = limits.Rates

// Day is the window of a [Rate] per day of UTC, which begins at midnight. Shorter
// windows slide.
const Day = limits.Day

// TrustedProxies are the proxies whose word counts for a visitor's address.
type TrustedProxies = clientip.TrustedProxies

// Visibility is how much of what the agent does a visitor sees.
type Visibility = event.Visibility

// The visibilities, each showing all that the one before shows.
const (
	VisibilityChat  = event.VisibilityChat  // visitor and agent text, questions, turn ends
	VisibilityTools = event.VisibilityTools // also tool names and a short summary of their input
	VisibilityFull  = event.VisibilityFull  // everything; for private deployments
)

// Challenge says when a new session takes a proof of work.
type Challenge = challenge.Mode

// When it does.
const (
	ChallengeOff    = challenge.Off    // never
	ChallengeAuto   = challenge.Auto   // when an address, the day's budget or the room gets short
	ChallengeAlways = challenge.Always // for every new session
)

// Look is what the widget shows unless the page that embeds it says otherwise.
type Look = widget.Look

// Config is all that a [Server] needs to know. [DefaultConfig] has every
// default; APIKey and AgentID have none.
type Config struct {
	// APIKey is the AnyFrame key. It leaves the process only towards BaseURL.
	APIKey  redact.Secret
	AgentID int64
	// BaseURL is AnyFrame's address. Empty means the client's default.
	BaseURL string

	// BasePath is the path all routes sit under, such as /chat. Empty is the root.
	BasePath string
	// PublicURL is where browsers find the relay. If set, its origin alone counts
	// as ours, also behind a proxy that rewrites Host.
	PublicURL string
	// Loopback says that the relay listens on a loopback address only. Without a
	// PublicURL, requests to other names than localhost are refused then.
	Loopback bool
	// EmbedURL is the URL that the page tells for embedding. Empty: PublicURL.
	EmbedURL string
	// Store is memory:, sqlite:PATH, redis://… or rediss://…. It may hold a
	// password.
	Store string
	// RedisPrefix precedes every key in Redis. Relays that share a store have the
	// same.
	RedisPrefix string

	// AllowedOrigins may call from other sites: exact origins, those of app shells
	// such as capacitor://localhost included, or https://*.example.com for the
	// subdomains of one, or * for all.
	AllowedOrigins []string
	TrustedProxies clientip.TrustedProxies

	// IdentityKey verifies the website's own JWTs, whose sub names a visitor on
	// every device: an HS256 secret of 32 bytes or more, or a PEM public key (RS256,
	// ES256, EdDSA). Empty: none are taken.
	IdentityKey redact.Secret
	// IdentityAudience must be in the JWTs' aud. Empty: a JWT that has an aud is
	// meant for another service, and is refused.
	IdentityAudience string

	// Webhook says where the relay sends its events.
	Webhook Webhook

	// AdminTokens identify operators. Without any, every client that reaches the admin
	// listener is one, so it must be on loopback then.
	AdminTokens []AdminToken
	// AdminHosts are the names by which the admin listener may be asked, besides
	// localhost and IP addresses.
	AdminHosts []string
	// ConsoleRead lets operators read conversations, with the token that they have. Each
	// reading is logged.
	ConsoleRead bool

	Visibility Visibility
	// VisitorApprovals lets visitors decide the permission prompts of their own session.
	VisitorApprovals bool
	// BootOnOpen boots a sandbox when the panel opens, not with the first turn.
	BootOnOpen bool

	// IdleTimeout is how long AnyFrame leaves an unused sandbox awake.
	IdleTimeout time.Duration
	// BootTimeout is how long a sandbox may take to come up.
	BootTimeout time.Duration
	// SendWait is how long a turn is held while the sandbox comes up.
	SendWait time.Duration
	// UpstreamTimeout bounds one call to AnyFrame.
	UpstreamTimeout time.Duration
	// VisitorTTL is how long a visitor is remembered.
	VisitorTTL time.Duration
	// Retention is after how long idle conversations are deleted at AnyFrame and here.
	// 0 is never.
	Retention time.Duration
	// StreamLifetime is how long one event stream lasts at the most; up to a
	// fifth less is chosen at random.
	StreamLifetime time.Duration

	RateMessages Rates // per visitor
	RateIP       Rates // requests per address
	RateSessions Rates // new sessions per address

	TurnsPerDay       int // of all visitors, as AnyFrame accepted them; 0 is no limit
	MaxSessions       int // awake at once
	SessionsPerDay    int // new ones; 0 is no limit
	MaxStreams        int
	StreamsPerVisitor int
	StreamsPerIP      int

	// Notice is a line under the widget's composer. Empty: that this is an AI and may be
	// wrong, in the widget's language.
	Notice string
	// NoNotice leaves that line out.
	NoNotice bool
	// PrivacyURL is linked from the notice.
	PrivacyURL string
	// Consent is what visitors agree to before their first message. Empty: nothing.
	Consent string

	// Challenge says when a new session takes a proof of work of the browser.
	Challenge Challenge

	// Feedback lets visitors rate answers.
	Feedback bool

	// NoContext keeps from the agent what the page and the website say about a visitor.
	NoContext bool
	// MaxContext is how many bytes either may have; 0 takes none.
	MaxContext int

	MaxMessage      int // bytes of a message's text
	MaxAttachment   int // bytes of one attachment
	MaxAttachments  int
	AttachmentTypes []string

	ReplayEvents int // kept in memory for one session
	ReplayBytes  int

	// Traces gets the trace of every turn, from its request to the first event
	// of its answer. Nil traces nothing.
	Traces trace.TracerProvider
	// UpstreamLog gets a line for every request to AnyFrame. Nil is silent.
	UpstreamLog *slog.Logger

	// Sites are more agents behind this relay. With one, the default site, which
	// this Config describes, may be absent: then AgentID is 0.
	Sites []Site

	ofMany bool // this is one of the Sites of another Config

	Look Look
	// Triggers makes the page at / the demo's: it says what to type to see what.
	Triggers []Trigger

	tuning tuning
}

// Trigger is a word that makes the scripted agent show something.
type Trigger = widget.Trigger

// limits is who may do how much.
func (c *Config) limits() limits.Options {
	api := c.api("")
	return limits.Options{
		RateMessages: c.RateMessages, RateIP: c.RateIP, RateSessions: c.RateSessions,
		TurnsPerDay: c.TurnsPerDay, SessionsPerDay: c.SessionsPerDay, MaxStreams: c.MaxStreams, StreamsPerVisitor: c.StreamsPerVisitor, StreamsPerIP: c.StreamsPerIP,
		MaxBody: int(api.MaxBody()),
		Secret:  string(c.APIKey),
	}
}

// api is what the handlers of a site go by.
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

// widget is what the widget's files of a site depend on.
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
// now. It changes nothing.
func (c *Config) RetentionDue(ctx context.Context) (int, error) {
	return stores.CountDue(ctx, c.Store, history.Kind, time.Now().Add(-c.Retention), stores.WithRedisPrefix(c.RedisPrefix))
}

// CheckStore opens the store, writes to it and closes it again. It returns a note for a
// person about what it found, or what is wrong.
func (c *Config) CheckStore(ctx context.Context) (note string, err error) {
	return stores.Check(ctx, c.Store, stores.WithRedisPrefix(c.RedisPrefix))
}
