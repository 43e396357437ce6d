package relay_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
	"github.com/anyframe-relay/relay/relay/store"
)

func TestTheTokenTravelsInTheWayThatFitsTheCaller(t *testing.T) {
	d := newDesk(t, func(c *relay.Config) { c.AllowedOrigins = []string{"https://shop.example"} })
	const ours, theirs = "http://relay.test", "https://shop.example"
	for name, tt := range map[string]struct {
		body    string
		headers []string
		want    string // bearer, cookie, or the refusal
	}{
		"no origin":                      {`{}`, nil, "cookie"},
		"our origin":                     {`{}`, []string{"Origin", ours}, "cookie"},
		"our page by Sec-Fetch-Site":     {`{}`, []string{"Sec-Fetch-Site", "same-origin"}, "cookie"},
		"an allowed origin":              {`{}`, []string{"Origin", theirs}, "bearer"},
		"bearer, no origin":              {`{"carrier":"bearer"}`, nil, "bearer"},
		"bearer, our origin":             {`{"carrier":"bearer"}`, []string{"Origin", ours}, "bearer"},
		"bearer, allowed origin":         {`{"carrier":"bearer"}`, []string{"Origin", theirs}, "bearer"},
		"cookie, no origin":              {`{"carrier":"cookie"}`, nil, "cookie"},
		"cookie, our origin":             {`{"carrier":"cookie"}`, []string{"Origin", ours}, "cookie"},
		"cookie, allowed but not ours":   {`{"carrier":"cookie"}`, []string{"Origin", theirs}, "403 origin_not_allowed"},
		"cookie, not allowed":            {`{"carrier":"cookie"}`, []string{"Origin", "https://evil.example"}, "403 origin_not_allowed"},
		"no such carrier":                {`{"carrier":"pigeon"}`, nil, "400 bad_request"},
		"no such carrier, not ours":      {`{"carrier":"pigeon"}`, []string{"Origin", theirs}, "400 bad_request"},
		"identity, no key to check it":   {`{"identity":"eyJhbGciOiJub25lIn0.e30."}`, nil, "401 identity_invalid"},
		"identity, no key, not our page": {`{"identity":"x","carrier":"bearer"}`, []string{"Origin", theirs}, "401 identity_invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			a := d.ask("POST", "/v1/visitor", tt.body, tt.headers...)
			got := fmt.Sprintf("%d %s", a.status, a.code())
			if a.status == http.StatusOK {
				_, hasToken := a.json["token"]
				switch cookies := a.cookies(); {
				case len(a.token()) == 43 && len(cookies) == 0:
					got = "bearer"
				case hasToken && a.json["token"] == nil && len(cookies) == 1 && len(cookies[0].Value) == 43:
					got = "cookie"
				default:
					got = a.body + fmt.Sprint(a.header)
				}
			} else if len(a.cookies()) != 0 {
				t.Errorf("got cookies %v with a refusal, want none", a.cookies())
			}
			if got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestIntroducingTellsAllThatAWidgetNeeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, func(c *relay.Config) { c.VisitorTTL, c.MaxMessage, c.MaxAttachments = 100*time.Hour, 99, 2 })
		a := d.ask("POST", "/v1/visitor", `{"carrier":"bearer"}`)
		want := fmt.Sprintf(`{"token":%q,"expires_at":%q,"session":{"status":"none","epoch":0,"agent_busy":false,"last_event_id":null},`+
			`"limits":{"max_message":99,"max_attachment":4194304,"max_attachments":2,`+
			`"attachment_types":["image/png","image/jpeg","image/gif","image/webp","text/*"]}}`+"\n",
			a.token(), time.Now().Add(100*time.Hour).UTC().Format(time.RFC3339))
		if a.body != want {
			t.Errorf("got %s, want %s", a.body, want)
		}
	})
}

func TestAVisitorWhoComesBackIsConfirmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, func(c *relay.Config) { c.VisitorTTL = 50 * time.Minute })
		first := d.ask("POST", "/v1/visitor", `{}`).cookies()[0]
		token := first.Value
		for what, headers := range map[string][]string{
			"cookie": {"Cookie", first.Name + "=" + token},
			"bearer": bearer(token),
		} {
			if a := d.ask("POST", "/v1/visitor", `{"carrier":"cookie"}`, headers...); len(a.cookies()) != 1 || a.cookies()[0].Value != token {
				t.Errorf("%s: got cookies %v, want the token that was sent", what, a.cookies())
			}
		}
		if a := d.ask("POST", "/v1/visitor", `{"carrier":"bearer"}`, bearer(token)...); a.token() != token {
			t.Errorf("bearer: got token %q, want the one that was sent", a.token())
		}
		if a := d.ask("POST", "/v1/visitor", `{"carrier":"bearer"}`, "Cookie", first.Name+"="+token); len(a.token()) != 43 || a.token() == token {
			t.Errorf("a script asks for the token of a cookie that it may not read: got %q, want another visitor's", a.token())
		}

		time.Sleep(30 * time.Minute) // of the bubble's time, which costs none
		a := d.ask("POST", "/v1/visitor", `{}`, "Cookie", first.Name+"="+token)
		if got, want := a.json["expires_at"], time.Now().Add(50*time.Minute).UTC().Format(time.RFC3339); got != want {
			t.Errorf("got expires_at %v, want %v", got, want)
		}
		if got := a.cookies(); len(got) != 1 || got[0].Value != token || got[0].MaxAge != int((50*time.Minute).Seconds()) {
			t.Errorf("got cookies %v, want the same for another 50 min", got)
		}
		time.Sleep(30 * time.Minute)
		if a := d.ask("GET", "/v1/session", "", bearer(token)...); a.status != http.StatusOK {
			t.Errorf("an hour after the first visit, half of it after the last: got %d, want 200", a.status)
		}
		time.Sleep(20*time.Minute + time.Second)
		refused(t, "after the lifetime", d.ask("GET", "/v1/session", "", bearer(token)...), 401, "visitor_unknown")
		if a := d.ask("POST", "/v1/visitor", `{"carrier":"bearer"}`, bearer(token)...); len(a.token()) != 43 || a.token() == token {
			t.Errorf("an expired token: got %q, want another", a.token())
		}
	})
}

// A page that is opened makes a visitor, and so does whoever wants to fill the
// store with them.
func TestOneWhoHasSaidNothingIsSoonForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, nil)
		left, stays := d.mint(), d.mint()
		for range 3 {
			time.Sleep(50 * time.Minute)
			a := d.ask("POST", "/v1/visitor", `{"carrier":"bearer"}`, bearer(stays)...)
			if got, want := a.json["expires_at"], time.Now().Add(720*time.Hour).UTC().Format(time.RFC3339); a.token() != stays || got != want {
				t.Fatalf("one who comes back: got %s, want the same token until %s, if it says something", a.body, want)
			}
		}
		refused(t, "one who left", d.ask("GET", "/v1/session", "", bearer(left)...), 401, "visitor_unknown")
		time.Sleep(time.Hour + time.Second)
		refused(t, "one who left later", d.ask("GET", "/v1/session", "", bearer(stays)...), 401, "visitor_unknown")
	})
}

