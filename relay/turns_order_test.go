package relay_test

import (
	"database/sql"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
)

// throughProxy puts a proxy in front of the control plane. Edit may change the responses
// to messages, or hold them back.
func throughProxy(t *testing.T, plane *anyframetest.Server, edit func(*http.Response)) string {
	t.Helper()
	target, err := url.Parse(plane.URL())
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{
		FlushInterval: -1,
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target) },
		ModifyResponse: func(res *http.Response) error {
			if strings.HasSuffix(res.Request.URL.Path, "/message") && res.StatusCode < 300 {
				edit(res)
			}
			return nil
		},
		ErrorLog: log.New(io.Discard, "", 0),
	}
	web := httptest.NewServer(proxy)
	t.Cleanup(func() {
		web.CloseClientConnections()
		web.Close()
	})
	return web.URL
}

// withoutSeq removes the seq from the response to a message.
func withoutSeq(res *http.Response) {
	const body = `{"ok":true}`
	res.Body = io.NopCloser(strings.NewReader(body))
	res.ContentLength = int64(len(body))
	res.Header.Set("Content-Length", strconv.Itoa(len(body)))
}

// AnyFrame may omit the number in its response to a message; each message is still shown
// once.
func TestTurn_ManyTabsWithoutSeq_EachShownOnce(t *testing.T) {
	t.Parallel()
	plane := startPlane(t, anyframetest.WithAgent(1, talk))
	url := throughProxy(t, plane, withoutSeq)
	r := harnessFor(t, plane, func(c *relay.Config) { c.BaseURL = url })
	v := r.visitor()
	x := v.open("")
	x.status("none")
	var wg sync.WaitGroup
	for _, key := range []string{"a", "b", "c", "d"} {
		wg.Go(func() { v.say("from "+key, key) })
	}
	wg.Wait()
	shownAs := map[string]int{}
	for _, e := range x.turnEnds(4) {
		if e.kind == "user" {
			shownAs[e.str("text")+"/"+e.str("turn")]++
		}
	}
	for _, key := range []string{"a", "b", "c", "d"} {
		if n := shownAs["from "+key+"/"+key]; n != 1 {
			t.Errorf("the message of %s: shown %d times, want once, in %v", key, n, shownAs)
		}
	}
}

// AnyFrame may begin to answer before its response to the message has arrived. A stream
// that is opened again at that time finds the agent working.
func TestTurn_StreamBreaksWhileSending_MessageBeforeAnswer(t *testing.T) {
	overTransports(t, func(t *testing.T, via transport) {
		for name, opts := range map[string][]anyframetest.Option{"": nil, "deltas without a number": {anyframetest.WithUnnumberedDeltas()}} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				opts := append(opts, anyframetest.WithoutUserEcho(), anyframetest.WithPace(100*time.Millisecond), anyframetest.WithAgent(1, speak))
				r := via.newHarness(t, nil, opts...)
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
				if got, want := slices.Compact(got), []string{"user k1", "text", "turn_end k1", "user k2", "text", "turn_end k2"}; !slices.Equal(got, want) {
					t.Errorf("got %q, want %q", got, want)
				}
			})
		}
	})
}

// An answer waits for its message, but once and not for long.
func TestTurn_MessageNeverShown_AnswerNotHeldForever(t *testing.T) {
	overTransports(t, func(t *testing.T, via transport) {
		r := via.newHarness(t, func(c *relay.Config) { c.UpstreamTimeout = patience }, anyframetest.WithoutUserEcho(), anyframetest.WithAgent(1, speak))
		v := r.visitor()
		x := v.open("")
		v.say("one", "k1")
		x.turnEnds(1)
		r.plane.Inject(anyframetest.Fault{Kind: anyframetest.Late, Delay: 20 * time.Second, Op: anyframetest.OpMessage, Times: 1})
		sent := make(chan answer, 1)
		go func() { sent <- v.do("POST", "/v1/messages", `{"text":"two"}`, "Idempotency-Key", "k2") }()
		x.turnEnds(2) // about ten events; each might wait
		select {
		case <-sent:
			t.Fatal("the answer came only after AnyFrame had said that it has the message")
		default:
		}
		if a := <-sent; a.status != http.StatusAccepted {
			t.Errorf("got %d %s, want 202", a.status, a.body)
		}
	})
}

// Turns that wait for a sandbox to boot are sent in the order in which they
// arrived.
func TestTurn_ManyDuringBoot_SentInOrder(t *testing.T) {
	overTransports(t, func(t *testing.T, via transport) {
		path := filepath.Join(t.TempDir(), "relay.db")
		r := via.newHarness(t, func(c *relay.Config) { c.Store = "sqlite:" + path }, anyframetest.WithBootDelay(1500*time.Millisecond))
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
	})
}

