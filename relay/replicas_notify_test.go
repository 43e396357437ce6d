package relay_test

import (
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
	"github.com/anyframe-relay/relay/relay/internal/store/redistest"
)

// hearing starts two relays on one Redis. Neither rereads a session on its own.
func hearing(t *testing.T, via transport, opts ...anyframetest.Option) (a, b *harness) {
	t.Helper()
	server := redistest.Start(t)
	share := func(*testing.T) func(*relay.Config) {
		return func(c *relay.Config) { c.Store = server.URL() }
	}
	a, b = replicas(t, via, share, func(c *relay.Config) { c.Tune(unwatching()) }, opts...)
	var running sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	for _, r := range []*harness{a, b} {
		running.Go(func() { r.srv.Run(ctx) })
	}
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	client := server.Client()
	eventually(t, "both hear", func() bool {
		n := client.PubSubNumSub(ctx, "relay:changed").Val()
		return n["relay:changed"] == 2
	})
	return a, b
}

// Without polling, notifications alone keep the other replica up to date.
func TestReplicas_NotificationsOnly_OtherReplicaUpdatesAtOnce(t *testing.T) {
	overTransports(t, func(t *testing.T, via transport) {
		gate := make(chan struct{})
		a, b := hearing(t, via, anyframetest.WithAgent(1, func(c *anyframetest.Chat) {
			c.Ask("Which?", "red", "green")
			select { // so that only the relay reports the answer
			case <-gate:
			case <-c.Context().Done():
			}
		}))
		here := a.visitor()
		y := here.at(b).open("")
		y.status("none")
		here.say("one", "k1")
		id := y.prompt("question")
		if got := here.respond(id, "red"); got.status != 202 {
			t.Fatalf("answer: got %d %s, want 202", got.status, got.body)
		}
		y.until("settled", func(es []event) bool { return count(es, "settled") == 1 })
		close(gate)
		y.turnEnds(1)
		if got := here.do("DELETE", "/v1/session", ""); got.status != 204 {
			t.Fatalf("DELETE: got %d %s, want 204", got.status, got.body)
		}
		y.status("ended")
		if got := here.do("DELETE", "/v1/visitor", ""); got.status != 204 {
			t.Fatalf("DELETE: got %d %s, want 204", got.status, got.body)
		}
		es := y.ended()
		if last := es[len(es)-1]; last.kind != "problem" || last.str("code") != "visitor_unknown" {
			t.Errorf("last event: got %s, want the problem visitor_unknown", last)
		}
		if got := statuses(es); !slices.Contains(got, "1 running") || !slices.Contains(got, "1 ended") {
			t.Errorf("statuses: got %q, want running and ended", got)
		}
	})
}
