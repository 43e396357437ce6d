package relay_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
)

// withSites adds sites to a configuration, each changed by its function.
func withSites(sites map[string]func(*relay.Config)) func(*relay.Config) {
	return func(c *relay.Config) {
		for name, change := range sites {
			own := c.ForSite()
			if change != nil {
				change(&own)
			}
			c.Sites = append(c.Sites, relay.Site{Name: name, Config: own})
		}
	}
}

// at returns a path of a site; the site without a name is the default site.
func at(site, path string) string {
	if site == "" {
		return path
	}
	return "/s/" + site + path
}

// visitorOf introduces a browser to a site.
func (r *harness) visitorOf(site string) *browser {
	r.t.Helper()
	a := (&browser{r: r}).do("POST", at(site, "/v1/visitor"), `{"carrier":"bearer"}`)
	if a.status != http.StatusOK || a.token() == "" {
		r.t.Fatalf("a visitor of %q: got %d %s, want a token", site, a.status, a.body)
	}
	return &browser{r, a.token()}
}

// sayAt sends a message, and retries while a sandbox whose agent was just working has yet
// to make room.
func (b *browser) sayAt(site, text, key string) {
	b.r.t.Helper()
	var a answer
	within(func() bool {
		a = b.do("POST", at(site, "/v1/messages"), `{"text":`+quote(text)+`}`, "Idempotency-Key", key)
		return a.status != http.StatusServiceUnavailable
	})
	if a.status != http.StatusAccepted {
		b.r.t.Fatalf("%q at %q: got %d %s, want 202", text, site, a.status, a.body)
	}
}

// asking is an agent that asks a question when told to, and otherwise answers.
func asking(c *anyframetest.Chat) {
	if c.Prompt() == "ask" {
		c.Ask("Which?", "this", "that")
		return
	}
	c.Say("You said " + c.Prompt() + ".")
}

// Credentials and ids of one site are used on each of the others, as an attacker would.
func TestSites_WhatIsOneSites_IsUnknownToTheOthers(t *testing.T) {
	t.Parallel()
	secrets := map[string]string{"": siteSecret, "a": strings.Repeat("secret-of-a-", 4), "b": strings.Repeat("secret-of-b-", 4)}
	stores := map[string]func(*testing.T) func(*relay.Config){
		"memory": func(*testing.T) func(*relay.Config) { return nil }, "sqlite": sqliteFile, "redis": inRedis,
	}
	for name, share := range stores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := share(t)
			r := newHarness(t, func(c *relay.Config) {
				if in != nil {
					in(c)
				}
				c.IdentityKey = siteSecret
				withSites(map[string]func(*relay.Config){
					"a": func(c *relay.Config) { c.IdentityKey = relay.Secret(secrets["a"]) },
					"b": func(c *relay.Config) { c.IdentityKey = relay.Secret(secrets["b"]) },
				})(c)
			}, anyframetest.WithAgent(1, asking))
			for _, own := range []string{"", "a", "b"} {
				who := r.visitorOf(own)
				who.sayAt(own, "private", "the-same-key")
				who.sayAt(own, "ask", "question-"+own)
				x := who.openAt(at(own, "/v1/events"))
				prompt := x.prompt("question")
				last := slices.MaxFunc(x.all(), func(a, b event) int { return len(a.id) - len(b.id) }).id
				x.close()
				for _, other := range []string{"", "a", "b"} {
					if other == own {
						continue
					}
					t.Run(fmt.Sprintf("%q at %q", own, other), func(t *testing.T) { attackSite(t, r, who, other, prompt, last, secrets[own]) })
				}
				if a := who.do("GET", at(own, "/v1/session"), ""); a.status != http.StatusOK || a.json["epoch"] != 1.0 {
					t.Errorf("its own site, afterwards: got %d %s, want epoch 1", a.status, a.body)
				}
			}
		})
	}
}

