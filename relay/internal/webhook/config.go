package webhook

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/anyframe-relay/relay/relay/internal/redact"
)

// Config sets which events are sent where. The zero Config sends none.
type Config struct {
	URL    redact.Secret // a secret, because Slack's and Discord's URLs are
	Secret redact.Secret // signs the messages
	Events []string      // types; empty is all
	Format string        // empty is json
}

// The limits of the secret's length in bytes.
const (
	minSecret = 24
	maxSecret = 64
)

// Validate returns all errors in c, each naming the setting. They quote neither the URL
// nor the secret.
func (c *Config) Validate() error {
	if c.URL == "" {
		if c.Secret != "" || len(c.Events) > 0 {
			return errors.New("RELAY_WEBHOOK_SECRET and RELAY_WEBHOOK_EVENTS have no effect without RELAY_WEBHOOK_URL")
		}
		return nil
	}
	var errs []error
	if !validURL(string(c.URL)) {
		errs = append(errs, errors.New("RELAY_WEBHOOK_URL must be an https URL, or an http URL of localhost or a loopback address, without user or fragment"))
	}
	if _, err := c.key(); err != nil {
		errs = append(errs, fmt.Errorf("RELAY_WEBHOOK_SECRET %w", err))
	}
	for _, e := range c.Events {
		if !known(e) {
			errs = append(errs, fmt.Errorf("RELAY_WEBHOOK_EVENTS: %q is not one of %s", e, strings.Join(Types(), ", ")))
		}
	}
	if c.Format != "" && !slices.Contains(Formats(), c.Format) {
		errs = append(errs, fmt.Errorf("RELAY_WEBHOOK_FORMAT must be one of %s", strings.Join(Formats(), ", ")))
	}
	return errors.Join(errs...)
}

func validURL(s string) bool {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" {
		return false
	}
	ip, err := netip.ParseAddr(u.Hostname())
	local := u.Hostname() == "localhost" || err == nil && ip.IsLoopback()
	return u.Scheme == "https" || u.Scheme == "http" && local
}

// key returns the secret's bytes: decoded from base64 after whsec_, else as they are.
func (c *Config) key() ([]byte, error) {
	if c.Secret == "" {
		return nil, errors.New("is required with RELAY_WEBHOOK_URL; create one with echo whsec_$(openssl rand -base64 32)")
	}
	text, coded := strings.CutPrefix(string(c.Secret), "whsec_")
	if !coded {
		if len(text) < minSecret {
			return nil, fmt.Errorf("must be at least %d bytes long", minSecret)
		}
		return []byte(text), nil
	}
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(key) < minSecret || len(key) > maxSecret {
		return nil, fmt.Errorf("must be whsec_ followed by the base64 of %d to %d bytes", minSecret, maxSecret)
	}
	return key, nil
}

// wants reports whether an event type is sent.
func (c *Config) wants(name string) bool {
	return c.URL != "" && (len(c.Events) == 0 || slices.Contains(c.Events, name))
}
