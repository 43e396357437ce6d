package relay_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
	"github.com/anyframe-relay/relay/relay/internal/session"
	"github.com/anyframe-relay/relay/relay/internal/store"
)

// stop requests a stop of a turn.
func (b *browser) stop(key string) answer {
	b.r.t.Helper()
	return b.do("POST", "/v1/turns/"+key+"/stop", "")
}

// stops requests a stop of a turn, which must be accepted.
func (b *browser) stops(key string) {
	b.r.t.Helper()
	if a := b.stop(key); a.status != http.StatusAccepted || strings.TrimSpace(a.body) != "{}" {
		b.r.t.Fatalf("stop %s: got %d %s, want 202 {}", key, a.status, a.body)
	}
}

// ends returns how turns ended, and which, in the order in which that was shown.
func ends(events []event) (all []string) {
	for _, e := range lastLife(events) {
		if e.kind == "turn_end" {
			all = append(all, strings.TrimSpace(e.str("turn")+" "+e.str("reason")))
		}
	}
	return all
}

// wantEnds waits for as many ends of turns as in want and fails the test unless they are
// equal.
func (x *stream) wantEnds(what string, want ...string) []event {
	x.t.Helper()
	es := x.until(fmt.Sprintf("%s: %d ends of turns", what, len(want)), func(es []event) bool { return len(ends(es)) >= len(want) })
	if got := ends(es); !slices.Equal(got, want) {
		x.t.Errorf("%s: got %q, want %q\n%s", what, got, want, lines(es))
	}
	return es
}

// prompts returns the texts of the messages that AnyFrame has accepted, over all
// sessions.
func (r *harness) prompts() (all []string) {
	for _, info := range r.plane.Sessions() {
		for _, body := range r.plane.Messages(info.ID) {
			_, text, _ := strings.Cut(string(body), `"prompt":"`)
			text, _, _ = strings.Cut(text, `"`)
			all = append(all, text)
		}
	}
	return all
}

// held posts a message that waits. It returns when the relay has stored it, with a
// function that waits for the response.
func (b *browser) held(text, key string) (answered func() answer) {
	b.r.t.Helper()
	var a answer
	var err error
	var wg sync.WaitGroup
	wg.Go(func() { a, err = b.try(b.r.t.Context(), text, key) })
	return func() answer {
		b.r.t.Helper()
		wg.Wait()
		if err != nil {
			b.r.t.Fatal(err)
		}
		return a
	}
}

// stopsHeld stops a turn as soon as the relay has stored it.
func (b *browser) stopsHeld(key string) {
	b.r.t.Helper()
	eventually(b.r.t, "the turn is known", func() bool { return b.stop(key).status == http.StatusAccepted })
}

func TestStop_RunningTurn_SandboxSleepsAndEpochStays(t *testing.T) {
	overTransports(t, func(t *testing.T, via transport) {
		r := via.newHarness(t, sqliteFile(t), anyframetest.WithAgent(1, atWork))
		v := r.visitor()
		x, other := v.open(""), v.open("")
		v.say("work", "k1")
		x.until("the agent's words", func(es []event) bool { return shown(es) == "On it." })
		v.stops("k1")
		v.stops("k1")
		for _, x := range []*stream{x, other} {
			es := x.wantEnds("live", "k1 stopped")
			wantAnswers(t, "what was said so far", es, "On it.")
			x.status("sleeping")
		}
		if status, epoch := v.session(); status != "sleeping" || epoch != 1 {
			t.Errorf("got %s in epoch %d, want it sleeping in the first", status, epoch)
		}
		v.stops("k1")
		v.say("hi", "k2") // the next one wakes the sandbox
		x.wantEnds("after the next turn", "k1 stopped", "k2 done")
		if status, epoch := v.session(); status != "running" || epoch != 1 {
			t.Errorf("got %s in epoch %d, want it running in the first", status, epoch)
		}
		v.open("").wantEnds("a reload", "k1 stopped", "k2 done")
		r.restart()
		v.open("").wantEnds("after a restart", "k1 stopped", "k2 done")
		if got := ends(transcriptEvents(t, v)); !slices.Equal(got, []string{"k1 stopped", "k2 done"}) {
			t.Errorf("transcript: got %q", got)
		}
		v.stops("k1")
		wantProblem(t, "a turn that was done", v.stop("k2"), http.StatusConflict, "turn_over")
		if a := v.say("work", "k1"); a.status != http.StatusAccepted {
			t.Errorf("the key again: got %d %s, want it answered as before", a.status, a.body)
		}
		if got := r.prompts(); !slices.Equal(got, []string{"work", "hi"}) {
			t.Errorf("got %q at AnyFrame, want each message once", got)
		}
	})
}

