package main

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/anyframe-relay/relay/relay"
)

// settings are all settings of the program.
type settings struct {
	relay    relay.Config
	addr     string
	port     string
	admin    string
	logLevel string
	logStyle string
	traces   string
	otlp     string
	config   string // the file of sites
}

// setting is one variable: the help, .env.example and the reading of it all
// come from here.
type setting struct {
	name     string
	fallback string // as it would be written
	meaning  string
	scope    scope // whether sites have their own
	read     func(*settings, string) error
}

// table lists every setting in the order in which people are shown them.
func table() []setting {
	return []setting{
		{
			"ANYFRAME_API_KEY", "", "the secret key of your AnyFrame account, afm_…; required (ANYFRAME_API_TOKEN is its old name)", perSite(secret),
			func(s *settings, v string) error { s.relay.APIKey = relay.Secret(v); return checkKey(v) },
		},
		{
			"ANYFRAME_AGENT_ID", "", "the number of the agent that visitors talk to; required", perSite(integer),
			func(s *settings, v string) error {
				id, err := strconv.ParseInt(v, 10, 64)
				if err != nil || id <= 0 {
					return errors.New("must be a number, as in the agent's address on the dashboard")
				}
				s.relay.AgentID = id
				return nil
			},
		},
		{"ANYFRAME_BASE_URL", "https://api.anyfrm.com", "where AnyFrame is; ignored in .env when the key comes from elsewhere", perSite(text), str(func(s *settings) *string { return &s.relay.BaseURL })},
		{"ANYFRAME_LOG_LEVEL", "", "debug traces every request to AnyFrame, one line each", global, str(func(s *settings) *string { return &s.traces })},
		{"RELAY_ADDR", ":8080", "where to listen; port 0 takes any", global, str(func(s *settings) *string { return &s.addr })},
		{"PORT", "", "n listens on :n when RELAY_ADDR is not set", global, func(s *settings, v string) error {
			if n, err := strconv.ParseUint(v, 10, 16); err != nil || n > 65535 {
				return errors.New("must be a port number")
			}
			s.port = v
			return nil
		}},
		{"RELAY_ADMIN_ADDR", "127.0.0.1:9091", "where operators find the console, its API, /metrics and pprof; empty turns them off", global, str(func(s *settings) *string { return &s.admin })},
		{"RELAY_ADMIN_HOSTS", "", "names by which the admin listener may be asked, besides localhost and IP addresses, such as relay.internal", global, hosts},
		{"RELAY_ADMIN_TOKEN", "", "what operators prove themselves with: a list of name:token with tokens of 16 bytes or more; required where RELAY_ADMIN_ADDR is not on loopback", global, adminTokens},
		{"RELAY_CONSOLE_READ", "off", "whether operators may read conversations on the console and with relay transcript, each time with a line in the log: on or off", global, choice(map[string]bool{"off": false, "on": true}, func(s *settings) *bool { return &s.relay.ConsoleRead })},
		{"RELAY_BASE_PATH", "", "the path that everything sits under, such as /chat", global, str(func(s *settings) *string { return &s.relay.BasePath })},
		{"RELAY_PUBLIC_URL", "", "where browsers find the relay, such as https://chat.example.com; its origin alone counts as the relay's own then", global, str(func(s *settings) *string { return &s.relay.PublicURL })},
		{"RELAY_STORE", "sqlite:relay.db", "what the relay must not forget: memory:, sqlite:PATH for one machine, redis://… or rediss://… for many", global, str(func(s *settings) *string { return &s.relay.Store })},
		{"RELAY_REDIS_PREFIX", relay.DefaultConfig().RedisPrefix, "what every key in Redis begins with", global, str(func(s *settings) *string { return &s.relay.RedisPrefix })},
		{"RELAY_CONFIG", "", "a file of sites, such as relay.yaml: more agents behind this relay, each with routes of its own", global, str(func(s *settings) *string { return &s.config })},
		{"RELAY_ALLOWED_ORIGINS", "", "websites that may embed the widget: https://www.example.com, https://*.example.com, *; none is same-origin only", perSite(listOf(",")), list(func(s *settings) *[]string { return &s.relay.AllowedOrigins })},
		{"RELAY_TRUSTED_PROXIES", "", "CIDRs whose X-Forwarded-For and X-Forwarded-Proto count; with header:Fly-Client-IP in front that header instead", global, readProxies},
		{
			"RELAY_VISIBILITY", "chat", "what visitors see: chat, tools (also tool names and a summary), full (everything, thinking included)", perSite(oneOf("chat", "tools", "full")),
			func(s *settings, v string) error { s.relay.Visibility = relay.Visibility(v); return nil },
		},
		{"RELAY_APPROVALS", "off", "visitor lets visitors decide the permission prompts of their own session", perSite(oneOf("off", "visitor")), choice(map[string]bool{"off": false, "visitor": true}, func(s *settings) *bool { return &s.relay.VisitorApprovals })},
		{"RELAY_BOOT", "message", "when a sandbox boots: with the first message, or when the panel opens (open)", perSite(oneOf("message", "open")), choice(map[string]bool{"message": false, "open": true}, func(s *settings) *bool { return &s.relay.BootOnOpen })},
		{
			"RELAY_IDENTITY_KEY", "", "verifies the website's own JWTs: an HS256 secret of 32 bytes or more, or a PEM public key, its line ends written \\n", perSite(secret),
			func(s *settings, v string) error { s.relay.IdentityKey = relay.Secret(v); return nil },
		},
		{"RELAY_IDENTITY_AUDIENCE", "", "what those JWTs must have as aud; without it, one that has an aud is refused", perSite(text), str(func(s *settings) *string { return &s.relay.IdentityAudience })},
		{"RELAY_IDLE_TIMEOUT", "5m", "how long an unused sandbox stays awake", global, duration(func(s *settings) *time.Duration { return &s.relay.IdleTimeout })},
		{"RELAY_BOOT_TIMEOUT", "180s", "how long a sandbox may take to come up", global, duration(func(s *settings) *time.Duration { return &s.relay.BootTimeout })},
		{"RELAY_SEND_WAIT", "20s", "how long a message is held while the sandbox comes up", global, duration(func(s *settings) *time.Duration { return &s.relay.SendWait })},
		{"RELAY_UPSTREAM_TIMEOUT", "30s", "how long one call to AnyFrame may take", global, duration(func(s *settings) *time.Duration { return &s.relay.UpstreamTimeout })},
		{"RELAY_VISITOR_TTL", "720h", "how long a visitor is remembered", global, duration(func(s *settings) *time.Duration { return &s.relay.VisitorTTL })},
		{"RELAY_RETENTION", "off", "after how long idle conversations are deleted, at AnyFrame and here: 90d, 2160h or off", global, retention},
		{"RELAY_STREAM_LIFETIME", "10m", "how long one event stream lasts, less up to a fifth at random", global, duration(func(s *settings) *time.Duration { return &s.relay.StreamLifetime })},
		{"RELAY_RATE_MESSAGES", "20/m,300/d", "messages per visitor: a list of n/s, n/m, n/h and n/d (per day of UTC), or off", perSite(text), rates(func(s *settings) *relay.Rates { return &s.relay.RateMessages })},
		{"RELAY_RATE_IP", "120/m", "requests per address, such a list; IPv6 counts by /64", global, rates(func(s *settings) *relay.Rates { return &s.relay.RateIP })},
		{"RELAY_RATE_SESSIONS", "6/h", "new sessions per address, such a list", perSite(text), rates(func(s *settings) *relay.Rates { return &s.relay.RateSessions })},
		{"RELAY_TURNS_PER_DAY", "off", "messages of all visitors that AnyFrame accepts, per day of UTC: n or off", perSite(integer), budget(func(s *settings) *int { return &s.relay.TurnsPerDay })},
		{"RELAY_MAX_SESSIONS", "200", "sandboxes awake at once", perSite(integer), number(func(s *settings) *int { return &s.relay.MaxSessions })},
		{"RELAY_SESSIONS_PER_DAY", "off", "new sessions in all, per day of UTC: n or off", perSite(integer), budget(func(s *settings) *int { return &s.relay.SessionsPerDay })},
		{"RELAY_MAX_STREAMS", "50000", "event streams open at once", perSite(integer), number(func(s *settings) *int { return &s.relay.MaxStreams })},
		{"RELAY_STREAMS_PER_VISITOR", "8", "event streams of one visitor", perSite(integer), number(func(s *settings) *int { return &s.relay.StreamsPerVisitor })},
		{"RELAY_STREAMS_PER_IP", "64", "event streams of one address", global, number(func(s *settings) *int { return &s.relay.StreamsPerIP })},
		{"RELAY_NOTICE", "on", "a line under the composer: on says that this is an AI and may be wrong, in the widget's language; a text replaces it; off leaves it out", perSite(text), func(s *settings, v string) error {
			s.relay.Notice, s.relay.NoNotice = "", v == "off"
			if v != "on" && v != "off" {
				s.relay.Notice = v
			}
			return nil
		}},
		{"RELAY_PRIVACY_URL", "", "your privacy policy, linked from that line; https", perSite(text), str(func(s *settings) *string { return &s.relay.PrivacyURL })},
		{"RELAY_CONSENT", "", "what visitors must agree to before their first message; another text asks again", perSite(text), str(func(s *settings) *string { return &s.relay.Consent })},
		{
			"RELAY_CHALLENGE", "off", "proof of work by the browser before a new session: off, auto (when an address' RELAY_RATE_SESSIONS, a daily budget or the room gets short), always", perSite(oneOf("off", "auto", "always")),
			func(s *settings, v string) error { s.relay.Challenge = relay.Challenge(v); return nil },
		},
		{"RELAY_FEEDBACK", "off", "whether visitors may rate answers: on or off", perSite(oneOf("on", "off")), choice(map[string]bool{"off": false, "on": true}, func(s *settings) *bool { return &s.relay.Feedback })},
		{"RELAY_CONTEXT", "on", "whether the agent is told what the page and the website say about a visitor: on or off", perSite(oneOf("on", "off")), choice(map[string]bool{"on": false, "off": true}, func(s *settings) *bool { return &s.relay.NoContext })},
		{"RELAY_MAX_CONTEXT", "4KiB", "what either may say; 0 refuses all of it", perSite(text), size(func(s *settings) *int { return &s.relay.MaxContext })},
		{"RELAY_MAX_MESSAGE", "16KiB", "a message's text", perSite(text), size(func(s *settings) *int { return &s.relay.MaxMessage })},
		{"RELAY_MAX_ATTACHMENT", "4MiB", "one attachment", perSite(text), size(func(s *settings) *int { return &s.relay.MaxAttachment })},
		{"RELAY_MAX_ATTACHMENTS", "4", "attachments of one message; 0 takes none", perSite(integer), number(func(s *settings) *int { return &s.relay.MaxAttachments })},
		{"RELAY_ATTACHMENT_TYPES", "image/png,image/jpeg,image/gif,image/webp,text/*", "kinds of attachment, checked against the content", perSite(listOf(",")), list(func(s *settings) *[]string { return &s.relay.AttachmentTypes })},
		{"RELAY_REPLAY_EVENTS", "2000", "events of a session kept in memory", global, number(func(s *settings) *int { return &s.relay.ReplayEvents })},
		{"RELAY_REPLAY_BYTES", "1MiB", "bytes of a session's events kept in memory", global, size(func(s *settings) *int { return &s.relay.ReplayBytes })},
		{"RELAY_WEBHOOK_URL", "", "receives events about conversations, waiting prompts and failures: https, or http on loopback", perSite(text), secretly(func(s *settings) *relay.Secret { return &s.relay.Webhook.URL })},
		{"RELAY_WEBHOOK_SECRET", "", "signs what is sent there (Standard Webhooks): whsec_ and base64 of 24 to 64 bytes, or 24 bytes or more as they are; needed with a URL", perSite(secret), secretly(func(s *settings) *relay.Secret { return &s.relay.Webhook.Secret })},
		{"RELAY_WEBHOOK_EVENTS", "", "which events are sent there, such as prompt.waiting,turn.failed; all unless set", perSite(listOf(",")), list(func(s *settings) *[]string { return &s.relay.Webhook.Events })},
		{"RELAY_WEBHOOK_FORMAT", "json", "how: json, slack or discord", perSite(oneOf("json", "slack", "discord")), str(func(s *settings) *string { return &s.relay.Webhook.Format })},
		{"RELAY_LOG_LEVEL", "info", "debug, info, warn or error", global, str(func(s *settings) *string { return &s.logLevel })},
		{"RELAY_LOG_FORMAT", "", "text or json; text on a terminal, else json", global, str(func(s *settings) *string { return &s.logStyle })},
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "", "where traces of turns go, such as http://127.0.0.1:4318; the other standard variables count too", global, readOTLP},
		{"RELAY_TITLE", "", "the widget's title", perSite(text), str(func(s *settings) *string { return &s.relay.Look.Title })},
		{"RELAY_GREETING", "", "what the widget says before the first message", perSite(text), str(func(s *settings) *string { return &s.relay.Look.Greeting })},
		{"RELAY_STARTERS", "", "first messages to choose from, with | between them", perSite(listOf("|")), func(s *settings, v string) error {
			s.relay.Look.Starters = split(v, "|")
			return nil
		}},
		{"RELAY_ACCENT", "", "the widget's colour, such as #0b6bcb", perSite(text), str(func(s *settings) *string { return &s.relay.Look.Accent })},
		{"RELAY_LOCALE", "", "the widget's language, such as en; the page's unless set", perSite(text), str(func(s *settings) *string { return &s.relay.Look.Locale })},
	}
}

