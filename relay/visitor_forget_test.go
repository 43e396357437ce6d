package relay_test

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
)

// A stream may be opening when its visitor is forgotten. It must end without another read
// of the store.
func TestVisitor_TokenVoidedWhileStreamOpens_StreamEnds(t *testing.T) {
	t.Parallel()
	for name, meet := range map[string]func(*harness) *browser{
		"anonymous": (*harness).visitor,
		"signed in": func(r *harness) *browser { return r.signedIn("ann") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			disk := sqliteFile(t)
			r := newHarness(t, func(c *relay.Config) {
				disk(c)
				siteKey(c)
				c.Tune(unwatching())
			})
			for range 25 {
				v := meet(r)
				var wg sync.WaitGroup
				for range 8 {
					wg.Go(func() {
						x, code := v.tryOpen()
						switch {
						case code != "" && code != "visitor_unknown":
							t.Errorf("the stream: got %s, want it to open or visitor_unknown", code)
						case code == "":
							x.voided("the stream")
						}
					})
				}
				if a := v.do("DELETE", "/v1/visitor", ""); a.status != http.StatusNoContent {
					t.Errorf("DELETE: got %d %s, want 204", a.status, a.body)
				}
				wg.Wait()
			}
		})
	}
}

func TestVisitor_Forgotten_StreamsEndFatally(t *testing.T) {
	t.Parallel()
	r := newHarness(t, nil, anyframetest.WithAgent(1, speak))
	v := r.visitor()
	tabs := []*stream{v.open(""), v.open("")}
	v.say("one", "k1")
	for _, x := range tabs {
		x.turnEnds(1)
	}
	if a := v.do("DELETE", "/v1/visitor", ""); a.status != http.StatusNoContent {
		t.Fatalf("DELETE: got %d %s, want 204", a.status, a.body)
	}
	for _, x := range tabs {
		es := x.ended()
		if last := es[len(es)-1]; last.str("code") != "visitor_unknown" || last.json["fatal"] != true {
			t.Errorf("last event: got %s, want a fatal problem visitor_unknown", last)
		}
	}
	a := v.do("GET", "/v1/events", "")
	wantProblem(t, "a visitor who comes back", a, http.StatusUnauthorized, "visitor_unknown")
	if a.header.Get("Location") != "" {
		t.Error("a redirect is no answer to a script")
	}
	r.plane.WaitFor(t, func() bool { return r.plane.OpenStreams("") == 0 })
}

func TestVisitor_Forgotten_Unknown(t *testing.T) {
	r := newHarness(t, nil, anyframetest.WithAgent(1, talk))
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
	for name, tab := range map[string]*stream{"first": x, "second": y} {
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

func TestVisitor_Forgotten_CookieCleared(t *testing.T) {
	for name, tls := range map[string]bool{"plain": false, "TLS": true} {
		t.Run(name, func(t *testing.T) {
			d := newOffline(t, nil)
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

// A browser may confirm its token in some tabs and sign out in another. On a disk the
// confirmations take long enough to overlap with that.
func TestVisitor_ForgottenWhileConfirming_StaysForgotten(t *testing.T) {
	t.Parallel()
	disk := sqliteFile(t)
	d := newOffline(t, func(c *relay.Config) { disk(c); c.VisitorTTL = 4 * time.Second })
	tokens := make([]string, 30)
	for i := range tokens {
		tokens[i] = d.mint()
	}
	<-time.After(450 * time.Millisecond) // so that every confirmation extends the token, and writes
	for _, token := range tokens {
		var wg sync.WaitGroup
		for range 12 {
			wg.Go(func() {
				if a := d.ask("POST", "/v1/visitor", `{"carrier":"bearer"}`, bearer(token)...); a.status != http.StatusOK {
					t.Errorf("a tab that confirms it: got %d %s, want 200, as a new visitor if need be", a.status, a.body)
				}
			})
		}
		wg.Go(func() { d.ask("DELETE", "/v1/visitor", "", bearer(token)...) })
		wg.Wait()
		refused(t, "the token of a visitor who left", d.ask("GET", "/v1/session", "", bearer(token)...), 401, "visitor_unknown")
	}
}
