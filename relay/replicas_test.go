package relay_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
	"github.com/anyframe-relay/relay/relay/store/redistest"
)

// sharing makes a store that several relays may share, for one test.
type sharing func(*testing.T) func(*relay.Config)

func inRedis(t *testing.T) func(*relay.Config) {
	server := redistest.Start(t)
	return func(c *relay.Config) { c.Store = server.URL() }
}

// overStores runs a test of replicas over each store that they may share.
func overStores(t *testing.T, test func(*testing.T, sharing)) {
	for name, share := range map[string]sharing{"sqlite": onDisk, "redis": inRedis} {
		t.Run(name, func(t *testing.T) { test(t, share) })
	}
}

// replicas starts two relays that share nothing but a store and AnyFrame.
func replicas(t *testing.T, share sharing, change func(*relay.Config), opts ...anyframetest.Option) (a, b *rig) {
	t.Helper()
	plane, shared := anyframetest.Start(t, opts...), share(t)
	both := func(c *relay.Config) {
		shared(c)
		if change != nil {
			change(c)
		}
	}
	a, b = rigFor(t, plane, both), rigFor(t, plane, both)
	for _, r := range []*rig{a, b} {
		r.srv.SetLeases(2 * time.Second)
		r.srv.SetWatch(100*time.Millisecond, 200*time.Millisecond)
	}
	return a, b
}

// at is the same visitor at another replica.
func (b *browser) at(r *rig) *browser { return &browser{r, b.token} }

// insist posts a message until it is accepted, as a browser does.
func (b *browser) insist(text, key string) answer {
	b.r.t.Helper()
	for deadline := time.Now().Add(patience); ; {
		a, err := b.try(b.r.t.Context(), text, key)
		if err == nil && a.status == http.StatusAccepted {
			return a
		}
		if err != nil || a.status < 500 || time.Now().After(deadline) {
			b.r.t.Fatalf("%q: got %d %s, %v, want 202 in the end", text, a.status, a.body, err)
		}
	}
}

func TestEveryLastEventIDResumesAtAnotherReplica(t *testing.T) {
	overStores(t, func(t *testing.T, share sharing) {
		for name, replay := range map[string]int{"all kept": 2000, "little kept": 5} {
			for who, listens := range map[string]bool{"that has listened": true, "that knows nothing": false} {
				t.Run(name+", at one "+who, func(t *testing.T) {
					t.Parallel()
					a, b := replicas(t, share, func(c *relay.Config) { c.ReplayEvents = replay }, anyframetest.WithAgent(1, talk))
					here := a.visitor()
					there := here.at(b)
					var live *tab
					if listens {
						live = there.open("")
					}
					_, want := conversation(a, here)
					if listens {
						live.matches("live", want)
					}
					for _, o := range want {
						rest := after(want, o.id)
						x := there.open(o.id)
						x.matches("after "+o.id, rest)
						x.close()
					}
					there.open("").matches("from the start", want)
				})
			}
		}
	})
}

func TestOneKeyAtTwoReplicasIsSentOnce(t *testing.T) {
	overStores(t, func(t *testing.T, share sharing) {
		for name, opts := range map[string][]anyframetest.Option{"": nil, "AnyFrame does not show messages": {anyframetest.WithoutUserEcho()}} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				a, b := replicas(t, share, nil, append(opts, anyframetest.WithAgent(1, speak))...)
				here := a.visitor()
				there := here.at(b)
				for i := range 4 {
					text, key := fmt.Sprint("both ", i), fmt.Sprint("k", i)
					var got [2]answer
					var wg sync.WaitGroup
					for n, v := range []*browser{here, there} {
						wg.Go(func() {
							var err error
							if got[n], err = v.try(t.Context(), text, key); err != nil {
								t.Error(err)
							}
						})
					}
					wg.Wait()
					if got[0].status != 202 || got[0].body != got[1].body {
						t.Errorf("%s at both: got %d %s and %d %s, want 202 and the same", text, got[0].status, got[0].body, got[1].status, got[1].body)
					}
				}
				first := here.say("one, then the other", "k9")
				if again := there.say("one, then the other", "k9"); again.body != first.body {
					t.Errorf("repeated at the other: got %s, want %s", again.body, first.body)
				}
				there.refused("something else", "k9", http.StatusConflict, "turn_conflict")
				a.wantTaken("both 0", "both 1", "both 2", "both 3", "one, then the other")
			})
		}
	})
}

