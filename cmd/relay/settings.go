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
	config   string // path of the sites file
}

// setting is one environment variable. The help, .env.example, the schema of the
// sites file and the parser are all generated from it.
type setting struct {
	name     string
	fallback string // the default, as a user would write it
	meaning  string
	scope    scope // whether a site can override it
	read     func(*settings, string) error
}

// table lists every setting in display order.
func table() []setting {
	return []setting{
		{
			"ANYFRAME_API_KEY", "", "secret key of your AnyFrame account, afm_…; required (older name: ANYFRAME_API_TOKEN)", perSite(secret),
			func(s *settings, v string) error { s.relay.APIKey = relay.Secret(v); return checkKey(v) },
		},
		{
			"ANYFRAME_AGENT_ID", "", "number of the agent that visitors chat with; required", perSite(integer),
			func(s *settings, v string) error {
				id, err := strconv.ParseInt(v, 10, 64)
				if err != nil || id <= 0 {
					return errors.New("must be a number: the agent's ID from its URL on the AnyFrame dashboard")
				}
				s.relay.AgentID = id
				return nil
			},
		},
		{"ANYFRAME_BASE_URL", "https://api.anyfrm.com", "URL of the AnyFrame API; ignored in .env when the key is set elsewhere", perSite(text), str(func(s *settings) *string { return &s.relay.BaseURL })},
		{"ANYFRAME_LOG_LEVEL", "", "log level of the lines about requests to AnyFrame: debug (each request), info, warn or error; empty logs none", global, str(func(s *settings) *string { return &s.traces })},
		{"RELAY_ADDR", ":8080", "address to listen on; port 0 picks a free port", global, str(func(s *settings) *string { return &s.addr })},
		{"PORT", "", "port to listen on, on all interfaces, when RELAY_ADDR is not set", global, func(s *settings, v string) error {
			if n, err := strconv.ParseUint(v, 10, 16); err != nil || n > 65535 {
				return errors.New("must be a port number from 0 to 65535")
			}
			s.port = v
			return nil
		}},
		{"RELAY_ADMIN_ADDR", "127.0.0.1:9091", "address of the admin listener: console, API, /metrics and pprof; empty disables it", global, str(func(s *settings) *string { return &s.admin })},
		{"RELAY_ADMIN_HOSTS", "", "comma-separated host names that the admin listener accepts besides localhost and IP addresses, such as relay.internal", global, hosts},
		{"RELAY_ADMIN_TOKEN", "", "comma-separated name:token pairs for operators, each token 16 bytes or more; needed unless RELAY_ADMIN_ADDR is on loopback", global, adminTokens},
		{"RELAY_CONSOLE_READ", "off", "whether operators may read conversations in the console and with relay transcript; each read is logged: on or off", global, choice(map[string]bool{"off": false, "on": true}, func(s *settings) *bool { return &s.relay.ConsoleRead })},
		{"RELAY_BASE_PATH", "", "path prefix of all routes, such as /chat", global, str(func(s *settings) *string { return &s.relay.BasePath })},
		{"RELAY_PUBLIC_URL", "", "URL at which browsers reach the relay, such as https://chat.example.com; only its origin is then the relay's own", global, str(func(s *settings) *string { return &s.relay.PublicURL })},
		{"RELAY_STORE", "sqlite:relay.db", "where state is stored: memory: (lost on restart), sqlite:PATH (one machine), redis://… or rediss://… (several machines)", global, str(func(s *settings) *string { return &s.relay.Store })},
		{"RELAY_REDIS_PREFIX", relay.DefaultConfig().RedisPrefix, "prefix of every Redis key", global, str(func(s *settings) *string { return &s.relay.RedisPrefix })},
		{"RELAY_CONFIG", "", "path of the sites file, such as relay.yaml, which adds sites: more agents behind this relay, each with its own routes", global, str(func(s *settings) *string { return &s.config })},
		{"RELAY_ALLOWED_ORIGINS", "", "comma-separated origins that may embed the widget: https://www.example.com, https://*.example.com or *; empty allows same-origin only", perSite(listOf(",")), list(func(s *settings) *[]string { return &s.relay.AllowedOrigins })},
		{"RELAY_TRUSTED_PROXIES", "", "comma-separated addresses or CIDRs of proxies whose X-Forwarded-For and X-Forwarded-Proto are trusted; header:NAME, such as header:Fly-Client-IP, reads the address from that header instead", global, readProxies},
		{
			"RELAY_VISIBILITY", "chat", "what visitors see: chat, tools (adds tool names and summaries) or full (everything, thinking included)", perSite(oneOf("chat", "tools", "full")),
			func(s *settings, v string) error { s.relay.Visibility = relay.Visibility(v); return nil },
		},
		{"RELAY_APPROVALS", "off", "who decides permission prompts: off (operators only) or visitor (visitors too, in their own session)", perSite(oneOf("off", "visitor")), choice(map[string]bool{"off": false, "visitor": true}, func(s *settings) *bool { return &s.relay.VisitorApprovals })},
		{"RELAY_BOOT", "message", "when a sandbox boots: message (on the first message) or open (when the panel opens)", perSite(oneOf("message", "open")), choice(map[string]bool{"message": false, "open": true}, func(s *settings) *bool { return &s.relay.BootOnOpen })},
		{
			"RELAY_IDENTITY_KEY", "", "key that verifies the website's JWTs: an HS256 secret of 32 bytes or more, or a PEM public key with line breaks written as \\n", perSite(secret),
			func(s *settings, v string) error { s.relay.IdentityKey = relay.Secret(v); return nil },
		},
		{"RELAY_IDENTITY_AUDIENCE", "", "expected aud of the website's JWTs; if unset, JWTs that have an aud are refused", perSite(text), str(func(s *settings) *string { return &s.relay.IdentityAudience })},
		{"RELAY_IDLE_TIMEOUT", "5m", "how long an idle sandbox stays awake", global, duration(func(s *settings) *time.Duration { return &s.relay.IdleTimeout })},
		{"RELAY_BOOT_TIMEOUT", "180s", "how long a sandbox may take to boot", global, duration(func(s *settings) *time.Duration { return &s.relay.BootTimeout })},
		{"RELAY_SEND_WAIT", "20s", "how long a message waits for its sandbox to boot", global, duration(func(s *settings) *time.Duration { return &s.relay.SendWait })},
		{"RELAY_UPSTREAM_TIMEOUT", "30s", "timeout of one request to AnyFrame", global, duration(func(s *settings) *time.Duration { return &s.relay.UpstreamTimeout })},
		{"RELAY_VISITOR_TTL", "720h", "how long the relay keeps a visitor's token and conversation after the last visit", global, duration(func(s *settings) *time.Duration { return &s.relay.VisitorTTL })},
		{"RELAY_RETENTION", "off", "delete conversations, at AnyFrame and in the store, after they have been idle this long: 90d, 2160h or off", global, retention},
		{"RELAY_STREAM_LIFETIME", "10m", "how long one event stream lasts, shortened at random by up to a fifth", global, duration(func(s *settings) *time.Duration { return &s.relay.StreamLifetime })},
		{"RELAY_RATE_MESSAGES", "20/m,300/d", "messages per visitor: a list of n/s, n/m, n/h and n/d (per UTC day), or off", perSite(listOf(",")), rates(func(s *settings) *relay.Rates { return &s.relay.RateMessages })},
		{"RELAY_RATE_IP", "120/m", "requests per address: a list of n/s, n/m, n/h and n/d (per UTC day), or off; IPv6 is counted per /64", global, rates(func(s *settings) *relay.Rates { return &s.relay.RateIP })},
		{"RELAY_RATE_SESSIONS", "6/h", "new sessions per address: a list of n/s, n/m, n/h and n/d (per UTC day), or off", perSite(listOf(",")), rates(func(s *settings) *relay.Rates { return &s.relay.RateSessions })},
		{"RELAY_TURNS_PER_DAY", "off", "messages that AnyFrame accepts from all visitors per UTC day: n or off", perSite(integer), budget(func(s *settings) *int { return &s.relay.TurnsPerDay })},
		{"RELAY_MAX_SESSIONS", "200", "maximum number of sandboxes awake at once", perSite(integer), number(1, maxCount, func(s *settings) *int { return &s.relay.MaxSessions })},
		{"RELAY_SESSIONS_PER_DAY", "off", "new sessions of all visitors per UTC day: n or off", perSite(integer), budget(func(s *settings) *int { return &s.relay.SessionsPerDay })},
		{"RELAY_MAX_STREAMS", "50000", "maximum number of event streams open at once", perSite(integer), number(1, maxCount, func(s *settings) *int { return &s.relay.MaxStreams })},
		{"RELAY_STREAMS_PER_VISITOR", "8", "maximum number of event streams per visitor", perSite(integer), number(1, maxCount, func(s *settings) *int { return &s.relay.StreamsPerVisitor })},
		{"RELAY_STREAMS_PER_IP", "64", "maximum number of event streams per address", global, number(1, maxCount, func(s *settings) *int { return &s.relay.StreamsPerIP })},
		{"RELAY_NOTICE", "on", "line under the composer: on (says in the widget's language that this is an AI and can make mistakes), off, or your own text", perSite(text), func(s *settings, v string) error {
			s.relay.Notice, s.relay.NoNotice = "", v == "off"
			if v != "on" && v != "off" {
				s.relay.Notice = v
			}
			return nil
		}},
		{"RELAY_PRIVACY_URL", "", "URL of your privacy policy, linked in the line under the composer (RELAY_NOTICE); https", perSite(text), str(func(s *settings) *string { return &s.relay.PrivacyURL })},
		{"RELAY_CONSENT", "", "text that visitors must agree to before their first message; if you change the text, visitors must agree again", perSite(text), str(func(s *settings) *string { return &s.relay.Consent })},
		{
			"RELAY_CHALLENGE", "off", "proof of work in the browser before a new session: off, auto (once half of an address' RELAY_RATE_SESSIONS, or four fifths of a daily budget or of RELAY_MAX_SESSIONS, is used) or always", perSite(oneOf("off", "auto", "always")),
			func(s *settings, v string) error { s.relay.Challenge = relay.Challenge(v); return nil },
		},
		{"RELAY_FEEDBACK", "off", "whether visitors may rate answers: on or off", perSite(oneOf("on", "off")), choice(map[string]bool{"off": false, "on": true}, func(s *settings) *bool { return &s.relay.Feedback })},
		{"RELAY_CONTEXT", "on", "whether the agent receives what the page and the website report about a visitor: on or off", perSite(oneOf("on", "off")), choice(map[string]bool{"on": false, "off": true}, func(s *settings) *bool { return &s.relay.NoContext })},
		{"RELAY_MAX_CONTEXT", "4KiB", "maximum size of the context about a visitor (RELAY_CONTEXT), for the page and for the website each; 0 refuses it", perSite(text), size(0, func(s *settings) *int { return &s.relay.MaxContext })},
		{"RELAY_MAX_MESSAGE", "16KiB", "maximum size of a message's text", perSite(text), size(1, func(s *settings) *int { return &s.relay.MaxMessage })},
		{"RELAY_MAX_ATTACHMENT", "4MiB", "maximum size of one attachment", perSite(text), size(1, func(s *settings) *int { return &s.relay.MaxAttachment })},
		{"RELAY_MAX_ATTACHMENTS", "4", "maximum number of attachments per message; 0 allows none", perSite(integer), number(0, maxAttachments, func(s *settings) *int { return &s.relay.MaxAttachments })},
		{"RELAY_ATTACHMENT_TYPES", "image/png,image/jpeg,image/gif,image/webp,text/*", "comma-separated attachment types that are accepted, checked against the content", perSite(listOf(",")), list(func(s *settings) *[]string { return &s.relay.AttachmentTypes })},
		{"RELAY_REPLAY_EVENTS", "2000", "events per session kept in memory", global, number(1, maxCount, func(s *settings) *int { return &s.relay.ReplayEvents })},
		{"RELAY_REPLAY_BYTES", "1MiB", "bytes of events per session kept in memory", global, size(1, func(s *settings) *int { return &s.relay.ReplayBytes })},
		{"RELAY_WEBHOOK_URL", "", "URL that receives events about conversations, pending prompts and failures: https, or http on loopback", perSite(text), secretly(func(s *settings) *relay.Secret { return &s.relay.Webhook.URL })},
		{"RELAY_WEBHOOK_SECRET", "", "secret that signs webhook requests (Standard Webhooks): whsec_ and base64 of 24 to 64 bytes, or 24 raw bytes or more; must be set with RELAY_WEBHOOK_URL", perSite(secret), secretly(func(s *settings) *relay.Secret { return &s.relay.Webhook.Secret })},
		{"RELAY_WEBHOOK_EVENTS", "", "comma-separated webhook events to send, such as prompt.waiting,turn.failed; empty sends all", perSite(listOf(",")), list(func(s *settings) *[]string { return &s.relay.Webhook.Events })},
		{"RELAY_WEBHOOK_FORMAT", "json", "format of webhook requests: json, slack or discord", perSite(oneOf("json", "slack", "discord")), str(func(s *settings) *string { return &s.relay.Webhook.Format })},
		{"RELAY_LOG_LEVEL", "info", "log level: debug, info, warn or error", global, str(func(s *settings) *string { return &s.logLevel })},
		{"RELAY_LOG_FORMAT", "", "log format: text or json; default text on a terminal, otherwise json", global, str(func(s *settings) *string { return &s.logStyle })},
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "", "OTLP endpoint for traces of turns, such as http://127.0.0.1:4318; other standard OpenTelemetry variables apply too", global, readOTLP},
		{"RELAY_TITLE", "", "title of the widget", perSite(text), str(func(s *settings) *string { return &s.relay.Look.Title })},
		{"RELAY_GREETING", "", "text that the widget shows before the first message", perSite(text), str(func(s *settings) *string { return &s.relay.Look.Greeting })},
		{"RELAY_STARTERS", "", "suggested first messages, separated by |", perSite(listOf("|")), func(s *settings, v string) error {
			s.relay.Look.Starters = split(v, "|")
			return nil
		}},
		{"RELAY_ACCENT", "", "accent color of the widget, such as #0b6bcb", perSite(text), str(func(s *settings) *string { return &s.relay.Look.Accent })},
		{"RELAY_LOCALE", "", "language of the widget, such as en; default is the page's language", perSite(text), str(func(s *settings) *string { return &s.relay.Look.Locale })},
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

// hosts reads the host names that the admin listener accepts, without ports.
func hosts(s *settings, v string) error {
	s.relay.AdminHosts = nil
	for _, host := range split(v, ",") {
		if strings.ContainsAny(host, ":/*@ ") {
			return fmt.Errorf("%q is not a host name; write it without scheme and port, such as relay.internal", host)
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

func readProxies(s *settings, v string) error {
	p := &s.relay.TrustedProxies
	*p = relay.TrustedProxies{}
	for _, part := range strings.FieldsFunc(v, func(r rune) bool { return r == ',' || r == ' ' }) {
		if header, ok := strings.CutPrefix(part, "header:"); ok {
			if p.Header != "" || header == "" || strings.ContainsAny(header, " :;()\"") {
				return errors.New("accepts one header, as in header:Fly-Client-IP,172.16.0.0/12")
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
			return fmt.Errorf("%q is not an IP address or a CIDR such as 10.0.0.0/8", part)
		}
		p.Prefixes = append(p.Prefixes, prefix.Masked())
	}
	if p.Header != "" && len(p.Prefixes) == 0 {
		return errors.New("needs the proxies' CIDRs too; otherwise any client could send that header")
	}
	return nil
}
