package relay_test

import (
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
)

func TestLimits_NewSessions_CountedByAddress(t *testing.T) {
	t.Parallel()
	r := newHarness(t, func(c *relay.Config) {
		trusting("", "127.0.0.0/8", "::1/128")(c)
		c.RateSessions, c.BootOnOpen = rate(2, time.Hour), true
	})
	send := func(v *browser, addr string) answer {
		return v.do("POST", "/v1/messages", `{"text":"hi"}`, "X-Forwarded-For", addr)
	}
	accepted := func(what string, a answer) {
		t.Helper()
		if a.status != http.StatusAccepted && a.status != http.StatusOK {
			t.Errorf("%s: got %d %s, want it accepted", what, a.status, a.body)
		}
	}
	first, second, third := r.visitor(), r.visitor(), r.visitor()
	for range 4 { // an existing session costs nothing, asleep or awake
		accepted("the first", send(first, "192.0.2.1"))
	}
	r.plane.Sleep(r.upstream())
	accepted("the first, woken", first.do("POST", "/v1/session", "", "X-Forwarded-For", "192.0.2.1"))
	accepted("the first, woken", send(first, "192.0.2.1"))
	accepted("the second", send(second, "192.0.2.1"))
	for range 2 {
		a := send(third, "192.0.2.1")
		refused(t, "the third", a, 429, "session_quota")
		if a.header.Get("Retry-After") == "" {
			t.Error("got no Retry-After, want one")
		}
		refused(t, "the third, without a message", third.do("POST", "/v1/session", "", "X-Forwarded-For", "192.0.2.1"), 429, "session_quota")
	}
	if n := r.plane.Count(anyframetest.OpCreate); n != 2 {
		t.Errorf("sessions created: got %d, want 2", n)
	}
	accepted("the third, from elsewhere", send(third, "192.0.2.2"))
	accepted("the first again", send(first, "192.0.2.1"))
	if a := first.do("DELETE", "/v1/session", "", "X-Forwarded-For", "192.0.2.1"); a.status != http.StatusNoContent {
		t.Errorf("ended: got %d, want 204", a.status)
	}
	refused(t, "the first, for another session", send(first, "192.0.2.1"), 429, "session_quota")
}

func TestLimits_NewSessionsAtOnce_QuotaHolds(t *testing.T) {
	t.Parallel()
	r := newHarness(t, func(c *relay.Config) { c.RateSessions = rate(2, time.Hour) })
	r.plane.Inject(anyframetest.Fault{Kind: anyframetest.Late, Op: anyframetest.OpCreate, Delay: 200 * time.Millisecond})
	var wg sync.WaitGroup
	statuses := make(chan int, 20)
	for range 20 {
		v := r.visitor()
		wg.Go(func() { statuses <- v.do("POST", "/v1/messages", `{"text":"hi"}`).status })
	}
	wg.Wait()
	close(statuses)
	got := map[int]int{}
	for status := range statuses {
		got[status]++
	}
	if n := r.plane.Count(anyframetest.OpCreate); n != 2 || got[http.StatusAccepted] != 2 || got[http.StatusTooManyRequests] != 18 {
		t.Errorf("got %d sessions and answers %v, want 2, and 18 refused", n, got)
	}
}

func TestLimits_SessionCreateFails_NotCounted(t *testing.T) {
	r := newHarness(t, func(c *relay.Config) { c.RateSessions = rate(1, time.Hour) })
	v := r.visitor()
	r.plane.Inject(anyframetest.Fault{Kind: anyframetest.Respond, Op: anyframetest.OpCreate, Status: http.StatusUnprocessableEntity, Times: 3})
	for range 3 {
		refused(t, "while AnyFrame makes none", v.do("POST", "/v1/messages", `{"text":"hi"}`), 502, "upstream_failed")
	}
	v.say("hi", "k1")
	refused(t, "the second that is made", r.visitor().do("POST", "/v1/messages", `{"text":"hi"}`), 429, "session_quota")
}

func TestLimits_SessionsPerDay_BudgetHolds(t *testing.T) {
	t.Parallel()
	disk := sqliteFile(t)
	r := newHarness(t, func(c *relay.Config) {
		disk(c)
		trusting("", "127.0.0.0/8", "::1/128")(c)
		c.SessionsPerDay, c.BootOnOpen = 2, true
	}, anyframetest.WithAgent(1, atWork))
	first := r.visitor()
	first.say("hi", "k1")
	r.visitor().say("hi", "k1")
	for i := range 4 {
		if i == 2 {
			r.restart()
			first.r = r
		}
		a := r.visitor().from(fmt.Sprint("198.51.100.", i+1), "hi")
		refused(t, "the third", a, 503, "at_capacity")
		if seconds, _ := strconv.Atoi(a.header.Get("Retry-After")); seconds < 1 || seconds > 2*24*60*60 {
			t.Errorf("got Retry-After %q, want up to two days", a.header.Get("Retry-After"))
		}
		refused(t, "the third, without a message", r.visitor().do("POST", "/v1/session", ""), 503, "at_capacity")
	}
	first.say("who has a session goes on", "k2")
	r.plane.Sleep(r.plane.Sessions()[0].ID)
	first.insist("and wakes it", "k3")
	if n := r.plane.Count(anyframetest.OpCreate); n != 2 {
		t.Errorf("sessions created: got %d, want 2", n)
	}
	if got := metric(t, r.reg, "relay_capacity_refusals_total", "cause", "budget"); got < 4 {
		t.Errorf("refusals for want of budget: got %v, want them counted", got)
	}
}

func TestLimits_SessionsPerDay_SurvivesRestart(t *testing.T) {
	t.Parallel()
	disk := sqliteFile(t)
	r := newHarness(t, func(c *relay.Config) {
		disk(c)
		c.RateSessions, c.RateMessages = rate(2, time.Hour), rate(3, time.Hour)
	})
	v := r.visitor()
	v.say("one", "k1")
	r.visitor().say("one", "k1")
	v.say("two", "k2")
	for range 3 {
		v.say("three", "k3")
		refused(t, "a fourth message", v.do("POST", "/v1/messages", `{"text":"four"}`), 429, "rate_limited")
		refused(t, "a third session", r.visitor().do("POST", "/v1/messages", `{"text":"hi"}`), 429, "session_quota")
		r.restart()
	}
}

func TestLimits_SessionRefused_NotCounted(t *testing.T) {
	r := newHarness(t, func(c *relay.Config) { c.RateSessions = relay.Rates{{Limit: 2, Window: time.Hour}} }, anyframetest.WithAgent(1, talk))
	r.plane.Inject(anyframetest.Fault{Kind: anyframetest.Respond, Op: anyframetest.OpCreate, Status: 422})
	for i := range 4 {
		if a := r.visitor().do("POST", "/v1/messages", `{"text":"hi"}`); a.status != 502 {
			t.Fatalf("try %d: got %d %s, want 502: AnyFrame makes no session", i, a.status, a.body)
		}
	}
	r.plane.ClearFaults()
	r.visitor().say("hi", "a")
	v := r.visitor()
	v.say("hi", "b")
	v.say("again", "c") // no new session
	a := r.visitor().do("POST", "/v1/messages", `{"text":"hi"}`)
	if a.status != 429 || a.code() != "session_quota" || a.header.Get("Retry-After") == "" {
		t.Errorf("the third session: got %d %s, want 429 session_quota with Retry-After", a.status, a.body)
	}
	if n := len(r.plane.Sessions()); n != 2 {
		t.Errorf("sessions: got %d, want 2", n)
	}
}