// transcriptEvents returns all events of GET /v1/transcript.
func transcriptEvents(t *testing.T, v *browser) (all []event) {
	t.Helper()
	a := v.do("GET", "/v1/transcript?limit=1000", "")
	rows, _ := a.json["events"].([]any)
	for _, row := range rows {
		m, _ := row.(map[string]any)
		data, _ := m["data"].(map[string]any)
		kind, _ := m["event"].(string)
		all = append(all, event{kind: kind, json: data})
	}
	return all
}

func TestStop_UnknownOrOver_Refused(t *testing.T) {
	t.Parallel()
	r := newHarness(t, nil, anyframetest.WithAgent(1, atWork))
	v, _ := r.begin("hi")
	for name, key := range map[string]string{"never sent": "nobody", "no key": "a.b", "too long": strings.Repeat("k", 65)} {
		wantProblem(t, name, v.stop(key), http.StatusNotFound, "turn_unknown")
	}
	wantProblem(t, "another visitor's", r.visitor().stop("k1"), http.StatusNotFound, "turn_unknown")
	wantProblem(t, "without a token", (&browser{r: r}).stop("k1"), http.StatusUnauthorized, "visitor_unknown")
	wantProblem(t, "over", v.stop("k1"), http.StatusConflict, "turn_over")
	v.say("work", "k2")
	v.do("DELETE", "/v1/session", "")
	wantProblem(t, "ended with its conversation", v.stop("k2"), http.StatusConflict, "turn_over")
	v.say("hi", "k3")
	wantProblem(t, "of an epoch before", v.stop("k2"), http.StatusConflict, "turn_over")
	if got := r.plane.Count(anyframetest.OpTerminate); got != 1 {
		t.Errorf("got %d sandboxes terminated, want the one that the conversation's end did", got)
	}
}

// A late stop does not affect the turn that is running by then.
func TestStop_NextTurnRuns_NotHit(t *testing.T) {
	t.Parallel()
	r := newHarness(t, nil, anyframetest.WithAgent(1, atWork))
	v := r.visitor()
	x := v.open("")
	v.say("hi", "k1")
	x.turnEnds(1)
	v.say("work", "k2")
	x.until("the agent is at work", func(es []event) bool { return count(es, "user") == 2 })
	wantProblem(t, "late", v.stop("k1"), http.StatusConflict, "turn_over")
	if got := r.plane.Count(anyframetest.OpTerminate); got != 0 {
		t.Errorf("got %d sandboxes terminated, want none", got)
	}
	v.stops("k2")
	x.wantEnds("then", "k1 done", "k2 stopped")
}

