package relay_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
)

// try posts a message and returns how that ended, whatever it was. It may be
// called from any goroutine.
func (b *browser) try(ctx context.Context, text, key string) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.r.web.URL+"/v1/messages", strings.NewReader(`{"text":`+quote(text)+`}`))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+b.token)
	req.Header.Set("Idempotency-Key", key)
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return answer{}, err
	}
	a := answer{status: res.StatusCode, header: res.Header, body: string(body)}
	return a, json.Unmarshal(body, &a.json)
}

// refused posts a message and wants this refusal.
func (b *browser) refused(text, key string, status int, code string) answer {
	b.r.t.Helper()
	a, err := b.try(b.r.t.Context(), text, key)
	if err != nil || a.status != status || a.code() != code {
		b.r.t.Fatalf("POST /v1/messages %q: got %d %s, %v, want %d %s", text, a.status, a.body, err, status, code)
	}
	return a
}

// taken are the texts of the messages that AnyFrame took, in order.
func (r *rig) taken(id string) []string {
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

func (r *rig) wantTaken(want ...string) {
	r.t.Helper()
	if got := r.taken(r.upstream()); !slices.Equal(got, want) {
		r.t.Errorf("messages that AnyFrame took: got %q, want %q", got, want)
	}
}

func TestARepeatedKeyIsAnsweredTheSameAndSentOnce(t *testing.T) {
	t.Parallel()
	disk := onDisk(t)
	r := newRig(t, disk)
	v := r.visitor()
	first := v.say("hello", "k1")
	if first.json["turn"] != "k1" || first.json["epoch"] != 1.0 || first.json["seq"] != 1.0 {
		t.Errorf("answer: got %s, want turn k1, epoch 1, seq 1", first.body)
	}
	for range 3 {
		if again := v.say("hello", "k1"); again.body != first.body {
			t.Errorf("repeated: got %s, want %s", again.body, first.body)
		}
	}
	r.restart()
	if again := v.say("hello", "k1"); again.body != first.body {
		t.Errorf("repeated after a restart: got %s, want %s", again.body, first.body)
	}
	v.refused("another", "k1", http.StatusConflict, "turn_conflict")
	if a := r.visitor().say("hello", "k1"); a.json["epoch"] != 1.0 {
		t.Errorf("the same key of another visitor: got %s", a.body)
	}
	if got := len(r.plane.Sessions()); got != 2 {
		t.Errorf("sessions of two visitors: got %d, want 2", got)
	}
}

func TestTwentyAtOnceWithOneKeySendOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil, anyframetest.WithBootDelay(200*time.Millisecond))
	v := r.visitor()
	bodies := make([]string, 20)
	var wg sync.WaitGroup
	for i := range bodies {
		wg.Go(func() {
			a, err := v.try(t.Context(), "hello", "k1")
			bodies[i] = fmt.Sprint(a.status, a.body, err)
		})
	}
	wg.Wait()
	for _, body := range bodies {
		if body != bodies[0] || !strings.HasPrefix(body, "202") {
			t.Errorf("got %s, want 202 and %s", body, bodies[0])
		}
	}
	r.wantTaken("hello")
	if got := len(r.plane.Sessions()); got != 1 {
		t.Errorf("sessions: got %d, want 1", got)
	}
}

func TestAMessageWhoseAnswerIsLostIsSentOnce(t *testing.T) {
	for name, opts := range map[string][]anyframetest.Option{"": nil, "AnyFrame does not show messages": {anyframetest.WithoutUserEcho()}} {
		for _, f := range []anyframetest.Fault{
			{Kind: anyframetest.LoseAnswer}, {Kind: anyframetest.HangAfterHeaders}, {Kind: anyframetest.Late, Delay: 3 * time.Second},
		} {
			t.Run(fmt.Sprintf("%s %d", name, f.Kind), func(t *testing.T) {
				t.Parallel()
				disk := onDisk(t)
				r := newRig(t, func(c *relay.Config) { disk(c); c.UpstreamTimeout = time.Second }, append(opts, anyframetest.WithAgent(1, speak))...)
				v := r.visitor()
				x := v.open("")
				v.say("before", "k0")
				x.turnEnds(1)
				f.Op, f.Times = anyframetest.OpMessage, 2
				r.plane.Inject(f)
				first := v.say("hello", "k1")
				x.turnEnds(2)
				v.say("hello", "k2")
				x.turnEnds(3)
				if again := v.say("hello", "k1"); again.body != first.body {
					t.Errorf("repeated: got %s, want %s", again.body, first.body)
				}
				r.restart()
				if again := v.say("hello", "k1"); again.body != first.body {
					t.Errorf("repeated after a restart: got %s, want %s", again.body, first.body)
				}
				r.wantTaken("before", "hello", "hello")
				es := v.open("").turnEnds(3)
				var turns []string
				for _, e := range es {
					if e.kind == "user" {
						turns = append(turns, e.str("turn"))
					}
				}
				if want := []string{"k0", "k1", "k2"}; !slices.Equal(turns, want) {
					t.Errorf("turns on the stream: got %q, want %q", turns, want)
				}
			})
		}
	}
}

