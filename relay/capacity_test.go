package relay_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
	"github.com/anyframe-relay/relay/relay/internal/session"
)

// atMost fails the test if more sandboxes were ever awake at once.
func (r *harness) atMost(n int) {
	r.t.Helper()
	if _, most := r.plane.Awake(); most > n {
		r.t.Errorf("sandboxes awake at once: got %d, want %d at most", most, n)
	}
}

// idle waits until the agent has finished its work.
func (r *harness) idle(id string) {
	r.t.Helper()
	r.plane.WaitFor(r.t, func() bool { s, _ := r.plane.Session(id); return !s.Busy })
}

func (r *harness) status(id string) string {
	s, _ := r.plane.Session(id)
	return s.Status
}

// begin returns a new visitor who has had an answer, and the session's id.
func (r *harness) begin(text string) (*browser, string) {
	r.t.Helper()
	v := r.visitor()
	x := v.open("")
	v.say(text, "k1")
	id := r.upstream()
	if text != "work" {
		x.turnEnds(1)
	}
	x.close()
	return v, id
}

func TestCapacity_LimitReached_NewSandboxRefused(t *testing.T) {
	t.Parallel()
	r := newHarness(t, func(c *relay.Config) { c.MaxSessions = 2 }, anyframetest.WithAgent(1, atWork))
	first, _ := r.begin("work")
	second, _ := r.begin("work")
	third := r.visitor()
	for range 2 {
		got := third.refused("hi", "k1", http.StatusServiceUnavailable, "at_capacity")
		if seconds, _ := strconv.Atoi(got.header.Get("Retry-After")); seconds < 1 || seconds > 60 {
			t.Errorf("got Retry-After %q, want up to a minute", got.header.Get("Retry-After"))
		}
	}
	first.say("those who have one go on", "k2")
	if got := r.plane.Count(anyframetest.OpCreate); got != 2 {
		t.Errorf("sandboxes asked for: got %d, want 2", got)
	}
	if a := second.do("DELETE", "/v1/session", ""); a.status != http.StatusNoContent {
		t.Errorf("ended: got %d, want 204", a.status)
	}
	third.say("work", "k2") // now there is room
	second.refused("hi", "k2", http.StatusServiceUnavailable, "at_capacity")
	r.atMost(2)
}

// At the limit, the sandbox that has been idle longest is put to sleep for a
// new one.
func TestCapacity_LimitReached_OldestIdleSandboxEvicted(t *testing.T) {
	t.Parallel()
	r := newHarness(t, func(c *relay.Config) { c.MaxSessions = 4 }, anyframetest.WithAgent(1, atWork))
	_, working := r.begin("work") // the oldest of all
	listener, listened := r.begin("hi")
	tab := listener.open("")
	defer tab.close()
	tab.turnEnds(1)
	_, oldest := r.begin("hi")
	returned, newest := r.begin("hi")
	for i, want := range []string{oldest, newest, listened} {
		before := r.plane.Count(anyframetest.OpTerminate)
		r.begin("work")
		if got := r.plane.Count(anyframetest.OpTerminate) - before; got != 1 {
			t.Errorf("%d: got %d put to sleep, want 1", i, got)
		}
		if got := r.status(want); got != anyframetest.StatusTerminated {
			t.Errorf("%d: got the one whose turn it was %s, want it terminated", i, got)
		}
	}
	if got := r.status(working); got != anyframetest.StatusRunning {
		t.Errorf("the agent at work: got %s, want it left alone", got)
	}
	r.counts(map[string]float64{"relay_sessions_put_to_sleep_total": 3, "relay_sessions_awake_limit": 4})
	tab.status("sleeping")
	r.visitor().refused("hi", "k1", http.StatusServiceUnavailable, "at_capacity")
	returned.refused("hi", "k2", http.StatusServiceUnavailable, "at_capacity")
	r.atMost(4)
}

// A sandbox is in use in ways that this replica does not see: the operator gave its agent
// work, or a message is in flight to it.
func TestCapacity_SandboxInUse_NotEvicted(t *testing.T) {
	t.Parallel()
	for name, use := range map[string]func(r *harness, v *browser, id string) (over func()){
		"by the operator": func(r *harness, _ *browser, id string) func() {
			r.plane.WaitFor(t, func() bool { return r.plane.OpenStreams(id) == 0 })
			r.plane.UserMessage(id, "work")
			return func() { r.plane.Sleep(id) }
		},
		"by a message on its way": func(r *harness, v *browser, _ string) func() {
			r.plane.Inject(anyframetest.Fault{Kind: anyframetest.Hang, Op: anyframetest.OpMessage})
			sent := r.plane.Count(anyframetest.OpMessage)
			var wg sync.WaitGroup
			wg.Go(func() {
				if a, err := v.try(t.Context(), "hello", "k2"); err == nil && a.status == http.StatusAccepted {
					t.Errorf("%s: got it accepted, want it without an answer", a.body)
				}
			})
			r.plane.WaitFor(t, func() bool { return r.plane.Count(anyframetest.OpMessage) > sent })
			return func() {
				r.plane.Down()
				wg.Wait()
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newHarness(t, func(c *relay.Config) {
				c.MaxSessions, c.UpstreamTimeout = 1, patience
				c.Tune(lingering(10 * time.Millisecond))
			}, anyframetest.WithAgent(1, atWork))
			v, id := r.begin("hi")
			r.idle(id)
			over := use(r, v, id)
			r.visitor().refused("hi", "k1", http.StatusServiceUnavailable, "at_capacity")
			if n := r.plane.Count(anyframetest.OpTerminate); n != 0 {
				t.Errorf("terminated: got %d, want it left alone", n)
			}
			over()
		})
	}
}

