package relay_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
)

func TestUpstream_NobodyListensAndIdle_StreamClosed(t *testing.T) {
	overTransports(t, func(t *testing.T, via transport) {
		g := gated{gate: make(chan struct{})}
		r := via.newHarness(t, func(c *relay.Config) { c.Tune(lingering(50 * time.Millisecond)) }, anyframetest.WithAgent(1, g.speak))
		v := r.visitor()
		x := v.open("")
		v.say("before", "k1")
		x.turnEnds(1)
		id := r.upstream()
		if got := r.plane.OpenStreams(id); got != 1 {
			t.Fatalf("upstream streams: got %d, want 1", got)
		}
		x.close()
		r.plane.WaitFor(t, func() bool { return r.plane.OpenStreams(id) == 0 })
		// While a turn runs, the stream stays open without a listener.
		v.say("now", "k2")
		quiet := time.After(500 * time.Millisecond)
		for waiting := true; waiting; {
			select {
			case <-quiet:
				waiting = false
			default:
				if got := r.plane.OpenStreams(id); got != 1 {
					t.Fatalf("upstream streams while a turn runs: got %d, want 1", got)
				}
			}
		}
		close(g.gate)
		r.plane.WaitFor(t, func() bool { return r.plane.OpenStreams(id) == 0 })
		last := numbered(x.all())
		v.open(last[len(last)-1].id).matches("later", after(r.oracle(1, id), last[len(last)-1].id))
	})
}

// The circuit breaker limits the calls to an unreachable AnyFrame and closes again when
// it recovers.
func TestUpstream_Unreachable_NotHammeredAndRecovers(t *testing.T) {
	overTransports(t, func(t *testing.T, via transport) {
		r := via.newHarness(t, nil, anyframetest.WithAgent(1, speak))
		v := r.visitor()
		r.plane.Inject(anyframetest.Fault{Kind: anyframetest.Respond, Status: 503})
		eventually(t, "upstream_unavailable", func() bool {
			a, err := v.try(t.Context(), "hello", "k1")
			if err != nil || a.status < 500 {
				t.Fatalf("got %d %s, %v, want a problem", a.status, a.body, err)
			}
			return a.code() == "upstream_unavailable"
		})
		asked, since := r.plane.Count(anyframetest.OpAny), time.Now()
		for range 50 {
			a, err := v.try(t.Context(), "hello", "k1")
			switch {
			case err == nil && a.code() == "upstream_unavailable":
				if a.header.Get("Retry-After") == "" {
					t.Error("upstream_unavailable without Retry-After")
				}
			case err != nil || a.code() != "upstream_failed": // occasional calls are allowed
				t.Errorf("got %d %s, %v, want a refusal", a.status, a.body, err)
			}
		}
		most := 3 + int(time.Since(since)/(4*time.Second)) // a busy machine takes as long as several trials of the breaker
		if got := r.plane.Count(anyframetest.OpAny) - asked; got > most {
			t.Errorf("requests to a dead AnyFrame for 50 turns: got %d, want %d at most", got, most)
		}
		r.plane.ClearFaults()
		eventually(t, "the turn", func() bool {
			a, err := v.try(t.Context(), "hello", "k1")
			return err == nil && a.status == 202
		})
		r.wantTaken("hello")
	})
}

func TestUpstream_KeyRefused_NotReadyAndNoRequests(t *testing.T) {
	overTransports(t, func(t *testing.T, via transport) {
		r := via.newHarness(t, nil, anyframetest.WithAgent(1, speak))
		v := r.visitor()
		x := v.open("")
		v.say("before", "k0")
		x.turnEnds(1)
		if a := v.do("GET", "/readyz", ""); a.status != 200 {
			t.Fatalf("readyz: got %d %s, want 200", a.status, a.body)
		}
		r.plane.Inject(anyframetest.Fault{Kind: anyframetest.Respond, Status: 401})
		v.refused("hello", "k1", 503, "upstream_unavailable")
		if a := v.do("GET", "/readyz", ""); a.status != 503 {
			t.Errorf("readyz: got %d %s, want 503", a.status, a.body)
		}
		asked := r.plane.Count(anyframetest.OpAny)
		r.plane.CutStreams()
		for range 20 {
			v.refused("hello", "k1", 503, "upstream_unavailable")
		}
		if got := r.plane.Count(anyframetest.OpAny) - asked; got != 0 {
			t.Errorf("requests with a refused key: got %d, want none", got)
		}
		r.plane.ClearFaults()
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { r.srv.Run(ctx) })
		defer wg.Wait()
		defer cancel()
		eventually(t, "ready", func() bool { return v.do("GET", "/readyz", "").status == 200 })
		v.say("hello", "k1")
		x.turnEnds(2)
		x.matches("live", r.oracle(1, r.upstream()))
		r.wantTaken("before", "hello")
	})
}