func TestStop_WaitingTurn_IsNeverSent(t *testing.T) {
	overTransports(t, func(t *testing.T, via transport) {
		r := via.newHarness(t, sqliteFile(t), anyframetest.WithAgent(1, speak), anyframetest.WithBootDelay(2*time.Second))
		v := r.visitor()
		x := v.open("")
		first, second := v.held("first", "k1"), v.held("second", "k2")
		v.stopsHeld("k1")
		wantProblem(t, "the turn", first(), http.StatusConflict, "turn_stopped")
		v.stops("k1")
		v.refused("first", "k1", http.StatusConflict, "turn_stopped")
		v.refused("other", "k1", http.StatusConflict, "turn_conflict")
		if a := second(); a.status != http.StatusAccepted {
			t.Errorf("the other turn: got %d %s, want it accepted", a.status, a.body)
		}
		x.wantEnds("live", "k2 done")
		r.restart()
		v.refused("first", "k1", http.StatusConflict, "turn_stopped")
		es := v.open("").wantEnds("a reload", "k2 done")
		for _, e := range es {
			if e.kind == "user" && e.str("text") != "second" {
				t.Errorf("got %s, want nothing of the turn that was stopped", e)
			}
		}
		if got := r.prompts(); !slices.Equal(got, []string{"second"}) {
			t.Errorf("got %q at AnyFrame, want the other message alone", got)
		}
		if boots, ended := len(r.plane.Sessions()), r.plane.Count(anyframetest.OpTerminate); boots != 1 || ended != 0 {
			t.Errorf("got %d sandboxes and %d terminated, want the one kept that was booting", boots, ended)
		}
	})
}

// Turns that AnyFrame has queued are stopped together with the running one.
func TestStop_TurnsQueuedAtAnyFrame_AllStopped(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string][]anyframetest.Option{
		"AnyFrame shows messages": nil, "AnyFrame does not": {anyframetest.WithoutUserEcho()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newHarness(t, sqliteFile(t), append(opts, anyframetest.WithAgent(1, atWork))...)
			v := r.visitor()
			x := v.open("")
			v.say("work", "k1")
			v.say("second", "k2")
			v.stops("k2")
			x.wantEnds("live", "k1 stopped", "k2 stopped")
			v.open("").wantEnds("a reload", "k1 stopped", "k2 stopped")
			v.say("third", "k3")
			x.wantEnds("and then", "k1 stopped", "k2 stopped", "k3 done")
			r.restart()
			v.open("").wantEnds("after a restart", "k1 stopped", "k2 stopped", "k3 done")
		})
	}
}

func TestStop_AgentWaitsForAnswer_PromptSettledStopped(t *testing.T) {
	for name, tt := range map[string]struct {
		say, kind string
		approvals bool
		outcomes  int
	}{
		"a question":                     {"ask", "question", false, 1},
		"a permission":                   {"permit", "approval", true, 1},
		"a permission of the operator's": {"permit", "approval", false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newHarness(t, func(c *relay.Config) { c.VisitorApprovals = tt.approvals }, anyframetest.WithAgent(1, asks))
			v := r.visitor()
			x := v.open("")
			v.say(tt.say, "k1")
			x.until("the prompt", func(es []event) bool { return count(es, tt.kind) == 1 })
			v.stops("k1")
			es := x.until("the end", func(es []event) bool { return len(ends(es)) > 0 })
			if got := ends(es)[0]; got != "k1 stopped" {
				t.Errorf("got %q, want the turn stopped", got)
			}
			x.status("sleeping")
			// An agent whose permission is denied may also finish by itself.
			for _, x := range []*stream{x, v.open("")} {
				es := x.until("the end", func(es []event) bool { return len(ends(es)) > 0 })
				if all := ends(es); all[0] != "k1 stopped" || len(all) > 1 && (tt.kind != "approval" || !slices.Equal(all[1:], []string{"done"})) {
					t.Errorf("got %q, want the turn stopped once", all)
				}
			}
			outcomes := 0
			for _, e := range es {
				if e.kind == "settled" {
					outcomes++
					if e.str("outcome") != "stopped" {
						t.Errorf("got outcome %q, want stopped", e.str("outcome"))
					}
				}
			}
			if outcomes != tt.outcomes {
				t.Errorf("got %d prompts settled, want %d", outcomes, tt.outcomes)
			}
			denied := 0
			for _, req := range r.plane.Requests() {
				if req.Op == anyframetest.OpRespond {
					denied++
					if !strings.Contains(string(req.Body), `"deny"`) {
						t.Errorf("got %s, want a denial", req.Body)
					}
				}
			}
			if want := map[string]int{"approval": 1}[tt.kind]; denied != want {
				t.Errorf("got %d denials at AnyFrame, want %d", denied, want)
			}
		})
	}
}

