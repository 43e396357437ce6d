package relay_test

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
)

// standing returns how the relay classifies a request. It may come from one of the
// relay's own pages, where the cookie counts, under the name for the scheme; from a
// listed page, where it does not count; or from a foreign page. Or the cookie does not
// count for the host.
func (d *offline) standing(token string, headers ...string) string {
	d.t.Helper()
	a := d.ask("GET", "/v1/session", "", append(headers, "Cookie", "relay_visitor="+token+"; __Host-relay_visitor="+token+"; relay_visitor_81="+token)...)
	allowed := a.header.Get("Access-Control-Allow-Origin")
	switch {
	case a.status == http.StatusOK && allowed == "":
		return "ours"
	case a.status == http.StatusUnauthorized && allowed != "":
		return "listed"
	case a.status == http.StatusUnauthorized:
		return "nobody"
	case a.status == http.StatusForbidden && allowed == "":
		return "foreign"
	}
	return fmt.Sprintf("%d %q", a.status, allowed)
}

func origins(list ...string) func(*relay.Config) {
	return func(c *relay.Config) { c.AllowedOrigins = list }
}

func TestOrigin_AllowList_DecidesWhoMayCall(t *testing.T) {
	listed := []string{
		"https://shop.example", "https://*.wild.example", "http://plain.example", "https://port.example:8443", "https://*.port.example:8443",
		"https://xn--bcher-kva.example", "http://[2001:db8::1]:8080",
		"capacitor://localhost", "chrome-extension://aaaabbbbccccddddeeeeffffgggghhhh", "safari-web-extension://0A1B2C3D-0000-4000-8000-00000000000F",
	}
	d := newOffline(t, origins(listed...))
	token := d.mint()
	for origin, want := range map[string]string{
		"https://shop.example":          "listed",
		"https://a.wild.example":        "listed",
		"https://a.b.wild.example":      "listed",
		"https://a-1.wild.example":      "listed",
		"http://plain.example":          "listed",
		"https://port.example:8443":     "listed",
		"https://a.port.example:8443":   "listed",
		"https://xn--bcher-kva.example": "listed",
		"http://[2001:db8::1]:8080":     "listed",
		"capacitor://localhost":         "listed",

		"chrome-extension://aaaabbbbccccddddeeeeffffgggghhhh":         "listed",
		"safari-web-extension://0A1B2C3D-0000-4000-8000-00000000000F": "listed",

		"capacitor://localhost:80":                            "foreign",
		"capacitor://localhost.evil.example":                  "foreign",
		"ionic://localhost":                                   "foreign",
		"http://localhost":                                    "foreign",
		"chrome-extension://hhhhbbbbccccddddeeeeffffgggghhhh": "foreign",

		"null":                                   "foreign",
		"*":                                      "foreign",
		"https://evil.example":                   "foreign",
		"http://shop.example":                    "foreign", // another scheme
		"HTTPS://shop.example":                   "foreign", // no browser writes it like this
		"https://SHOP.example":                   "foreign",
		"https://shop.example.":                  "foreign",
		"https://shop.example/":                  "foreign",
		"https://shop.example:443":               "foreign",
		"https://shop.example:8443":              "foreign",
		"https://shop.example.evil.example":      "foreign",
		"https://shop.example@evil.example":      "foreign",
		"https://evil.example/https://":          "foreign",
		"https://evilshop.example":               "foreign",
		"https://www.shop.example":               "foreign",
		"https://shop.example https://evil.test": "foreign",
		"https://shop.example,https://evil.test": "foreign",
		"https://wild.example":                   "foreign", // not a subdomain of itself
		"https://.wild.example":                  "foreign",
		"https://a..wild.example":                "foreign",
		"https://evilwild.example":               "foreign",
		"https://a.wild.example.evil.test":       "foreign",
		"https://a.wild.example:8443":            "foreign",
		"http://a.wild.example":                  "foreign",
		"https://evil.test/.wild.example":        "foreign",
		"https://evil.test?.wild.example":        "foreign",
		"https://evil.test#.wild.example":        "foreign",
		"https://evil.test:1.wild.example":       "foreign",
		"https://evil.test\\.wild.example":       "foreign",
		"https://user@a.wild.example":            "foreign",
		"https://A.wild.example":                 "foreign",
		"https://bücher.wild.example":            "foreign",
		"https://%2e.wild.example":               "foreign",
		"https://*.wild.example":                 "foreign",
		"https://port.example":                   "foreign",
		"https://bücher.example":                 "foreign",
		"chrome-extension://abcdef":              "foreign",
		"file://":                                "foreign",
		"about:blank":                            "foreign",
		"://shop.example":                        "foreign",
	} {
		for _, site := range []string{"", "cross-site", "same-site", "none", "nonsense"} {
			headers := []string{"Origin", origin}
			if site != "" {
				headers = append(headers, "Sec-Fetch-Site", site)
			}
			if got := d.standing(token, headers...); got != want {
				t.Errorf("%s, Sec-Fetch-Site %q: got %s, want %s", origin, site, got, want)
			}
		}
	}
}