func TestOneWhoHasSaidSomethingIsRemembered(t *testing.T) {
	t.Parallel()
	r := newRig(t, onDisk(t), anyframetest.WithAgent(1, talk))
	disk, err := store.Open(t.Context(), r.conf.Store)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { disk.Close() })
	inStore := func(v *browser) (deadline time.Time, visitor string) {
		t.Helper()
		hash := sha256.Sum256([]byte(v.token))
		b, found, err := disk.FindCtx(t.Context(), base64.RawURLEncoding.EncodeToString(hash[:]))
		deadline, values, err2 := relay.VisitorCodec{}.Decode(b)
		if err != nil || !found || err2 != nil {
			t.Fatalf("the visitor in the store: got %q, %v, %v, %v", b, found, err, err2)
		}
		return deadline, values["visitor"].(string)
	}
	remembered := func(v *browser) time.Duration {
		t.Helper()
		deadline, _ := inStore(v)
		return time.Until(deadline)
	}
	a, b, c := r.visitor(), r.visitor(), r.visitor()
	a.say("hello", "k1")
	if got := remembered(a); got < 719*time.Hour {
		t.Errorf("after the first turn: remembered for %v, want 720 h", got)
	}
	if got := remembered(b); got > time.Hour {
		t.Errorf("before the first turn: remembered for %v, want an hour", got)
	}

	// Who comes back only to read finds the conversation for as long.
	session := func() store.Session {
		t.Helper()
		_, id := inStore(a)
		rec, err := disk.Session(t.Context(), id)
		if err != nil || rec.Epoch != 1 {
			t.Fatalf("the session in the store: got %+v, %v", rec, err)
		}
		return rec
	}
	eventually(t, "its last turn is long ago", func() bool {
		rec := session()
		rec.ExpiresAt = time.Now().Add(time.Hour)
		_, err := disk.SaveSession(t.Context(), rec)
		return err == nil
	})
	if a.do("POST", "/v1/visitor", `{}`); time.Until(session().ExpiresAt) < 719*time.Hour {
		t.Errorf("introduced again: the session is kept for %v, want 720 h", time.Until(session().ExpiresAt))
	}

	b.do("POST", "/v1/session", "")
	eventually(t, "the session is there", func() bool { _, epoch := b.session(); return epoch == 1 })
	if b.do("POST", "/v1/visitor", `{}`); remembered(b) < 719*time.Hour {
		t.Errorf("introduced again with a session: remembered for %v, want 720 h", remembered(b))
	}
	if a := c.do("POST", "/v1/messages", `{"text":""}`); a.status != http.StatusBadRequest || remembered(c) > time.Hour {
		t.Errorf("after nothing was said: got %d, remembered for %v, want 400 and an hour", a.status, remembered(c))
	}
}

// The store need not forget a token on the minute, and may hold what another
// version wrote.
func TestATokenCountsByWhatTheStoreHasOfIt(t *testing.T) {
	r := newRig(t, onDisk(t))
	disk, err := store.Open(t.Context(), r.conf.Store)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { disk.Close() })
	soon := time.Now().Add(time.Hour).Format(time.RFC3339)
	packed := func(id string, life time.Duration) string {
		row, err := relay.VisitorCodec{}.Encode(time.Now().Add(life), map[string]any{"visitor": id})
		if err != nil {
			t.Fatal(err)
		}
		return string(row)
	}
	v := &browser{r, strings.Repeat("A", 43)}
	hash := sha256.Sum256([]byte(v.token))
	for row, want := range map[string]int{
		`{"deadline":"` + soon + `","visitor":"someone"}`: http.StatusUnauthorized,
		"\x0f\xff\x81\x02gob":                             http.StatusUnauthorized,
		packed("someone", time.Hour):                      http.StatusOK,
		packed("someone", -time.Second):                   http.StatusUnauthorized,
		packed("", time.Hour):                             http.StatusUnauthorized,
		"\x02" + packed("someone", time.Hour)[1:]:         http.StatusUnauthorized, // of a format to come
		"\x01\x80" + packed("someone", time.Hour)[2:]:     http.StatusUnauthorized, // with a flag to come
		packed(rand.Text(), time.Hour)[:24]:               http.StatusUnauthorized,
		"\x01\x00\xff":                                    http.StatusUnauthorized,
		"\x01":                                            http.StatusUnauthorized,
		"":                                                http.StatusUnauthorized,
	} {
		if err := disk.CommitCtx(t.Context(), base64.RawURLEncoding.EncodeToString(hash[:]), []byte(row), time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		if a := v.do("GET", "/v1/session", ""); a.status != want {
			t.Errorf("%q: got %d %s, want %d", row, a.status, a.body, want)
		}
		if a := v.do("POST", "/v1/visitor", `{"carrier":"bearer"}`); a.status != http.StatusOK || (a.token() == v.token) != (want == http.StatusOK) {
			t.Errorf("%q, introduced: got %d %s, want another token: %v", row, a.status, a.body, want != http.StatusOK)
		}
	}
}

func TestTheCookieIsAsStrictAsTheConnectionAllows(t *testing.T) {
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
			d := newDesk(t, func(c *relay.Config) {
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
			// And it is the one that is read again.
			headers = append(headers, "Cookie", c.Name+"="+c.Value)
			if a := d.ask("GET", base+"/v1/session", "", headers...); a.status != http.StatusOK {
				t.Errorf("the cookie sent back: got %d, want 200", a.status)
			}
			// Another name does not do: a __Host- cookie is one that nobody could plant.
			others := []string{"__Host-relay_visitor", "relay_visitor", "relay_visitor_81", "__Host-relay_visitor_81", "__Host-relay_visitor_6ea4b827", "relay_visitor_a6a211ac"}
			for _, other := range slices.DeleteFunc(others, func(name string) bool { return name == c.Name }) {
				headers[len(headers)-1] = other + "=" + c.Value
				refused(t, "under the name "+other, d.ask("GET", base+"/v1/session", "", headers...), 401, "visitor_unknown")
			}
		})
	}
}

