package relay

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/origin"
	"github.com/anyframe-relay/relay/relay/internal/store/stores"
	"github.com/anyframe-relay/relay/relay/internal/upstream"
	"github.com/anyframe-relay/relay/relay/internal/visitor"
)

// Validate returns everything that is wrong with c, except for its sites, as a joined
// error. Each part names the setting to change.
func (c *Config) Validate() error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }

	if c.hasDefault() {
		errs = append(errs, c.validateAgent())
	}
	if err := stores.Valid(c.Store, stores.WithRedisPrefix(c.RedisPrefix)); err != nil {
		wrong("RELAY_STORE is not a valid store URL: %w", err)
	}
	if c.BasePath != "" && !origin.ValidBasePath(c.BasePath) {
		wrong("RELAY_BASE_PATH must be a path such as /chat, with a leading slash and no trailing slash, of letters, digits and any of -._~!$&'()+,=:@")
	}
	if c.PublicURL != "" {
		if u, err := url.Parse(c.PublicURL); err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || u.User != nil {
			wrong("RELAY_PUBLIC_URL must be an http or https URL")
		}
	}
	seen := map[string]bool{}
	for _, site := range c.Sites {
		if !ValidSiteName(site.Name) || seen[site.Name] {
			wrong("%q is not a valid site name or is used twice", site.Name)
		}
		seen[site.Name] = true
	}
	errs = append(errs, c.validateVisitors())
	for name, d := range map[string]time.Duration{
		"RELAY_IDLE_TIMEOUT": c.IdleTimeout, "RELAY_BOOT_TIMEOUT": c.BootTimeout, "RELAY_SEND_WAIT": c.SendWait,
		"RELAY_UPSTREAM_TIMEOUT": c.UpstreamTimeout, "RELAY_VISITOR_TTL": c.VisitorTTL, "RELAY_STREAM_LIFETIME": c.StreamLifetime,
	} {
		if d < time.Second {
			wrong("%s must be at least 1s", name)
		}
	}
	for name, n := range map[string]int{
		"RELAY_STREAMS_PER_IP": c.StreamsPerIP, "RELAY_REPLAY_EVENTS": c.ReplayEvents, "RELAY_REPLAY_BYTES": c.ReplayBytes,
	} {
		if n < 1 {
			wrong("%s must be at least 1", name)
		}
	}
	return errors.Join(errs...)
}

// validateAgent returns what is wrong with the settings of the AnyFrame account and
// agent.
func (c *Config) validateAgent() error {
	var errs []error
	wrong := func(text string) { errs = append(errs, errors.New(text)) }
	switch {
	case c.APIKey == "":
		wrong("ANYFRAME_API_KEY is not set")
	case !(upstream.Account{Key: string(c.APIKey), BaseURL: anyframe.DefaultBaseURL}).Valid():
		wrong("ANYFRAME_API_KEY must have at least 8 characters, all of them ASCII and without spaces: copy the key again")
	}
	if c.AgentID <= 0 {
		wrong("ANYFRAME_AGENT_ID is not set: set it to the number of the agent that visitors chat with")
	}
	if c.BaseURL != "" && !(upstream.Account{Key: "afm_placeholder", BaseURL: c.BaseURL}).Valid() {
		wrong("ANYFRAME_BASE_URL must be an https URL, or an http URL of a loopback address, without user, query or fragment")
	}
	return errors.Join(errs...)
}

// validateVisitors returns what is wrong with the settings for a site's visitors.
func (c *Config) validateVisitors() error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	for _, o := range c.AllowedOrigins {
		if !origin.ValidPattern(o) {
			wrong("RELAY_ALLOWED_ORIGINS: %q is not an origin such as https://www.example.com, https://*.example.com or capacitor://localhost", o)
		}
	}
	if _, err := visitor.NewVerifier(string(c.IdentityKey), c.IdentityAudience); err != nil {
		wrong("RELAY_IDENTITY_KEY %w", err)
	}
	if c.IdentityAudience != "" && c.IdentityKey == "" {
		wrong("RELAY_IDENTITY_AUDIENCE has no effect without RELAY_IDENTITY_KEY")
	}
	switch c.Visibility {
	case VisibilityChat, VisibilityTools, VisibilityFull:
	default:
		wrong("RELAY_VISIBILITY must be chat, tools or full")
	}
	for name, n := range map[string]int{
		"RELAY_MAX_SESSIONS": c.MaxSessions, "RELAY_MAX_STREAMS": c.MaxStreams, "RELAY_STREAMS_PER_VISITOR": c.StreamsPerVisitor,
		"RELAY_MAX_MESSAGE": c.MaxMessage, "RELAY_MAX_ATTACHMENT": c.MaxAttachment,
	} {
		if n < 1 {
			wrong("%s must be at least 1", name)
		}
	}
	if c.Retention != 0 && c.Retention < time.Second {
		wrong("RELAY_RETENTION must be off, or at least 1s")
	}
	c.validatePolicy(wrong)
	if c.MaxAttachments < 0 {
		wrong("RELAY_MAX_ATTACHMENTS must not be negative")
	}
	for _, t := range c.AttachmentTypes {
		if major, minor, ok := strings.Cut(t, "/"); !ok || major == "" || minor == "" || (major != "image" && major != "text") {
			wrong("RELAY_ATTACHMENT_TYPES: %q is not image/… or text/…, the types that AnyFrame accepts", t)
		}
	}
	errs = append(errs, c.Webhook.Validate())
	return errors.Join(errs...)
}
