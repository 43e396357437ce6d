package relay_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
)

// reload applies other settings.
func (r *harness) reload(change func(*relay.Config)) {
	r.t.Helper()
	c := r.conf
	c.Sites = nil
	change(&c)
	if err := r.srv.Reload(c); err != nil {
		r.t.Fatal(err)
	}
}

func TestReload_OriginsLimitsAndLooks_CountAtOnceAndBreakNoStream(t *testing.T) {
	t.Parallel()
	r := newHarness(t, withSites(map[string]func(*relay.Config){"a": nil, "b": nil}), anyframetest.WithAgent(1, asking))
	who, other := r.visitorOf("a"), r.visitorOf("b")
	x, y := who.openAt("/s/a/v1/events"), other.openAt("/s/b/v1/events")
	who.sayAt("a", "one", "k1")
	x.turnEnds(1)
	r.reload(func(c *relay.Config) {
		c.Look.Title = "Anew"
		withSites(map[string]func(*relay.Config){"b": nil, "c": nil, "a": func(c *relay.Config) {
			c.Look.Title, c.AllowedOrigins, c.MaxMessage = "Changed", []string{"https://new.example"}, 5
			c.StreamsPerVisitor = 1
		}})(c)
	})
	stranger := &browser{r: r}
	for site, title := range map[string]string{"": "Anew", "a": "Changed", "b": "Anew", "c": "Anew"} {
		if page := stranger.do("GET", at(site, "/"), ""); !strings.Contains(page.body, title) {
			t.Errorf("site %q does not show the title %q: got %d", site, title, page.status)
		}
	}
	if a := stranger.do("POST", "/s/a/v1/visitor", "{}", "Origin", "https://new.example"); a.status != 200 {
		t.Errorf("an origin that is new: got %d %s, want 200", a.status, a.body)
	}
	wantProblem(t, "a message that is too long now", who.do("POST", "/s/a/v1/messages", `{"text":"too long"}`), 413, "message_too_large")
	if _, refusal := who.tryOpenAt("/s/a/v1/events"); refusal.code() != "too_many_streams" {
		t.Errorf("a second stream, of which one is allowed now: got %q", refusal.code())
	}
	who.sayAt("a", "two", "k2")
	x.turnEnds(2)
	other.sayAt("b", "hello", "k1")
	y.turnEnds(1)
}

func TestReload_SiteThatIsGone_EndsItsStreamsWithNotFound(t *testing.T) {
	t.Parallel()
	r := newHarness(t, withSites(map[string]func(*relay.Config){"a": nil, "b": nil}), anyframetest.WithAgent(1, asking))
	gone, stays := r.visitorOf("a"), r.visitorOf("b")
	x, y := gone.openAt("/s/a/v1/events"), stays.openAt("/s/b/v1/events")
	gone.sayAt("a", "hello", "k1")
	x.turnEnds(1)
	r.reload(withSites(map[string]func(*relay.Config){"b": nil}))
	es := x.ended()
	if last := es[len(es)-1]; last.kind != "problem" || last.str("code") != "not_found" || last.json["fatal"] != true {
		t.Errorf("the last event: got %s, want a fatal problem not_found", last)
	}
	wantProblem(t, "its visitor", gone.do("GET", "/s/a/v1/session", ""), 404, "not_found")
	stays.sayAt("b", "hello", "k1")
	y.turnEnds(1)
	r.reload(withSites(map[string]func(*relay.Config){"a": nil, "b": nil}))
	if a := gone.do("GET", "/s/a/v1/session", ""); a.status != 200 || a.json["epoch"] != 1.0 {
		t.Errorf("the site is back: got %d %s, want its visitors back", a.status, a.body)
	}
}

func TestReload_WrongSettings_ChangeNothing(t *testing.T) {
	t.Parallel()
	r := newHarness(t, withSites(map[string]func(*relay.Config){"a": nil}), anyframetest.WithAgent(1, asking))
	c := r.conf
	c.Sites = nil
	withSites(map[string]func(*relay.Config){"b": nil, "c": func(c *relay.Config) { c.Visibility = "some" }})(&c)
	if err := r.srv.Reload(c); err == nil || !strings.Contains(err.Error(), "site c: RELAY_VISIBILITY") {
		t.Fatalf("got %v, want the site and the setting", err)
	}
	r.visitorOf("a")
	wantProblem(t, "a site that was to be added", (&browser{r: r}).do("GET", "/s/b/", ""), 404, "not_found")
}