// Whoever plants a cookie of our name, from another path or domain, must not lock
// the visitor out.
func TestCookie_SeveralOfOneName_TheValidOneCounts(t *testing.T) {
	d := newDesk(t, nil)
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

func TestTheBearerTokenGoesBeforeTheCookie(t *testing.T) {
	d := newDesk(t, nil)
	token := d.mint()
	headers := []string{"Cookie", "relay_visitor=" + token, "Authorization", "Bearer " + strings.Repeat("A", 43)}
	refused(t, "an unknown bearer token beside a good cookie", d.ask("GET", "/v1/session", "", headers...), 401, "visitor_unknown")
	headers[3] = "Bearer nonsense"
	refused(t, "a malformed bearer token beside a good cookie", d.ask("GET", "/v1/session", "", headers...), 401, "visitor_unknown")
	headers[3] = "Basic dXNlcjpwYXNz" // a proxy's own password is none of ours
	if a := d.ask("GET", "/v1/session", "", headers...); a.status != http.StatusOK {
		t.Errorf("another scheme beside a good cookie: got %d, want 200", a.status)
	}
}

func TestTheSchemeBearerMayBeWrittenAnyhow(t *testing.T) {
	d := newDesk(t, nil)
	token := d.mint()
	for _, scheme := range []string{"Bearer ", "bearer ", "BEARER ", "bEaReR ", "Bearer   "} {
		if a := d.ask("GET", "/v1/session", "", "Authorization", scheme+token); a.status != http.StatusOK {
			t.Errorf("%q: got %d, want 200", scheme, a.status)
		}
	}
	for _, scheme := range []string{"", "Bearer", "Bearer:", "Token ", "Bearer Bearer "} {
		refused(t, fmt.Sprintf("%q", scheme), d.ask("GET", "/v1/session", "", "Authorization", scheme+token), 401, "visitor_unknown")
	}
}

func TestATokenOfTheWrongShapeNeverReachesTheStore(t *testing.T) {
	d := newDesk(t, nil)
	token := d.mint()
	if err := d.srv.Close(); err != nil { // from here on, whoever asks the store hears that it is closed
		t.Fatal(err)
	}
	refused(t, "a token of the right shape", d.ask("GET", "/v1/transcript", "", bearer(token)...), 500, "internal")
	for _, bad := range []string{
		"", "x", token[1:], token + "A", token + "=", strings.Repeat("A", 10_000), token[:42] + "+", token[:42] + "/", token[:42] + " ",
		token[:42] + "'", token[:42] + "\x00", token[:42] + "é", "../" + token[3:], token + "\n" + token,
	} {
		for _, headers := range [][]string{{"Authorization", "Bearer " + bad}, {"Cookie", "relay_visitor=" + bad}} {
			what := fmt.Sprintf("%s %.60q", headers[0], bad)
			refused(t, what, d.ask("GET", "/v1/transcript", "", headers...), 401, "visitor_unknown")
		}
	}
}

func TestNothingIsDoneForAVisitorWhoIsNotKnown(t *testing.T) {
	r := newRig(t, nil)
	for _, token := range []string{"", strings.Repeat("A", 43)} {
		b := &browser{r, token}
		for _, call := range []struct{ method, path, body string }{
			{"DELETE", "/v1/visitor", ""},
			{"GET", "/v1/session", ""},
			{"POST", "/v1/session", ""},
			{"DELETE", "/v1/session", ""},
			{"POST", "/v1/messages", `{"text":"hi"}`},
			{"POST", "/v1/responses", `{"id":"p1-1","answer":"yes"}`},
			{"GET", "/v1/events", ""},
			{"GET", "/v1/transcript", ""},
		} {
			refused(t, call.method+" "+call.path, b.do(call.method, call.path, call.body), 401, "visitor_unknown")
		}
		a := b.do("POST", "/v1/visitor", `{"carrier":"bearer"}`)
		if a.status != http.StatusOK || len(a.token()) != 43 || a.token() == token {
			t.Errorf("introduced with token %q: got %d %q, want another token", token, a.status, a.token())
		}
	}
	if n := r.plane.Count(anyframetest.OpAny); n != 0 {
		t.Errorf("requests to AnyFrame: got %d, want none", n)
	}
}

func TestTheStoreHoldsOnlyTheHashOfAToken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "relay.db")
	r := newRig(t, func(c *relay.Config) { c.Store = "sqlite:" + path })
	v := r.visitor()
	v.say("hi", "k1")
	read := func() (all []byte) {
		for _, suffix := range []string{"", "-wal"} {
			b, err := os.ReadFile(path + suffix)
			if err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
			all = append(all, b...)
		}
		return all
	}
	raw, err := base64.RawURLEncoding.DecodeString(v.token)
	if err != nil || len(raw) != 32 {
		t.Fatalf("got a token of %d bytes, %v, want 32 of base64url", len(raw), err)
	}
	sum := sha256.Sum256([]byte(v.token))
	for _, when := range []string{"while it runs", "after it ended"} {
		file := read()
		if bytes.Contains(file, []byte(v.token)) || bytes.Contains(file, raw) {
			t.Errorf("%s: the file holds the token", when)
		}
		if !bytes.Contains(file, []byte(base64.RawURLEncoding.EncodeToString(sum[:]))) {
			t.Errorf("%s: the file does not hold the token's hash, so this test looks in the wrong place", when)
		}
		r.stop()
	}
}