// A stop that cannot reach AnyFrame is retried, by another process if necessary.
func TestStop_AnyFrameInTrouble_SeenThrough(t *testing.T) {
	t.Parallel()
	for name, restart := range map[string]bool{"by the same process": false, "by the next": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newHarness(t, sqliteFile(t), anyframetest.WithAgent(1, atWork))
			v := r.visitor()
			x := v.open("")
			v.say("work", "k1")
			x.until("the agent's words", func(es []event) bool { return shown(es) == "On it." })
			times := 2
			if restart {
				times = 0
			}
			r.plane.Inject(anyframetest.Fault{Kind: anyframetest.Respond, Status: 503, Op: anyframetest.OpTerminate, Times: times})
			v.stops("k1")
			r.plane.WaitFor(t, func() bool { return r.plane.Count(anyframetest.OpTerminate) > 0 })
			if restart {
				x.close()
				r.restart() // and no client sends a request
				r.plane.ClearFaults()
				var running sync.WaitGroup
				ctx, cancel := context.WithCancel(t.Context())
				defer running.Wait()
				defer cancel()
				running.Go(func() { r.srv.Run(ctx) })
				r.plane.WaitFor(t, func() bool { s, _ := r.plane.Session(r.upstream()); return s.Status == anyframetest.StatusTerminated })
				x = v.open("")
			}
			x.wantEnds("in the end", "k1 stopped")
			x.status("sleeping")
		})
	}
}

func TestReplicas_StopAtOther_StoppedEverywhere(t *testing.T) {
	t.Parallel()
	overStores(t, func(t *testing.T, share sharing) {
		t.Parallel()
		a, b := replicas(t, overHTTP1, share, nil, anyframetest.WithAgent(1, atWork), anyframetest.WithBootDelay(time.Second))
		here := a.visitor()
		there := here.at(b)
		x := here.open("")
		waiting := here.held("never", "k0")
		there.stopsHeld("k0")
		wantProblem(t, "a turn that waits at the first", waiting(), http.StatusConflict, "turn_stopped")
		here.say("work", "k1")
		y := there.open("")
		for _, x := range []*stream{x, y} {
			x.until("the agent's words", func(es []event) bool { return shown(es) == "On it." })
		}
		there.stops("k1")
		for _, x := range []*stream{x, y} {
			x.wantEnds("live", "k1 stopped")
			x.status("sleeping")
		}
		there.say("hi", "k2")
		for _, x := range []*stream{x, y, here.open(""), there.open("")} {
			x.wantEnds("and then", "k1 stopped", "k2 done")
		}
	})
}

// AnyFrame's transcript has no end of a stopped turn.
func TestReplicas_WokenAfterStop_AgentIdleAndNoSecondEnd(t *testing.T) {
	t.Parallel()
	overStores(t, func(t *testing.T, share sharing) {
		t.Parallel()
		a, b := replicas(t, overHTTP1, share, nil, anyframetest.WithAgent(1, atWork))
		here := a.visitor()
		there := here.at(b)
		x, y := here.open(""), there.open("")
		here.say("work", "k1")
		id := a.upstream()
		for _, x := range []*stream{x, y} {
			x.until("the agent's words", func(es []event) bool { return shown(es) == "On it." })
		}
		here.stops("k1")
		for _, x := range []*stream{x, y} {
			x.wantEnds("live", "k1 stopped")
			x.status("sleeping")
		}
		if got := here.do("POST", "/v1/session", ""); got.status != http.StatusAccepted {
			t.Fatalf("wake: got %d %s, want 202", got.status, got.body)
		}
		a.plane.WaitFor(t, func() bool { return a.plane.OpenStreams(id) == 2 })
		for name, v := range map[string]*browser{"where it was stopped": here, "at the other": there} {
			eventually(t, name+": it runs", func() bool { status, _ := v.session(); return status == "running" })
			if got := v.do("GET", "/v1/session", ""); got.json["agent_busy"] != false {
				t.Errorf("%s: got %s, want the agent idle", name, got.body)
			}
		}
		for _, x := range []*stream{x, y} {
			x.stands("running")
		}
		a.plane.Sleep(id)
		for _, x := range []*stream{x, y} {
			x.stands("sleeping")
		}
		there.say("hi", "k2")
		for name, x := range map[string]*stream{"where it was stopped": x, "at the other": y} {
			x.wantEnds(name, "k1 stopped", "k2 done")
		}
	})
}

