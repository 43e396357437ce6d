package relay_test

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
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
		host   string
		want   string
	}{
		"plain":                          {want: "relay_visitor / plain"},
		"TLS":                            {tls: true, want: "__Host-relay_visitor / secure"},
		"public URL with https":          {change: func(c *relay.Config) { c.PublicURL = "https://chat.example" }, host: "chat.example", want: "__Host-relay_visitor / secure"},
		"public URL with http":           {change: func(c *relay.Config) { c.PublicURL = "http://chat.example" }, host: "chat.example", want: "relay_visitor / plain"},
		"base path":                      {change: func(c *relay.Config) { c.BasePath = "/chat" }, want: "relay_visitor_6ea4b827 /chat plain"},
		"base path and TLS":              {change: func(c *relay.Config) { c.BasePath = "/chat" }, tls: true, want: "__Host-relay_visitor_6ea4b827 / secure"},
		"a trusted proxy with TLS":       {change: proxy, proto: "https", want: "__Host-relay_visitor / secure"},
		"a trusted proxy, upper case":    {change: proxy, proto: "HTTPS", want: "__Host-relay_visitor / secure"},
		"two proxies, the first has TLS": {change: proxy, proto: "https, http", want: "__Host-relay_visitor / secure"},
		"two proxies, the last has TLS":  {change: proxy, proto: "http,https", want: "relay_visitor / plain"},
		"a trusted proxy without TLS": {
			change: func(c *relay.Config) { proxy(c); c.PublicURL = "https://chat.example" }, proto: "http", want: "relay_visitor / plain",
		},
		"public URL with a port": {change: func(c *relay.Config) { c.PublicURL = "https://chat.example:8443" }, host: "chat.example:8443", want: "__Host-relay_visitor_8443 / secure"},
		"public URL, Host rewritten": {
			change: func(c *relay.Config) { c.PublicURL = "https://chat.example" }, host: "127.0.0.1:8080", want: "__Host-relay_visitor / secure",
		},
		"a port":                 {host: "relay.test:8080", want: "relay_visitor_8080 / plain"},
		"the port of the scheme": {host: "relay.test:80", want: "relay_visitor / plain"},
		"a port and TLS":         {tls: true, host: "relay.test:8443", want: "__Host-relay_visitor_8443 / secure"},
		"port 443 and TLS":       {tls: true, host: "relay.test:443", want: "__Host-relay_visitor / secure"},
		"IPv6 with a port":       {host: "[2001:db8::1]:8080", want: "relay_visitor_8080 / plain"},
		"a port and a base path": {change: func(c *relay.Config) { c.BasePath = "/chat" }, host: "relay.test:8080", want: "relay_visitor_8080_6ea4b827 /chat plain"},
		"a longer base path":     {change: func(c *relay.Config) { c.BasePath = "/chat/eu" }, want: "relay_visitor_a6a211ac /chat/eu plain"},
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
			if tt.host != "" {
				headers = append(headers, "Host", tt.host)
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
			// The same cookie is also read again.
			headers = append(headers, "Cookie", c.Name+"="+c.Value)
			if a := d.ask("GET", base+"/v1/session", "", headers...); a.status != http.StatusOK {
				t.Errorf("the cookie sent back: got %d, want 200", a.status)
			}
			// Other names are not accepted: no other site can set a __Host- cookie.
			others := []string{"__Host-relay_visitor", "relay_visitor", "relay_visitor_81", "__Host-relay_visitor_81", "__Host-relay_visitor_6ea4b827", "relay_visitor_a6a211ac"}
			for _, other := range slices.DeleteFunc(others, func(name string) bool { return name == c.Name }) {
				headers[len(headers)-1] = other + "=" + c.Value
				refused(t, "under the name "+other, d.ask("GET", base+"/v1/session", "", headers...), 401, "visitor_unknown")
			}
		})
	}
}

