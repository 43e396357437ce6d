package relay_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
)

// eventually waits until cond holds of what is asked again and again.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	if !within(cond) {
		t.Fatalf("%s: did not happen", what)
	}
}

// session asks for the session's state.
func (b *browser) session() (status string, epoch int) {
	b.r.t.Helper()
	a := b.do("GET", "/v1/session", "")
	status, _ = a.json["status"].(string)
	n, _ := a.json["epoch"].(float64)
	return status, int(n)
}

// statuses are those that a stream told, in order.
func statuses(events []event) []string {
	var all []string
	for _, e := range events {
		if e.kind == "session" {
			all = append(all, fmt.Sprintf("%v %s", e.json["epoch"], e.str("status")))
		}
	}
	return all
}

// resets are the reasons for which a stream began anew.
func resets(events []event) []string {
	var all []string
	for _, e := range events {
		if e.kind == "reset" {
			all = append(all, e.str("reason"))
		}
	}
	return all
}

// lastLife are the events since the last reset.
func lastLife(events []event) []event {
	for i, e := range slices.Backward(events) {
		if e.kind == "reset" {
			return events[i:]
		}
	}
	return events
}

func TestRacingTabsMakeOneSandbox(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil, anyframetest.WithBootDelay(100*time.Millisecond), anyframetest.WithAgent(1, speak))
	v := r.visitor()
	var tabs []*tab
	for range 5 {
		tabs = append(tabs, v.open(""))
	}
	var wg sync.WaitGroup
	for i := range 10 {
		wg.Go(func() {
			if i%2 == 0 {
				if a := v.do("POST", "/v1/session", ""); a.status != 202 && a.status != 200 {
					t.Errorf("POST /v1/session: got %d %s", a.status, a.body)
				}
				return
			}
			if a, err := v.try(t.Context(), "hello", fmt.Sprint("k", i)); err != nil || a.status != 202 {
				t.Errorf("turn: got %d %s, %v", a.status, a.body, err)
			}
		})
	}
	wg.Wait()
	for i, x := range tabs {
		x.turnEnds(5)
		x.matches(fmt.Sprintf("tab %d", i), r.oracle(1, r.upstream()))
		if got, want := statuses(x.all()), []string{"0 none", "1 booting", "1 running"}; !slices.Equal(got, want) {
			t.Errorf("tab %d: statuses: got %q, want %q", i, got, want)
		}
	}
	if got := r.plane.Count(anyframetest.OpCreate); got != 1 {
		t.Errorf("sandboxes asked for: got %d, want 1", got)
	}
	if got := r.plane.OpenStreams(""); got != 1 {
		t.Errorf("upstream streams: got %d, want 1", got)
	}
}

func TestASessionIsMadeOnRequestAndSaysWhenItRuns(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil, anyframetest.WithBootDelay(500*time.Millisecond))
	v := r.visitor()
	if status, epoch := v.session(); status != "none" || epoch != 0 {
		t.Errorf("before: got %s %d, want none 0", status, epoch)
	}
	if a := v.do("POST", "/v1/session", ""); a.status != 202 || a.json["status"] != "booting" {
		t.Errorf("first: got %d %s, want 202 booting", a.status, a.body)
	}
	eventually(t, "200", func() bool {
		a := v.do("POST", "/v1/session", "")
		if a.status == 200 && a.json["status"] != "running" {
			t.Errorf("got %s, want running", a.body)
		}
		return a.status == 200
	})
	if status, epoch := v.session(); status != "running" || epoch != 1 {
		t.Errorf("after: got %s %d, want running 1", status, epoch)
	}
}

