package relay_test

import (
	"testing"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
)

// Browsers that reconnect at the same time cause no requests to AnyFrame while the relay
// holds the events, and about one each after a restart.
func TestResume_ReconnectStorm_NotPassedUpstream(t *testing.T) {
	overTransports(t, func(t *testing.T, via transport) {
		disk := sqliteFile(t)
		r := via.newHarness(t, func(c *relay.Config) {
			disk(c)
			c.ReplayEvents = 2000
		}, anyframetest.WithAgent(1, speak))
		v := r.visitor()
		x := v.open("")
		v.say("one", "k1")
		x.turnEnds(1)
		want := r.oracle(1, r.upstream())
		const tabs = 60
		for _, last := range []string{"", want[2].id} {
			asked := r.plane.Count(anyframetest.OpAny)
			var all []*stream
			for range tabs {
				all = append(all, v.open(last))
			}
			for _, y := range all {
				if last == "" {
					y.matches("from the start", want)
				} else {
					y.matches("the rest", after(want, last))
				}
				y.close()
			}
			if got := r.plane.Count(anyframetest.OpAny) - asked; got != 0 {
				t.Errorf("requests to AnyFrame for %d tabs after %q: got %d, want none", tabs, last, got)
			}
		}
		r.restart()
		asked := r.plane.Count(anyframetest.OpAny)
		var all []*stream
		for range tabs {
			all = append(all, v.open(want[len(want)-2].id))
		}
		for _, y := range all {
			y.matches("after a restart", want[len(want)-1:])
		}
		if got := r.plane.Count(anyframetest.OpEvents); got != 2 {
			t.Errorf("upstream streams opened: got %d, want one before the restart and one after", got)
		}
		if got := r.plane.Count(anyframetest.OpAny) - asked; got > 2*tabs {
			t.Errorf("requests to AnyFrame for %d tabs after a restart: got %d, want hardly more than one each", tabs, got)
		}
	})
}