func TestAForgottenVisitorIsNobody(t *testing.T) {
	r := newRig(t, nil, anyframetest.WithAgent(1, talk))
	v := r.visitor()
	x, y := v.open(""), v.open("")
	v.say("hello", "k1")
	x.turnEnds(1)
	y.turnEnds(1)
	other := r.visitor()
	z := other.open("")
	z.status("none")

	a := v.do("DELETE", "/v1/visitor", "")
	if a.status != http.StatusNoContent || a.body != "" {
		t.Fatalf("got %d %s, want 204", a.status, a.body)
	}
	for name, tab := range map[string]*tab{"first": x, "second": y} {
		last := tab.ended()[len(tab.all())-1]
		if fatal, _ := last.json["fatal"].(bool); last.kind != "problem" || last.str("code") != "visitor_unknown" || !fatal {
			t.Errorf("%s tab: ended with %s, want a fatal problem visitor_unknown", name, last)
		}
	}
	refused(t, "the token afterwards", v.do("GET", "/v1/session", ""), 401, "visitor_unknown")
	refused(t, "forgotten twice", v.do("DELETE", "/v1/visitor", ""), 401, "visitor_unknown")
	if info, _ := r.plane.Session(r.upstream()); info.Status != anyframetest.StatusRunning || r.plane.Count(anyframetest.OpTerminate) != 0 {
		t.Errorf("the session: got %s, %d terminations, want it left running, to go to sleep by itself", info.Status, r.plane.Count(anyframetest.OpTerminate))
	}
	r.plane.WaitFor(t, func() bool { return r.plane.OpenStreams("") == 0 })
	select {
	case <-z.done:
		t.Error("the other visitor's stream ended as well")
	default:
	}
	if a := other.do("GET", "/v1/session", ""); a.status != http.StatusOK {
		t.Errorf("the other visitor: got %d, want 200", a.status)
	}

	next := v.do("POST", "/v1/visitor", `{"carrier":"bearer"}`)
	if next.token() == v.token || next.json["session"].(map[string]any)["epoch"] != 0.0 {
		t.Errorf("introduced again: got %s, want a new visitor without a session", next.body)
	}
}

