package relay_test

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
	"github.com/anyframe-relay/relay/relay/internal/session"
	"github.com/anyframe-relay/relay/relay/internal/store/redistest"
)

// sharing creates a store that several relays may share, for one test.
type sharing func(*testing.T) func(*relay.Config)

func inRedis(t *testing.T) func(*relay.Config) {
	server := redistest.Start(t)
	return func(c *relay.Config) { c.Store = server.URL() }
}

// overStores runs a test of replicas over each kind of shared store.
func overStores(t *testing.T, test func(*testing.T, sharing)) {
	for name, share := range map[string]sharing{"sqlite": sqliteFile, "redis": inRedis} {
		t.Run(name, func(t *testing.T) { test(t, share) })
	}
}

// replicas starts two relays that share only a store and AnyFrame.
func replicas(t *testing.T, via transport, share sharing, change func(*relay.Config), opts ...anyframetest.Option) (a, b *harness) {
	t.Helper()
	plane, shared := via.start(t, opts...), share(t)
	both := func(c *relay.Config) {
		shared(c)
		c.Tune(relay.Tuning{Session: session.Tuning{Lease: 5 * time.Second, Resync: 100 * time.Millisecond}})
		if change != nil {
			change(c)
		}
	}
	return harnessFor(t, plane, both), harnessFor(t, plane, both)
}

// at returns the same visitor at another replica.
func (b *browser) at(r *harness) *browser { return &browser{r, b.token} }

func TestReplicas_EveryLastEventID_ResumesAtOther(t *testing.T) {
	overTransports(t, func(t *testing.T, via transport) {
		overStores(t, func(t *testing.T, share sharing) {
			for name, replay := range map[string]int{"all kept": 2000, "little kept": 5} {
				for who, listens := range map[string]bool{"that has listened": true, "that knows nothing": false} {
					t.Run(name+", at one "+who, func(t *testing.T) {
						t.Parallel()
						a, b := replicas(t, via, share, func(c *relay.Config) { c.ReplayEvents = replay }, anyframetest.WithAgent(1, talk))
						here := a.visitor()
						there := here.at(b)
						var live *stream
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
	})
}

func TestReplicas_PromptAnsweredAtOne_SettledAtOther(t *testing.T) {
	overTransports(t, func(t *testing.T, via transport) {
		overStores(t, func(t *testing.T, share sharing) {
			for name, late := range map[string]bool{"the agent goes on": false, "the agent says nothing yet": true} {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					gate := make(chan struct{})
					a, b := replicas(t, via, share, nil, anyframetest.WithAgent(1, func(c *anyframetest.Chat) {
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
					for _, x := range []*stream{x, y} {
						x.until("settled", func(es []event) bool { return count(es, "settled") == 1 })
					}
					close(gate)
					for name, x := range map[string]*stream{"at one": x, "at the other": y, "later at the other": there.open("")} {
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
	})
}

func TestReplicas_EndedAtOne_NewEpochAtOther(t *testing.T) {
	overTransports(t, func(t *testing.T, via transport) {
		overStores(t, func(t *testing.T, share sharing) {
			t.Parallel()
			a, b := replicas(t, via, share, nil, anyframetest.WithAgent(1, speak))
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
			for name, x := range map[string]*stream{"where it ended": x, "where it goes on": y} {
				es := x.until("the new session", func(es []event) bool { return count(lastLife(es), "turn_end") == 1 && len(resets(es)) == 1 })
				same(t, name, numbered(lastLife(es)), a.oracle(2, a.upstream()))
				if got := resets(es); !slices.Equal(got, []string{"new_session"}) {
					t.Errorf("%s: resets: got %q, want new_session", name, got)
				}
			}
			// Immediately, and without a listener there: no turn goes to the old one.
			here.do("DELETE", "/v1/session", "")
			if got := there.say("three", "k3"); got.json["epoch"] != 3.0 {
				t.Errorf("answer: got %s, want epoch 3", got.body)
			}
			a.wantTaken("three")
		})
	})
}

func TestReplicas_TurnPostedElsewhere_SessionlessStreamStarts(t *testing.T) {
	overTransports(t, func(t *testing.T, via transport) {
		overStores(t, func(t *testing.T, share sharing) {
			t.Parallel()
			a, b := replicas(t, via, share, nil, anyframetest.WithAgent(1, speak))
			here := a.visitor()
			tabs := []*stream{here.at(b).open(""), here.at(b).open("")}
			for _, y := range tabs {
				y.status("none")
			}
			here.say("one", "k1")
			for _, y := range tabs {
				y.turnEnds(1)
				y.matches("at the other", a.oracle(1, a.upstream()))
			}
		})
	})
}

func TestReplicas_NewEpochElsewhere_StreamsReset(t *testing.T) {
	overTransports(t, func(t *testing.T, via transport) {
		overStores(t, func(t *testing.T, share sharing) {
			t.Parallel()
			a, b := replicas(t, via, share, nil, anyframetest.WithAgent(1, speak))
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
			// An id of the new epoch is accepted immediately by a replica that has not
			// looked since.
			there.open(want[0].id).matches("after the first of the new", after(want, want[0].id))
			old := there.open(numbered(before)[0].id)
			if got := resets(old.until("all", func(es []event) bool { return len(numbered(es)) == len(want) })); !slices.Equal(got, []string{"new_session"}) {
				t.Errorf("resets for an id of the old: got %q, want new_session", got)
			}
		})
	})
}

func TestReplicas_VisitorForgottenAtOne_StreamsEndAtOther(t *testing.T) {
	overTransports(t, func(t *testing.T, via transport) {
		overStores(t, func(t *testing.T, share sharing) {
			for name, talked := range map[string]bool{"after a chat": true, "before the first turn": false} {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					a, b := replicas(t, via, share, nil, anyframetest.WithAgent(1, speak))
					here, stranger := a.visitor(), a.visitor()
					tabs := []*stream{here.at(b).open(""), here.at(b).open("")}
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
	})
}
