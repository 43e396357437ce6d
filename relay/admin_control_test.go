package relay_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
	"github.com/anyframe-relay/relay/relay/internal/control"
)

const pauseText = "We are closed for an hour."

func TestPause_NewTurn_RefusedWithTheOperatorsWords(t *testing.T) {
	t.Parallel()
	r := newHarness(t, nil, anyframetest.WithAgent(1, speak))
	known, fresh := r.visitor(), r.visitor()
	x := known.open("")
	known.say("before", "k1")
	x.turnEnds(1)
	r.operates("PUT", "/api/pause", `{"text":`+quote(pauseText)+`}`)

	for name, v := range map[string]*browser{"one with a session": known, "a new one": fresh} {
		a := v.do("POST", "/v1/messages", `{"text":"hi"}`, "Idempotency-Key", "k2")
		wantProblem(t, name, a, http.StatusServiceUnavailable, "paused")
		if a.json["detail"] != pauseText || a.header.Get("Retry-After") != "30" {
			t.Errorf("%s: got %s, Retry-After %s, want the operator's words and 30", name, a.body, a.header.Get("Retry-After"))
		}
	}
	if a := known.do("POST", "/v1/messages", `{"text":"before"}`, "Idempotency-Key", "k1"); a.status != http.StatusAccepted {
		t.Errorf("a turn that was accepted, again: got %d %s, want 202", a.status, a.body)
	}
	for _, op := range []string{"GET /v1/session", "POST /v1/session", "GET /v1/transcript"} {
		method, path, _ := strings.Cut(op, " ")
		if a := known.do(method, path, ""); a.status != http.StatusOK {
			t.Errorf("%s: got %d %s, want 200", op, a.status, a.body)
		}
	}
	r.operates("DELETE", "/api/pause", "")
	known.say("after", "k3")
	x.turnEnds(2)
}

func TestPause_SleepingSandbox_NotWoken(t *testing.T) {
	t.Parallel()
	r := newHarness(t, nil, anyframetest.WithAgent(1, speak))
	v, id := r.begin("before")
	x := v.open("")
	x.turnEnds(1)
	r.plane.Sleep(id)
	x.status("sleeping")
	r.operates("PUT", "/api/pause", "")
	wantProblem(t, "POST /v1/session", v.do("POST", "/v1/session", ""), http.StatusServiceUnavailable, "paused")
}

func TestPause_TurnHeldWhileBooting_RefusedAtOnce(t *testing.T) {
	t.Parallel()
	r := newHarness(t, nil, anyframetest.WithAgent(1, speak), anyframetest.WithBootDelay(time.Hour))
	v := r.visitor()
	x := v.open("")
	answered := make(chan answer, 1)
	go func() {
		a, _ := v.try(t.Context(), "hi", "k1")
		answered <- a
	}()
	x.status("booting")
	r.operates("PUT", "/api/pause", "")
	wantProblem(t, "the turn that waits", <-answered, http.StatusServiceUnavailable, "paused")
}

func TestPause_WithStop_StopsWhatRunsAtEverySiteAndReplica(t *testing.T) {
	t.Parallel()
	overStores(t, func(t *testing.T, share sharing) {
		t.Parallel()
		a, b := replicas(t, overHTTP1, share, withSites(map[string]func(*relay.Config){"shop": nil}), anyframetest.WithAgent(1, atWork))
		runs(t, a, b)
		here, idle, there := a.visitor(), a.visitor(), b.visitor()
		idler := idle.open("")
		idle.say("hi", "k0")
		idler.turnEnds(1)
		var all []*stream
		for _, v := range []*browser{here, there} {
			x := v.open("")
			v.say("work", "k1")
			x.until("the agent's words", func(es []event) bool { return shown(es) == "On it." })
			all = append(all, x)
		}
		guest := b.visitorOf("shop")
		guest.sayAt("shop", "work", "k1")
		b.awaitRow("it works at the site", "site=shop", func(row operated) bool { return row.Status == "running" })

		a.operates("PUT", "/api/pause", `{"text":`+quote(pauseText)+`}`)
		for _, row := range rowsOf(a) {
			if row.Status != "running" {
				t.Errorf("a pause without stop: got %+v, want it to run on", row)
			}
		}
		a.operates("PUT", "/api/pause", `{"stop":true}`)
		for _, x := range all {
			x.wantEnds("what ran", "k1 stopped")
		}
		a.awaitRow("the site's is stopped", "site=shop", func(row operated) bool { return row.Status == "sleeping" })
		if status, _ := idle.session(); status != "running" {
			t.Errorf("one that did nothing: got %s, want it left alone", status)
		}
		a.operates("DELETE", "/api/pause", "")
		here.say("hi", "k2") // continues the same conversation
		all[0].wantEnds("after the pause", "k1 stopped", "k2 done")
	})
}

func rowsOf(r *harness) []operated {
	rows, _ := r.list("")
	return rows
}

