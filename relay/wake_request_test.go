package relay_test

import (
	"testing"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
)

// wakeTo requests a wake of the session, and fails the test unless this is the response.
func (b *browser) wakeTo(when string, status int, state string) {
	b.r.t.Helper()
	if a := b.do("POST", "/v1/session", ""); a.status != status || a.json["status"] != state {
		b.r.t.Errorf("%s: got %d %s, want %d and %s", when, a.status, a.body, status, state)
	}
}

func TestWakeRequest_NoSession_NoSandboxMade(t *testing.T) {
	t.Parallel()
	r := newHarness(t, nil, anyframetest.WithAgent(1, speak))
	v := r.visitor()
	for range 3 {
		v.wakeTo("before the first turn", 200, "none")
	}
	if n := r.plane.Count(anyframetest.OpCreate); n != 0 {
		t.Errorf("sandboxes asked for: got %d, want none", n)
	}
	x := v.open("")
	v.say("one", "k1")
	x.turnEnds(1)
	v.wakeTo("running", 200, "running")
	if a := v.do("DELETE", "/v1/session", ""); a.status != 204 {
		t.Fatalf("DELETE: got %d %s, want 204", a.status, a.body)
	}
	for range 3 {
		v.wakeTo("after the end", 200, "ended")
	}
	r.plane.WaitFor(t, func() bool { return r.plane.OpenStreams("") == 0 })
	if n, resumes := r.plane.Count(anyframetest.OpCreate), r.plane.Count(anyframetest.OpResume); n != 1 || resumes != 0 {
		t.Errorf("got %d sandboxes made and %d resumed, want the one of the turn", n, resumes)
	}
	v.say("two", "k2")
	x.turnEnds(2)
}

// A sandbox that cannot be resumed is not replaced until there is a turn.
func TestWakeRequest_SandboxLost_NoSandboxMade(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(p *anyframetest.Server, id string){
		"deleted":            func(p *anyframetest.Server, id string) { p.Sleep(id); p.Delete(id) },
		"without a snapshot": func(p *anyframetest.Server, id string) { p.Sleep(id); p.LoseSnapshots(id) },
		"in error":           func(p *anyframetest.Server, id string) { p.SetStatus(id, anyframetest.StatusError) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newHarness(t, sqliteFile(t), anyframetest.WithAgent(1, speak))
			v := r.visitor()
			x := v.open("")
			v.say("one", "k1")
			x.turnEnds(1)
			lose(r.plane, r.upstream())
			r.restart()
			v.r = r
			x = v.open("")
			for range 3 {
				v.do("POST", "/v1/session", "")
			}
			eventually(t, "no request wakes it any more", func() bool {
				status, _ := v.session()
				return status == "failed" || status == "ended" || status == "sleeping"
			})
			if n := r.plane.Count(anyframetest.OpCreate); n != 1 {
				t.Errorf("sandboxes asked for: got %d, want the one of the turn", n)
			}
			if a := v.insist("two", "k2"); a.json["epoch"] != 2.0 {
				t.Errorf("the next turn: got %s, want epoch 2", a.body)
			}
			x.close()
		})
	}
}

func TestWakeRequest_Sleeping_CountsAsMessage(t *testing.T) {
	t.Parallel()
	r := newHarness(t, func(c *relay.Config) { c.RateMessages = rate(3, time.Hour) }, anyframetest.WithAgent(1, speak))
	v := r.visitor()
	x := v.open("")
	v.say("one", "k1")
	x.turnEnds(1)
	id := r.upstream()
	for range 5 {
		v.wakeTo("running, which costs nothing", 200, "running")
	}
	sleep := func() {
		t.Helper()
		r.plane.Sleep(id)
		eventually(t, "it sleeps", func() bool { status, _ := v.session(); return status == "sleeping" })
	}
	for range 2 {
		sleep()
		v.wakeTo("asleep", 202, "booting")
		eventually(t, "it runs", func() bool { status, _ := v.session(); return status == "running" })
	}
	sleep()
	refused(t, "a third time", v.do("POST", "/v1/session", ""), 429, "rate_limited")
	v.refused("two", "k2", 429, "rate_limited")
	if n := r.plane.Count(anyframetest.OpResume); n != 2 {
		t.Errorf("resumes: got %d, want 2", n)
	}
}

func TestWakeRequest_NoRoom_NotCounted(t *testing.T) {
	t.Parallel()
	r := newHarness(t, func(c *relay.Config) { c.MaxSessions, c.RateMessages = 1, rate(2, time.Hour) }, anyframetest.WithAgent(1, atWork))
	v, id := r.begin("hi")
	r.plane.Sleep(id)
	eventually(t, "it sleeps", func() bool { status, _ := v.session(); return status == "sleeping" })
	other := r.visitor()
	other.insist("work", "k1")
	for range 4 {
		refused(t, "while there is no room", v.do("POST", "/v1/session", ""), 503, "at_capacity")
	}
	if a := other.do("DELETE", "/v1/session", ""); a.status != 204 {
		t.Fatalf("DELETE: got %d %s, want 204", a.status, a.body)
	}
	v.insist("hi", "k2")
}

// A request to wake the agent comes while a turn waits for its first sandbox.
func TestWakeRequest_DuringFirstTurn_SandboxStillMade(t *testing.T) {
	t.Parallel()
	r := newHarness(t, nil, anyframetest.WithAgent(1, speak), anyframetest.WithBootDelay(200*time.Millisecond))
	v := r.visitor()
	x := v.open("")
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			if a := v.do("POST", "/v1/session", ""); a.json["status"] == "running" {
				return
			}
		}
	}()
	v.say("one", "k1")
	<-done
	x.turnEnds(1)
}