func TestATurnOfAReplicaThatDiedIsSentOnceByAnother(t *testing.T) {
	overStores(t, func(t *testing.T, share sharing) {
		for name, f := range map[string]anyframetest.Fault{
			"it had arrived":     {Kind: anyframetest.Late, Delay: time.Minute},
			"it had not arrived": {Kind: anyframetest.Hang},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				a, b := replicas(t, share, func(c *relay.Config) { c.UpstreamTimeout = 2 * time.Second }, anyframetest.WithAgent(1, speak))
				here := a.visitor()
				there := here.at(b)
				x := there.open("")
				here.say("before", "k0")
				x.turnEnds(1)
				f.Op, f.Times = anyframetest.OpMessage, 1
				a.plane.Inject(f)
				ctx, leave := context.WithCancel(t.Context())
				gone := make(chan struct{})
				go func() {
					defer close(gone)
					_, _ = here.try(ctx, "hello", "k1")
				}()
				a.plane.WaitFor(t, func() bool { return a.plane.FaultsHit() == 1 })
				leave()
				<-gone
				a.stop()
				first := there.insist("hello", "k1")
				if again := there.say("hello", "k1"); again.body != first.body {
					t.Errorf("repeated: got %s, want %s", again.body, first.body)
				}
				b.wantTaken("before", "hello")
				x.turnEnds(2)
				x.matches("live", b.oracle(1, b.upstream()))
			})
		}
	})
}

func TestAMessageLikeAnEarlierOneAtAnotherReplicaIsNotTakenForIt(t *testing.T) {
	overStores(t, func(t *testing.T, share sharing) {
		t.Parallel()
		a, b := replicas(t, share, func(c *relay.Config) { c.UpstreamTimeout = time.Second }, anyframetest.WithAgent(1, speak))
		here := a.visitor()
		there := here.at(b)
		x := here.open("")
		here.say("hello", "k1")
		x.turnEnds(1)
		there.session() // so that the other one knows of it, and of no more
		here.say("hello", "k2")
		x.turnEnds(2)
		a.plane.Inject(anyframetest.Fault{Kind: anyframetest.Hang, Op: anyframetest.OpMessage, Times: 1})
		there.refused("hello", "k3", http.StatusGatewayTimeout, "upstream_timeout")
		there.insist("hello", "k3")
		a.wantTaken("hello", "hello", "hello")
	})
}

// turnsOf are the messages of the visitor and their turns, and the ends.
func turnsOf(events []event) []string {
	var all []string
	for _, e := range events {
		switch e.kind {
		case "user":
			all = append(all, e.str("text")+"/"+e.str("turn"))
		case "turn_end":
			all = append(all, e.str("reason"))
		}
	}
	return all
}

func TestEveryReplicaShowsWhoseTurnItIs(t *testing.T) {
	overStores(t, func(t *testing.T, share sharing) {
		for name, opts := range map[string][]anyframetest.Option{
			"AnyFrame shows messages":         nil,
			"AnyFrame does not show messages": {anyframetest.WithoutUserEcho()},
			"nor number deltas":               {anyframetest.WithoutUserEcho(), anyframetest.WithUnnumberedDeltas()},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				a, b := replicas(t, share, nil, append(opts, anyframetest.WithAgent(1, talk))...)
				here := a.visitor()
				there := here.at(b)
				x, y := here.open(""), there.open("")
				var want []string
				for i := range 6 {
					v := []*browser{here, there}[i%2]
					text, key := fmt.Sprint("number ", i), fmt.Sprint("k", i)
					v.say(text, key)
					x.turnEnds(i + 1)
					y.turnEnds(i + 1)
					want = append(want, text+"/"+key, "done")
				}
				for what, x := range map[string]*tab{
					"live at one": x, "live at the other": y, "later at one": here.open(""), "later at the other": there.open(""),
				} {
					if got := turnsOf(x.turnEnds(6)); !slices.Equal(got, want) {
						t.Errorf("%s: got %q, want %q", what, got, want)
					}
					if !strings.Contains(name, "not show") {
						same(t, what, numbered(x.all()), a.oracle(1, a.upstream()))
					}
				}
			})
		}
	})
}