func TestASleepingSessionWakesWithTheNextTurnAndKeepsItsHistory(t *testing.T) {
	for _, restarted := range []bool{false, true} {
		t.Run(fmt.Sprint("restarted ", restarted), func(t *testing.T) {
			t.Parallel()
			disk := onDisk(t)
			r := newRig(t, disk, anyframetest.WithAgent(1, speak))
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

func TestASessionThatCannotComeBackIsFollowedByANewOne(t *testing.T) {
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
			p.Inject(anyframetest.Fault{Kind: anyframetest.Hang, Op: anyframetest.OpEvents, Times: 1}) // so nobody notices
			p.CutStreams()
			p.Delete(id)
		},
	} {
		for _, restarted := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, restarted %t", name, restarted), func(t *testing.T) {
				t.Parallel()
				disk := onDisk(t)
				r := newRig(t, func(c *relay.Config) { disk(c); c.UpstreamTimeout = 2 * time.Second }, anyframetest.WithAgent(1, speak))
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

func TestABootThatFailsCanBeTriedAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil, anyframetest.WithAgent(1, speak))
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

func TestABootThatNeverEndsIsGivenUpAndItsSandboxEnded(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *relay.Config) { c.BootTimeout, c.SendWait = time.Second, 3*time.Second }, anyframetest.WithBootDelay(time.Hour))
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

func TestEndingTheConversationBeginsAnotherWithTheNextTurn(t *testing.T) {
	for _, restarted := range []bool{false, true} {
		t.Run(fmt.Sprint("restarted ", restarted), func(t *testing.T) {
			t.Parallel()
			disk := onDisk(t)
			r := newRig(t, disk, anyframetest.WithAgent(1, speak))
			v := r.visitor()
			if a := v.do("DELETE", "/v1/session", ""); a.status != 204 {
				t.Errorf("DELETE with none: got %d, want 204", a.status)
			}
			x := v.open("")
			v.say("one", "k1")
			x.turnEnds(1)
			id := r.upstream()
			if a := v.do("DELETE", "/v1/session", ""); a.status != 204 {
				t.Errorf("DELETE: got %d %s, want 204", a.status, a.body)
			}
			x.status("ended")
			if s, _ := r.plane.Session(id); s.Status != anyframetest.StatusTerminated {
				t.Errorf("upstream: got %s, want terminated", s.Status)
			}
			if restarted {
				r.restart()
				x = v.open("")
				x.status("ended")
			}
			if status, epoch := v.session(); status != "ended" || epoch != 1 {
				t.Errorf("got %s %d, want ended 1", status, epoch)
			}
			if a := v.do("DELETE", "/v1/session", ""); a.status != 204 {
				t.Errorf("DELETE again: got %d, want 204", a.status)
			}
			v.say("two", "k2")
			x.until("the new session", func(es []event) bool { return count(lastLife(es), "turn_end") == 1 && len(resets(es)) == 1 })
			same(t, "since the reset", numbered(lastLife(x.all())), r.oracle(2, r.upstream()))
			if id == r.upstream() {
				t.Error("the next turn went to the session that had ended")
			}
		})
	}
}

func TestTheStateTellsTheLastEventIDAndWhetherTheAgentWorks(t *testing.T) {
	t.Parallel()
	g := gated{gate: make(chan struct{})}
	disk := onDisk(t)
	r := newRig(t, disk, anyframetest.WithAgent(1, g.speak))
	v := r.visitor()
	x := v.open("")
	if a := v.do("GET", "/v1/session", ""); a.json["last_event_id"] != nil || a.json["agent_busy"] != false {
		t.Errorf("before: got %s, want no last event id, not busy", a.body)
	}
	v.say("now", "k1")
	x.until("half the answer", func(es []event) bool { return len(answers(es)) == 1 && answers(es)[0] == firstHalf })
	busy := func(want bool) {
		t.Helper()
		log := r.plane.Log(r.upstream())
		last := fmt.Sprintf("1-%d", log[len(log)-1].Seq)
		eventually(t, "agent_busy, last_event_id", func() bool {
			a := v.do("GET", "/v1/session", "")
			return a.json["agent_busy"] == want && a.json["last_event_id"] == last
		})
	}
	busy(true)
	r.restart()
	busy(true)
	x = v.open("")
	close(g.gate)
	x.turnEnds(1)
	busy(false)
	r.restart()
	busy(false)
	a := v.do("GET", "/v1/session", "")
	y := v.open(a.json["last_event_id"].(string))
	v.say("before", "k2")
	want := r.oracle(1, r.upstream())
	es := y.turnEnds(1)
	same(t, "after that id", numbered(es), after(want, a.json["last_event_id"].(string)))
	if got := resets(es); got != nil {
		t.Errorf("resets: got %q, want none", got)
	}
}

func TestTheUpstreamStreamEndsWhenNobodyListensAndNoTurnRuns(t *testing.T) {
	t.Parallel()
	g := gated{gate: make(chan struct{})}
	r := newRig(t, nil, anyframetest.WithAgent(1, g.speak))
	r.srv.SetLinger(50 * time.Millisecond)
	v := r.visitor()
	x := v.open("")
	v.say("before", "k1")
	x.turnEnds(1)
	id := r.upstream()
	if got := r.plane.OpenStreams(id); got != 1 {
		t.Fatalf("upstream streams: got %d, want 1", got)
	}
	x.close()
	r.plane.WaitFor(t, func() bool { return r.plane.OpenStreams(id) == 0 })
	// While a turn runs it stays, although nobody listens.
	v.say("now", "k2")
	quiet := time.After(500 * time.Millisecond)
	for waiting := true; waiting; {
		select {
		case <-quiet:
			waiting = false
		default:
			if got := r.plane.OpenStreams(id); got != 1 {
				t.Fatalf("upstream streams while a turn runs: got %d, want 1", got)
			}
		}
	}
	close(g.gate)
	r.plane.WaitFor(t, func() bool { return r.plane.OpenStreams(id) == 0 })
	last := numbered(x.all())
	v.open(last[len(last)-1].id).matches("later", after(r.oracle(1, id), last[len(last)-1].id))
}

func TestADeadAnyFrameIsNotHammeredAndIsFoundAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil, anyframetest.WithAgent(1, speak))
	v := r.visitor()
	r.plane.Inject(anyframetest.Fault{Kind: anyframetest.Respond, Status: 503})
	eventually(t, "upstream_unavailable", func() bool {
		a, err := v.try(t.Context(), "hello", "k1")
		if err != nil || a.status < 500 {
			t.Fatalf("got %d %s, %v, want a problem", a.status, a.body, err)
		}
		return a.code() == "upstream_unavailable"
	})
	asked, since := r.plane.Count(anyframetest.OpAny), time.Now()
	for range 50 {
		a, err := v.try(t.Context(), "hello", "k1")
		switch {
		case err == nil && a.code() == "upstream_unavailable":
			if a.header.Get("Retry-After") == "" {
				t.Error("upstream_unavailable without Retry-After")
			}
		case err != nil || a.code() != "upstream_failed": // it may be asked now and then
			t.Errorf("got %d %s, %v, want a refusal", a.status, a.body, err)
		}
	}
	most := 3 + int(time.Since(since)/(4*time.Second)) // a busy machine takes as long as some trials of the breaker's
	if got := r.plane.Count(anyframetest.OpAny) - asked; got > most {
		t.Errorf("requests to a dead AnyFrame for 50 turns: got %d, want %d at most", got, most)
	}
	r.plane.ClearFaults()
	eventually(t, "the turn", func() bool {
		a, err := v.try(t.Context(), "hello", "k1")
		return err == nil && a.status == 202
	})
	r.wantTaken("hello")
}