type reader = func(*settings, string) error

func str(at func(*settings) *string) reader {
	return func(s *settings, v string) error {
		*at(s) = v
		return nil
	}
}

func secretly(at func(*settings) *relay.Secret) reader {
	return func(s *settings, v string) error {
		*at(s) = relay.Secret(v)
		return nil
	}
}

func list(at func(*settings) *[]string) reader {
	return func(s *settings, v string) error {
		*at(s) = split(v, ",")
		return nil
	}
}

// hosts reads the names of the admin listener: as in a URL, without a port.
func hosts(s *settings, v string) error {
	s.relay.AdminHosts = nil
	for _, host := range split(v, ",") {
		if strings.ContainsAny(host, ":/*@ ") {
			return fmt.Errorf("%q is not a host name such as relay.internal, without scheme and port", host)
		}
		s.relay.AdminHosts = append(s.relay.AdminHosts, strings.ToLower(host))
	}
	return nil
}

func adminTokens(s *settings, v string) (err error) {
	s.relay.AdminTokens, err = relay.ParseAdminTokens(v)
	return err
}

func split(v, by string) []string {
	var out []string
	for part := range strings.SplitSeq(v, by) {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}

func choice(values map[string]bool, at func(*settings) *bool) reader {
	return func(s *settings, v string) error {
		chosen, ok := values[v]
		if !ok {
			var names []string
			for _, on := range []bool{false, true} {
				for name, value := range values {
					if value == on {
						names = append(names, name)
					}
				}
			}
			return fmt.Errorf("must be %s", strings.Join(names, " or "))
		}
		*at(s) = chosen
		return nil
	}
}

func duration(at func(*settings) *time.Duration) reader {
	return func(s *settings, v string) error {
		d, err := time.ParseDuration(v)
		if err != nil {
			return errors.New("must be a duration such as 90s, 5m or 720h")
		}
		*at(s) = d
		return nil
	}
}

// retention reads a duration that may be in days, or off.
func retention(s *settings, v string) error {
	if v == "off" {
		s.relay.Retention = 0
		return nil
	}
	d, err := time.ParseDuration(v)
	if days, inDays := strings.CutSuffix(v, "d"); inDays {
		var n int
		n, err = strconv.Atoi(days)
		if n > 36500 {
			err = errors.New("longer than a century")
		}
		d = time.Duration(n) * 24 * time.Hour
	}
	if err != nil || d < time.Second {
		return errors.New("must be at least 1s, such as 90d or 2160h, or off")
	}
	s.relay.Retention = d
	return nil
}

func number(at func(*settings) *int) reader {
	return func(s *settings, v string) error {
		n, err := strconv.Atoi(v)
		if err != nil || n < 0 {
			return errors.New("must be a number")
		}
		*at(s) = n
		return nil
	}
}

func budget(at func(*settings) *int) reader {
	return func(s *settings, v string) error {
		n, err := strconv.Atoi(v)
		switch {
		case v == "off":
			n = 0
		case err != nil || n < 1:
			return errors.New("must be a number above 0, or off")
		}
		*at(s) = n
		return nil
	}
}

func size(at func(*settings) *int) reader {
	units := []struct {
		suffix string
		bytes  int
	}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"B", 1}, {"", 1}}
	return func(s *settings, v string) error {
		for _, u := range units {
			digits, ok := strings.CutSuffix(v, u.suffix)
			if !ok {
				continue
			}
			n, err := strconv.Atoi(strings.TrimSpace(digits))
			if err != nil || n < 0 || n > (1<<40)/u.bytes {
				break
			}
			*at(s) = n * u.bytes
			return nil
		}
		return errors.New("must be a size such as 16KiB or 4MiB")
	}
}

