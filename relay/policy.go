package relay

import (
	"net/url"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/visitorctx"
)

// maxWords is the maximum size in bytes of a text for visitors. It is sent to all of
// them.
const maxWords = 4 << 10

// validatePolicy reports invalid settings of what visitors may do to wrong.
func (c *Config) validatePolicy(wrong func(format string, args ...any)) {
	for name, rates := range map[string]Rates{
		"RELAY_RATE_MESSAGES": c.RateMessages, "RELAY_RATE_IP": c.RateIP, "RELAY_RATE_SESSIONS": c.RateSessions,
	} {
		windows := map[time.Duration]bool{}
		for _, r := range rates {
			if r.Limit < 1 || r.Window <= 0 || windows[r.Window] {
				wrong("%s must have rates greater than 0, each for a different window", name)
				break
			}
			windows[r.Window] = true
		}
	}
	if u, err := url.Parse(c.PrivacyURL); c.PrivacyURL != "" && (err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil) {
		wrong("RELAY_PRIVACY_URL must be an https URL")
	}
	switch c.Challenge {
	case ChallengeOff, ChallengeAuto, ChallengeAlways:
	default:
		wrong("RELAY_CHALLENGE must be off, auto or always")
	}
	for name, text := range map[string]string{"RELAY_NOTICE": c.Notice, "RELAY_CONSENT": c.Consent} {
		if len(text) > maxWords {
			wrong("%s must not be longer than %d bytes", name, maxWords)
		}
	}
	for name, n := range map[string]int{"RELAY_SESSIONS_PER_DAY": c.SessionsPerDay, "RELAY_TURNS_PER_DAY": c.TurnsPerDay, "RELAY_MAX_CONTEXT": c.MaxContext} {
		if n < 0 {
			wrong("%s must not be negative", name)
		}
	}
}

// agentContexts returns the keeper of contexts that are sent to the agent, or nil if none
// are sent.
func (c *Config) agentContexts(contexts *visitorctx.Keeper) *visitorctx.Keeper {
	if c.NoContext {
		return nil
	}
	return contexts
}