// Many visitors from many addresses want a sandbox at once.
func TestCapacity_FloodOfVisitors_LimitHolds(t *testing.T) {
	t.Parallel()
	flood(t, 500, 100)
}

func flood(t *testing.T, visitors, addresses int) {
	const limit = 20
	r := newHarness(t, func(c *relay.Config) {
		trusting("", "127.0.0.0/8", "::1/128")(c)
		c.MaxSessions = limit
	}, anyframetest.WithSnapshotDelay(time.Millisecond), anyframetest.WithBootDelay(time.Millisecond), anyframetest.WithAgent(1, atWork))
	known, _ := r.begin("hi")
	var accepted, full atomic.Int32
	var wg sync.WaitGroup
	slots := make(chan struct{}, 50)
	for i := range visitors {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			text := "work"
			if i%5 == 0 { // occasionally one finishes and makes room
				text = "hi"
			}
			v := r.visitor()
			a := v.do("POST", "/v1/messages", `{"text":"`+text+`"}`, "X-Forwarded-For", fmt.Sprintf("198.51.%d.%d", i%addresses/250, i%addresses%250+1))
			switch {
			case a.status == http.StatusAccepted:
				accepted.Add(1)
			case a.code() == "at_capacity" && a.header.Get("Retry-After") != "":
				full.Add(1)
			default:
				t.Errorf("got %d %s, want it accepted or at_capacity", a.status, a.body)
			}
		})
	}
	wg.Wait()
	r.atMost(limit)
	if now, _ := r.plane.Awake(); now != limit {
		t.Errorf("got %d awake in the end, want all %d", now, limit)
	}
	if accepted.Load() < limit-1 || full.Load() < int32(visitors/2) {
		t.Errorf("got %d accepted and %d refused of %d, want %d and more, and most of them refused", accepted.Load(), full.Load(), visitors, limit-1)
	}
	t.Logf("%d accepted, %d at capacity; %d put to sleep", accepted.Load(), full.Load(), r.plane.Count(anyframetest.OpTerminate))
	if a := known.do("GET", "/v1/transcript", ""); a.status != http.StatusOK {
		t.Errorf("who was there before: got %d, want what was said", a.status)
	}
}

// The sandbox of a forgotten visitor cannot be used any more: it makes room for others, even while
// its agent is working.
func TestCapacity_VisitorForgottenWhileAgentWorks_MakesRoom(t *testing.T) {
	t.Parallel()
	r := newHarness(t, func(c *relay.Config) { c.MaxSessions = 1 }, anyframetest.WithAgent(1, atWork))
	v, _ := r.begin("work")
	v.do("DELETE", "/v1/visitor", "")
	r.visitor().insist("hi", "k1")
}

// A sandbox whose snapshot is being taken still counts.
func TestCapacity_SandboxSnapshotting_CountsUntilStopped(t *testing.T) {
	t.Parallel()
	r := newHarness(t, func(c *relay.Config) { c.MaxSessions = 1 }, anyframetest.WithSnapshotDelay(300*time.Millisecond), anyframetest.WithAgent(1, atWork))
	for name, end := range map[string]func(v *browser, id string){
		"ended by its visitor":  func(v *browser, _ string) { v.do("DELETE", "/v1/session", "") },
		"put to sleep":          func(_ *browser, id string) { r.plane.Sleep(id) },
		"put to sleep, watched": func(v *browser, id string) { v.open(""); r.plane.Sleep(id) },
		"of one who logged out": func(v *browser, _ string) { v.do("DELETE", "/v1/visitor", "") },
		"ended for another":     func(v *browser, _ string) { v.do("DELETE", "/v1/session", ""); v.insist("again", "k2") },
	} {
		v := r.visitor()
		v.insist("hi", "k1")
		id := r.upstream()
		r.idle(id)
		end(v, id)
		r.idle(r.upstream())
		r.visitor().insist("hi", "k1")
		r.idle(r.upstream())
		if _, most := r.plane.Awake(); most > 1 {
			t.Fatalf("%s: got %d sandboxes at once, want 1", name, most)
		}
	}
}

