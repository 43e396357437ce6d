package relay

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"

	"github.com/anyframe-relay/relay/relay/internal/limits"
)

// Site is an agent behind the relay with its own routes, visitors and limits.
type Site struct {
	// Name consists of 1 to 32 characters of a-z, 0-9 and -, and is not "default". The
	// site's routes are under /s/<Name>.
	Name string
	// Config is the site's configuration. Shared settings come from the Config that
	// contains the site: the store, listeners, proxies, timeouts and the limits on all
	// sites together.
	Config Config
}

// defaultSite names the site of a Config without a name, in metrics and for people.
const defaultSite = "default"

var siteName = regexp.MustCompile(`^[a-z0-9-]{1,32}$`)

// ValidSiteName reports whether name is a valid site name.
func ValidSiteName(name string) bool { return siteName.MatchString(name) && name != defaultSite }

// ForSite returns the Config of a site of c's for which nothing else is set.
func (c *Config) ForSite() Config {
	site := *c
	site.Sites, site.Triggers = nil, nil
	return site
}

// with returns c with main's values for the settings that all sites share.
func (c *Config) with(main *Config) Config {
	own := *c
	own.BasePath, own.PublicURL, own.EmbedURL, own.Loopback = main.BasePath, main.PublicURL, main.EmbedURL, main.Loopback
	own.Store, own.RedisPrefix, own.TrustedProxies = main.Store, main.RedisPrefix, main.TrustedProxies
	own.IdleTimeout, own.BootTimeout, own.SendWait, own.UpstreamTimeout = main.IdleTimeout, main.BootTimeout, main.SendWait, main.UpstreamTimeout
	own.VisitorTTL, own.Retention, own.StreamLifetime = main.VisitorTTL, main.Retention, main.StreamLifetime
	own.RateIP, own.StreamsPerIP = main.RateIP, main.StreamsPerIP
	own.ReplayEvents, own.ReplayBytes = main.ReplayEvents, main.ReplayBytes
	own.Traces, own.UpstreamLog = main.Traces, main.UpstreamLog
	own.AdminTokens, own.AdminHosts, own.ConsoleRead, own.tuning = main.AdminTokens, main.AdminHosts, main.ConsoleRead, main.tuning
	own.Sites, own.Triggers, own.ofMany = nil, nil, true
	return own
}

// allLimits returns the limits of the default site, with the limits on all sites
// together.
func (c *Config) allLimits() limits.Options {
	o := c.limits()
	for _, site := range c.Sites {
		o.MaxBody = max(o.MaxBody, site.Config.limits().MaxBody)
		o.Secret = cmp.Or(o.Secret, string(site.Config.APIKey))
	}
	return o
}

// hasDefault reports whether c itself describes a site.
func (c *Config) hasDefault() bool { return c.AgentID != 0 || len(c.Sites) == 0 }

// ValidateSite returns everything that is wrong with c as the settings of a site of
// main's, as a joined error. Each part names the setting to change. Settings that main
// decides for all sites are not checked.
func (c *Config) ValidateSite(main *Config) error {
	errs := []error{c.validateAgent(), c.validateVisitors()}
	if c.MaxSessions > main.MaxSessions {
		errs = append(errs, fmt.Errorf("RELAY_MAX_SESSIONS must not exceed %d, the limit for all sites together", main.MaxSessions))
	}
	if c.MaxStreams > main.MaxStreams {
		errs = append(errs, fmt.Errorf("RELAY_MAX_STREAMS must not exceed %d, the limit for all sites together", main.MaxStreams))
	}
	return errors.Join(errs...)
}

// validateSites returns what is wrong with the sites.
func (c *Config) validateSites() error {
	var errs []error
	for _, site := range c.Sites {
		if err := site.Config.ValidateSite(c); err != nil {
			errs = append(errs, fmt.Errorf("site %s: %w", site.Name, err))
		}
	}
	return errors.Join(errs...)
}
