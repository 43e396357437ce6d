package relay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/clientip"
	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/httpapi"
	"github.com/anyframe-relay/relay/relay/internal/limits"
	"github.com/anyframe-relay/relay/relay/internal/redact"
	"github.com/anyframe-relay/relay/relay/internal/store/stores"
	"github.com/anyframe-relay/relay/relay/internal/visitor"
	"github.com/anyframe-relay/relay/relay/internal/widget"
)

// Secret is a string that is never shown: not by %v or %#v, not in JSON, not in a log.
type Secret = redact.Secret

// Rate is so many times per window. The zero Rate is no limit.
type Rate = limits.Rate

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
	// IdentityAudience must be in the JWTs' aud. Empty: one that has an aud is
	// meant for somebody else.
	IdentityAudience string

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
	// StreamLifetime is how long one event stream lasts at the most; up to a
	// fifth less is chosen at random.
	StreamLifetime time.Duration

	RateMessages Rate // per visitor
	RateIP       Rate // requests per address
	RateSessions Rate // new sessions per address

	MaxSessions       int // awake at once
	SessionsPerDay    int // new ones; 0 is no limit
	MaxStreams        int
	StreamsPerVisitor int
	StreamsPerIP      int

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

	Look Look
	// Triggers makes the page at / the demo's: it says what to type to see what.
	Triggers []Trigger
}

// Trigger is a word that makes the scripted agent show something.
type Trigger = widget.Trigger

// limits is who may do how much.
func (c *Config) limits() limits.Options {
	api := c.api()
	return limits.Options{
		RateMessages: c.RateMessages, RateIP: c.RateIP, RateSessions: c.RateSessions,
		SessionsPerDay: c.SessionsPerDay, MaxStreams: c.MaxStreams, StreamsPerVisitor: c.StreamsPerVisitor, StreamsPerIP: c.StreamsPerIP,
		MaxBody: int(api.MaxBody()),
		Secret:  string(c.APIKey),
	}
}

// api is what the handlers go by.
func (c *Config) api() httpapi.Options {
	return httpapi.Options{
		BasePath: c.BasePath, PublicURL: c.PublicURL, AllowedOrigins: c.AllowedOrigins, TrustedProxies: c.TrustedProxies, Loopback: c.Loopback,
		VisitorApprovals: c.VisitorApprovals, BootOnOpen: c.BootOnOpen, Playground: len(c.Triggers) > 0,
		MaxMessage: c.MaxMessage, MaxAttachment: c.MaxAttachment, MaxAttachments: c.MaxAttachments, AttachmentTypes: c.AttachmentTypes,
		Traces: c.Traces,
	}
}

// widget is what the widget's files depend on.
func (c *Config) widget() widget.Options {
	return widget.Options{
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
		RateMessages:      Rate{Limit: 20, Window: time.Minute},
		RateIP:            Rate{Limit: 120, Window: time.Minute},
		RateSessions:      Rate{Limit: 6, Window: time.Hour},
		MaxSessions:       200,
		MaxStreams:        50000,
		StreamsPerVisitor: 8,
		StreamsPerIP:      64,
		MaxMessage:        16 << 10,
		MaxAttachment:     4 << 20,
		MaxAttachments:    4,
		AttachmentTypes:   []string{"image/png", "image/jpeg", "image/gif", "image/webp", "text/*"},
		ReplayEvents:      2000,
		ReplayBytes:       1 << 20,
	}
}

// validBaseURL reports whether the client will take u as AnyFrame's address, so
// that it can be said together with all that is wrong.
func validBaseURL(u string) bool {
	if u == "" {
		return true
	}
	_, err := anyframe.New(anyframe.WithAPIKey("afm_placeholder"), anyframe.WithBaseURL(u), anyframe.WithDotEnv(""), anyframe.WithLogger(slog.New(slog.DiscardHandler)))
	return err == nil
}

// CheckStore opens the store, writes to it and closes it again. It returns a note for a
// person about what it found, or what is wrong.
func (c *Config) CheckStore(ctx context.Context) (note string, err error) {
	return stores.Check(ctx, c.Store, stores.WithRedisPrefix(c.RedisPrefix))
}