func TestForgettingAVisitorClearsTheCookie(t *testing.T) {
	for name, tls := range map[string]bool{"plain": false, "TLS": true} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t, nil)
			d.tls = tls
			c := d.ask("POST", "/v1/visitor", `{}`).cookies()[0]
			a := d.ask("DELETE", "/v1/visitor", "", "Cookie", c.Name+"="+c.Value)
			got := a.cookies()
			if a.status != http.StatusNoContent || len(got) != 1 || got[0].Name != c.Name || got[0].Path != c.Path || got[0].Value != "" || got[0].MaxAge >= 0 {
				t.Errorf("got %d %v, want 204 and the cookie %s of %s taken back", a.status, got, c.Name, c.Path)
			}
			refused(t, "the old cookie", d.ask("GET", "/v1/session", "", "Cookie", c.Name+"="+c.Value), 401, "visitor_unknown")
			if a := d.ask("DELETE", "/v1/visitor", "", bearer(d.mint())...); len(a.cookies()) != 0 {
				t.Errorf("without a cookie: got %v, want none", a.cookies())
			}
		})
	}
}

// A browser may confirm its token in some tabs and log out in another. On a
// disk the confirmations take long enough to overlap with that.
func TestAForgottenTokenIsNotBroughtBackByATabThatConfirmsIt(t *testing.T) {
	t.Parallel()
	disk := onDisk(t)
	d := newDesk(t, func(c *relay.Config) { disk(c); c.VisitorTTL = 4 * time.Second })
	tokens := make([]string, 30)
	for i := range tokens {
		tokens[i] = d.mint()
	}
	<-time.After(450 * time.Millisecond) // so that every confirmation gives more time, and writes
	for _, token := range tokens {
		var wg sync.WaitGroup
		for range 12 {
			wg.Go(func() {
				if a := d.ask("POST", "/v1/visitor", `{"carrier":"bearer"}`, bearer(token)...); a.status != http.StatusOK {
					t.Errorf("a tab that confirms it: got %d %s, want 200, as somebody new if need be", a.status, a.body)
				}
			})
		}
		wg.Go(func() { d.ask("DELETE", "/v1/visitor", "", bearer(token)...) })
		wg.Wait()
		refused(t, "the token of a visitor who left", d.ask("GET", "/v1/session", "", bearer(token)...), 401, "visitor_unknown")
	}
}

func TestOneVisitorSeesNothingOfAnother(t *testing.T) {
	r := newRig(t, func(c *relay.Config) { c.VisitorApprovals = true }, anyframetest.WithAgent(1, func(c *anyframetest.Chat) {
		c.Say("The word is xyzzy, " + c.Ask("Who is it?") + ".")
	}))
	a, b := r.visitor(), r.visitor()
	x, y := a.open(""), b.open("")
	a.say("tell me plugh", "k1")
	question := x.until("the question", func(es []event) bool { return count(es, "question") > 0 })
	id := ""
	for _, e := range question {
		if e.kind == "question" {
			id = e.str("id")
		}
	}
	refused(t, "another visitor's question", b.do("POST", "/v1/responses", `{"id":`+quote(id)+`,"answer":"me"}`), 404, "prompt_unknown")
	refused(t, "no question at all", b.do("POST", "/v1/responses", `{"id":"p1-99","answer":"me"}`), 404, "prompt_unknown")
	if got := a.do("POST", "/v1/responses", `{"id":`+quote(id)+`,"answer":"me"}`); got.status != http.StatusAccepted {
		t.Errorf("one's own question: got %d %s, want 202", got.status, got.body)
	}
	x.turnEnds(1)
	if got := b.do("GET", "/v1/transcript", ""); got.body != `{"events":[],"next_since":null}`+"\n" {
		t.Errorf("another's transcript: got %s, want nothing in it", got.body)
	}
	seen := numbered(x.all())
	z := b.open(seen[len(seen)-1].id) // an id is no key to anything
	z.until("a reset", func(es []event) bool { return count(es, "reset") == 1 })
	// The same key is another visitor's own, and begins a session of its own.
	b.say("mine", "k1")
	z.until("the question", func(es []event) bool { return count(es, "question") == 1 })
	y.until("the question", func(es []event) bool { return count(es, "question") == 1 })
	for name, tab := range map[string]*tab{"open before": y, "opened with another's id": z} {
		tab.mu.Lock()
		raw := tab.raw.String()
		tab.mu.Unlock()
		for _, word := range []string{"xyzzy", "plugh"} {
			if strings.Contains(raw, word) {
				t.Errorf("the stream %s: it says %q, which belongs to another visitor:\n%s", name, word, raw)
			}
		}
	}
	if n := len(r.plane.Sessions()); n != 2 {
		t.Errorf("sessions of two visitors: got %d, want 2", n)
	}
}
