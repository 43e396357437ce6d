package relay_test

import (
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
	"github.com/anyframe-relay/relay/relay/internal/store/redistest"
)

// lossy starts two relays on a Redis that can be reset to its content at an earlier time,
// as by a failover to a replica that had not received the rest. Only the first relay
// detects by itself what the store has lost.
func lossy(t *testing.T, via transport, opts ...anyframetest.Option) (a, b *harness, mark, throwBack func()) {
	t.Helper()
	server := redistest.Start(t)
	share := func(*testing.T) func(*relay.Config) {
		return func(c *relay.Config) { c.Store = server.URL() }
	}
	a, b = replicas(t, via, share, nil, append(opts, anyframetest.WithAgent(1, speak))...)
	client := server.Client()
	mark = func() {
		if err := client.Save(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
	}
	throwBack = func() {
		server.Kill()
		server.Restart()
		for _, r := range []*harness{a, b} { // calls that failed meanwhile may have opened the circuit breaker
			if !r.gone {
				r.becomes(http.StatusOK, "")
			}
		}
	}
	return a, b, mark, throwBack
}

// After a failover of the store that loses rows, a replica that has them in
// memory writes them back.
func TestStoreLoss_RowsLost_RestoredFromMemory(t *testing.T) {
	overTransports(t, func(t *testing.T, via transport) {
		for name, opts := range map[string][]anyframetest.Option{
			"AnyFrame shows messages": nil, "AnyFrame does not show messages": {anyframetest.WithoutUserEcho()},
		} {
			for what, before := range map[string]int{"the session": 0, "a turn": 1} {
				t.Run(what+", "+name, func(t *testing.T) {
					t.Parallel()
					a, b, mark, throwBack := lossy(t, via, opts...)
					here := a.visitor()
					there := here.at(b)
					x := here.open("")
					var want []string
					say := func(v *browser, i int) {
						v.insist(fmt.Sprint("number ", i), fmt.Sprint("k", i))
						x.turnEnds(i + 1)
						want = append(want, fmt.Sprintf("number %d/k%d", i, i), "done")
					}
					for i := range before {
						say(here, i)
					}
					mark()
					say(here, before)
					throwBack()
					next := here // who detects the missing turn when it sends another
					if before == 0 {
						a.awaitLog("it was restored")
						next = there
					}
					say(next, before+1)
					y := there.open("")
					say(there, before+2)
					for name, x := range map[string]*stream{"live": x, "at the other": y, "later": there.open("")} {
						if got := turnsOf(x.turnEnds(before + 3)); !slices.Equal(got, want) {
							t.Errorf("%s: got %q, want %q", name, got, want)
						}
					}
					if got := a.plane.Count(anyframetest.OpCreate); got != 1 {
						t.Errorf("sandboxes asked for: got %d, want 1", got)
					}
					if again := there.insist(fmt.Sprint("number ", before), fmt.Sprint("k", before)); len(a.taken(a.upstream())) != before+3 {
						t.Errorf("the lost turn's key again: got %s and messages %q, want none more", again.body, a.taken(a.upstream()))
					}
				})
			}
		}
	})
}

// If a loss leads to two sandboxes for one epoch, one of them is terminated.
func TestStoreLoss_TwoSandboxesOfOneEpoch_OneTerminated(t *testing.T) {
	overTransports(t, func(t *testing.T, via transport) {
		a, b, mark, throwBack := lossy(t, via)
		a.conf.Tune(unwatching()) // so that its read comes too late
		a.restart()
		here := a.visitor()
		there := here.at(b)
		x := here.open("")
		there.open("").status("none")
		mark()
		here.insist("one", "k1")
		x.turnEnds(1)
		orphan := a.upstream()
		b.stop() // it has the session too
		throwBack()
		b.start()
		y := there.open("")
		there.insist("two", "k2")
		y.turnEnds(1)
		kept := a.upstream()
		if kept == orphan {
			t.Fatal("got one sandbox, want two: the test would show nothing")
		}
		here.session() // now it looks
		for name, z := range map[string]*stream{"where the other began": x, "where the one goes on": y} {
			es := z.until("the epoch of both", func(es []event) bool { return count(lastLife(es), "turn_end") == 1 && len(resets(es)) == 1 })
			same(t, name, numbered(lastLife(es)), a.oracle(2, kept))
			if got := turnsOf(lastLife(es)); fmt.Sprint(got) != "[two/k2 done]" {
				t.Errorf("%s: got %q, want two/k2 and its end", name, got)
			}
		}
		a.plane.WaitFor(t, func() bool { s, _ := a.plane.Session(orphan); return s.Status == anyframetest.StatusTerminated })
		here.insist("three", "k3")
		a.wantTaken("two", "three")
		if s, _ := a.plane.Session(kept); s.Status != anyframetest.StatusRunning || a.plane.Count(anyframetest.OpCreate) != 2 {
			t.Errorf("got the sandbox %s of %d asked for, want it running, of 2", s.Status, a.plane.Count(anyframetest.OpCreate))
		}
	})
}

func TestStoreLoss_EmptyStore_VisitorsStartAnew(t *testing.T) {
	overTransports(t, func(t *testing.T, via transport) {
		a, b, _, throwBack := lossy(t, via)
		here := a.visitor()
		x := here.open("")
		here.insist("one", "k1")
		x.turnEnds(1)
		throwBack()
		for _, r := range []*harness{a, b} {
			wantProblem(t, "afterwards", here.at(r).do("POST", "/v1/messages", `{"text":"two"}`), 401, "visitor_unknown")
		}
		a.plane.UserMessage(a.upstream(), "still here")
		x.turnEnds(2)
		x.matches("the stream that is open", a.oracle(1, a.upstream()))
		again := b.visitor()
		again.insist("one", "k1")
		if got := a.plane.Count(anyframetest.OpCreate); got != 2 {
			t.Errorf("sandboxes asked for: got %d, want 2", got)
		}
	})
}
