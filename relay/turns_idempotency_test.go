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
	"github.com/anyframe-relay/relay/relay/internal/session"
)

func TestIdempotencyKey_Empty_TreatedAsAbsent(t *testing.T) {
	overTransports(t, func(t *testing.T, via transport) {
		r := via.newHarness(t, nil)
		if a := r.visitor().do("POST", "/v1/messages", `{"text":"hi"}`, "Idempotency-Key", ""); a.status != 400 || a.code() != "bad_request" {
			t.Errorf("got %d %s, want 400 bad_request", a.status, a.body)
		}
	})
}

func TestIdempotencyKey_ForeignCharacters_Refused(t *testing.T) {
	overTransports(t, func(t *testing.T, via transport) {
		r := via.newHarness(t, nil)
		v := r.visitor()
		for _, key := range []string{"a b", "ä", "a.b", "a/b", "a,b", "a\tb", "'--", "p1:1", strings.Repeat("k", 65)} {
			a := v.do("POST", "/v1/messages", `{"text":"hi"}`, "Idempotency-Key", key)
			refused(t, fmt.Sprintf("%.70q", key), a, 400, "bad_request")
			if detail, _ := a.json["detail"].(string); !strings.Contains(detail, "Idempotency-Key") {
				t.Errorf("%q: got detail %q, want one that names the header", key, detail)
			}
		}
		if n := len(r.plane.Sessions()); n != 0 {
			t.Errorf("sessions: got %d, want none", n)
		}
		for _, key := range []string{"k", "A-Z_a-z-09", strings.Repeat("k", 64)} {
			if got := v.say("hi", key).json["turn"]; got != key {
				t.Errorf("got turn %v, want the key %q", got, key)
			}
		}
		made := v.do("POST", "/v1/messages", `{"text":"hi"}`)
		if turn, _ := made.json["turn"].(string); made.status != http.StatusAccepted || len(turn) < 20 {
			t.Errorf("no key: got %d %s, want one made up", made.status, made.body)
		}
	})
}

func TestIdempotencyKey_Repeated_SameAnswerSentOnce(t *testing.T) {
	overTransports(t, func(t *testing.T, via transport) {
		disk := sqliteFile(t)
		r := via.newHarness(t, disk)
		v := r.visitor()
		first := v.say("hello", "k1")
		if first.json["turn"] != "k1" || first.json["epoch"] != 1.0 || first.json["seq"] != 1.0 {
			t.Errorf("answer: got %s, want turn k1, epoch 1, seq 1", first.body)
		}
		for range 3 {
			if again := v.say("hello", "k1"); again.body != first.body {
				t.Errorf("repeated: got %s, want %s", again.body, first.body)
			}
		}
		r.restart()
		if again := v.say("hello", "k1"); again.body != first.body {
			t.Errorf("repeated after a restart: got %s, want %s", again.body, first.body)
		}
		v.refused("another", "k1", http.StatusConflict, "turn_conflict")
		if a := r.visitor().say("hello", "k1"); a.json["epoch"] != 1.0 {
			t.Errorf("the same key of another visitor: got %s", a.body)
		}
		if got := len(r.plane.Sessions()); got != 2 {
			t.Errorf("sessions of two visitors: got %d, want 2", got)
		}
	})
}

func TestIdempotencyKey_TwentyAtOnce_SentOnce(t *testing.T) {
	overTransports(t, func(t *testing.T, via transport) {
		r := via.newHarness(t, nil, anyframetest.WithBootDelay(200*time.Millisecond))
		v := r.visitor()
		bodies := make([]string, 20)
		var wg sync.WaitGroup
		for i := range bodies {
			wg.Go(func() {
				a, err := v.try(t.Context(), "hello", "k1")
				bodies[i] = fmt.Sprint(a.status, a.body, err)
			})
		}
		wg.Wait()
		for _, body := range bodies {
			if body != bodies[0] || !strings.HasPrefix(body, "202") {
				t.Errorf("got %s, want 202 and %s", body, bodies[0])
			}
		}
		r.wantTaken("hello")
		if got := len(r.plane.Sessions()); got != 1 {
			t.Errorf("sessions: got %d, want 1", got)
		}
	})
}

func TestIdempotencyKey_UpstreamAnswerLost_SentOnce(t *testing.T) {
	overTransports(t, func(t *testing.T, via transport) {
		for name, opts := range map[string][]anyframetest.Option{"": nil, "AnyFrame does not show messages": {anyframetest.WithoutUserEcho()}} {
			for _, f := range []anyframetest.Fault{
				{Kind: anyframetest.LoseAnswer}, {Kind: anyframetest.HangAfterHeaders}, {Kind: anyframetest.Late, Delay: 3 * time.Second},
			} {
				t.Run(fmt.Sprintf("%s %d", name, f.Kind), func(t *testing.T) {
					t.Parallel()
					disk := sqliteFile(t)
					r := via.newHarness(t, func(c *relay.Config) { disk(c); c.UpstreamTimeout = impatience }, append(opts, anyframetest.WithAgent(1, speak))...)
					v := r.visitor()
					x := v.open("")
					v.say("before", "k0")
					x.turnEnds(1)
					f.Op, f.Times = anyframetest.OpMessage, 2
					r.plane.Inject(f)
					first := v.say("hello", "k1")
					x.turnEnds(2)
					v.say("hello", "k2")
					x.turnEnds(3)
					if again := v.say("hello", "k1"); again.body != first.body {
						t.Errorf("repeated: got %s, want %s", again.body, first.body)
					}
					r.restart()
					if again := v.say("hello", "k1"); again.body != first.body {
						t.Errorf("repeated after a restart: got %s, want %s", again.body, first.body)
					}
					r.wantTaken("before", "hello", "hello")
					es := v.open("").turnEnds(3)
					var turns []string
					for _, e := range es {
						if e.kind == "user" {
							turns = append(turns, e.str("turn"))
						}
					}
					if want := []string{"k0", "k1", "k2"}; !slices.Equal(turns, want) {
						t.Errorf("turns on the stream: got %q, want %q", turns, want)
					}
				})
			}
		}
	})
}

// A turn whose relay crashes while sending is sent once when its key is retried.
func TestIdempotencyKey_RelayDiesWhileSending_SentOnce(t *testing.T) {
	overTransports(t, func(t *testing.T, via transport) {
		for name, f := range map[string]anyframetest.Fault{
			"it had arrived":     {Kind: anyframetest.Late, Delay: time.Minute},
			"it had not arrived": {Kind: anyframetest.Hang},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				disk := sqliteFile(t)
				r := via.newHarness(t, func(c *relay.Config) {
					disk(c)
					c.UpstreamTimeout = impatience
					c.Tune(relay.Tuning{Session: session.Tuning{Lease: 3 * time.Second}})
				}, anyframetest.WithAgent(1, speak))
				v := r.visitor()
				v.say("before", "k0")
				f.Op, f.Times = anyframetest.OpMessage, 1
				r.plane.Inject(f)
				v.leavesWhen("hello", "k1", func() bool { return r.plane.FaultsHit() == 1 })
				r.restart()
				// The leases of the killed process expire after a while.
				for deadline := time.Now().Add(patience); ; {
					a, err := v.try(t.Context(), "hello", "k1")
					if err == nil && a.status == http.StatusAccepted {
						break
					}
					if err != nil || a.code() != "session_booting" || time.Now().After(deadline) {
						t.Fatalf("after the restart: got %d %s, %v, want 202 in the end", a.status, a.body, err)
					}
				}
				v.say("hello", "k1")
				r.wantTaken("before", "hello")
			})
		}
	})
}