// rates reads a list such as 20/m,300/d.
func rates(at func(*settings) *relay.Rates) reader {
	windows := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour, "d": relay.Day}
	return func(s *settings, v string) error {
		if v == "off" {
			*at(s) = nil
			return nil
		}
		var all relay.Rates
		seen := map[string]bool{}
		for part := range strings.SplitSeq(v, ",") {
			count, unit, _ := strings.Cut(strings.TrimSpace(part), "/")
			n, err := strconv.Atoi(count)
			window, ok := windows[unit]
			if err != nil || !ok || n < 1 {
				return errors.New("must be a list like 20/m,300/d (s, m, h or d), or off")
			}
			if seen[unit] {
				return fmt.Errorf("has two rates per %s", unit)
			}
			seen[unit] = true
			all = append(all, relay.Rate{Limit: n, Window: window})
		}
		*at(s) = all
		return nil
	}
}

func readProxies(s *settings, v string) error {
	p := &s.relay.TrustedProxies
	*p = relay.TrustedProxies{}
	for _, part := range strings.FieldsFunc(v, func(r rune) bool { return r == ',' || r == ' ' }) {
		if header, ok := strings.CutPrefix(part, "header:"); ok {
			if p.Header != "" || header == "" || strings.ContainsAny(header, " :;()\"") {
				return errors.New("takes one header, as in header:Fly-Client-IP,172.16.0.0/12")
			}
			p.Header = header
			continue
		}
		if addr, err := netip.ParseAddr(part); err == nil {
			p.Prefixes = append(p.Prefixes, netip.PrefixFrom(addr, addr.BitLen()))
			continue
		}
		prefix, err := netip.ParsePrefix(part)
		if err != nil {
			return fmt.Errorf("%q is not an address range such as 10.0.0.0/8", part)
		}
		p.Prefixes = append(p.Prefixes, prefix.Masked())
	}
	if p.Header != "" && len(p.Prefixes) == 0 {
		return errors.New("needs the proxies' address ranges too: anybody could send that header")
	}
	return nil
}
