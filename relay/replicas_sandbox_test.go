package relay_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
)

func TestReplicas_FirstTurnsAtBoth_OneSandbox(t *testing.T) {
	overTransports(t, func(t *testing.T, via transport) {
		overStores(t, func(t *testing.T, share sharing) {
			t.Parallel()
			a, b := replicas(t, via, share, nil, anyframetest.WithBootDelay(300*time.Millisecond), anyframetest.WithAgent(1, speak))
			here := a.visitor()
			tabs := []*stream{here.open(""), here.at(b).open("")}
			race(t, here, here.at(b), "")
			for _, x := range append(tabs, here.open(""), here.at(b).open("")) {
				x.turnEnds(6)
				x.matches("what every client saw", a.oracle(1, a.upstream()))
			}
			if got := a.plane.Count(anyframetest.OpCreate); got != 1 {
				t.Errorf("sandboxes asked for: got %d, want 1", got)
			}
		})
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

func TestReplicas_WakeAtBoth_OneResume(t *testing.T) {
	overTransports(t, func(t *testing.T, via transport) {
		overStores(t, func(t *testing.T, share sharing) {
			t.Parallel()
			a, b := replicas(t, via, share, nil, anyframetest.WithBootDelay(300*time.Millisecond), anyframetest.WithAgent(1, speak))
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
	})
}

func TestReplicas_WokenAtOne_FollowedAtOther(t *testing.T) {
	overTransports(t, func(t *testing.T, via transport) {
		overStores(t, func(t *testing.T, share sharing) {
			t.Parallel()
			a, b := replicas(t, via, share, nil, anyframetest.WithAgent(1, speak))
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
	})
}