// A turn that no process sees is also stopped: its process has crashed.
func TestPause_WithStopAfterARestart_StopsWhatRanBefore(t *testing.T) {
	t.Parallel()
	r := newHarness(t, sqliteFile(t), anyframetest.WithAgent(1, atWork))
	v := r.visitor()
	x := v.open("")
	v.say("work", "k1")
	x.until("the agent's words", func(es []event) bool { return shown(es) == "On it." })
	r.restart()
	runs(t, r)
	r.operates("PUT", "/api/pause", `{"stop":true}`)
	r.awaitRow("it is stopped", "", func(row operated) bool { return row.Status == "sleeping" })
	v.open("").wantEnds("what ran", "k1 stopped")
}

func TestDecisions_AtOneReplica_HoldAtOthersAndAfterRestart(t *testing.T) {
	t.Parallel()
	overStores(t, func(t *testing.T, share sharing) {
		t.Parallel()
		a, b := replicas(t, overHTTP1, share, nil, anyframetest.WithAgent(1, speak))
		runs(t, a, b)
		here := a.visitor()
		there := here.at(b)
		y := there.open("")
		y.status("none")
		stranger := b.visitor()

		a.operates("PUT", "/api/pause", `{"text":`+quote(pauseText)+`}`)
		a.operates("PUT", "/api/banner", `{"text":"Back at six."}`)
		y.until("the banner", func(es []event) bool { return count(es, "notice") == 1 })
		eventually(t, "a pause elsewhere", func() bool {
			return stranger.do("POST", "/v1/messages", `{"text":"hi"}`).code() == "paused"
		})
		a.operates("PUT", "/api/blocks/"+visitorHash(t, a, here), "")
		y.blocked("a stream elsewhere")
		wantProblem(t, "the blocked elsewhere", there.do("GET", "/v1/session", ""), http.StatusForbidden, "blocked")

		third := harnessFor(t, a.plane, func(c *relay.Config) { c.Store = a.conf.Store }) // as after a restart
		wantProblem(t, "the blocked, after a restart", here.at(third).do("GET", "/v1/session", ""), http.StatusForbidden, "blocked")
		wantProblem(t, "another, after a restart", stranger.at(third).do("POST", "/v1/messages", `{"text":"hi"}`), http.StatusServiceUnavailable, "paused")

		a.operates("DELETE", "/api/pause", "")
		eventually(t, "the end of the pause elsewhere", func() bool {
			return stranger.do("POST", "/v1/messages", `{"text":"hi"}`, "Idempotency-Key", "k2").status == http.StatusAccepted
		})
	})
}

// visitorHash returns the id by which operators refer to a visitor.
func visitorHash(t *testing.T, r *harness, v *browser) string {
	t.Helper()
	id, err := r.srv.VisitorOf(t.Context(), v.token)
	if err != nil {
		t.Fatal(err)
	}
	return control.VisitorHash(id)
}

// blocked fails the test unless the stream ends with a block by an operator.
func (x *stream) blocked(what string) {
	x.t.Helper()
	all := x.ended()
	if last := all[len(all)-1]; last.kind != "problem" || last.str("code") != "blocked" || last.json["fatal"] != true {
		x.t.Errorf("%s: ended with %s, want a fatal problem blocked", what, last)
	}
}

func TestBlock_Visitor_RefusedEverywhereUntilItEnds(t *testing.T) {
	t.Parallel()
	r := newHarness(t, siteKey, anyframetest.WithAgent(1, speak))
	phone, laptop, stranger := r.signedIn("ann"), r.signedIn("ann"), r.visitor()
	x, y := phone.open(""), stranger.open("")
	hash := visitorHash(t, r, phone)
	if a := r.operates("PUT", "/api/blocks/"+hash, `{"for":"90m"}`); a.json["subject"] != hash {
		t.Errorf("got %s, want the block of %s", a.body, hash)
	}
	x.blocked("an open stream")
	for name, v := range map[string]*browser{"the phone": phone, "the laptop": laptop} {
		a := v.do("POST", "/v1/messages", `{`)
		wantProblem(t, name, a, http.StatusForbidden, "blocked")
		if seconds, _ := strconv.Atoi(a.header.Get("Retry-After")); seconds < 5400-int(patience.Seconds()) || seconds > 5400 {
			t.Errorf("%s: got Retry-After %d, want what is left of 90 minutes", name, seconds)
		}
	}
	for _, op := range operations() { // before the body is parsed, and after origin and token are checked
		method, path, _ := strings.Cut(op, " ")
		body := map[string]string{"POST": "{"}[method]
		if op == "POST /v1/visitor" {
			body = "{}"
		}
		wantProblem(t, op, phone.do(method, path, body), http.StatusForbidden, "blocked")
		wantProblem(t, op+" of another site", phone.do(method, path, body, "Origin", "https://evil.example"), http.StatusForbidden, "origin_not_allowed")
	}
	wantProblem(t, "introduced again", phone.do("POST", "/v1/visitor", `{}`), http.StatusForbidden, "blocked")
	wantProblem(t, "signed in again", (&browser{r: r}).do("POST", "/v1/visitor", `{"carrier":"bearer","identity":`+quote(signIn(t, of("ann")))+`}`), http.StatusForbidden, "blocked")
	stranger.say("hello", "k1")
	y.turnEnds(1)

	if a := r.operates("GET", "/api/blocks", ""); !strings.Contains(a.body, hash) {
		t.Errorf("blocks: got %s, want the visitor's", a.body)
	}
	r.operates("DELETE", "/api/blocks/"+hash, "")
	if a := phone.do("GET", "/v1/session", ""); a.status != http.StatusOK {
		t.Errorf("after the block: got %d %s, want 200", a.status, a.body)
	}
}