func TestAMessageStillOnItsWayAtAnotherReplicaComesBeforeItsAnswer(t *testing.T) {
	overStores(t, func(t *testing.T, share sharing) {
		t.Parallel()
		a, b := replicas(t, share, nil, anyframetest.WithoutUserEcho(), anyframetest.WithAgent(1, speak))
		here := a.visitor()
		y := here.at(b).open("")
		here.say("one", "k1")
		y.turnEnds(1)
		a.plane.Inject(anyframetest.Fault{Kind: anyframetest.Late, Delay: time.Second, Op: anyframetest.OpMessage, Times: 1})
		here.say("two", "k2")
		if got, want := turnsOf(y.turnEnds(2)), []string{"one/k1", "done", "two/k2", "done"}; !slices.Equal(got, want) {
			t.Errorf("at the other: got %q, want %q", got, want)
		}
	})
}

func TestFirstTurnsAtTwoReplicasMakeOneSandbox(t *testing.T) {
	overStores(t, func(t *testing.T, share sharing) {
		t.Parallel()
		a, b := replicas(t, share, nil, anyframetest.WithBootDelay(300*time.Millisecond), anyframetest.WithAgent(1, speak))
		here := a.visitor()
		tabs := []*tab{here.open(""), here.at(b).open("")}
		race(t, here, here.at(b), "")
		for _, x := range append(tabs, here.open(""), here.at(b).open("")) {
			x.turnEnds(6)
			x.matches("what everybody saw", a.oracle(1, a.upstream()))
		}
		if got := a.plane.Count(anyframetest.OpCreate); got != 1 {
			t.Errorf("sandboxes asked for: got %d, want 1", got)
		}
	})
}

// race posts three messages at each of two replicas, all at once.
func race(t *testing.T, here, there *browser, prefix string) {
	t.Helper()
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			v := []*browser{here, there}[i%2]
			if a, err := v.try(t.Context(), "hello", fmt.Sprint(prefix, "k", i)); err != nil || a.status != 202 {
				t.Errorf("turn %d: got %d %s, %v, want 202", i, a.status, a.body, err)
			}
		})
	}
	wg.Wait()
}

func TestASleepingSandboxIsWokenOnceByTwoReplicas(t *testing.T) {
	overStores(t, func(t *testing.T, share sharing) {
		t.Parallel()
		a, b := replicas(t, share, nil, anyframetest.WithBootDelay(300*time.Millisecond), anyframetest.WithAgent(1, speak))
		here := a.visitor()
		x, y := here.open(""), here.at(b).open("")
		here.say("hello", "k")
		x.turnEnds(1)
		y.turnEnds(1)
		a.plane.Sleep(a.upstream())
		x.status("sleeping")
		y.status("sleeping")
		race(t, here, here.at(b), "again-")
		x.turnEnds(7)
		y.turnEnds(7)
		want := a.oracle(1, a.upstream())
		x.matches("at one", want)
		y.matches("at the other", want)
		if creates, resumes := a.plane.Count(anyframetest.OpCreate), a.plane.Count(anyframetest.OpResume); creates != 1 || resumes != 1 {
			t.Errorf("got %d sandboxes asked for and %d resumes, want 1 and 1", creates, resumes)
		}
	})
}

