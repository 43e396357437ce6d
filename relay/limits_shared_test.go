package relay_test

import (
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
)

func TestLimits_SeveralProcesses_Shared(t *testing.T) {
	t.Parallel()
	overStores(t, func(t *testing.T, share sharing) {
		t.Parallel()
		a, b := replicas(t, overHTTP1, share, func(c *relay.Config) { c.SessionsPerDay, c.MaxSessions, c.RateMessages = 6, 4, rate(3, time.Hour) },
			anyframetest.WithAgent(1, atWork))
		// accepted returns how many of twelve requests, half of them at each replica, are
		// accepted.
		accepted := func(other string, send func(r *harness) answer) int32 {
			var got atomic.Int32
			var wg sync.WaitGroup
			for i := range 12 {
				wg.Go(func() {
					if ans := send([]*harness{a, b}[i%2]); ans.status == http.StatusAccepted {
						got.Add(1)
					} else if ans.code() != other {
						t.Errorf("got %d %s, want %s", ans.status, ans.body, other)
					}
				})
			}
			wg.Wait()
			return got.Load()
		}
		v := a.visitor()
		got := accepted("rate_limited", func(r *harness) answer { return v.at(r).do("POST", "/v1/messages", `{"text":"hi"}`) })
		if got != 3 {
			t.Errorf("messages of one visitor: got %d taken, want 3", got)
		}
		got = accepted("at_capacity", func(r *harness) answer { return r.visitor().do("POST", "/v1/messages", `{"text":"work"}`) })
		if got < 3 || got > 4 {
			t.Errorf("new sessions: got %d, want 3 or 4", got)
		}
		a.atMost(4)
	})
}
