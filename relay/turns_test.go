package relay_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
)

func TestTurn_EveryTabClosed_AgentContinues(t *testing.T) {
	overTransports(t, func(t *testing.T, via transport) {
		g := gated{gate: make(chan struct{})}
		r := via.newHarness(t, func(c *relay.Config) { c.Tune(lingering(10 * time.Millisecond)) }, anyframetest.WithAgent(1, g.speak))
		v := r.visitor()
		x := v.open("")
		v.say("now", "k1")
		x.until("half the answer", func(es []event) bool { return slices.Equal(answers(es), []string{firstHalf}) })
		x.close()
		close(g.gate)
		id := r.upstream()
		r.plane.WaitFor(t, func() bool { s, _ := r.plane.Session(id); return s.Turns == 1 && !s.Busy })
		wantAnswers(t, "a visitor who comes back", v.open("").turnEnds(1), firstHalf+secondHalf)
		if got := r.plane.Count(anyframetest.OpTerminate); got != 0 {
			t.Errorf("sandboxes ended by the relay: got %d, want none", got)
		}
	})
}

// taken returns the texts of the messages that AnyFrame accepted, in order.
func (r *harness) taken(id string) []string {
	r.t.Helper()
	var texts []string
	for _, body := range r.plane.Messages(id) {
		var m struct{ Prompt string }
		if err := json.Unmarshal(body, &m); err != nil {
			r.t.Fatal(err)
		}
		texts = append(texts, m.Prompt)
	}
	return texts
}

func (r *harness) wantTaken(want ...string) {
	r.t.Helper()
	if got := r.taken(r.upstream()); !slices.Equal(got, want) {
		r.t.Errorf("messages that AnyFrame took: got %q, want %q", got, want)
	}
}

func TestTurn_NotArrived_SentAgainByRetry(t *testing.T) {
	overTransports(t, func(t *testing.T, via transport) {
		for name, c := range map[string]struct {
			fault  anyframetest.Fault
			status int
			code   string
		}{
			"refused by a restarting AnyFrame": {anyframetest.Fault{Kind: anyframetest.Respond, Status: 503}, 502, "upstream_failed"},
			"an error":                         {anyframetest.Fault{Kind: anyframetest.Respond, Status: 500}, 502, "upstream_failed"},
			"no answer":                        {anyframetest.Fault{Kind: anyframetest.Hang}, 504, "upstream_timeout"},
			"a reset":                          {anyframetest.Fault{Kind: anyframetest.Refuse}, 502, "upstream_failed"},
			"busy for long":                    {anyframetest.Fault{Kind: anyframetest.Respond, Status: 429, RetryAfter: "45"}, 503, "upstream_unavailable"},
			"refused":                          {anyframetest.Fault{Kind: anyframetest.Respond, Status: 422}, 502, "upstream_failed"},
		} {
			for echo, opts := range map[string][]anyframetest.Option{"": nil, ", no messages shown": {anyframetest.WithoutUserEcho()}} {
				t.Run(name+echo, func(t *testing.T) {
					t.Parallel()
					disk := sqliteFile(t)
					r := via.newHarness(t, func(c *relay.Config) { disk(c); c.UpstreamTimeout = impatience }, append(opts, anyframetest.WithAgent(1, speak))...)
					v := r.visitor()
					x := v.open("")
					v.say("before", "k0")
					x.turnEnds(1)
					fault := c.fault
					fault.Op, fault.Times = anyframetest.OpMessage, 1
					r.plane.Inject(fault)
					a := v.refused("hello", "k1", c.status, c.code)
					if fault.RetryAfter != "" && a.header.Get("Retry-After") != fault.RetryAfter {
						t.Errorf("Retry-After: got %q, want %q", a.header.Get("Retry-After"), fault.RetryAfter)
					}
					v.say("something else", "k2")
					x.turnEnds(2)
					v.say("hello", "k1")
					x.turnEnds(3)
					v.say("hello", "k1")
					r.wantTaken("before", "something else", "hello")
					r.plane.Inject(fault)
					v.refused("later", "k3", c.status, c.code)
					r.restart()
					v.say("later", "k3")
					v.say("later", "k3")
					r.wantTaken("before", "something else", "hello", "later")
				})
			}
		}
	})
}

func TestTurn_UpstreamBusy_RequestWaits(t *testing.T) {
	overTransports(t, func(t *testing.T, via transport) {
		r := via.newHarness(t, nil)
		v := r.visitor()
		v.say("before", "k0")
		r.plane.Inject(anyframetest.Fault{Kind: anyframetest.Respond, Status: 429, RetryAfter: "0.1", Op: anyframetest.OpMessage, Times: 2})
		v.say("hello", "k1")
		r.wantTaken("before", "hello")
	})
}

func TestTurn_DuringBoot_HeldThenRefused(t *testing.T) {
	overTransports(t, func(t *testing.T, via transport) {
		r := via.newHarness(t, func(c *relay.Config) { c.SendWait = time.Second }, anyframetest.WithBootDelay(2500*time.Millisecond))
		v := r.visitor()
		refusals := 0
		for {
			a, err := v.try(t.Context(), "hello", "k1")
			if err == nil && a.status == http.StatusAccepted {
				break
			}
			if err != nil || a.code() != "session_booting" || a.status != 503 || a.header.Get("Retry-After") == "" {
				t.Fatalf("while booting: got %d %s, %v, want 503 session_booting with Retry-After", a.status, a.body, err)
			}
			refusals++
		}
		if refusals == 0 {
			t.Error("refusals while booting: got none, want some")
		}
		r.wantTaken("hello")
		if got := len(r.plane.Sessions()); got != 1 {
			t.Errorf("sessions: got %d, want 1", got)
		}
	})
}

func TestTurn_UpstreamDown_AcceptedOnceWhenBack(t *testing.T) {
	overTransports(t, func(t *testing.T, via transport) {
		for name, known := range map[string]bool{"a first turn": false, "a later turn": true} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				r := via.newHarness(t, sqliteFile(t))
				v := r.visitor()
				want := []string{"hello"}
				if known {
					v.say("before", "k0")
					want = []string{"before", "hello"}
				}
				r.restartWith(func(c *relay.Config) { c.SendWait = 3 * time.Second })
				r.plane.Down()
				a, err := v.try(t.Context(), "hello", "k1")
				if err != nil || a.status < 500 {
					t.Fatalf("while down: got %d %s, %v, want a problem", a.status, a.body, err)
				}
				r.up()
				for deadline := time.Now().Add(patience); ; {
					a, err := v.try(t.Context(), "hello", "k1")
					if err == nil && a.status == http.StatusAccepted {
						break
					}
					if err != nil || a.status < 500 || time.Now().After(deadline) {
						t.Fatalf("when back: got %d %s, %v, want 202 in the end", a.status, a.body, err)
					}
				}
				v.say("hello", "k1")
				r.wantTaken(want...)
			})
		}
	})
}

func TestTurn_VisitorLeaves_StillSent(t *testing.T) {
	overTransports(t, func(t *testing.T, via transport) {
		r := via.newHarness(t, nil, anyframetest.WithBootDelay(300*time.Millisecond))
		v := r.visitor()
		v.leavesWhen("hello", "k1", func() bool { return r.plane.Count(anyframetest.OpCreate) == 1 })
		r.plane.WaitFor(t, func() bool { return len(r.taken(r.upstream())) == 1 })
		v.say("hello", "k1")
		r.wantTaken("hello")
	})
}
