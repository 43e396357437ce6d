package relay_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
	"github.com/anyframe-relay/relay/relay/internal/session"
)

// A sandbox can stop while its event stream stays open and silent. The relay
// notices.
func TestSandbox_StopsBehindOpenStream_StatusSleeping(t *testing.T) {
	t.Parallel()
	r := newHarness(t, func(c *relay.Config) {
		c.Tune(relay.Tuning{Session: session.Tuning{Resync: 20 * time.Millisecond, ProbeAfter: 50 * time.Millisecond}})
	}, anyframetest.WithAgent(1, func(c *anyframetest.Chat) {
		c.Say("Wait.")
		<-c.Context().Done()
	}))
	v := r.visitor()
	x := v.open("")
	v.say("hi", "a")
	x.until("the agent's words", func(es []event) bool { return shown(es) == "Wait." })
	r.plane.Inject(anyframetest.Fault{Kind: anyframetest.Respond, Op: anyframetest.OpGet, Status: 200, Body: `{"id":"` + r.upstream() + `","agent_id":1,"status":"terminated"}`})
	got := x.turnEnds(1)
	if end := got[slices.IndexFunc(got, func(e event) bool { return e.kind == "turn_end" })]; end.str("reason") != "interrupted" {
		t.Errorf("turn end: got %v, want interrupted", end)
	}
	x.status("sleeping")
	if n := r.plane.Count(anyframetest.OpEvents); n != 1 {
		t.Errorf("streams opened: got %d, want the one that never ended", n)
	}
}

// A session is not asked in each round whether it needs anything. After a failed wake,
// which may begin and end between two rounds, it is asked in the next one.
func TestWake_FailsBetweenRounds_StatusLookedUp(t *testing.T) {
	t.Parallel()
	r := newHarness(t, func(c *relay.Config) {
		c.Tune(relay.Tuning{Session: session.Tuning{Resync: 2 * time.Second, ProbeAfter: time.Hour}})
	}, anyframetest.WithAgent(1, speak))
	v := r.visitor()
	x := v.open("")
	v.say("one", "k1")
	x.turnEnds(1)
	r.plane.Sleep(r.upstream())
	x.status("sleeping")
	time.Sleep(5 * time.Second) // two rounds, in which it needs nothing
	r.plane.Inject(anyframetest.Fault{Kind: anyframetest.Respond, Op: anyframetest.OpGet, Status: 403, Times: 1})
	wantProblem(t, "a wake that fails", v.do("POST", "/v1/messages", `{"text":"two"}`, "Idempotency-Key", "k2"), 502, "upstream_refused")
	x.status("failed")
	x.stands("sleeping") // as AnyFrame says, without another request
}

func TestWake_NextTurn_HistoryKept(t *testing.T) {
	t.Parallel()
	for _, restarted := range []bool{false, true} {
		t.Run(fmt.Sprint("restarted ", restarted), func(t *testing.T) {
			t.Parallel()
			disk := sqliteFile(t)
			r := newHarness(t, disk, anyframetest.WithAgent(1, speak))
			v := r.visitor()
			x := v.open("")
			v.say("one", "k1")
			x.turnEnds(1)
			id := r.upstream()
			r.plane.Sleep(id)
			x.status("sleeping")
			if status, epoch := v.session(); status != "sleeping" || epoch != 1 {
				t.Errorf("asleep: got %s %d, want sleeping 1", status, epoch)
			}
			if restarted {
				r.restart()
				x = v.open("")
				x.status("sleeping")
			}
			if got := r.plane.Count(anyframetest.OpResume); got != 0 {
				t.Errorf("resumes before the turn: got %d, want none", got)
			}
			v.say("two", "k2")
			x.turnEnds(2)
			x.matches("live", r.oracle(1, id))
			v.open("").matches("history", r.oracle(1, id))
			if got := r.plane.Count(anyframetest.OpResume); got != 1 {
				t.Errorf("resumes: got %d, want 1", got)
			}
			if got := r.plane.Count(anyframetest.OpCreate); got != 1 {
				t.Errorf("sandboxes asked for: got %d, want 1", got)
			}
		})
	}
}