// The message is in flight when it is stopped.
func TestStop_MessageOnItsWay_StoppedOrNeverSent(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		fault anyframetest.Fault
		want  []string
		sent  bool
	}{
		"it arrived":         {anyframetest.Fault{Kind: anyframetest.Late, Delay: 3 * time.Second}, []string{"k1 stopped"}, true},
		"it did not":         {anyframetest.Fault{Kind: anyframetest.Hang}, nil, false},
		"its answer is lost": {anyframetest.Fault{Kind: anyframetest.HangAfterHeaders}, []string{"k1 stopped"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newHarness(t, func(c *relay.Config) {
				c.UpstreamTimeout = 5 * time.Second
				c.Tune(relay.Tuning{Session: session.Tuning{Lease: 3 * time.Second}})
			}, anyframetest.WithAgent(1, atWork))
			v, id := r.begin("hi")
			x := v.open("")
			tt.fault.Op, tt.fault.Times = anyframetest.OpMessage, 1
			r.plane.Inject(tt.fault)
			answered := v.held("work", "k2")
			r.plane.WaitFor(t, func() bool { return r.plane.Count(anyframetest.OpMessage) == 2 })
			v.stops("k2")
			first := answered()
			r.plane.WaitFor(t, func() bool { s, _ := r.plane.Session(id); return s.Status == anyframetest.StatusTerminated })
			again := v.held("work", "k2")()
			if tt.sent {
				if again.status != http.StatusAccepted {
					t.Errorf("got %d %s, then %d %s, want it accepted", first.status, first.body, again.status, again.body)
				}
				x.wantEnds("live", "k1 done", "k2 stopped")
			} else {
				wantProblem(t, "the key again", again, http.StatusConflict, "turn_stopped")
			}
			v.say("hi", "k3")
			if got, want := len(r.prompts()), map[bool]int{true: 3, false: 2}[tt.sent]; got != want {
				t.Errorf("got %d messages at AnyFrame, want %d", got, want)
			}
		})
	}
}

// A stream is opened again while a message is in flight, and the sandbox is asleep. The
// message never arrived, so that nothing was interrupted.
func TestSandbox_AsleepWhileMessageInFlight_NothingInterrupted(t *testing.T) {
	overTransports(t, func(t *testing.T, via transport) {
		r := via.newHarness(t, func(c *relay.Config) { c.UpstreamTimeout = 5 * time.Second }, anyframetest.WithAgent(1, atWork))
		v, id := r.begin("hi")
		x := v.open("")
		x.wantEnds("before", "k1 done")
		r.plane.Inject(anyframetest.Fault{Kind: anyframetest.Hang, Op: anyframetest.OpMessage, Times: 1})
		answered := v.held("work", "k2")
		r.plane.WaitFor(t, func() bool { return r.plane.Count(anyframetest.OpMessage) == 2 })
		transcripts := r.plane.Count(anyframetest.OpTranscript)
		r.plane.CutStreams()
		r.plane.WaitFor(t, func() bool { return r.plane.Count(anyframetest.OpTranscript) > transcripts }) // read once the stream is open
		r.plane.Sleep(id)
		x.stands("sleeping")
		x.wantEnds("live", "k1 done")
		if a := answered(); a.status < 500 {
			t.Errorf("got %d %s, want a failure", a.status, a.body)
		}
	})
}