func TestASandboxWokenAtOneReplicaIsListenedToAtTheOther(t *testing.T) {
	overStores(t, func(t *testing.T, share sharing) {
		t.Parallel()
		a, b := replicas(t, share, nil, anyframetest.WithAgent(1, speak))
		here := a.visitor()
		y := here.at(b).open("")
		y.status("none")
		here.say("one", "k1")
		y.turnEnds(1)
		a.plane.Sleep(a.upstream())
		y.status("sleeping")
		here.say("two", "k2")
		y.turnEnds(2)
		y.matches("at the other", a.oracle(1, a.upstream()))
		if got := statuses(y.all()); got[0] != "0 none" || !slices.Contains(got, "1 sleeping") || got[len(got)-1] != "1 running" {
			t.Errorf("statuses: got %q, want none, sleeping, and running in the end", got)
		}
		if got := a.plane.Count(anyframetest.OpCreate); got != 1 {
			t.Errorf("sandboxes asked for: got %d, want 1", got)
		}
	})
}

func TestAQuestionAnsweredAtOneReplicaIsSettledAtTheOther(t *testing.T) {
	overStores(t, func(t *testing.T, share sharing) {
		for name, late := range map[string]bool{"the agent goes on": false, "the agent says nothing yet": true} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				gate := make(chan struct{})
				a, b := replicas(t, share, nil, anyframetest.WithAgent(1, func(c *anyframetest.Chat) {
					choice := c.Ask("Which?", "red", "green")
					if late {
						select {
						case <-gate:
						case <-c.Context().Done():
						}
					}
					c.Say("You chose " + choice + ".")
				}))
				here := a.visitor()
				there := here.at(b)
				x, y := here.open(""), there.open("")
				here.say("ask", "k1")
				id := x.prompt("question")
				if other := y.prompt("question"); other != id {
					t.Errorf("prompt id: got %s at the other, want %s", other, id)
				}
				if got := here.respond(id, "red"); got.status != http.StatusAccepted {
					t.Fatalf("answer: got %d %s, want 202", got.status, got.body)
				}
				wantProblem(t, "at the other", there.respond(id, "green"), http.StatusConflict, "prompt_settled")
				for _, x := range []*tab{x, y} {
					x.until("settled", func(es []event) bool { return count(es, "settled") == 1 })
				}
				close(gate)
				for name, x := range map[string]*tab{"at one": x, "at the other": y, "later at the other": there.open("")} {
					es := x.settles()
					wantOutcomes(t, name, es, id+" answered")
					wantAnswers(t, name, es, "You chose red.")
					asked := slices.IndexFunc(es, func(e event) bool { return e.kind == "question" })
					settled := slices.IndexFunc(es, func(e event) bool { return e.kind == "settled" })
					if settled < asked {
						t.Errorf("%s: settled before it was asked:\n%s", name, lines(es))
					}
				}
				b.restart()
				es := there.open("").settles()
				wantOutcomes(t, "after a restart", es, id+" answered")
				if got := a.plane.Count(anyframetest.OpRespond); got != 1 {
					t.Errorf("answers that AnyFrame got: got %d, want 1", got)
				}
			})
		}
	})
}

func TestAConversationEndedAtOneReplicaGoesOnAnewAtTheOther(t *testing.T) {
	overStores(t, func(t *testing.T, share sharing) {
		t.Parallel()
		a, b := replicas(t, share, nil, anyframetest.WithAgent(1, speak))
		here := a.visitor()
		there := here.at(b)
		x, y := here.open(""), there.open("")
		there.say("one", "k1")
		x.turnEnds(1)
		y.turnEnds(1)
		old := b.upstream()
		if got := here.do("DELETE", "/v1/session", ""); got.status != 204 {
			t.Fatalf("DELETE: got %d %s, want 204", got.status, got.body)
		}
		y.status("ended")
		if status, epoch := there.session(); status != "ended" || epoch != 1 {
			t.Errorf("at the other: got %s %d, want ended 1", status, epoch)
		}
		got := there.say("two", "k2")
		if got.json["epoch"] != 2.0 {
			t.Errorf("answer: got %s, want epoch 2", got.body)
		}
		if id := b.upstream(); id == old {
			t.Error("the turn went to the session that had ended")
		}
		for name, x := range map[string]*tab{"where it ended": x, "where it goes on": y} {
			es := x.until("the new session", func(es []event) bool { return count(lastLife(es), "turn_end") == 1 && len(resets(es)) == 1 })
			same(t, name, numbered(lastLife(es)), a.oracle(2, a.upstream()))
			if got := resets(es); !slices.Equal(got, []string{"new_session"}) {
				t.Errorf("%s: resets: got %q, want new_session", name, got)
			}
		}
		// At once, and with nobody listening there: no turn goes to the old one.
		here.do("DELETE", "/v1/session", "")
		if got := there.say("three", "k3"); got.json["epoch"] != 3.0 {
			t.Errorf("answer: got %s, want epoch 3", got.body)
		}
		a.wantTaken("three")
	})
}