// AnyFrame may begin to answer before it has said that it took the message. A
// stream that is opened anew just then finds the agent at work.
func TestAMessageComesBeforeItsAnswerThoughTheStreamBreaksAmidSending(t *testing.T) {
	for name, opts := range map[string][]anyframetest.Option{"": nil, "deltas without a number": {anyframetest.WithUnnumberedDeltas()}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opts := append(opts, anyframetest.WithoutUserEcho(), anyframetest.WithPace(100*time.Millisecond), anyframetest.WithAgent(1, speak))
			r := newRig(t, nil, opts...)
			v := r.visitor()
			x := v.open("")
			v.say("one", "k1")
			x.turnEnds(1)
			r.plane.Inject(anyframetest.Fault{Kind: anyframetest.Late, Delay: time.Second, Op: anyframetest.OpMessage, Times: 1})
			sent := make(chan answer)
			go func() { sent <- v.do("POST", "/v1/messages", `{"text":"two"}`, "Idempotency-Key", "k2") }()
			r.plane.WaitFor(t, func() bool { s, _ := r.plane.Session(r.upstream()); return s.Busy })
			r.plane.CutStreams()
			if a := <-sent; a.status != http.StatusAccepted {
				t.Fatalf("got %d %s, want 202", a.status, a.body)
			}
			var got []string
			for _, e := range x.turnEnds(2) {
				if e.kind == "user" || e.kind == "text" || e.kind == "turn_end" {
					got = append(got, strings.TrimSuffix(e.kind+" "+e.str("turn"), " "))
				}
			}
			if got, want := slices.Compact(got), []string{"user k1", "text", "turn_end", "user k2", "text", "turn_end"}; !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

// An answer waits for the message that it answers, but once and not for long.
func TestAnAnswerDoesNotWaitForEverForTheMessage(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *relay.Config) { c.UpstreamTimeout = patience }, anyframetest.WithoutUserEcho(), anyframetest.WithAgent(1, speak))
	v := r.visitor()
	x := v.open("")
	v.say("one", "k1")
	x.turnEnds(1)
	r.plane.Inject(anyframetest.Fault{Kind: anyframetest.Late, Delay: 20 * time.Second, Op: anyframetest.OpMessage, Times: 1})
	sent := make(chan answer, 1)
	go func() { sent <- v.do("POST", "/v1/messages", `{"text":"two"}`, "Idempotency-Key", "k2") }()
	x.turnEnds(2) // some ten events, of which each might wait
	select {
	case <-sent:
		t.Fatal("the answer came only after AnyFrame had said that it has the message")
	default:
	}
	if a := <-sent; a.status != http.StatusAccepted {
		t.Errorf("got %d %s, want 202", a.status, a.body)
	}
}

func TestAMessageThatDidNotArriveIsNotLost(t *testing.T) {
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
				disk := onDisk(t)
				r := newRig(t, func(c *relay.Config) { disk(c); c.UpstreamTimeout = time.Second }, append(opts, anyframetest.WithAgent(1, speak))...)
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
}

func TestABusyAnyFrameIsWaitedForWithinOneRequest(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	v := r.visitor()
	v.say("before", "k0")
	r.plane.Inject(anyframetest.Fault{Kind: anyframetest.Respond, Status: 429, RetryAfter: "0.1", Op: anyframetest.OpMessage, Times: 2})
	v.say("hello", "k1")
	r.wantTaken("before", "hello")
}

func TestARelayThatDiesWhileSendingSendsOnce(t *testing.T) {
	for name, f := range map[string]anyframetest.Fault{
		"it had arrived":     {Kind: anyframetest.Late, Delay: time.Minute},
		"it had not arrived": {Kind: anyframetest.Hang},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			disk := onDisk(t)
			r := newRig(t, func(c *relay.Config) { disk(c); c.UpstreamTimeout = 2 * time.Second }, anyframetest.WithAgent(1, speak))
			r.srv.SetLeases(3 * time.Second)
			v := r.visitor()
			v.say("before", "k0")
			f.Op, f.Times = anyframetest.OpMessage, 1
			r.plane.Inject(f)
			ctx, leave := context.WithCancel(t.Context())
			gone := make(chan struct{})
			go func() {
				defer close(gone)
				_, _ = v.try(ctx, "hello", "k1")
			}()
			r.plane.WaitFor(t, func() bool { return r.plane.FaultsHit() == 1 })
			leave()
			<-gone
			r.restart()
			// What the dead one held is anybody's after a while.
			for deadline := time.Now().Add(patience); ; {
				a, err := v.try(t.Context(), "hello", "k1")
				if err == nil && a.status == http.StatusAccepted {
					break
				}
				if err != nil || a.code() != "session_booting" || time.Now().After(deadline) {
					t.Fatalf("after the restart: got %d %s, %v, want 202 in the end", a.status, a.body, err)
				}
			}
			v.say("hello", "k1")
			r.wantTaken("before", "hello")
		})
	}
}