// slowTo returns the address of a proxy to AnyFrame, which holds back the next POST to a
// path with this ending while slow is set, and resets slow. It continues after release.
func slowTo(t *testing.T, plane *anyframetest.Server, ending string) (front string, slow *atomic.Bool, release func()) {
	to, err := url.Parse(plane.URL())
	if err != nil {
		t.Fatal(err)
	}
	arrive := make(chan struct{})
	slow = &atomic.Bool{}
	proxy := &httputil.ReverseProxy{FlushInterval: -1, ErrorLog: log.New(io.Discard, "", 0), Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(to) }}
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.Method == http.MethodPost && strings.HasSuffix(q.URL.Path, ending) && slow.CompareAndSwap(true, false) {
			<-arrive
		}
		proxy.ServeHTTP(w, q)
	}))
	t.Cleanup(web.Close)
	release = sync.OnceFunc(func() { close(arrive) })
	t.Cleanup(release) // first: web waits for its handlers
	return web.URL, slow, release
}

// A message is on its way to AnyFrame, and its turn is stopped. Until it has arrived, no
// other replica may send the same message or the next one.
func TestStop_MessageOnItsWay_OtherReplicaWaits(t *testing.T) {
	t.Parallel()
	plane := startPlane(t, anyframetest.WithAgent(1, speak))
	front, slow, release := slowTo(t, plane, "/message")
	disk := sqliteFile(t)
	both := func(c *relay.Config) {
		disk(c)
		c.BaseURL = front
		c.Tune(relay.Tuning{Session: session.Tuning{Resync: 100 * time.Millisecond}})
	}
	a, b := harnessFor(t, plane, both), harnessFor(t, plane, both)
	here, _ := a.begin("hi")
	there := here.at(b)
	slow.Store(true)
	first := here.held("first", "k2")
	eventually(t, "it is on its way", func() bool { return !slow.Load() })
	here.stops("k2")
	time.Sleep(2500 * time.Millisecond) // in which the relay tries twice to carry out the stop
	again, second := there.held("first", "k2"), there.held("second", "k3")
	time.Sleep(time.Second)
	if got := a.prompts(); len(got) != 1 {
		t.Errorf("before it arrived: got %q at AnyFrame, want nothing more", got)
	}
	release()
	one, same, next := first(), again(), second()
	want := []string{"hi", "second"} // the sandbox was put to sleep before the message arrived
	if one.status == http.StatusAccepted {
		want = []string{"hi", "first", "second"}
	} else {
		wantProblem(t, "the first", one, http.StatusConflict, "turn_stopped")
	}
	if same.status != one.status || next.status != http.StatusAccepted {
		t.Errorf("got %d %s, at the other %d %s, and then %d %s, want the same twice and 202", one.status, one.body, same.status, same.body, next.status, next.body)
	}
	if got := a.prompts(); !slices.Equal(got, want) {
		t.Errorf("at AnyFrame: got %q, want %q", got, want)
	}
}

// apart returns a visitor at two replicas. The second replica reads the store through
// wrap.
func apart(t *testing.T, plane *anyframetest.Server, both func(*relay.Config), wrap func(store.Store) session.Store) (here, there *browser) {
	here = harnessFor(t, plane, both).visitor()
	return here, here.at(harnessFor(t, plane, func(c *relay.Config) {
		both(c)
		c.Tune(relay.Tuning{Store: wrap})
	}))
}

// noteGate is a store whose next read of a turn waits while closed is set.
type noteGate struct {
	session.Store
	closed  *atomic.Bool
	waiting chan<- struct{}
	open    <-chan struct{}
}

func (s noteGate) Note(ctx context.Context, visitor, kind, key string) (store.Note, error) {
	if kind == "turn" && s.closed.CompareAndSwap(true, false) {
		s.waiting <- struct{}{}
		<-s.open
	}
	return s.Store.Note(ctx, visitor, kind, key)
}

