package relay_test

import (
	"net/http"
	"net/netip"
	"testing"

	"github.com/anyframe-relay/relay/relay"
)

func TestVisitor_Cookie_AsStrictAsConnectionAllows(t *testing.T) {
	proxy := func(c *relay.Config) {
		c.TrustedProxies.Prefixes = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	}
	for name, tt := range map[string]struct {
		change func(*relay.Config)
		tls    bool
		addr   string
		proto  string
		want   string
	}{
		"plain":                          {want: "relay_visitor / plain"},
		"TLS":                            {tls: true, want: "__Host-relay_visitor / secure"},
		"public URL with https":          {change: func(c *relay.Config) { c.PublicURL = "https://chat.example" }, want: "__Host-relay_visitor / secure"},
		"public URL with http":           {change: func(c *relay.Config) { c.PublicURL = "http://chat.example" }, want: "relay_visitor / plain"},
		"base path":                      {change: func(c *relay.Config) { c.BasePath = "/chat" }, want: "relay_visitor /chat plain"},
		"base path and TLS":              {change: func(c *relay.Config) { c.BasePath = "/chat" }, tls: true, want: "relay_visitor /chat secure"},
		"a trusted proxy with TLS":       {change: proxy, proto: "https", want: "__Host-relay_visitor / secure"},
		"a trusted proxy, upper case":    {change: proxy, proto: "HTTPS", want: "__Host-relay_visitor / secure"},
		"two proxies, the first has TLS": {change: proxy, proto: "https, http", want: "__Host-relay_visitor / secure"},
		"two proxies, the last has TLS":  {change: proxy, proto: "http,https", want: "relay_visitor / plain"},
		"a trusted proxy without TLS": {
			change: func(c *relay.Config) { proxy(c); c.PublicURL = "https://chat.example" }, proto: "http", want: "relay_visitor / plain",
		},
		"anybody who says https": {proto: "https", want: "relay_visitor / plain"},
		"not the trusted proxy":  {change: proxy, addr: "198.51.100.1:9", proto: "https", want: "relay_visitor / plain"},
	} {
		t.Run(name, func(t *testing.T) {
			base := ""
			d := newOffline(t, func(c *relay.Config) {
				if tt.change != nil {
					tt.change(c)
				}
				base = c.BasePath
			})
			if d.tls = tt.tls; tt.addr != "" {
				d.addr = tt.addr
			}
			var headers []string
			if tt.proto != "" {
				headers = []string{"X-Forwarded-Proto", tt.proto}
			}
			a := d.ask("POST", base+"/v1/visitor", `{}`, headers...)
			if len(a.cookies()) != 1 {
				t.Fatalf("got %d %v, want one cookie", a.status, a.header)
			}
			c := a.cookies()[0]
			got := c.Name + " " + c.Path + " " + map[bool]string{true: "secure", false: "plain"}[c.Secure]
			if got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			if !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Domain != "" || c.MaxAge <= 0 {
				t.Errorf("got %q, want it HttpOnly, Lax, without a domain, with an age", c.Raw)
			}
			// And it is the one that is read again.
			headers = append(headers, "Cookie", c.Name+"="+c.Value)
			if a := d.ask("GET", base+"/v1/session", "", headers...); a.status != http.StatusOK {
				t.Errorf("the cookie sent back: got %d, want 200", a.status)
			}
			// Another name does not do: a __Host- cookie is one that nobody could plant.
			other := "__Host-relay_visitor"
			if c.Name == other {
				other = "relay_visitor"
			}
			headers[len(headers)-1] = other + "=" + c.Value
			refused(t, "under the other name", d.ask("GET", base+"/v1/session", "", headers...), 401, "visitor_unknown")
		})
	}
}

func TestVisitor_TwoCookies_BothIgnored(t *testing.T) {
	d := newOffline(t, nil)
	a, b := d.mint(), d.mint()
	for what, cookies := range map[string][]string{
		"in one header":   {"Cookie", "relay_visitor=" + a + "; relay_visitor=" + b},
		"in two headers":  {"Cookie", "relay_visitor=" + a, "Cookie", "relay_visitor=" + b},
		"the same twice":  {"Cookie", "relay_visitor=" + a + "; relay_visitor=" + a},
		"one of them bad": {"Cookie", "relay_visitor=x; relay_visitor=" + a},
	} {
		refused(t, what, d.ask("GET", "/v1/session", "", cookies...), 401, "visitor_unknown")
		got := d.ask("POST", "/v1/visitor", `{}`, cookies...).cookies()
		if len(got) != 1 || got[0].Value == a || got[0].Value == b || len(got[0].Value) != 43 {
			t.Errorf("%s: introduced as %v, want a new visitor", what, got)
		}
	}
	if a := d.ask("GET", "/v1/session", "", "Cookie", "relay_visitor="+a+"; other=1; relay_visitor2=x"); a.status != http.StatusOK {
		t.Errorf("one cookie among others: got %d, want 200", a.status)
	}
}
