package relay_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
	"github.com/anyframe-relay/relay/relay/internal/session"
	"github.com/anyframe-relay/relay/relay/internal/store"
)

// The conversation ends immediately; the relay retries the call that stops the sandbox.
func TestSessionEnd_TerminateFails_Retried(t *testing.T) {
	t.Parallel()
	r := newHarness(t, nil, anyframetest.WithAgent(1, talk))
	v := r.visitor()
	v.say("hi", "a")
	r.plane.Inject(anyframetest.Fault{Kind: anyframetest.Respond, Op: anyframetest.OpTerminate, Status: 500, Times: 2})
	if a := v.do("DELETE", "/v1/session", ""); a.status != http.StatusNoContent {
		t.Fatalf("got %d %s, want 204", a.status, a.body)
	}
	r.plane.WaitFor(t, func() bool {
		info, _ := r.plane.Session(r.upstream())
		return info.Status == anyframetest.StatusTerminated
	})
}

func TestSessionEnd_NextTurn_NewEpoch(t *testing.T) {
	t.Parallel()
	for _, restarted := range []bool{false, true} {
		t.Run(fmt.Sprint("restarted ", restarted), func(t *testing.T) {
			t.Parallel()
			disk := sqliteFile(t)
			r := newHarness(t, disk, anyframetest.WithAgent(1, speak))
			v := r.visitor()
			if a := v.do("DELETE", "/v1/session", ""); a.status != 204 {
				t.Errorf("DELETE with none: got %d, want 204", a.status)
			}
			x := v.open("")
			v.say("one", "k1")
			x.turnEnds(1)
			id := r.upstream()
			if a := v.do("DELETE", "/v1/session", ""); a.status != 204 {
				t.Errorf("DELETE: got %d %s, want 204", a.status, a.body)
			}
			x.status("ended")
			if s, _ := r.plane.Session(id); s.Status != anyframetest.StatusTerminated {
				t.Errorf("upstream: got %s, want terminated", s.Status)
			}
			if restarted {
				r.restart()
				x = v.open("")
				x.status("ended")
			}
			if status, epoch := v.session(); status != "ended" || epoch != 1 {
				t.Errorf("got %s %d, want ended 1", status, epoch)
			}
			if a := v.do("DELETE", "/v1/session", ""); a.status != 204 {
				t.Errorf("DELETE again: got %d, want 204", a.status)
			}
			v.say("two", "k2")
			x.until("the new session", func(es []event) bool { return count(lastLife(es), "turn_end") == 1 && len(resets(es)) == 1 })
			same(t, "since the reset", numbered(lastLife(x.all())), r.oracle(2, r.upstream()))
			if id == r.upstream() {
				t.Error("the next turn went to the session that had ended")
			}
		})
	}
}

func TestSessionEnd_MidTurn_EndsTurn(t *testing.T) {
	r := newHarness(t, nil, anyframetest.WithAgent(1, func(c *anyframetest.Chat) {
		c.Say("Wait.")
		<-c.Context().Done()
	}))
	v := r.visitor()
	x := v.open("")
	v.say("hi", "a")
	x.until("the agent's words", func(es []event) bool { return shown(es) == "Wait." })
	if a := v.do("DELETE", "/v1/session", ""); a.status != 204 {
		t.Fatalf("DELETE /v1/session: got %d %s, want 204", a.status, a.body)
	}
	got := x.turnEnds(1)
	if reason := latest(got, "turn_end").str("reason"); reason != "interrupted" {
		t.Errorf("turn end: got %q, want interrupted", reason)
	}
	if st := v.do("GET", "/v1/session", "").json; st["status"] != "ended" || st["agent_busy"] != false {
		t.Errorf("got %v, want an ended session whose agent is not busy", st)
	}
}

// unsaved is a store that cannot save sessions while told so.
type unsaved struct {
	session.Store
	on *atomic.Bool
}

func (s unsaved) SaveSession(ctx context.Context, row store.Session) (store.Session, error) {
	if s.on.Load() {
		return row, errors.New("the store is away")
	}
	return s.Store.SaveSession(ctx, row)
}

// The store fails while a conversation is ended. The next attempt ends it.
func TestSessionEnd_NotStored_EndedByNextAttempt(t *testing.T) {
	t.Parallel()
	var away atomic.Bool
	disk := sqliteFile(t)
	r := newHarness(t, func(c *relay.Config) {
		disk(c)
		c.Tune(relay.Tuning{Store: func(s store.Store) session.Store { return unsaved{s, &away} }})
	}, anyframetest.WithAgent(1, speak))
	v, id := r.begin("hi")
	r.idle(id)
	away.Store(true)
	if a := v.do("DELETE", "/v1/session", ""); a.status < 500 {
		t.Errorf("while the store is away: got %d %s, want an error", a.status, a.body)
	}
	away.Store(false)
	if a := v.do("DELETE", "/v1/session", ""); a.status != http.StatusNoContent {
		t.Errorf("afterwards: got %d %s, want 204", a.status, a.body)
	}
	r.plane.WaitFor(t, func() bool { s, _ := r.plane.Session(id); return s.Status == anyframetest.StatusTerminated })
	r.restart()
	if status, epoch := v.session(); status != "ended" || epoch != 1 {
		t.Errorf("after a restart: got %s %d, want ended 1", status, epoch)
	}
}