// A replica learns of the visitor's first conversation only from the turn that it is to
// stop, because another one began it after the request arrived.
func TestStop_ConversationBegunMeanwhileAtOther_TurnStopped(t *testing.T) {
	t.Parallel()
	for _, arrived := range []bool{false, true} {
		t.Run(fmt.Sprint("at AnyFrame ", arrived), func(t *testing.T) {
			t.Parallel()
			plane := startPlane(t, anyframetest.WithAgent(1, atWork))
			front, slow, release := slowTo(t, plane, "/message")
			closed, waiting, open := &atomic.Bool{}, make(chan struct{}), make(chan struct{})
			disk := sqliteFile(t)
			both := func(c *relay.Config) {
				disk(c)
				c.BaseURL = front
			}
			here, there := apart(t, plane, both, func(s store.Store) session.Store { return noteGate{s, closed, waiting, open} })
			closed.Store(true)
			var asked sync.WaitGroup
			t.Cleanup(asked.Wait)
			asked.Go(func() { there.stops("k1") })
			<-waiting
			slow.Store(!arrived)
			answered := here.held("work", "k1")
			if arrived {
				answered()
			} else {
				eventually(t, "it is on its way", func() bool { return !slow.Load() })
			}
			close(open)
			asked.Wait()
			release()
			one, same := answered(), there.held("work", "k1")()
			if one.status != same.status || one.code() != same.code() {
				t.Errorf("got %d %s, and at the other %d %s, want the same", one.status, one.body, same.status, same.body)
			}
			if one.status != http.StatusAccepted {
				wantProblem(t, "the turn", one, http.StatusConflict, "turn_stopped")
			} else {
				there.open("").wantEnds("at the other", "k1 stopped")
			}
			if got := len(here.r.prompts()) > 0; got != (one.status == http.StatusAccepted) {
				t.Errorf("got %d %s, with %q at AnyFrame", one.status, one.body, here.r.prompts())
			}
		})
	}
}

// unwoken is a store that refuses the lease to wake a sandbox while closed is set, as if
// another replica still had it.
type unwoken struct {
	session.Store
	closed *atomic.Bool
	tried  *atomic.Int32
}

func (s unwoken) Acquire(ctx context.Context, name, owner string, ttl time.Duration) (int64, bool, error) {
	if strings.Contains(name, "wake:") && s.closed.Load() {
		s.tried.Add(1)
		return 0, false, nil
	}
	return s.Store.Acquire(ctx, name, owner, ttl)
}

// A replica that waits to wake the sandbox does not know yet that another one has begun a
// conversation.
func TestStop_AtReplicaThatWaitsToWake_TurnStopped(t *testing.T) {
	t.Parallel()
	plane := startPlane(t, anyframetest.WithAgent(1, atWork))
	closed, tried := &atomic.Bool{}, &atomic.Int32{}
	disk := sqliteFile(t)
	both := func(c *relay.Config) {
		disk(c)
		c.BootOnOpen = true
	}
	here, there := apart(t, plane, both, func(s store.Store) session.Store { return unwoken{s, closed, tried} })
	closed.Store(true)
	there.do("POST", "/v1/session", "")
	eventually(t, "it waits to wake the sandbox", func() bool { return tried.Load() > 0 })
	here.say("work", "k1")
	there.stops("k1")
	time.Sleep(100 * time.Millisecond) // in which the stop could be lost
	closed.Store(false)
	here.open("").wantEnds("afterwards", "k1 stopped")
}

// The operator stops everything while an earlier conversation was stopped, too.
func TestStop_EarlierTurnStopped_ConversationNotBusy(t *testing.T) {
	t.Parallel()
	r := newHarness(t, sqliteFile(t), anyframetest.WithAgent(1, atWork))
	v := r.visitor()
	x := v.open("")
	v.say("work", "k1")
	v.stops("k1")
	x.wantEnds("live", "k1 stopped")
	eventually(t, "it is not busy", func() bool { return len(r.srv.Busy(t.Context())) == 0 })
	v.say("work", "k2")
	eventually(t, "it is busy", func() bool { return len(r.srv.Busy(t.Context())) == 1 })
}