// No constructor may refuse what validation accepts. Otherwise the relay starts, and then
// cannot serve the site.
func TestReload_SettingsThatConstructorsRefuse_RefusedBeforeAnyChange(t *testing.T) {
	t.Parallel()
	r := newHarness(t, withSites(map[string]func(*relay.Config){"a": nil}), anyframetest.WithAgent(1, asking))
	r.visitorOf("a")
	hook := relay.Webhook{URL: "https://hooks.example.com", Secret: relay.Secret(strings.Repeat("s", 24))}
	for name, tc := range map[string]struct {
		setting string // "" if the settings are valid
		change  func(*relay.Config)
	}{
		"short key":             {"ANYFRAME_API_KEY", func(c *relay.Config) { c.APIKey = "short" }},
		"key of 7":              {"ANYFRAME_API_KEY", func(c *relay.Config) { c.APIKey = "seven77" }},
		"key of 8":              {"", func(c *relay.Config) { c.APIKey = "eight888" }},
		"key with a space":      {"ANYFRAME_API_KEY", func(c *relay.Config) { c.APIKey = "afm_with a space" }},
		"key with a line break": {"ANYFRAME_API_KEY", func(c *relay.Config) { c.APIKey = "afm_line\nbreak" }},
		"key beyond ASCII":      {"ANYFRAME_API_KEY", func(c *relay.Config) { c.APIKey = "afm_schlüssel" }},
		"http":                  {"ANYFRAME_BASE_URL", func(c *relay.Config) { c.BaseURL = "http://example.com" }},
		"URL with a space":      {"ANYFRAME_BASE_URL", func(c *relay.Config) { c.BaseURL = "https://exam ple.com" }},
		"URL with /api":         {"ANYFRAME_BASE_URL", func(c *relay.Config) { c.BaseURL = "https://example.com/api" }},
		"no URL":                {"", func(c *relay.Config) { c.BaseURL = "" }},
		"short identity key":    {"RELAY_IDENTITY_KEY", func(c *relay.Config) { c.IdentityKey = "short" }},
		"no PEM":                {"RELAY_IDENTITY_KEY", func(c *relay.Config) { c.IdentityKey = "-----BEGIN PUBLIC KEY-----" }},
		"webhook":               {"", func(c *relay.Config) { c.Webhook = hook }},
		"no secret":             {"RELAY_WEBHOOK_SECRET", func(c *relay.Config) { c.Webhook = hook; c.Webhook.Secret = "" }},
		"short secret":          {"RELAY_WEBHOOK_SECRET", func(c *relay.Config) { c.Webhook = hook; c.Webhook.Secret = "short" }},
		"no base64":             {"RELAY_WEBHOOK_SECRET", func(c *relay.Config) { c.Webhook = hook; c.Webhook.Secret = "whsec_*" }},
		"webhook over http":     {"RELAY_WEBHOOK_URL", func(c *relay.Config) { c.Webhook = hook; c.Webhook.URL = "http://example.com" }},
	} {
		t.Run(name, func(t *testing.T) {
			c := r.conf.ForSite()
			tc.change(&c)
			if err := c.Validate(); (err == nil) != (tc.setting == "") || err != nil && !strings.HasPrefix(err.Error(), tc.setting+" ") {
				t.Errorf("the default site: got %v, want %q refused", err, tc.setting)
			}
			titled := func(c *relay.Config) { tc.change(c); c.Look.Title = "Changed by " + name }
			c = r.conf.ForSite()
			withSites(map[string]func(*relay.Config){"a": titled, "new": tc.change})(&c)
			for range 2 { // the second reload must not take the first for successful
				if err := r.srv.Reload(c); (err == nil) != (tc.setting == "") || err != nil && !strings.Contains(err.Error(), "site a: "+tc.setting+" ") {
					t.Fatalf("reload: got %v, want %q refused", err, tc.setting)
				}
			}
			added, page := (&browser{r: r}).do("GET", "/s/new/", ""), (&browser{r: r}).do("GET", "/s/a/", "")
			if tc.setting == "" {
				if added.status != 200 || !strings.Contains(page.body, "Changed by "+name) {
					t.Errorf("got %d and a title of %q, want both sites with their settings", added.status, page.body)
				}
			} else if strings.Contains(page.body, "Changed by "+name) || page.status != 200 {
				t.Errorf("site a: got %d, want it as before", page.status)
			}
		})
	}
}