func TestARefusedKeyMakesTheRelayNotReadyAndStopsAllRequests(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil, anyframetest.WithAgent(1, speak))
	v := r.visitor()
	x := v.open("")
	v.say("before", "k0")
	x.turnEnds(1)
	if a := v.do("GET", "/readyz", ""); a.status != 200 {
		t.Fatalf("readyz: got %d %s, want 200", a.status, a.body)
	}
	r.plane.Inject(anyframetest.Fault{Kind: anyframetest.Respond, Status: 401})
	v.refused("hello", "k1", 503, "upstream_unavailable")
	if a := v.do("GET", "/readyz", ""); a.status != 503 {
		t.Errorf("readyz: got %d %s, want 503", a.status, a.body)
	}
	asked := r.plane.Count(anyframetest.OpAny)
	r.plane.CutStreams()
	for range 20 {
		v.refused("hello", "k1", 503, "upstream_unavailable")
	}
	if got := r.plane.Count(anyframetest.OpAny) - asked; got != 0 {
		t.Errorf("requests with a refused key: got %d, want none", got)
	}
	r.plane.ClearFaults()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { r.srv.Run(ctx) })
	defer wg.Wait()
	defer cancel()
	eventually(t, "ready", func() bool { return v.do("GET", "/readyz", "").status == 200 })
	v.say("hello", "k1")
	x.turnEnds(2)
	x.matches("live", r.oracle(1, r.upstream()))
	r.wantTaken("before", "hello")
}