// No decision follows that would make the relay count again.
func TestBlock_Expired_NoLongerCounted(t *testing.T) {
	t.Parallel()
	r := newHarness(t, nil)
	r.operates("PUT", "/api/blocks/192.0.2.7", `{"for":"24h"}`)
	r.operates("PUT", "/api/blocks/192.0.2.8", `{"for":"1s"}`)
	if got := r.metric("relay_blocks"); got != 2 {
		t.Errorf("got %v blocks, want 2", got)
	}
	eventually(t, "one is over", func() bool { return r.metric("relay_blocks") == 1 })
}

func TestBlock_Address_EveryRouteRefusedButForOthers(t *testing.T) {
	t.Parallel()
	for subject, tt := range map[string]struct{ in, out string }{
		"192.0.2.1":           {"192.0.2.1:1", "192.0.2.2:1"},
		"192.0.2.0/24":        {"192.0.2.77:1", "192.0.3.1:1"},
		"2001:db8::1":         {"[2001:db8::ffff]:1", "[2001:db8:0:1::1]:1"}, // a household has a /64
		"2001:db8:1::/48":     {"[2001:db8:1:7::1]:1", "[2001:db8:2::1]:1"},
		"::ffff:198.51.100.7": {"198.51.100.7:1", "198.51.100.8:1"},
	} {
		d := newOffline(t, func(c *relay.Config) { c.RateIP = nil })
		if a := d.admin("PUT", "/api/blocks/"+strings.ReplaceAll(strings.ReplaceAll(subject, "/", "%2F"), ":", "%3A"), ""); a.status != http.StatusOK {
			t.Fatalf("block %s: got %d %s, want 200", subject, a.status, a.body)
		}
		d.addr = tt.in
		for _, op := range operations() {
			method, path, _ := strings.Cut(op, " ")
			a := d.ask(method, path, "")
			refused(t, subject+": "+op, a, http.StatusForbidden, "blocked")
			if a.header.Get("Retry-After") == "" {
				t.Errorf("%s: got no Retry-After", op)
			}
		}
		d.addr = tt.out
		d.mint()
	}
}

func TestBlock_BeforeRates_CountsNothing(t *testing.T) {
	t.Parallel()
	d := newOffline(t, func(c *relay.Config) { c.RateIP = relay.Rates{{Limit: 1, Window: time.Hour}} })
	d.admin("PUT", "/api/blocks/192.0.2.1", "")
	for range 3 {
		refused(t, "blocked", d.ask("GET", "/v1/session", ""), http.StatusForbidden, "blocked")
	}
	refused(t, "blocked, from another site", d.ask("GET", "/v1/session", "", "Origin", "https://evil.example"), http.StatusForbidden, "origin_not_allowed")
	d.admin("DELETE", "/api/blocks/192.0.2.1", "")
	refused(t, "blocked no more", d.ask("GET", "/v1/session", ""), http.StatusUnauthorized, "visitor_unknown")
}

func TestBanner_Set_ShownOnEveryStreamAfterItsSession(t *testing.T) {
	t.Parallel()
	r := newHarness(t, nil, anyframetest.WithAgent(1, speak))
	v := r.visitor()
	x := v.open("")
	x.status("none")
	r.operates("PUT", "/api/banner", `{"text":"One."}`)
	r.operates("PUT", "/api/banner", `{"text":"Two."}`)
	r.operates("DELETE", "/api/banner", "")
	r.operates("PUT", "/api/banner", `{"text":"Three."}`)
	last := x.until("the last banner", func(es []event) bool {
		return latest(es, "notice").str("text") == "Three."
	})
	for _, e := range last {
		if e.kind == "notice" && e.id != "" {
			t.Errorf("got %s, want no id: it is no part of the conversation", e)
		}
	}
	y := v.open("")
	es := y.until("a banner that was there before", func(es []event) bool { return count(es, "notice") == 1 })
	if es[0].kind != "session" || es[1].kind != "notice" || es[1].str("text") != "Three." {
		t.Errorf("a new stream begins with\n%swant session, then notice", lines(es))
	}
	r.operates("DELETE", "/api/banner", "")
	y.until("the end of the banner", func(es []event) bool {
		return latest(es, "notice").json["text"] == nil
	})
}