// A site cannot be changed although its settings are valid.
func TestReload_SiteThatCannotChange_NoneChanges(t *testing.T) {
	t.Parallel()
	sites := map[string]func(*relay.Config){"a": nil, "b": nil, "unused": nil}
	r := newHarness(t, withSites(sites), anyframetest.WithAgent(1, asking))
	r.visitorOf("a")
	r.visitorOf("b")
	mend, err := r.srv.BreakWidget()
	if err != nil {
		t.Fatal(err)
	}
	c := r.conf.ForSite()
	c.Look.Title, c.MaxMessage = "Changed", 3
	withSites(map[string]func(*relay.Config){"a": nil, "b": nil, "unused": nil, "new": nil})(&c)
	for range 2 {
		if err := r.srv.Reload(c); err == nil {
			t.Error("got success, want an error")
		}
	}
	mend()
	stranger := &browser{r: r}
	for _, site := range []string{"", "a", "b", "unused"} {
		if page := stranger.do("GET", at(site, "/"), ""); page.status != 200 || strings.Contains(page.body, "Changed") {
			t.Errorf("site %q after the failures: got %d, want it as before", site, page.status)
		}
		r.visitorOf(site).sayAt(site, "longer than 3", "k1")
	}
	wantProblem(t, "a site that was to be added", stranger.do("GET", "/s/new/", ""), 404, "not_found")
	if err := r.srv.Reload(c); err != nil {
		t.Fatal(err)
	}
	for _, site := range []string{"", "a", "b", "unused", "new"} {
		if page := stranger.do("GET", at(site, "/"), ""); page.status != 200 || !strings.Contains(page.body, "Changed") {
			t.Errorf("site %q after the mend: got %d, want the new title", site, page.status)
		}
	}
}

func TestReload_Context_CountsAtOnce(t *testing.T) {
	t.Parallel()
	r := newHarness(t, nil, anyframetest.WithAgent(1, talk))
	v := r.visitor()
	v.tells("k1", `,"context":{"a":1}`, `{"verified":{},"page":{"a":1}}`)
	r.reload(func(c *relay.Config) { c.NoContext = true })
	if a := v.do("DELETE", "/v1/session", ""); a.status != http.StatusNoContent {
		t.Fatalf("end: got %d %s", a.status, a.body)
	}
	v.tells("k2", `,"context":{"a":2}`, "") // nor what the page said before
	r.reload(func(*relay.Config) {})
	v.tells("k3", `,"context":{"a":3}`, `{"verified":{},"page":{"a":3}}`)
}

// The limits of all sites together are raised with the next restart. Until then, sites
// that inherit them keep them.
func TestReload_LimitsOfAllSitesRaised_WaitForRestart(t *testing.T) {
	t.Parallel()
	r := newHarness(t, func(c *relay.Config) {
		c.MaxSessions, c.MaxStreams = 2, 2
		withSites(map[string]func(*relay.Config){"a": nil})(c)
	}, anyframetest.WithAgent(1, asking))
	r.visitorOf("a").sayAt("a", "one", "k1")
	r.reload(func(c *relay.Config) {
		c.MaxSessions, c.MaxStreams = 3, 3
		withSites(map[string]func(*relay.Config){"a": func(c *relay.Config) { c.Look.Title = "Changed" }})(c)
	})
	if page := (&browser{r: r}).do("GET", "/s/a/", ""); !strings.Contains(page.body, "Changed") {
		t.Errorf("got %d, want the new title", page.status)
	}
	r.visitorOf("a").sayAt("a", "two", "k1")
	c := r.conf
	c.Sites = nil
	withSites(map[string]func(*relay.Config){"a": func(c *relay.Config) { c.MaxSessions = 3 }})(&c)
	if err := r.srv.Reload(c); err == nil || !strings.Contains(err.Error(), "RELAY_MAX_SESSIONS must not exceed 2") {
		t.Errorf("a site with more than all together: got %v, want it refused", err)
	}
}

