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
	relay      relay.Config
	addr       string
	port       string
	admin      string
	adminHosts []string
	logLevel   string
	logStyle   string
	traces     string
	otlp       string
}

// setting is one variable: the help, .env.example and the reading of it all
// come from here.
type setting struct {
	name     string
	fallback string // as it would be written
	meaning  string
	read     func(*settings, string) error
}

// table lists every setting in the order in which people are shown them.
func table() []setting {
	return []setting{
		{
			"ANYFRAME_API_KEY", "", "the secret key of your AnyFrame account, afm_…; required (ANYFRAME_API_TOKEN is its old name)",
			func(s *settings, v string) error { s.relay.APIKey = relay.Secret(v); return checkKey(v) },
		},
		{
			"ANYFRAME_AGENT_ID", "", "the number of the agent that visitors talk to; required",
			func(s *settings, v string) error {
				id, err := strconv.ParseInt(v, 10, 64)
				if err != nil || id <= 0 {
					return errors.New("must be a number, as in the agent's address on the dashboard")
				}
				s.relay.AgentID = id
				return nil
			},
		},
		{"ANYFRAME_BASE_URL", "https://api.anyfrm.com", "where AnyFrame is; ignored in .env when the key comes from elsewhere", str(func(s *settings) *string { return &s.relay.BaseURL })},
		{"ANYFRAME_LOG_LEVEL", "", "debug traces every request to AnyFrame, one line each", str(func(s *settings) *string { return &s.traces })},
		{"RELAY_ADDR", ":8080", "where to listen; port 0 takes any", str(func(s *settings) *string { return &s.addr })},
		{"PORT", "", "n listens on :n when RELAY_ADDR is not set", func(s *settings, v string) error {
			if n, err := strconv.ParseUint(v, 10, 16); err != nil || n > 65535 {
				return errors.New("must be a port number")
			}
			s.port = v
			return nil
		}},
		{"RELAY_ADMIN_ADDR", "127.0.0.1:9091", "where /metrics and pprof listen; empty turns them off", str(func(s *settings) *string { return &s.admin })},
		{"RELAY_ADMIN_HOSTS", "", "names by which the admin listener may be asked, besides localhost and IP addresses, such as relay.internal", hosts},
		{"RELAY_BASE_PATH", "", "the path that everything sits under, such as /chat", str(func(s *settings) *string { return &s.relay.BasePath })},
		{"RELAY_PUBLIC_URL", "", "where browsers find the relay, such as https://chat.example.com; its origin alone counts as the relay's own then", str(func(s *settings) *string { return &s.relay.PublicURL })},
		{"RELAY_STORE", "sqlite:relay.db", "what the relay must not forget: memory:, sqlite:PATH for one machine, redis://… or rediss://… for many", str(func(s *settings) *string { return &s.relay.Store })},
		{"RELAY_REDIS_PREFIX", relay.DefaultConfig().RedisPrefix, "what every key in Redis begins with", str(func(s *settings) *string { return &s.relay.RedisPrefix })},
		{"RELAY_ALLOWED_ORIGINS", "", "websites that may embed the widget: https://www.example.com, https://*.example.com, *; none is same-origin only", list(func(s *settings) *[]string { return &s.relay.AllowedOrigins })},
		{"RELAY_TRUSTED_PROXIES", "", "CIDRs whose X-Forwarded-For and X-Forwarded-Proto count; with header:Fly-Client-IP in front that header instead", readProxies},
		{
			"RELAY_VISIBILITY", "chat", "what visitors see: chat, tools (also tool names and a summary), full (everything, thinking included)",
			func(s *settings, v string) error { s.relay.Visibility = relay.Visibility(v); return nil },
		},
		{"RELAY_APPROVALS", "off", "visitor lets visitors decide the permission prompts of their own session", choice(map[string]bool{"off": false, "visitor": true}, func(s *settings) *bool { return &s.relay.VisitorApprovals })},
		{"RELAY_BOOT", "message", "when a sandbox boots: with the first message, or when the panel opens (open)", choice(map[string]bool{"message": false, "open": true}, func(s *settings) *bool { return &s.relay.BootOnOpen })},
		{
			"RELAY_IDENTITY_KEY", "", "verifies the website's own JWTs: an HS256 secret of 32 bytes or more, or a PEM public key, its line ends written \\n",
			func(s *settings, v string) error { s.relay.IdentityKey = relay.Secret(v); return nil },
		},
		{"RELAY_IDENTITY_AUDIENCE", "", "what those JWTs must have as aud; without it, one that has an aud is refused", str(func(s *settings) *string { return &s.relay.IdentityAudience })},
		{"RELAY_IDLE_TIMEOUT", "5m", "how long an unused sandbox stays awake", duration(func(s *settings) *time.Duration { return &s.relay.IdleTimeout })},
		{"RELAY_BOOT_TIMEOUT", "180s", "how long a sandbox may take to come up", duration(func(s *settings) *time.Duration { return &s.relay.BootTimeout })},
		{"RELAY_SEND_WAIT", "20s", "how long a message is held while the sandbox comes up", duration(func(s *settings) *time.Duration { return &s.relay.SendWait })},
		{"RELAY_UPSTREAM_TIMEOUT", "30s", "how long one call to AnyFrame may take", duration(func(s *settings) *time.Duration { return &s.relay.UpstreamTimeout })},
		{"RELAY_VISITOR_TTL", "720h", "how long a visitor is remembered", duration(func(s *settings) *time.Duration { return &s.relay.VisitorTTL })},
		{"RELAY_STREAM_LIFETIME", "10m", "how long one event stream lasts, less up to a fifth at random", duration(func(s *settings) *time.Duration { return &s.relay.StreamLifetime })},
		{"RELAY_RATE_MESSAGES", "20/m", "messages per visitor: n/s, n/m, n/h or off", rate(func(s *settings) *relay.Rate { return &s.relay.RateMessages })},
		{"RELAY_RATE_IP", "120/m", "requests per address; IPv6 counts by /64", rate(func(s *settings) *relay.Rate { return &s.relay.RateIP })},
		{"RELAY_RATE_SESSIONS", "6/h", "new sessions per address", rate(func(s *settings) *relay.Rate { return &s.relay.RateSessions })},
		{"RELAY_MAX_SESSIONS", "200", "sandboxes awake at once", number(func(s *settings) *int { return &s.relay.MaxSessions })},
		{"RELAY_SESSIONS_PER_DAY", "off", "new sessions in all, per day of UTC: n or off", budget(func(s *settings) *int { return &s.relay.SessionsPerDay })},
		{"RELAY_MAX_STREAMS", "50000", "event streams open at once", number(func(s *settings) *int { return &s.relay.MaxStreams })},
		{"RELAY_STREAMS_PER_VISITOR", "8", "event streams of one visitor", number(func(s *settings) *int { return &s.relay.StreamsPerVisitor })},
		{"RELAY_STREAMS_PER_IP", "64", "event streams of one address", number(func(s *settings) *int { return &s.relay.StreamsPerIP })},
		{"RELAY_MAX_MESSAGE", "16KiB", "a message's text", size(func(s *settings) *int { return &s.relay.MaxMessage })},
		{"RELAY_MAX_ATTACHMENT", "4MiB", "one attachment", size(func(s *settings) *int { return &s.relay.MaxAttachment })},
		{"RELAY_MAX_ATTACHMENTS", "4", "attachments of one message; 0 takes none", number(func(s *settings) *int { return &s.relay.MaxAttachments })},
		{"RELAY_ATTACHMENT_TYPES", "image/png,image/jpeg,image/gif,image/webp,text/*", "kinds of attachment, checked against the content", list(func(s *settings) *[]string { return &s.relay.AttachmentTypes })},
		{"RELAY_REPLAY_EVENTS", "2000", "events of a session kept in memory", number(func(s *settings) *int { return &s.relay.ReplayEvents })},
		{"RELAY_REPLAY_BYTES", "1MiB", "bytes of a session's events kept in memory", size(func(s *settings) *int { return &s.relay.ReplayBytes })},
		{"RELAY_LOG_LEVEL", "info", "debug, info, warn or error", str(func(s *settings) *string { return &s.logLevel })},
		{"RELAY_LOG_FORMAT", "", "text or json; text on a terminal, else json", str(func(s *settings) *string { return &s.logStyle })},
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "", "where traces of turns go, such as http://127.0.0.1:4318; the other standard variables count too", readOTLP},
		{"RELAY_TITLE", "", "the widget's title", str(func(s *settings) *string { return &s.relay.Look.Title })},
		{"RELAY_GREETING", "", "what the widget says before the first message", str(func(s *settings) *string { return &s.relay.Look.Greeting })},
		{"RELAY_STARTERS", "", "first messages to choose from, with | between them", func(s *settings, v string) error {
			s.relay.Look.Starters = split(v, "|")
			return nil
		}},
		{"RELAY_ACCENT", "", "the widget's colour, such as #0b6bcb", str(func(s *settings) *string { return &s.relay.Look.Accent })},
		{"RELAY_LOCALE", "", "the widget's language, such as en; the page's unless set", str(func(s *settings) *string { return &s.relay.Look.Locale })},
	}
}

type reader = func(*settings, string) error

func str(at func(*settings) *string) reader {
	return func(s *settings, v string) error {
		*at(s) = v
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
	s.adminHosts = nil
	for _, host := range split(v, ",") {
		if strings.ContainsAny(host, ":/*@ ") {
			return fmt.Errorf("%q is not a host name such as relay.internal, without scheme and port", host)
		}
		s.adminHosts = append(s.adminHosts, strings.ToLower(host))
	}
	return nil
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

func rate(at func(*settings) *relay.Rate) reader {
	windows := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}
	return func(s *settings, v string) error {
		if v == "off" {
			*at(s) = relay.Rate{}
			return nil
		}
		count, unit, _ := strings.Cut(v, "/")
		n, err := strconv.Atoi(count)
		window, ok := windows[unit]
		if err != nil || !ok || n < 1 {
			return errors.New("must be like 20/m (s, m or h), or off")
		}
		*at(s) = relay.Rate{Limit: n, Window: window}
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