// AnyFrame created one, and its response was lost.
func TestCapacity_CreateOutcomeUnknown_Counts(t *testing.T) {
	t.Parallel()
	r := newHarness(t, func(c *relay.Config) { c.MaxSessions, c.UpstreamTimeout = 1, impatience }, anyframetest.WithAgent(1, atWork))
	r.plane.Inject(anyframetest.Fault{Kind: anyframetest.Late, Op: anyframetest.OpCreate, Delay: time.Minute, Times: 1})
	first := r.visitor()
	first.refused("hi", "k1", http.StatusGatewayTimeout, "upstream_timeout")
	for range 2 {
		first.refused("hi", "k1", http.StatusServiceUnavailable, "at_capacity")
		r.visitor().refused("hi", "k1", http.StatusServiceUnavailable, "at_capacity")
	}
	if got := metric(t, r.reg, "relay_sessions_awake"); got != 1 {
		t.Errorf("counted as awake: got %v, want 1", got)
	}
	r.atMost(1)
}

// Listeners only affect a rank, so thousands of streams that drop and reconnect at once
// must not make the store write.
func TestCapacity_StreamsComeAndGo_FewStoreCalls(t *testing.T) {
	t.Parallel()
	r := newHarness(t, nil, anyframetest.WithAgent(1, atWork))
	v, id := r.begin("hi")
	r.idle(id)
	counted := func() float64 {
		return metric(t, r.reg, "relay_store_seconds", "op", "admit") + metric(t, r.reg, "relay_store_seconds", "op", "admit_all")
	}
	before := counted()
	const times = 50
	for range times {
		x := v.open("")
		x.turnEnds(1)
		x.close()
		r.plane.WaitFor(t, func() bool { return metric(t, r.reg, "relay_streams_open") == 0 })
	}
	if got := counted() - before; got > times/2 {
		t.Errorf("the sandbox was counted %v times more, want a few at most for %d streams that came and went", got, times)
	}
	r.srv.RankNow() // that it has no listener
	before = counted()
	x := v.open("") // a visitor who stays is recorded
	eventually(t, "the sandbox is counted as listened to", func() bool { return counted() > before })
	x.close()
}

func TestCapacity_VisitorsLeft_SandboxesNotWokenOrCalled(t *testing.T) {
	t.Parallel()
	r := newHarness(t, func(c *relay.Config) {
		c.IdleTimeout = time.Second // AnyFrame keeps it awake for longer
		c.Tune(relay.Tuning{Session: session.Tuning{
			Linger: 50 * time.Millisecond, Resync: 10 * time.Millisecond, ProbeAfter: 10 * time.Millisecond,
		}})
	}, anyframetest.WithIdleTimeout(time.Hour), anyframetest.WithAgent(1, atWork))
	_, id := r.begin("hi")
	r.plane.WaitFor(t, func() bool { return r.plane.OpenStreams("") == 0 })
	eventually(t, "nothing is kept of who left", func() bool { return r.srv.SessionsInMemory() == 0 })
	r.idle(id)
	before := r.about(id)
	was, _ := r.plane.Session(id)

	// Nor does a tab that only listens keep its sandbox awake, although the relay
	// sometimes probes it.
	v, listened := r.begin("hi")
	x := v.open("")
	r.idle(listened)
	begun, _ := r.plane.Session(listened)
	asked := r.about(listened)
	r.plane.WaitFor(t, func() bool { return r.about(listened) > asked+5 })
	if now, _ := r.plane.Session(listened); now.LastActive != begun.LastActive {
		t.Errorf("last active: got %v, want %v still", now.LastActive, begun.LastActive)
	}
	r.plane.Sleep(listened)
	x.status("sleeping")
	if status, _ := v.session(); status != "sleeping" {
		t.Errorf("got %s, want it left asleep", status)
	}
	if n := r.plane.Count(anyframetest.OpResume); n != 0 {
		t.Errorf("resumed: got %d, want none", n)
	}
	if now, _ := r.plane.Session(id); r.about(id) != before || now.LastActive != was.LastActive {
		t.Errorf("requests about one who left: got %d, want none", r.about(id)-before)
	}
}

// about returns how many requests there were for a session.
func (r *harness) about(id string) (n int) {
	for _, req := range r.plane.Requests() {
		if strings.Contains(req.Path, id) {
			n++
		}
	}
	return n
}

func TestCapacity_WakeAtLimit_RefusedAtOnce(t *testing.T) {
	r := newHarness(t, func(c *relay.Config) { c.MaxSessions, c.BootOnOpen = 1, true }, anyframetest.WithAgent(1, atWork))
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