// Validate returns all that is wrong with c, joined, each in terms of the
// setting that a person would change.
func (c *Config) Validate() error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }

	if c.APIKey == "" {
		wrong("ANYFRAME_API_KEY is not set")
	}
	if c.AgentID <= 0 {
		wrong("ANYFRAME_AGENT_ID is not set: the number of the agent that visitors talk to")
	}
	if !validBaseURL(c.BaseURL) {
		wrong("ANYFRAME_BASE_URL must be https, or http on a loopback address, with no user, query or fragment")
	}
	if err := stores.Valid(c.Store, stores.WithRedisPrefix(c.RedisPrefix)); err != nil {
		wrong("RELAY_STORE names no store: %w", err)
	}
	if p := c.BasePath; p != "" && (!strings.HasPrefix(p, "/") || strings.HasSuffix(p, "/") || strings.ContainsAny(p, "?#%*{} \\\"<>") || strings.Contains(p, "//") || strings.Contains(p, "/.")) {
		wrong("RELAY_BASE_PATH must look like /chat: a leading slash, none at the end")
	}
	if c.PublicURL != "" {
		if u, err := url.Parse(c.PublicURL); err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || u.User != nil {
			wrong("RELAY_PUBLIC_URL must be an http or https URL")
		}
	}
	for _, o := range c.AllowedOrigins {
		if !httpapi.ValidOriginPattern(o) {
			wrong("RELAY_ALLOWED_ORIGINS: %q is not an origin such as https://www.example.com, https://*.example.com or capacitor://localhost", o)
		}
	}
	if _, err := visitor.NewVerifier(string(c.IdentityKey), c.IdentityAudience); err != nil {
		wrong("RELAY_IDENTITY_KEY %w", err)
	}
	if c.IdentityAudience != "" && c.IdentityKey == "" {
		wrong("RELAY_IDENTITY_AUDIENCE is of no use without RELAY_IDENTITY_KEY")
	}
	switch c.Visibility {
	case VisibilityChat, VisibilityTools, VisibilityFull:
	default:
		wrong("RELAY_VISIBILITY must be chat, tools or full")
	}
	for name, d := range map[string]time.Duration{
		"RELAY_IDLE_TIMEOUT": c.IdleTimeout, "RELAY_BOOT_TIMEOUT": c.BootTimeout, "RELAY_SEND_WAIT": c.SendWait,
		"RELAY_UPSTREAM_TIMEOUT": c.UpstreamTimeout, "RELAY_VISITOR_TTL": c.VisitorTTL, "RELAY_STREAM_LIFETIME": c.StreamLifetime,
	} {
		if d < time.Second {
			wrong("%s must be at least 1s", name)
		}
	}
	for name, n := range map[string]int{
		"RELAY_MAX_SESSIONS": c.MaxSessions, "RELAY_MAX_STREAMS": c.MaxStreams, "RELAY_STREAMS_PER_VISITOR": c.StreamsPerVisitor,
		"RELAY_STREAMS_PER_IP": c.StreamsPerIP, "RELAY_MAX_MESSAGE": c.MaxMessage, "RELAY_MAX_ATTACHMENT": c.MaxAttachment,
		"RELAY_REPLAY_EVENTS": c.ReplayEvents, "RELAY_REPLAY_BYTES": c.ReplayBytes,
	} {
		if n < 1 {
			wrong("%s must be at least 1", name)
		}
	}
	if c.SessionsPerDay < 0 {
		wrong("RELAY_SESSIONS_PER_DAY must not be negative")
	}
	if c.MaxAttachments < 0 {
		wrong("RELAY_MAX_ATTACHMENTS must not be negative")
	}
	for _, t := range c.AttachmentTypes {
		if major, minor, ok := strings.Cut(t, "/"); !ok || major == "" || minor == "" || (major != "image" && major != "text") {
			wrong("RELAY_ATTACHMENT_TYPES: %q is not image/… or text/…, the kinds that AnyFrame takes", t)
		}
	}
	return errors.Join(errs...)
}