// Two control planes: sessions that began on the first continue there.
func TestReload_AgentAndKey_CountForNewEpochsOnly(t *testing.T) {
	t.Parallel()
	second := anyframetest.Start(t, anyframetest.WithAgent(5, func(c *anyframetest.Chat) { c.Say("I am the second.") }))
	r := newHarness(t, withSites(map[string]func(*relay.Config){"a": nil}), anyframetest.WithAgent(1, asking))
	who, away := r.visitorOf("a"), r.visitorOf("a")
	x := who.openAt("/s/a/v1/events")
	who.sayAt("a", "one", "k1")
	x.turnEnds(1)
	away.sayAt("a", "one", "k1")
	r.plane.WaitFor(t, func() bool {
		for _, s := range r.plane.Sessions() {
			if s.Busy {
				return false
			}
		}
		return true
	})
	r.reload(withSites(map[string]func(*relay.Config){"a": func(c *relay.Config) {
		c.AgentID, c.BaseURL, c.APIKey = second.AgentID(), second.URL(), relay.Secret(second.Key())
	}}))
	who.sayAt("a", "two", "k2")
	x.turnEnds(2)
	if !strings.Contains(x.text(), "You said two.") {
		t.Errorf("the epoch that had begun: got %s, want its own agent", x.text())
	}
	away.sayAt("a", "two", "k2")
	if n := len(second.Sessions()); n != 0 {
		t.Errorf("the second control plane has %d sessions, want none yet", n)
	}
	if a := who.do("DELETE", "/s/a/v1/session", ""); a.status != 204 {
		t.Fatalf("end: got %d %s", a.status, a.body)
	}
	who.sayAt("a", "three", "k3")
	x.until("the new agent", func([]event) bool { return strings.Contains(x.text(), "I am the second.") })
	if n := len(second.Sessions()); n != 1 {
		t.Errorf("the second control plane has %d sessions, want the new epoch's", n)
	}
}

// The account that a conversation began with refuses its key for a while. The site's new
// account does not have the conversation, which proves nothing.
func TestReload_OldAccountRefusesKey_ConversationNotLost(t *testing.T) {
	t.Parallel()
	second := anyframetest.Start(t, anyframetest.WithAgent(5, talk))
	r := newHarness(t, withSites(map[string]func(*relay.Config){"a": nil}), anyframetest.WithAgent(1, asking))
	r.runs() // which checks a refused key every ten seconds
	who := r.visitorOf("a")
	x := who.openAt("/s/a/v1/events")
	who.sayAt("a", "one", "k1")
	x.turnEnds(1)
	r.reload(withSites(map[string]func(*relay.Config){"a": func(c *relay.Config) {
		c.AgentID, c.BaseURL, c.APIKey = second.AgentID(), second.URL(), relay.Secret(second.Key())
	}}))
	who.sayAt("a", "two", "k2") // so that the account is known
	x.turnEnds(2)
	r.plane.Inject(anyframetest.Fault{Kind: anyframetest.Respond, Status: http.StatusUnauthorized})
	refused(t, "refused", who.do("POST", "/s/a/v1/messages", `{"text":"three"}`, "Idempotency-Key", "k3"), 503, "upstream_unavailable")
	r.plane.ClearFaults()
	who.sayAt("a", "three", "k3")
	x.turnEnds(3)
	if n := len(second.Sessions()); n != 0 {
		t.Errorf("the second control plane has %d sessions, want none", n)
	}
}

// The key is rotated twice without a restart, and the former ones are revoked. They were
// all of the same account, so conversations go on.
func TestReload_KeyRotated_OldOnesRevoked(t *testing.T) {
	t.Parallel()
	r := newHarness(t, withSites(map[string]func(*relay.Config){"a": nil}), anyframetest.WithAgent(1, asking))
	keys, revoke := r.keys(2)
	who := r.visitorOf("a")
	x := who.openAt("/s/a/v1/events")
	who.sayAt("a", "one", "k0")
	x.turnEnds(1)
	for i, key := range keys {
		r.reload(withSites(map[string]func(*relay.Config){"a": func(c *relay.Config) { c.APIKey = relay.Secret(key) }}))
		if i > 0 {
			revoke(i - 1)
		}
		r.plane.CutStreams()
		who.sayAt("a", "more", fmt.Sprint("k", i+1))
		x.turnEnds(i + 2)
	}
}

// keys returns new API keys of the plane's account, and a function that revokes one.
func (r *harness) keys(n int) (keys []string, revoke func(i int)) {
	r.t.Helper()
	account, err := anyframe.New(anyframe.WithAPIKey(r.plane.Key()), anyframe.WithBaseURL(r.plane.URL()), anyframe.WithHTTPClient(r.plane.Client()))
	if err != nil {
		r.t.Fatal(err)
	}
	var ids []int64
	for i := range n {
		token, err := account.Tokens.Create(r.t.Context(), fmt.Sprint("key ", i))
		if err != nil {
			r.t.Fatal(err)
		}
		keys, ids = append(keys, token.Secret.Reveal()), append(ids, token.ID)
	}
	return keys, func(i int) {
		r.t.Helper()
		if err := account.Tokens.Revoke(r.t.Context(), ids[i]); err != nil {
			r.t.Fatal(err)
		}
	}
}

