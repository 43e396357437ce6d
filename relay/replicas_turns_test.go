package relay_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
)

func TestReplicas_SameKeyAtBoth_SentOnce(t *testing.T) {
	overTransports(t, func(t *testing.T, via transport) {
		overStores(t, func(t *testing.T, share sharing) {
			for name, opts := range map[string][]anyframetest.Option{"": nil, "AnyFrame does not show messages": {anyframetest.WithoutUserEcho()}} {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					a, b := replicas(t, via, share, nil, append(opts, anyframetest.WithAgent(1, speak))...)
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
	})
}

// A turn whose replica crashes while sending is sent exactly once, by another replica if
// it had not arrived.
func TestReplicas_ReplicaDiesMidTurn_SentOnceByOther(t *testing.T) {
	overTransports(t, func(t *testing.T, via transport) {
		overStores(t, func(t *testing.T, share sharing) {
			for name, f := range map[string]anyframetest.Fault{
				"it had arrived":     {Kind: anyframetest.Late, Delay: time.Minute},
				"it had not arrived": {Kind: anyframetest.Hang},
			} {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					a, b := replicas(t, via, share, func(c *relay.Config) { c.UpstreamTimeout = impatience }, anyframetest.WithAgent(1, speak))
					here := a.visitor()
					there := here.at(b)
					x := there.open("")
					here.say("before", "k0")
					x.turnEnds(1)
					f.Op, f.Times = anyframetest.OpMessage, 1
					a.plane.Inject(f)
					here.leavesWhen("hello", "k1", func() bool { return a.plane.FaultsHit() == 1 })
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
	})
}

// A message with the text of an earlier one is not mistaken for it.
func TestReplicas_SameTextAtOther_NotTakenForEarlier(t *testing.T) {
	overTransports(t, func(t *testing.T, via transport) {
		overStores(t, func(t *testing.T, share sharing) {
			t.Parallel()
			a, b := replicas(t, via, share, func(c *relay.Config) { c.UpstreamTimeout = impatience }, anyframetest.WithAgent(1, speak))
			here := a.visitor()
			there := here.at(b)
			x := here.open("")
			here.say("hello", "k1")
			x.turnEnds(1)
			there.session() // so that the other one has this turn, and no later one
			here.say("hello", "k2")
			x.turnEnds(2)
			a.plane.Inject(anyframetest.Fault{Kind: anyframetest.Hang, Op: anyframetest.OpMessage, Times: 1})
			there.refused("hello", "k3", http.StatusGatewayTimeout, "upstream_timeout")
			there.insist("hello", "k3")
			a.wantTaken("hello", "hello", "hello")
		})
	})
}

// turnsOf returns the visitor's messages with their turns, and the ends.
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

func TestReplicas_TurnsAtBoth_TurnKeysShownAtBoth(t *testing.T) {
	overTransports(t, func(t *testing.T, via transport) {
		overStores(t, func(t *testing.T, share sharing) {
			for name, opts := range map[string][]anyframetest.Option{
				"AnyFrame shows messages":         nil,
				"AnyFrame does not show messages": {anyframetest.WithoutUserEcho()},
				"nor number deltas":               {anyframetest.WithoutUserEcho(), anyframetest.WithUnnumberedDeltas()},
			} {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					a, b := replicas(t, via, share, nil, append(opts, anyframetest.WithAgent(1, talk))...)
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
					for what, x := range map[string]*stream{
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
	})
}

// A message that another replica is still sending is shown before its answer.
func TestReplicas_MessageInFlightAtOther_ShownBeforeAnswer(t *testing.T) {
	overTransports(t, func(t *testing.T, via transport) {
		overStores(t, func(t *testing.T, share sharing) {
			t.Parallel()
			a, b := replicas(t, via, share, nil, anyframetest.WithoutUserEcho(), anyframetest.WithAgent(1, speak))
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
	})
}
