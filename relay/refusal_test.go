package relay_test

import (
	"testing"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
)

func TestOnlySessionsThatWereMadeCountAgainstTheQuota(t *testing.T) {
	r := newRig(t, func(c *relay.Config) { c.RateSessions = relay.Rate{Limit: 2, Window: time.Hour} }, anyframetest.WithAgent(1, talk))
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

func TestWakingAtCapacityIsRefusedAtOnce(t *testing.T) {
	r := newRig(t, func(c *relay.Config) { c.MaxSessions = 1 }, anyframetest.WithAgent(1, atWork))
	first := r.visitor()
	first.say("work", "a")
	second := r.visitor()
	if a := second.do("POST", "/v1/session", ""); a.status != 503 || a.code() != "at_capacity" {
		t.Errorf("got %d %s, want 503 at_capacity", a.status, a.body)
	}
	if a := first.do("DELETE", "/v1/session", ""); a.status != 204 {
		t.Fatalf("DELETE /v1/session: got %d %s, want 204", a.status, a.body)
	}
	second.say("hi", "b") // there is room now
}

func TestARepeatedTurnDoesNotCountAgainstTheRate(t *testing.T) {
	r := newRig(t, func(c *relay.Config) { c.RateMessages = relay.Rate{Limit: 2, Window: time.Hour} }, anyframetest.WithAgent(1, talk))
	v := r.visitor()
	want := v.say("one", "a").body
	v.say("two", "b")
	if a := v.do("POST", "/v1/messages", `{"text":"three"}`, "Idempotency-Key", "c"); a.status != 429 || a.code() != "rate_limited" {
		t.Fatalf("the third turn: got %d %s, want 429 rate_limited", a.status, a.body)
	}
	for range 3 {
		if got := v.say("one", "a").body; got != want {
			t.Errorf("a repeated turn: got %s, want %s", got, want)
		}
	}
}

func TestEndingTheConversationInMidTurnEndsTheTurn(t *testing.T) {
	r := newRig(t, nil, anyframetest.WithAgent(1, func(c *anyframetest.Chat) {
		c.Say("Wait.")
		<-c.Context().Done()
	}))
	v := r.visitor()
	x := v.open("")
	v.say("hi", "a")
	x.until("the agent's words", func(es []event) bool { return shown(es) == "Wait." })
	if a := v.do("DELETE", "/v1/session", ""); a.status != 204 {
		t.Fatalf("DELETE /v1/session: got %d %s, want 204", a.status, a.body)
	}
	got := x.turnEnds(1)
	if reason := got[len(got)-1].str("reason"); reason != "interrupted" {
		t.Errorf("turn end: got %q, want interrupted", reason)
	}
	if st := v.do("GET", "/v1/session", "").json; st["status"] != "ended" || st["agent_busy"] != false {
		t.Errorf("got %v, want an ended session whose agent is not busy", st)
	}
}
