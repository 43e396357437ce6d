package relay_test

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
)

// bootOnOpen lets POST /v1/session create sandboxes.
func bootOnOpen(c *relay.Config) { c.BootOnOpen = true }

func TestSession_SandboxRequested_StatusBooting(t *testing.T) {
	t.Parallel()
	r := newHarness(t, bootOnOpen, anyframetest.WithAgent(1, talk))
	r.plane.Inject(anyframetest.Fault{Kind: anyframetest.Hang, Op: anyframetest.OpCreate, Times: 1})
	v := r.visitor()
	if a := v.do("POST", "/v1/session", ""); a.status != http.StatusAccepted || a.json["status"] != "booting" {
		t.Errorf("POST: got %d %s, want 202 booting", a.status, a.body)
	}
	if a := v.do("GET", "/v1/session", ""); a.json["status"] != "booting" {
		t.Errorf("GET: got %s, want booting", a.body)
	}
}

// Concurrent first turns from several tabs create one sandbox.
func TestSession_FirstTurnsAtOnce_OneSandbox(t *testing.T) {
	t.Parallel()
	r := newHarness(t, bootOnOpen, anyframetest.WithBootDelay(100*time.Millisecond), anyframetest.WithAgent(1, speak))
	v := r.visitor()
	var tabs []*stream
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

func TestSession_CreatedOnRequest_ReportsRunning(t *testing.T) {
	t.Parallel()
	r := newHarness(t, bootOnOpen, anyframetest.WithBootDelay(500*time.Millisecond))
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

// A client knows by last_event_id when it has read the history, so it is an event that the
// stream sends, although the agent has done something since that visitors are not shown.
func TestSession_State_LastEventIDIsShown(t *testing.T) {
	t.Parallel()
	hidden := make(chan struct{})
	r := newHarness(t, nil, anyframetest.WithAgent(1, func(c *anyframetest.Chat) {
		c.Say("I look around.")
		c.Tool("Bash", map[string]any{"command": "ls"})
		close(hidden)
		<-c.Context().Done()
	}))
	v := r.visitor()
	x := v.open("")
	v.say("look", "k1")
	shown := numbered(x.until("the text", func(es []event) bool { return len(answers(es)) == 1 }))
	<-hidden
	var log []anyframetest.Event
	eventually(t, "the relay has read the hidden events", func() bool {
		log = r.plane.Log(r.upstream())
		return metric(t, r.reg, "relay_pump_lag_seconds") >= float64(len(log))
	})
	last := shown[len(shown)-1].id
	if hidden := fmt.Sprintf("1-%d", log[len(log)-1].Seq); hidden == last {
		t.Fatalf("got %s as the last event, want a hidden one after it", hidden)
	}
	if a := v.do("GET", "/v1/session", ""); a.json["last_event_id"] != last {
		t.Errorf("got %s, want %s", a.body, last)
	}
}

func TestSession_State_LastEventIDAndBusy(t *testing.T) {
	t.Parallel()
	g := gated{gate: make(chan struct{})}
	disk := sqliteFile(t)
	r := newHarness(t, disk, anyframetest.WithAgent(1, g.speak))
	v := r.visitor()
	x := v.open("")
	if a := v.do("GET", "/v1/session", ""); a.json["last_event_id"] != nil || a.json["agent_busy"] != false {
		t.Errorf("before: got %s, want no last event id, not busy", a.body)
	}
	v.say("now", "k1")
	x.until("half the answer", func(es []event) bool { return len(answers(es)) == 1 && answers(es)[0] == firstHalf })
	busy := func(want bool) {
		t.Helper()
		shown := r.oracle(1, r.upstream())
		last := shown[len(shown)-1].id
		eventually(t, "agent_busy, last_event_id", func() bool {
			a := v.do("GET", "/v1/session", "")
			return a.json["agent_busy"] == want && a.json["last_event_id"] == last
		})
	}
	busy(true)
	r.restart()
	if a := v.do("GET", "/v1/session", ""); a.json["agent_busy"] != true || a.json["last_event_id"] == nil {
		t.Errorf("the first answer after a restart: got %s, want busy, and the message's id at least", a.body)
	}
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
