package relay_test

import (
	"database/sql"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
)

// consentOf returns the consent in an introduction's response.
func consentOf(a answer) (version, text string, given bool) {
	c, _ := a.json["consent"].(map[string]any)
	version, _ = c["version"].(string)
	text, _ = c["text"].(string)
	return version, text, c["given_at"] != nil
}

func agreement(version string) string {
	return `{"carrier":"bearer","consent":` + quote(version) + `}`
}

func TestConsent_NotGiven_RefusedUntilIs(t *testing.T) {
	t.Parallel()
	disk := sqliteFile(t)
	r := newHarness(t, func(c *relay.Config) { disk(c); c.Consent, c.BootOnOpen = "May we?", true }, anyframetest.WithAgent(1, talk))
	v := r.visitor()
	introduced := v.do("POST", "/v1/visitor", `{"carrier":"bearer"}`)
	version, text, given := consentOf(introduced)
	if version == "" || text != "May we?" || given {
		t.Fatalf("got %s, want the text with a version, not agreed to", introduced.body)
	}
	v.refused("hi", "k1", 403, "consent_required")
	refused(t, "a sandbox", v.do("POST", "/v1/session", ""), 403, "consent_required")
	refused(t, "another version", v.do("POST", "/v1/visitor", agreement("x")), 400, "bad_request")
	refused(t, "no version", v.do("POST", "/v1/visitor", agreement("")), 400, "bad_request")
	for _, path := range []string{"/v1/session", "/v1/transcript"} {
		if a := v.do("GET", path, ""); a.status != http.StatusOK {
			t.Errorf("GET %s: got %d %s, want 200 without consent", path, a.status, a.body)
		}
	}
	if n := r.plane.Count(anyframetest.OpCreate); n != 0 {
		t.Errorf("sessions created: got %d, want none", n)
	}
	r.counts(map[string]float64{"relay_turns_today": 0})
	a := v.do("POST", "/v1/visitor", agreement(version))
	if _, _, given := consentOf(a); a.status != http.StatusOK || !given {
		t.Fatalf("agreed: got %d %s, want given_at", a.status, a.body)
	}
	want := v.say("hi", "k1").body
	r.restart()
	if got := v.say("hi", "k1").body; got != want {
		t.Errorf("after a restart: got %s, want %s", got, want)
	}
	r.visitor().refused("hi", "k1", 403, "consent_required")

	// A changed text requires consent again; accepted turns are still answered as before.
	r.restartWith(func(c *relay.Config) { c.Consent = "May we still?" })
	v.say("hi", "k1")
	v.refused("more", "k2", 403, "consent_required")
	refused(t, "the old version", v.do("POST", "/v1/visitor", agreement(version)), 400, "bad_request")
}

func TestConsent_OfPerson_HoldsOnAllDevices(t *testing.T) {
	t.Parallel()
	overStores(t, func(t *testing.T, share sharing) {
		t.Parallel()
		a, b := replicas(t, overHTTP1, share, func(c *relay.Config) { siteKey(c); c.Consent = "May we?" }, anyframetest.WithAgent(1, talk))
		phone := a.signedIn("ann")
		phone.refused("hi", "k1", 403, "consent_required")
		version, _, _ := consentOf(phone.do("POST", "/v1/visitor", `{"carrier":"bearer"}`))
		identity := `{"carrier":"bearer","identity":` + quote(signIn(t, of("ann"))) + `,"consent":` + quote(version) + `}`
		if _, _, given := consentOf(phone.do("POST", "/v1/visitor", identity)); !given {
			t.Fatal("got no consent given, want it")
		}
		laptop := b.signedIn("ann")
		laptop.say("hi", "k2")
		b.signedIn("bob").refused("hi", "k1", 403, "consent_required")
	})
}

func TestNotice_OnOffOrOwn_Told(t *testing.T) {
	for want, change := range map[string]func(*relay.Config){
		`"notice":{"text":null,"privacy_url":null},"consent":null`:                        nil,
		`"notice":null,"consent":null`:                                                    func(c *relay.Config) { c.NoNotice = true },
		`"notice":{"text":"A robot.","privacy_url":"https://x.example/p"},"consent":null`: func(c *relay.Config) { c.Notice, c.PrivacyURL = "A robot.", "https://x.example/p" },
	} {
		d := newOffline(t, change)
		if a := d.ask("POST", "/v1/visitor", `{"carrier":"bearer"}`); !strings.Contains(a.body, want) {
			t.Errorf("got %s, want %s", a.body, want)
		}
	}
	d := newOffline(t, nil)
	refused(t, "consent that the relay did not ask for", d.ask("POST", "/v1/visitor", agreement("x")), 400, "bad_request")
}