func TestTurnsReachAnyFrameInTheOrderInWhichTheyWereRead(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "relay.db")
	r := newRig(t, func(c *relay.Config) { c.Store = "sqlite:" + path }, anyframetest.WithBootDelay(1500*time.Millisecond))
	notes, err := sql.Open("sqlite", "file:"+path+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer notes.Close()
	v := r.visitor()
	var want []string
	var wg sync.WaitGroup
	for i := range 12 {
		text := fmt.Sprintf("turn %d", i)
		want = append(want, text)
		wg.Go(func() {
			if a, err := v.try(t.Context(), text, fmt.Sprintf("k%d", i)); err != nil || a.status != http.StatusAccepted {
				t.Errorf("%s: got %d %s, %v, want 202", text, a.status, a.body, err)
			}
		})
		r.plane.WaitFor(t, func() bool { // until the relay has read it
			var n int
			return notes.QueryRowContext(t.Context(), "SELECT count(*) FROM notes").Scan(&n) == nil && n > i
		})
	}
	wg.Wait()
	r.wantTaken(want...)
	x := v.open("").turnEnds(12)
	same(t, "the stream", numbered(x), r.oracle(1, r.upstream()))
}

func TestTwoTabsThatSendAtOnceLoseNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil, anyframetest.WithAgent(1, speak))
	v := r.visitor()
	a, b := v.open(""), v.open("")
	var wg sync.WaitGroup
	for tab := range 2 {
		wg.Go(func() {
			for i := range 10 {
				key := fmt.Sprintf("%d-%d", tab, i)
				if a, err := v.try(t.Context(), key, key); err != nil || a.status != http.StatusAccepted {
					t.Errorf("%s: got %d %s, %v, want 202", key, a.status, a.body, err)
				}
			}
		})
	}
	wg.Wait()
	a.turnEnds(20)
	b.turnEnds(20)
	want := r.oracle(1, r.upstream())
	same(t, "one tab", numbered(a.all()), want)
	same(t, "the other", numbered(b.all()), want)
	next := map[byte]int{}
	for _, text := range r.taken(r.upstream()) {
		if want := fmt.Sprintf("%c-%d", text[0], next[text[0]]); text != want {
			t.Errorf("taken: got %s, want %s", text, want)
		}
		next[text[0]]++
	}
	for _, e := range a.all() {
		if e.kind == "user" && e.str("turn") != e.str("text") {
			t.Errorf("user event: got turn %q for %q", e.str("turn"), e.str("text"))
		}
	}
}

func TestATurnIsHeldWhileTheSandboxBootsAndThenRefusedUntilItRuns(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *relay.Config) { c.SendWait = time.Second }, anyframetest.WithBootDelay(2500*time.Millisecond))
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
}

func TestATurnThatFindsAnyFrameDownIsTakenOnceWhenItIsBack(t *testing.T) {
	for name, known := range map[string]bool{"a first turn": false, "a later turn": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(c *relay.Config) { c.SendWait = 3 * time.Second })
			v := r.visitor()
			want := []string{"hello"}
			if known {
				v.say("before", "k0")
				want = []string{"before", "hello"}
			}
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
}

func TestATurnGoesOnWhenItsVisitorLeaves(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil, anyframetest.WithBootDelay(300*time.Millisecond))
	v := r.visitor()
	ctx, leave := context.WithCancel(t.Context())
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_, _ = v.try(ctx, "hello", "k1")
	}()
	r.plane.WaitFor(t, func() bool { return r.plane.Count(anyframetest.OpCreate) == 1 })
	leave()
	<-gone
	r.plane.WaitFor(t, func() bool { return len(r.taken(r.upstream())) == 1 })
	v.say("hello", "k1")
	r.wantTaken("hello")
}

func TestASandboxThatTurnsOutToSleepIsWokenForTheTurn(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	v := r.visitor()
	v.say("before", "k0")
	r.plane.Inject(anyframetest.Fault{Kind: anyframetest.Respond, Status: 409, Op: anyframetest.OpMessage, Times: 1})
	v.say("hello", "k1")
	r.wantTaken("before", "hello")
}