// attackSite uses who's credentials and ids of one site on another.
func attackSite(t *testing.T, r *harness, who *browser, other, prompt, last, secret string) {
	for _, call := range []struct{ method, path, body string }{
		{"DELETE", "/v1/visitor", ""},
		{"GET", "/v1/session", ""},
		{"POST", "/v1/session", ""},
		{"DELETE", "/v1/session", ""},
		{"POST", "/v1/messages", `{"text":"x"}`},
		{"POST", "/v1/responses", `{"id":` + quote(prompt) + `,"answer":"this"}`},
		{"GET", "/v1/events", ""},
		{"GET", "/v1/transcript", ""},
		{"GET", "/v1/transcript?since=1", ""},
	} {
		wantProblem(t, "its token for "+call.method+" "+call.path, who.do(call.method, at(other, call.path), call.body, "Idempotency-Key", "the-same-key"), 401, "visitor_unknown")
		for _, name := range []string{"relay_visitor", "relay_visitor_a", "relay_visitor_b"} {
			name += "_" + strings.TrimPrefix(r.web.URL, "http://127.0.0.1:")
			a := (&browser{r: r}).do(call.method, at(other, call.path), call.body, "Cookie", name+"="+who.token)
			wantProblem(t, "its token as the cookie "+name, a, 401, "visitor_unknown")
		}
	}
	if a := who.do("POST", at(other, "/v1/visitor"), `{"carrier":"bearer"}`); a.status != 200 || a.token() == who.token || a.json["session"].(map[string]any)["epoch"] != 0.0 {
		t.Errorf("introduced with its token: got %d %s, want a new visitor", a.status, a.body)
	}
	signIn := signed(t, jwt.SigningMethodHS256, []byte(secret), nil, of("somebody"))
	wantProblem(t, "its JWT", (&browser{r: r}).do("POST", at(other, "/v1/visitor"), introduction(signIn)), 401, "identity_invalid")

	// A visitor of the other site, with everything that the first visitor has.
	stranger := r.visitorOf(other)
	wantProblem(t, "its prompt", stranger.do("POST", at(other, "/v1/responses"), `{"id":`+quote(prompt)+`,"answer":"this"}`), 404, "prompt_unknown")
	a := stranger.do("POST", at(other, "/v1/messages"), `{"text":"mine"}`, "Idempotency-Key", "the-same-key")
	if a.status != http.StatusAccepted || a.json["epoch"] != 1.0 {
		t.Errorf("its idempotency key with another text: got %d %s, want a turn of its own", a.status, a.body)
	}
	x := stranger.openAt(at(other, "/v1/events"), "Last-Event-ID", strings.Replace(last, "1-", "1-9", 1))
	x.turnEnds(1)
	if strings.Contains(x.text(), "private") || count(x.all(), "reset") != 1 {
		t.Errorf("its last event id: got %s, want a reset and nothing of the other's", x.text())
	}
	x.close()
	if a := stranger.do("GET", at(other, "/v1/transcript"), ""); strings.Contains(a.body, "private") || strings.Contains(a.body, "Which?") {
		t.Errorf("the transcript has the other's words: %s", a.body)
	}
}

func TestSites_SameSubAtTwoSites_AreTwoVisitors(t *testing.T) {
	t.Parallel()
	r := newHarness(t, func(c *relay.Config) {
		c.IdentityKey = siteSecret
		withSites(map[string]func(*relay.Config){"a": nil})(c)
	}, anyframetest.WithAgent(1, asking))
	signIn := introduction(signIn(t, of("u1")))
	here := &browser{r, (&browser{r: r}).do("POST", "/v1/visitor", signIn).token()}
	here.sayAt("", "hello", "k1")
	there := (&browser{r: r}).do("POST", "/s/a/v1/visitor", signIn)
	if there.status != 200 || there.json["session"].(map[string]any)["epoch"] != 0.0 {
		t.Errorf("the same person at another site: got %d %s, want a new visitor", there.status, there.body)
	}
}

func TestSites_UnknownSite_IsNotFoundWithoutCORS(t *testing.T) {
	t.Parallel()
	r := newHarness(t, func(c *relay.Config) {
		c.AllowedOrigins = []string{"https://a.example"}
		withSites(map[string]func(*relay.Config){"a": nil})(c)
	})
	nobody := &browser{r: r}
	for _, path := range []string{"/s", "/s/", "/s/b", "/s/b/", "/s/b/widget.js", "/s/b/v1/session", "/s/A/", "/s/%61/widget.js", "/s/default/", "/s//widget.js", "/s/b/assets/x.js", "/s/a/healthz", "/s/a/s/a/"} {
		for _, method := range []string{"GET", "POST", "OPTIONS"} {
			a := nobody.do(method, path, "", "Origin", "https://a.example")
			if a.status != 404 && a.status != 405 || method == "GET" && a.code() != "not_found" || a.header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%s %s: got %d %s with %q, want 404 not_found without CORS", method, path, a.status, a.body, a.header.Get("Access-Control-Allow-Origin"))
			}
		}
	}
	if a := nobody.do("GET", "/s/a/widget.js", "", "Origin", "https://a.example"); a.status != 200 || a.header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("a site that there is: got %d", a.status)
	}
	if a := nobody.do("GET", "/s/a", ""); a.status != http.StatusPermanentRedirect || a.header.Get("Location") != "/s/a/" {
		t.Errorf("without a slash: got %d to %q, want 308 to /s/a/", a.status, a.header.Get("Location"))
	}
}

func TestSites_NoDefaultSite_OnlyHealthAtTheRoot(t *testing.T) {
	t.Parallel()
	r := newHarness(t, func(c *relay.Config) {
		withSites(map[string]func(*relay.Config){"a": nil})(c)
		c.AgentID, c.APIKey = 0, ""
	}, anyframetest.WithAgent(1, asking))
	nobody := &browser{r: r}
	for _, path := range []string{"/", "/widget.js", "/v1/session", "/v1/visitor"} {
		wantProblem(t, path, nobody.do("GET", path, ""), 404, "not_found")
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		if a := nobody.do("GET", path, ""); a.status != 200 {
			t.Errorf("%s: got %d %s, want 200", path, a.status, a.body)
		}
	}
	r.visitorOf("a").sayAt("a", "hello", "k")
}