// An attacker who sets a cookie with our name, for another path or domain, must not lock
// the visitor out.
func TestCookie_SeveralOfOneName_TheValidOneCounts(t *testing.T) {
	d := newOffline(t, nil)
	token, unknown := d.mint(), func(c string) string { return "relay_visitor=" + strings.Repeat(c, 43) }
	valid := "relay_visitor=" + token
	for name, tt := range map[string]struct {
		cookies []string
		want    bool
	}{
		"alone":                     {[]string{"Cookie", valid + "; other=1; relay_visitor2=x"}, true},
		"after an unknown one":      {[]string{"Cookie", unknown("A") + "; " + valid}, true},
		"before an unknown one":     {[]string{"Cookie", valid + "; " + unknown("A")}, true},
		"in another header":         {[]string{"Cookie", unknown("A"), "Cookie", valid}, true},
		"twice":                     {[]string{"Cookie", valid + "; " + valid}, true},
		"after nonsense":            {[]string{"Cookie", "relay_visitor=x; relay_visitor=; " + valid}, true},
		"after the same many times": {[]string{"Cookie", strings.Repeat(unknown("A")+"; ", 9) + valid}, true},
		"after three unknown ones":  {[]string{"Cookie", unknown("A") + "; " + unknown("B") + "; " + unknown("C") + "; " + valid}, true},
		"after four unknown ones":   {[]string{"Cookie", unknown("A") + "; " + unknown("B") + "; " + unknown("C") + "; " + unknown("D") + "; " + valid}, false},
		"not there":                 {[]string{"Cookie", unknown("A") + "; " + unknown("B")}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if a := d.ask("GET", "/v1/session", "", tt.cookies...); (a.status == http.StatusOK) != tt.want {
				t.Errorf("got %d %s, want it to count: %v", a.status, a.body, tt.want)
			}
			got := d.ask("POST", "/v1/visitor", `{}`, tt.cookies...).cookies()
			if len(got) != 1 || (got[0].Value == token) != tt.want {
				t.Errorf("introduced: got %v, want the token: %v", got, tt.want)
			}
		})
	}
}

// Each base path that is accepted comes back from the cookie header that Go writes.
func TestVisitor_BasePath_OnlyWhatACookieCanHave(t *testing.T) {
	t.Parallel()
	for path, valid := range map[string]bool{
		"": true, "/chat": true, "/chat/eu-1": true, "/~a/b_c.d": true, "/a!$&'()+,=:@": true,
		"/a;b": false, "/a b": false, "/ä": false, "/a\x7f": false, "/a\tb": false, "/a%20": false, "/a|b": false, "/a^b": false, "/a`b": false,
		"/[a]": false, "/{a}": false, "/a*": false, "/a?b": false, "/a#b": false, "/a\\b": false, `/a"b`: false, "/<a>": false,
		"chat": false, "/": false, "/chat/": false, "/a//b": false, "/.": false, "/a/../b": false, "/a/.b": false,
	} {
		c := relay.DefaultConfig()
		c.APIKey, c.AgentID, c.BasePath = "afm_x1234", 1, path
		if err := c.Validate(); (err == nil) != valid || err != nil && !strings.HasPrefix(err.Error(), "RELAY_BASE_PATH ") {
			t.Errorf("%q: got %v, want it valid: %v", path, err, valid)
			continue
		}
		if !valid || path == "" {
			continue
		}
		header := (&http.Cookie{Name: "n", Value: "v", Path: path}).String()
		if back, err := http.ParseSetCookie(header); err != nil || back.Path != path {
			t.Errorf("%q: got %q and %v from the cookie, want the same path", path, back.Path, err)
		}
		d := newOffline(t, func(c *relay.Config) { c.BasePath = path })
		if a := d.ask("GET", path+"/widget.js", ""); a.status != http.StatusOK {
			t.Errorf("%q: got %d, want 200", path, a.status)
		}
	}
}