func TestOrigin_OwnPages_Recognised(t *testing.T) {
	t.Parallel()
	public := func(u string) func(*relay.Config) { return func(c *relay.Config) { c.PublicURL = u } }
	proxied := func(c *relay.Config) {
		c.TrustedProxies.Prefixes = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	}
	for name, tt := range map[string]struct {
		change  func(*relay.Config)
		headers []string
		want    string // as returned by standing
	}{
		"another name than the public URL's":       {public("https://chat.example"), nil, "nobody"},
		"another name, a page of its own":          {public("https://chat.example"), []string{"Origin", "http://relay.test"}, "foreign"},
		"another name, same-origin":                {public("https://chat.example"), []string{"Sec-Fetch-Site", "same-origin"}, "foreign"},
		"another name, same-origin, POST":          {public("https://chat.example"), []string{"Sec-Fetch-Site", "same-origin", "Origin", "https://relay.test"}, "foreign"},
		"another name, the public page":            {public("https://chat.example"), []string{"Origin", "https://chat.example"}, "nobody"},
		"another port than the public URL's":       {public("https://chat.example"), []string{"Host", "chat.example:81"}, "nobody"},
		"a name that ends like the public URL's":   {public("https://chat.example"), []string{"Host", "evil.chat.example"}, "nobody"},
		"another name, of a trusted proxy":         {func(c *relay.Config) { proxied(c); public("https://chat.example")(c) }, nil, "ours"},
		"another name, same-origin, trusted proxy": {func(c *relay.Config) { proxied(c); public("https://chat.example")(c) }, []string{"Sec-Fetch-Site", "same-origin"}, "ours"},
		"another page, trusted proxy":              {func(c *relay.Config) { proxied(c); public("https://chat.example")(c) }, []string{"Sec-Fetch-Site", "same-origin", "Origin", "https://relay.test"}, "foreign"},
		"an address beside the public URL":         {public("https://chat.example"), []string{"Host", "127.0.0.1:8080"}, "ours"},
		"an address, a page of its own":            {public("https://chat.example"), []string{"Host", "[::1]:8080", "Origin", "http://[::1]:8080"}, "ours"},
		"an address, another page":                 {public("https://chat.example"), []string{"Host", "127.0.0.1:8080", "Origin", "http://127.0.0.1:81"}, "foreign"},
		"a name that looks like an address":        {public("https://chat.example"), []string{"Host", "127.0.0.1.evil.example"}, "nobody"},

		"nothing said":                    {want: "ours"}, // no browser, or one that only navigates
		"an address typed in":             {headers: []string{"Sec-Fetch-Site", "none"}, want: "ours"},
		"same-origin, GET":                {headers: []string{"Sec-Fetch-Site", "same-origin"}, want: "ours"},
		"same-origin, proxied":            {headers: []string{"Sec-Fetch-Site", "same-origin", "Origin", "https://chat.example"}, want: "ours"},
		"the host's origin":               {headers: []string{"Origin", "http://relay.test"}, want: "ours"},
		"the host's origin, TLS ended":    {headers: []string{"Origin", "https://relay.test"}, want: "ours"},
		"the host, other case":            {headers: []string{"Origin", "http://relay.test", "Host", "Relay.Test"}, want: "ours"},
		"the host with a port":            {headers: []string{"Origin", "http://relay.test:81", "Host", "relay.test:81"}, want: "ours"},
		"another port":                    {headers: []string{"Origin", "http://relay.test:81"}, want: "foreign"},
		"a longer host":                   {headers: []string{"Origin", "http://relay.test.evil.example"}, want: "foreign"},
		"a user before the host":          {headers: []string{"Origin", "http://evil@relay.test"}, want: "foreign"},
		"a path behind the host":          {headers: []string{"Origin", "http://relay.test/"}, want: "foreign"},
		"no scheme":                       {headers: []string{"Origin", "relay.test"}, want: "foreign"},
		"null":                            {headers: []string{"Origin", "null"}, want: "foreign"},
		"null, cross-site":                {headers: []string{"Origin", "null", "Sec-Fetch-Site", "cross-site"}, want: "foreign"},
		"same-site without origin":        {headers: []string{"Sec-Fetch-Site", "same-site"}, want: "foreign"},
		"cross-site without origin":       {headers: []string{"Sec-Fetch-Site", "cross-site"}, want: "foreign"},
		"a word that nobody knows":        {headers: []string{"Sec-Fetch-Site", "near-site"}, want: "foreign"},
		"cross-site beats the host":       {headers: []string{"Sec-Fetch-Site", "cross-site", "Origin", "http://relay.test"}, want: "foreign"},
		"same-site beats the host":        {headers: []string{"Sec-Fetch-Site", "same-site", "Origin", "https://relay.test"}, want: "foreign"},
		"a proxy that rewrites Host":      {public("https://chat.example"), []string{"Origin", "https://chat.example", "Host", "127.0.0.1:8080"}, "ours"},
		"the public URL has a path":       {public("https://chat.example/base/"), []string{"Origin", "https://chat.example", "Host", "chat.example"}, "ours"},
		"the public URL has port 443":     {public("https://Chat.example:443"), []string{"Origin", "https://chat.example", "Host", "Chat.example:443"}, "ours"},
		"the public URL has port 80":      {public("http://chat.example:80"), []string{"Origin", "http://chat.example", "Host", "chat.example"}, "ours"},
		"not the public URL's scheme":     {public("https://chat.example"), []string{"Origin", "http://chat.example"}, "foreign"},
		"not the public URL's port":       {public("https://chat.example"), []string{"Origin", "https://chat.example:8443"}, "foreign"},
		"a page beside the public URL":    {public("https://chat.example"), []string{"Origin", "https://www.chat.example"}, "foreign"},
		"no public URL, Host rewritten":   {headers: []string{"Origin", "https://chat.example", "Host", "127.0.0.1:8080"}, want: "foreign"},
		"X-Forwarded-Host is no promise":  {headers: []string{"Origin", "https://evil.example", "X-Forwarded-Host", "evil.example"}, want: "foreign"},
		"plain page, relay behind TLS":    {proxied, []string{"Origin", "http://relay.test", "X-Forwarded-Proto", "https"}, "foreign"},
		"page of TLS, relay behind TLS":   {proxied, []string{"Origin", "https://relay.test", "X-Forwarded-Proto", "https"}, "ours"},
		"two pages of ours at once":       {headers: []string{"Origin", "http://relay.test", "Origin", "http://evil.example"}, want: "ours"},
		"a list of one, and our own page": {origins("https://shop.example"), []string{"Origin", "http://relay.test"}, "ours"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newOffline(t, tt.change)
			token := d.mint()
			if got := d.standing(token, tt.headers...); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestOrigin_ForeignPage_RefusedWithoutEffect(t *testing.T) {
	r := newHarness(t, nil, anyframetest.WithAgent(1, talk))
	v := r.visitor()
	v.say("hello", "k1")
	v.open("").turnEnds(1)
	before := r.plane.Count(anyframetest.OpAny)
	for _, call := range []struct{ method, path, body string }{
		{"POST", "/v1/visitor", `{}`},
		{"DELETE", "/v1/visitor", ""},
		{"GET", "/v1/session", ""},
		{"POST", "/v1/session", ""},
		{"DELETE", "/v1/session", ""},
		{"POST", "/v1/messages", `{"text":"forged"}`},
		{"POST", "/v1/responses", `{"id":"p1-1","answer":"forged"}`},
		{"GET", "/v1/events", ""},
		{"GET", "/v1/transcript", ""},
		{"GET", "/v1/nothing", ""},
		{"OPTIONS", "/v1/messages", ""},
	} {
		for _, headers := range [][]string{
			{"Origin", "https://evil.example"},
			{"Origin", "null"},
			{"Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"},
			{"Sec-Fetch-Site", "cross-site"},
			{"Sec-Fetch-Site", "same-site"},
		} {
			what := fmt.Sprint(call.method, " ", call.path, " ", headers)
			a := v.do(call.method, call.path, call.body, append(headers, "Cookie", "relay_visitor="+v.token)...)
			refused(t, what, a, 403, "origin_not_allowed")
			for name := range a.header {
				if strings.HasPrefix(name, "Access-Control-") {
					t.Errorf("%s: got %s, want nothing of CORS", what, name)
				}
			}
			if !slices.Contains(a.header.Values("Vary"), "Origin") {
				t.Errorf("%s: got Vary %v, want Origin", what, a.header.Values("Vary"))
			}
		}
	}
	if n := r.plane.Count(anyframetest.OpAny); n != before {
		t.Errorf("requests to AnyFrame: got %d more, want none", n-before)
	}
	if a := v.do("GET", "/v1/session", ""); a.status != http.StatusOK {
		t.Errorf("the visitor afterwards: got %d, want 200", a.status)
	}
}

func TestOrigin_Star_AllowsEveryPageAndWarns(t *testing.T) {
	const warning = "any website can embed this relay"
	d := newOffline(t, origins("*"))
	token := d.mint()
	if !strings.Contains(d.logs.String(), warning) {
		t.Errorf("log: got %s, want a warning that %s", d.logs.String(), warning)
	}
	for origin, want := range map[string]string{
		"https://anything.example": "listed", "http://localhost:3000": "listed", "http://relay.test": "ours", "null": "foreign", "": "ours",
	} {
		if got := d.standing(token, "Origin", origin); got != want {
			t.Errorf("%q: got %s, want %s", origin, got, want)
		}
	}
	a := d.ask("GET", "/v1/session", "", append(bearer(token), "Origin", "https://anything.example")...)
	if got := a.header.Get("Access-Control-Allow-Origin"); got != "https://anything.example" {
		t.Errorf("got Access-Control-Allow-Origin %q, want the exact origin", got)
	}
	if d := newOffline(t, origins("https://shop.example")); strings.Contains(d.logs.String(), warning) {
		t.Errorf("log: got %s, want no warning for a list of origins", d.logs.String())
	}
}

func TestOrigin_ImpossibleOrigin_RefusedAtStart(t *testing.T) {
	for origin, want := range map[string]bool{
		"*": true, "https://shop.example": true, "http://localhost:3000": true, "https://*.shop.example": true, "http://[::1]:3000": true,
		"https://xn--bcher-kva.example": true, "https://*.shop.example:8443": true,
		"capacitor://localhost": true, "ionic://localhost": true, "tauri://localhost": true, "app://obsidian.md": true,
		"chrome-extension://aaaabbbbccccddddeeeeffffgggghhhh": true, "moz-extension://0a1b2c3d-0000-4000-8000-00000000000f": true,
		"capacitor://": false, "capacitor://*": false, "capacitor://*.localhost": false, "capacitor://localhost/": false, "Capacitor://localhost": false,
		"capacitor://user@localhost": false, "capacitor:localhost": false, "file://localhost": false, "data://x": false, "javascript://x": false,
		"blob://x": false, "wss://shop.example": false, "capacitor://local host": false, "capacitor://a;script-src": false,
		"": false, "shop.example": false, "https://": false, "https://shop.example/": false, "https://shop.example/page": false,
		"https://Shop.example": false, "HTTPS://shop.example": false, "https://shop.example:443": false, "http://shop.example:80": false,
		"https://*": false, "https://*shop.example": false, "https://*.*.shop.example": false, "https://shop.*": false, "https://a.*.example": false,
		"https://user@shop.example": false, "https://bücher.example": false, "null": false, "file://": false, "https://shop.example?x": false,
		"https://shop.example#x": false, "https://shop.example.": false, "https://shop.example" + " ": false, "ws://shop.example": false,
	} {
		c := relay.DefaultConfig()
		c.APIKey, c.AgentID, c.AllowedOrigins = "afm_x1234", 1, []string{origin}
		if err := c.Validate(); (err == nil) != want {
			t.Errorf("%q: got error %v, want it taken: %v", origin, err, want)
		}
	}
}

// Host is compared in the form that browsers write. A client that writes it differently
// may read, like a client without Origin, but cannot change anything with a cookie.
func TestOrigin_LibraryDefaults_ChangeNothing(t *testing.T) {
	d := newOffline(t, nil)
	token := d.mint()
	from := []string{"Origin", "http://relay.test", "Host", "Relay.Test", "Cookie", "relay_visitor=" + token}
	if a := d.ask("GET", "/v1/session", "", from...); a.status != http.StatusOK {
		t.Errorf("GET: got %d, want 200", a.status)
	}
	for _, call := range []struct{ method, path, body string }{
		{"POST", "/v1/visitor", `{}`},
		{"DELETE", "/v1/visitor", ""},
		{"POST", "/v1/session", ""},
		{"DELETE", "/v1/session", ""},
		{"POST", "/v1/messages", `{"text":"hi"}`},
		{"POST", "/v1/responses", `{"id":"p1-1","answer":"x"}`},
	} {
		refused(t, call.method+" "+call.path, d.ask(call.method, call.path, call.body, from...), 403, "origin_not_allowed")
	}
	// A proxy that rewrites Host does no harm if the public URL is configured.
	p := newOffline(t, func(c *relay.Config) { c.PublicURL = "https://chat.example/base" })
	for _, site := range []string{"", "same-origin", "same-site", "cross-site"} {
		headers := []string{"Origin", "https://chat.example", "Host", "127.0.0.1:8080"}
		if site != "" {
			headers = append(headers, "Sec-Fetch-Site", site)
		}
		if a := p.ask("POST", "/v1/visitor", `{}`, headers...); a.status != http.StatusOK {
			t.Errorf("our own page behind a proxy, Sec-Fetch-Site %q: got %d %s, want 200", site, a.status, a.body)
		}
	}
}