// consents returns how many records of consent in a SQLite store expire after a time.
func consents(t *testing.T, path string, after time.Time) (n int) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM records WHERE kind = 'consent' AND expires_at > ?", after.UnixMilli()).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// Consent costs no more than a request, so it is kept no longer than the visitor until
// there is a conversation.
func TestConsent_NothingSent_KeptAsLongAsVisitor(t *testing.T) {
	t.Parallel()
	disk := sqliteFile(t)
	r := newHarness(t, func(c *relay.Config) {
		disk(c)
		eraseSoon(c)
		c.Consent = "May we?"
	}, anyframetest.WithAgent(1, talk))
	agrees := func() *browser {
		v := r.visitor()
		version, _, _ := consentOf(v.do("POST", "/v1/visitor", `{"carrier":"bearer"}`))
		if a := v.do("POST", "/v1/visitor", agreement(version)); a.status != http.StatusOK {
			t.Fatalf("agree: got %d %s, want 200", a.status, a.body)
		}
		return v
	}
	talks, leaves := agrees(), agrees()
	r.admin("PUT", "/api/pause", `{}`)
	for range 50 {
		agrees().refused("hi", "k1", 503, "paused")
	}
	r.admin("DELETE", "/api/pause", "")
	if late := rowsAfter(t, r.file(), time.Now().Add(2*time.Hour)); len(late) != 0 {
		t.Errorf("got rows that expire after more than two hours: %v, want none", late)
	}
	talks.say("hi", "k1")
	if n := consents(t, r.file(), time.Now().Add(719*time.Hour)); n != 1 {
		t.Errorf("after a message: got %d consents kept for 720 h, want 1", n)
	}

	// Both kinds are among the data that a visitor can erase.
	r.runs()
	before := consents(t, r.file(), time.Time{})
	leaves.erases("/v1/visitor?erase=true")
	if got := consents(t, r.file(), time.Time{}); got != before-1 {
		t.Errorf("the one who sent nothing erased: got %d consents of %d, want one less", got, before)
	}
	talks.erases("/v1/visitor?erase=true")
	r.erased()
	if got := consents(t, r.file(), time.Time{}); got != before-2 {
		t.Errorf("both erased: got %d consents of %d, want two less", got, before)
	}
}

// Visitors leave the page while the sandbox boots: the conversation that they began is
// kept as long as any other.
func TestConsent_LeftWhileSandboxBoots_VisitorKept(t *testing.T) {
	t.Parallel()
	disk := sqliteFile(t)
	r := newHarness(t, func(c *relay.Config) {
		disk(c)
		c.Consent = "May we?"
	}, anyframetest.WithAgent(1, talk), anyframetest.WithBootDelay(500*time.Millisecond))
	v := r.visitor()
	version, _, _ := consentOf(v.do("POST", "/v1/visitor", `{"carrier":"bearer"}`))
	v.do("POST", "/v1/visitor", agreement(version))
	v.leavesWhen("hi", "first", func() bool { return r.plane.Count(anyframetest.OpCreate) == 1 })
	r.awaitLog(`"route":"POST /v1/messages"`)
	if got := r.plane.Count(anyframetest.OpMessage); got != 1 {
		t.Errorf("got %d messages at AnyFrame, want 1", got)
	}
	late := time.Now().Add(719 * time.Hour)
	if got := rowsAfter(t, r.file(), late); got["tokens"] != 1 || consents(t, r.file(), late) != 1 {
		t.Errorf("got %v and %d consents that are kept for 720 h, want one visitor and one consent", got, consents(t, r.file(), late))
	}
}

// TestAdmission_SeveralRefusals_InOrder sends a message that is refused for several
// reasons, and removes one after the other.
func TestAdmission_SeveralRefusals_InOrder(t *testing.T) {
	t.Parallel()
	awayFromMidnight(t)
	disk := sqliteFile(t)
	r := newHarness(t, func(c *relay.Config) {
		disk(c)
		c.Consent, c.TurnsPerDay = "May we?", 1
		c.RateMessages, c.RateSessions = rate(1, relay.Day), rate(1, relay.Day)
	}, anyframetest.WithAgent(1, atWork))
	agree := func(v *browser) *browser {
		version, _, _ := consentOf(v.do("POST", "/v1/visitor", `{"carrier":"bearer"}`))
		v.do("POST", "/v1/visitor", agreement(version))
		return v
	}
	first := agree(r.visitor())
	first.say("hi", "k1")
	v := r.visitor()
	send := func(what string, status int, code string) {
		t.Helper()
		for range 2 { // a refused message costs nothing: the refusal repeats
			refused(t, what, v.do("POST", "/v1/messages", `{"text":"hi"}`), status, code)
		}
	}
	refused(t, "a bad body", v.do("POST", "/v1/messages", `{"text":1}`), 400, "bad_request")
	send("no consent", 403, "consent_required")
	agree(v)
	if a := r.admin("PUT", "/api/pause", `{}`); a.status != http.StatusOK {
		t.Fatalf("pause: got %d %s, want 200", a.status, a.body)
	}
	send("a pause", 503, "paused")
	refused(t, "no consent, before the pause", r.visitor().do("POST", "/v1/messages", `{"text":"hi"}`), 403, "consent_required")
	first.say("hi", "k1") // regardless of everything else
	if a := r.admin("DELETE", "/api/pause", ""); a.status >= 300 {
		t.Fatalf("unpause: got %d %s", a.status, a.body)
	}
	first.refused("more", "k2", 429, "rate_limited") // checked before the budget
	send("the day's budget", 429, "turn_budget")
	r.restartWith(func(c *relay.Config) { c.TurnsPerDay = 2 })
	send("new sessions", 429, "session_quota")
	r.restartWith(func(c *relay.Config) { c.RateSessions = nil })
	v.say("hi", "k1") // none of the refusals was counted
	r.counts(map[string]float64{"relay_turns_today": 2})
}