// Only keys that new conversations use count as refused, for the metric and the readiness
// probe.
func TestReload_KeyRefused_OnlyThatInUseCounts(t *testing.T) {
	t.Parallel()
	use := func(key string) func(*relay.Config) {
		return func(c *relay.Config) { c.APIKey = relay.Secret(key) }
	}
	wantRefused := func(t *testing.T, r *harness, want float64) {
		t.Helper()
		if got := r.metric("relay_upstream_key_refused"); got != want {
			t.Errorf("keys refused: got %v, want %v", got, want)
		}
		if want > 0 {
			r.reasons("AnyFrame rejects the API key")
		} else {
			r.reasons()
		}
	}
	for name, test := range map[string]func(t *testing.T, r *harness, who *browser, x *stream, keys []string, revoke func(int)){
		"revoked before it is replaced": func(t *testing.T, r *harness, who *browser, x *stream, keys []string, revoke func(int)) {
			revoke(0)
			r.visitor().refused("hi", "k1", 503, "upstream_unavailable")
			wantRefused(t, r, 1)
			r.reload(use(keys[1]))
			wantRefused(t, r, 0)
			who.say("two", "k2")
			x.turnEnds(2)
			wantRefused(t, r, 0)
		},
		"revoked after it was replaced": func(t *testing.T, r *harness, who *browser, x *stream, keys []string, revoke func(int)) {
			r.reload(use(keys[1]))
			revoke(0)
			who.say("two", "k2")
			x.turnEnds(2)
			r.awaitLog("AnyFrame rejects the key")
			wantRefused(t, r, 0)
		},
		"the new one is refused": func(t *testing.T, r *harness, _ *browser, _ *stream, keys []string, revoke func(int)) {
			revoke(1)
			r.reload(use(keys[1]))
			r.visitor().refused("hi", "k1", 503, "upstream_unavailable")
			wantRefused(t, r, 1)
			r.reload(use(keys[0]))
			wantRefused(t, r, 0)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newHarness(t, nil, anyframetest.WithAgent(1, asking))
			r.runs()
			keys, revoke := r.keys(2)
			r.reload(use(keys[0]))
			who := r.visitor()
			x := who.open("")
			who.say("one", "k1")
			x.turnEnds(1)
			test(t, r, who, x, keys, revoke)
		})
	}
}

// A site whose key is refused is removed.
func TestReload_SiteRemoved_ItsKeyCountsNoLonger(t *testing.T) {
	t.Parallel()
	r := newHarness(t, nil, anyframetest.WithAgent(1, asking))
	keys, revoke := r.keys(1)
	r.reload(withSites(map[string]func(*relay.Config){"a": func(c *relay.Config) { c.APIKey = relay.Secret(keys[0]) }}))
	revoke(0)
	who := r.visitorOf("a")
	if a := who.do("POST", "/s/a/v1/messages", `{"text":"hi"}`, "Idempotency-Key", "k1"); a.status != 503 {
		t.Fatalf("got %d %s, want 503", a.status, a.body)
	}
	if got := r.metric("relay_upstream_key_refused"); got != 1 {
		t.Fatalf("keys refused: got %v, want 1", got)
	}
	r.reload(func(*relay.Config) {})
	if got := r.metric("relay_upstream_key_refused"); got != 0 {
		t.Errorf("keys refused after its site was removed: got %v, want 0", got)
	}
}

// Settings change during everything that visitors do.
func TestReload_UnderLoad_BreaksNothing(t *testing.T) {
	t.Parallel()
	r := newHarness(t, withSites(map[string]func(*relay.Config){"a": nil, "b": nil}), anyframetest.WithAgent(1, asking))
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			r.reload(withSites(map[string]func(*relay.Config){
				"a":                  func(c *relay.Config) { c.Look.Title = fmt.Sprint("Title ", i) },
				"b":                  func(c *relay.Config) { c.AllowedOrigins = []string{fmt.Sprintf("https://n%d.example", i)} },
				fmt.Sprint("c", i%2): nil,
			}))
			(&browser{r: r}).do("GET", fmt.Sprintf("/s/c%d/widget.js", i%2), "")
		}
	})
	parallel(8, func(i int) {
		site := []string{"", "a", "b"}[i%3]
		who := r.visitorOf(site)
		x := who.openAt(at(site, "/v1/events"))
		for turn := range 5 {
			who.sayAt(site, fmt.Sprint("turn ", turn), fmt.Sprint("k", turn))
			who.do("GET", at(site, "/v1/transcript"), "")
			who.do("GET", at(site, "/widget.js"), "")
		}
		if es := x.turnEnds(5); count(es, "reset")+count(es, "problem") != 0 {
			t.Errorf("site %q: got a reset or a problem in\n%s", site, lines(es))
		}
		x.close()
	})
	close(stop)
	wg.Wait()
}