func TestTurn_TwoTabsAtOnce_NothingLost(t *testing.T) {
	overTransports(t, func(t *testing.T, via transport) {
		r := via.newHarness(t, nil, anyframetest.WithAgent(1, speak))
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
	})
}

// Where AnyFrame shows no messages, the agent may finish a message before AnyFrame
// responds to the request that sent it. The turn must still be shown as ended, and not as
// running until the sandbox sleeps.
func TestTurn_AcceptedAfterItsEnd_ShownAndOver(t *testing.T) {
	t.Parallel()
	for name, numbered := range map[string]bool{"AnyFrame numbers the message": true, "it does not": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, v, x, accept := endsFirst(t, numbered)
			accept()
			x.until("the message and its end", func(es []event) bool {
				return slices.ContainsFunc(es, func(e event) bool { return e.kind == "turn_end" && e.str("turn") == "k2" })
			})
			if got := count(x.all(), "user"); got != 2 {
				t.Errorf("got %d messages, want 2\n%s", got, lines(x.all()))
			}
			wantProblem(t, "stop what is over", v.stop("k2"), http.StatusConflict, "turn_over")
			showsLate(t, r, v, x.all(), turnsOf(x.all()))
		})
	}
}

// The relay may be restarted after AnyFrame has accepted a turn and before the relay has
// shown it. Readers that have the events up to the turn's end must still be shown it.
func TestTurn_RestartBeforeLateTurnIsShown_ShownAndOver(t *testing.T) {
	t.Parallel()
	for name, numbered := range map[string]bool{"AnyFrame numbers the message": true, "it does not": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, v, x, accept := endsFirst(t, numbered)
			had := x.all()
			r.plane.Inject(anyframetest.Fault{Kind: anyframetest.Respond, Status: http.StatusServiceUnavailable, Op: anyframetest.OpTranscript}) // without it nothing is shown late
			accept()
			r.restart()
			r.plane.ClearFaults()
			want := append(turnsOf(had), "two/k2", "done")
			showsLate(t, r, v, had, want)
		})
	}
}

// endsFirst has a visitor send two messages, and AnyFrame shows neither. The stream x has
// the ends of both when AnyFrame accepts the second; accept lets it do so.
func endsFirst(t *testing.T, numbered bool) (r *harness, v *browser, x *stream, accept func()) {
	goOn, answer := make(chan struct{}), make(chan struct{})
	plane := startPlane(t, anyframetest.WithoutUserEcho(), anyframetest.WithAgent(1, func(c *anyframetest.Chat) {
		if c.Say("I do " + c.Prompt() + "."); c.Prompt() == "one" {
			<-goOn
		}
	}))
	var held atomic.Bool
	url := throughProxy(t, plane, func(res *http.Response) {
		if !numbered {
			withoutSeq(res)
		}
		if held.Load() {
			<-answer
		}
	})
	keep := sqliteFile(t)
	r = harnessFor(t, plane, func(c *relay.Config) {
		keep(c)
		c.BaseURL = url
	})
	v = r.visitor()
	x = v.open("")
	v.say("one", "k1")
	x.until("the agent at work", func(es []event) bool { return len(answers(es)) == 1 })
	held.Store(true)
	done := make(chan struct{})
	go func() {
		defer close(done)
		v.say("two", "k2")
	}()
	plane.WaitFor(t, func() bool { return len(r.taken(r.upstream())) == 2 })
	close(goOn)
	x.turnEnds(2)
	return r, v, x, func() {
		held.Store(false)
		close(answer)
		<-done
	}
}

// showsLate checks that a stream from the start shows want, and that one after the last
// numbered event of had shows the second message with its end. Both are checked again
// after a restart.
func showsLate(t *testing.T, r *harness, v *browser, had []event, want []string) {
	t.Helper()
	ids := numberedOf(had)
	for from, want := range map[string][]string{"": want, ids[len(ids)-1].id: {"two/k2", "done"}} {
		for range 2 {
			y := v.open(from)
			y.until("all of it", func(es []event) bool { return len(turnsOf(es)) >= len(want) })
			if got := turnsOf(y.all()); !slices.Equal(got, want) {
				t.Errorf("from %q: got %q, want %q", from, got, want)
			}
			y.close()
			r.restart()
		}
	}
	y := v.open("")
	y.until("all of it", func(es []event) bool { return len(turnsOf(es)) >= len(want) })
	r.plane.Sleep(r.upstream())
	y.stands("sleeping")
	if got := turnsOf(y.all()); !slices.Equal(got, want) {
		t.Errorf("asleep: got %q, want %q: nothing was running", got, want)
	}
}