func TestAStreamWithoutASessionComesAliveWhenATurnIsPostedElsewhere(t *testing.T) {
	overStores(t, func(t *testing.T, share sharing) {
		t.Parallel()
		a, b := replicas(t, share, nil, anyframetest.WithAgent(1, speak))
		here := a.visitor()
		tabs := []*tab{here.at(b).open(""), here.at(b).open("")}
		for _, y := range tabs {
			y.status("none")
		}
		here.say("one", "k1")
		for _, y := range tabs {
			y.turnEnds(1)
			y.matches("at the other", a.oracle(1, a.upstream()))
		}
	})
}

func TestANewSessionMadeElsewhereResetsOpenStreams(t *testing.T) {
	overStores(t, func(t *testing.T, share sharing) {
		t.Parallel()
		a, b := replicas(t, share, nil, anyframetest.WithAgent(1, speak))
		here := a.visitor()
		there := here.at(b)
		y := there.open("")
		here.say("one", "k1")
		before := y.turnEnds(1)
		a.plane.Delete(a.upstream())
		if got := here.insist("two", "k2"); got.json["epoch"] != 2.0 {
			t.Errorf("answer: got %s, want epoch 2", got.body)
		}
		es := y.until("the new session", func(es []event) bool { return count(lastLife(es), "turn_end") == 1 && len(resets(es)) == 1 })
		want := a.oracle(2, a.upstream())
		same(t, "since the reset", numbered(lastLife(es)), want)
		if got := resets(es); !slices.Equal(got, []string{"new_session"}) {
			t.Errorf("resets: got %q, want new_session", got)
		}
		// An id of the new epoch is known at once to one that has not looked since.
		there.open(want[0].id).matches("after the first of the new", after(want, want[0].id))
		old := there.open(numbered(before)[0].id)
		if got := resets(old.until("all", func(es []event) bool { return len(numbered(es)) == len(want) })); !slices.Equal(got, []string{"new_session"}) {
			t.Errorf("resets for an id of the old: got %q, want new_session", got)
		}
	})
}

func TestAVisitorForgottenAtOneReplicaLosesItsStreamsAtTheOther(t *testing.T) {
	overStores(t, func(t *testing.T, share sharing) {
		for name, talked := range map[string]bool{"after a chat": true, "before the first turn": false} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				a, b := replicas(t, share, nil, anyframetest.WithAgent(1, speak))
				here, stranger := a.visitor(), a.visitor()
				tabs := []*tab{here.at(b).open(""), here.at(b).open("")}
				other := stranger.at(b).open("")
				if talked {
					here.say("one", "k1")
					tabs[0].turnEnds(1)
					tabs[1].turnEnds(1)
				}
				if got := here.do("DELETE", "/v1/visitor", ""); got.status != 204 {
					t.Fatalf("DELETE: got %d %s, want 204", got.status, got.body)
				}
				for _, y := range tabs {
					es := y.ended()
					last := es[len(es)-1]
					if last.kind != "problem" || last.str("code") != "visitor_unknown" || last.json["fatal"] != true {
						t.Errorf("last event: got %s, want a fatal problem visitor_unknown", last)
					}
				}
				wantProblem(t, "afterwards", here.at(b).do("GET", "/v1/session", ""), http.StatusUnauthorized, "visitor_unknown")
				stranger.say("still here", "k1")
				other.turnEnds(1)
				if got := b.plane.OpenStreams(""); got > 2 {
					t.Errorf("upstream streams: got %d, want those of the other visitor at most", got)
				}
			})
		}
	})
}