// A session that AnyFrame cannot bring back is replaced, and the epoch rises.
func TestWake_SandboxGone_NewEpoch(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(p *anyframetest.Server, id string){
		"deleted":            (*anyframetest.Server).Delete,
		"without a snapshot": func(p *anyframetest.Server, id string) { p.Sleep(id); p.LoseSnapshots(id) },
		"in error":           func(p *anyframetest.Server, id string) { p.SetStatus(id, anyframetest.StatusError) },
		"resume refused": func(p *anyframetest.Server, id string) {
			p.Inject(anyframetest.Fault{Kind: anyframetest.Respond, Status: 409, Op: anyframetest.OpResume})
			p.Sleep(id)
		},
		"resume fails":         func(p *anyframetest.Server, id string) { p.Sleep(id); p.FailBoots(1) },
		"deleted while asleep": func(p *anyframetest.Server, id string) { p.Sleep(id); p.Delete(id) },
		"deleted and a turn sent": func(p *anyframetest.Server, id string) {
			p.Inject(anyframetest.Fault{Kind: anyframetest.Hang, Op: anyframetest.OpEvents, Times: 1}) // so the relay does not notice
			p.CutStreams()
			p.Delete(id)
		},
	} {
		for _, restarted := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, restarted %t", name, restarted), func(t *testing.T) {
				t.Parallel()
				disk := sqliteFile(t)
				r := newHarness(t, func(c *relay.Config) { disk(c); c.UpstreamTimeout = impatience }, anyframetest.WithAgent(1, speak))
				v := r.visitor()
				x := v.open("")
				v.say("one", "k1")
				before := x.turnEnds(1)
				lose(r.plane, r.upstream())
				if restarted {
					r.restart()
					x = v.open("")
					x.until("its first event", func(es []event) bool { return len(es) > 0 })
				}
				var a answer
				eventually(t, "the turn", func() bool {
					var err error
					a, err = v.try(t.Context(), "two", "k2")
					return err == nil && a.status == 202
				})
				if a.json["epoch"] != 2.0 {
					t.Errorf("answer: got %s, want epoch 2", a.body)
				}
				r.wantTaken("two")
				want := r.oracle(2, r.upstream())
				eventually(t, "the turn's end", func() bool { want = r.oracle(2, r.upstream()); return want[len(want)-1].kind == "turn_end" })
				es := x.until("the new session", func(es []event) bool { return len(numbered(lastLife(es))) >= len(want) && len(resets(es)) > 0 })
				same(t, "since the reset", numbered(lastLife(es)), want)
				if got := resets(es); !slices.Equal(got, []string{"new_session"}) {
					t.Errorf("resets: got %q, want new_session", got)
				}
				old := v.open(numbered(before)[0].id)
				es = old.until("all of it", func(es []event) bool { return len(numbered(es)) >= len(want) })
				same(t, "with an id of the last epoch", numbered(es), want)
				if got := resets(es); !slices.Equal(got, []string{"new_session"}) {
					t.Errorf("resets for an id of the last epoch: got %q, want new_session", got)
				}
			})
		}
	}
}

func TestWake_BootFails_NextTurnRetries(t *testing.T) {
	t.Parallel()
	r := newHarness(t, nil, anyframetest.WithAgent(1, speak))
	v := r.visitor()
	x := v.open("")
	r.plane.FailBoots(1)
	v.refused("hello", "k1", 502, "upstream_failed")
	x.status("failed")
	if status, epoch := v.session(); status != "failed" || epoch != 1 {
		t.Errorf("after it failed: got %s %d, want failed 1", status, epoch)
	}
	v.say("hello", "k1")
	x.turnEnds(1)
	same(t, "live", numbered(lastLife(x.all())), r.oracle(2, r.upstream()))
	r.wantTaken("hello")
}

// A boot that exceeds the timeout is abandoned and its sandbox terminated.
func TestWake_BootNeverEnds_SandboxTerminated(t *testing.T) {
	t.Parallel()
	r := newHarness(t, func(c *relay.Config) { c.BootTimeout, c.SendWait = time.Second, 3*time.Second }, anyframetest.WithBootDelay(time.Hour))
	v := r.visitor()
	x := v.open("")
	v.refused("hello", "k1", 504, "upstream_timeout")
	x.status("failed")
	id := r.upstream()
	r.plane.WaitFor(t, func() bool { s, _ := r.plane.Session(id); return s.Status == anyframetest.StatusTerminated })
	if a := v.do("POST", "/v1/session", ""); a.status != 202 || a.json["status"] != "booting" {
		t.Errorf("another try: got %d %s, want 202 booting", a.status, a.body)
	}
}

func TestWake_SandboxFoundAsleep_WokenForTurn(t *testing.T) {
	t.Parallel()
	r := newHarness(t, nil)
	v := r.visitor()
	v.say("before", "k0")
	r.plane.Inject(anyframetest.Fault{Kind: anyframetest.Respond, Status: 409, Op: anyframetest.OpMessage, Times: 1})
	v.say("hello", "k1")
	r.wantTaken("before", "hello")
}

// A stream that opens looks up the state of a sleeping sandbox, which takes a while.
// Meanwhile a message wakes it.
func TestWake_WhileLookedUpAsleep_TurnNotInterrupted(t *testing.T) {
	t.Parallel()
	r := newHarness(t, sqliteFile(t), anyframetest.WithAgent(1, atWork))
	v, id := r.begin("hi")
	r.idle(id)
	r.plane.Sleep(id)
	r.plane.WaitFor(t, func() bool { s, _ := r.plane.Session(id); return s.Status == anyframetest.StatusTerminated })
	r.restart()
	hit := r.plane.FaultsHit()
	r.plane.Inject(anyframetest.Fault{Kind: anyframetest.Late, Op: anyframetest.OpTranscript, Delay: 2 * time.Second, Times: 1})
	x := v.open("")
	eventually(t, "it is looked up", func() bool { return r.plane.FaultsHit() > hit })
	v.say("work", "k2")
	x.until("the agent's words", func(es []event) bool { return count(es, "text") > 1 })
	time.Sleep(3 * time.Second) // in which the look has ended
	x.wantEnds("live", "k1 done")
	if status, _ := v.session(); status != "running" {
		t.Errorf("got %s, want running", status)
	}
	v.stops("k2")
	x.wantEnds("stopped", "k1 done", "k2 stopped")
}