func TestSites_SettingsOfTheirOwn_CountForEach(t *testing.T) {
	t.Parallel()
	r := newHarness(t, func(c *relay.Config) {
		c.Look.Title, c.AllowedOrigins = "Everybody", []string{"https://a.example"}
		withSites(map[string]func(*relay.Config){
			"b": func(c *relay.Config) {
				c.AgentID, c.Look.Title, c.AllowedOrigins = 2, "Only b", []string{"https://b.example"}
				c.RateMessages, c.MaxMessage = relay.Rates{{Limit: 1, Window: time.Hour}}, 10
				c.MaxSessions, c.StreamsPerVisitor = 1, 1
			},
		})(c)
	}, anyframetest.WithAgent(1, asking), anyframetest.WithAgent(2, func(c *anyframetest.Chat) { c.Say("I am the second.") }))
	nobody := &browser{r: r}
	for site, title := range map[string]string{"": "Everybody", "b": "Only b"} {
		page, loader := nobody.do("GET", at(site, "/"), ""), nobody.do("GET", at(site, "/widget.js"), "")
		if !strings.Contains(page.body, title) || !strings.Contains(loader.body, title) {
			t.Errorf("site %q: the page or the widget lacks %q", site, title)
		}
	}
	for _, tc := range []struct {
		site, origin string
		status       int
	}{{"", "https://a.example", 200}, {"", "https://b.example", 403}, {"b", "https://b.example", 200}, {"b", "https://a.example", 403}} {
		if a := nobody.do("POST", at(tc.site, "/v1/visitor"), "{}", "Origin", tc.origin); a.status != tc.status {
			t.Errorf("%s at %q: got %d, want %d", tc.origin, tc.site, a.status, tc.status)
		}
	}
	who := r.visitorOf("b")
	x := who.openAt("/s/b/v1/events")
	who.sayAt("b", "hello", "k1")
	x.turnEnds(1)
	if !strings.Contains(x.text(), "I am the second.") {
		t.Errorf("site b: got %s, want its own agent", x.text())
	}
	if _, refusal := who.tryOpenAt("/s/b/v1/events"); refusal.code() != "too_many_streams" {
		t.Errorf("a second stream at b: got %q, want too_many_streams", refusal.code())
	}
	wantProblem(t, "a second message at b", who.do("POST", "/s/b/v1/messages", `{"text":"again"}`), 429, "rate_limited")
	wantProblem(t, "a long message at b", r.visitorOf("b").do("POST", "/s/b/v1/messages", `{"text":"more than ten"}`), 413, "message_too_large")
	wantProblem(t, "a second sandbox at b, whose first is listened to", r.visitorOf("b").do("POST", "/s/b/v1/messages", `{"text":"x"}`, "Idempotency-Key", "k2"), 202, "")
	here := r.visitor()
	for i := range 3 {
		here.sayAt("", "hello", fmt.Sprint("n", i))
	}
}

func TestSites_OwnLimitOnSandboxes_SleepsOnlyItsOwn(t *testing.T) {
	t.Parallel()
	overStores(t, func(t *testing.T, share sharing) {
		t.Parallel()
		in := share(t)
		r := newHarness(t, func(c *relay.Config) {
			in(c)
			c.MaxSessions = 3
			withSites(map[string]func(*relay.Config){"a": func(c *relay.Config) { c.MaxSessions = 1 }, "b": nil})(c)
		}, anyframetest.WithAgent(1, asking))
		awake := func() int { now, _ := r.plane.Awake(); return now }
		r.visitorOf("").sayAt("", "hello", "k0")
		r.visitorOf("a").sayAt("a", "hello", "k1")
		r.visitorOf("a").sayAt("a", "hello", "k2") // puts the first sandbox of a to sleep
		r.plane.WaitFor(t, func() bool { return awake() == 2 })
		r.visitorOf("b").sayAt("b", "hello", "k3")
		r.plane.WaitFor(t, func() bool { return awake() == 3 })
		r.visitorOf("b").sayAt("b", "hello", "k4") // b has no limit of its own
		r.plane.WaitFor(t, func() bool { return awake() == 3 })
	})
}

func TestSites_Metrics_HaveTheSite(t *testing.T) {
	t.Parallel()
	r := newHarness(t, withSites(map[string]func(*relay.Config){"a": nil, "idle": nil}), anyframetest.WithAgent(1, asking))
	r.visitorOf("a").sayAt("a", "hello", "k1")
	for site, want := range map[string]float64{"a": 1, "default": 0} {
		if got := r.metric("relay_turns_total", "result", "accepted", "site", site); got != want {
			t.Errorf("turns of %s: got %v, want %v", site, got, want)
		}
	}
	families, err := r.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if strings.Contains(f.String(), `"idle"`) {
			t.Errorf("a site without visitors has the metric %s", f.GetName())
		}
	}
	if !strings.Contains(r.logs.String(), `"site":"a"`) {
		t.Error("the log does not name the site")
	}
}
