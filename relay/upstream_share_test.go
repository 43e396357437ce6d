package relay_test

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
	"github.com/anyframe-relay/relay/relay/internal/clientip"
)

// behindProxy makes X-Forwarded-For count.
func behindProxy(c *relay.Config) {
	c.TrustedProxies = clientip.TrustedProxies{Prefixes: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
}

// An addressed visitor uses an address of its own choice.
type addressed struct {
	*browser
	addr string
}

func (r *harness) visitorAt(addr string) *addressed { return &addressed{r.visitor(), addr} }

// sends sends one more message.
func (v *addressed) sends() answer {
	return v.do("POST", "/v1/messages", `{"text":"hello"}`, "X-Forwarded-For", v.addr)
}

func (v *addressed) wantServed(when string) {
	v.r.t.Helper()
	if a := v.sends(); a.status != http.StatusAccepted {
		v.r.t.Errorf("%s, another visitor's turn: got %d %s, want 202", when, a.status, a.body)
	}
}

// A call that AnyFrame refuses although the key is valid fails alone: its visitor gets
// the error, and no other visitor is affected.
func TestUpstream_OneCallForbidden_OnlyItsVisitorTold(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusUnauthorized, http.StatusForbidden} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			r := newHarness(t, nil, anyframetest.WithAgent(1, speak))
			good := r.visitor()
			good.say("hello", "k1")
			x := good.open("")
			x.turnEnds(1)
			bad, id := r.begin("hello")
			for _, op := range []anyframetest.Op{anyframetest.OpMessage, anyframetest.OpTranscript} {
				r.plane.Inject(anyframetest.Fault{Kind: anyframetest.Respond, Status: status, Op: op, Session: id})
			}
			for i := range 5 {
				for _, a := range []answer{
					bad.do("POST", "/v1/messages", `{"text":"again"}`, "Idempotency-Key", fmt.Sprint("b", i)),
					bad.do("GET", "/v1/transcript", ""),
				} {
					refused(t, "the refused call", a, http.StatusBadGateway, "upstream_refused")
					if got := a.header.Get("Retry-After"); got != "" {
						t.Errorf("Retry-After: got %q, want none", got)
					}
				}
				good.say("hello", fmt.Sprint("g", i))
				x.turnEnds(i + 2)
			}
			if a := good.do("GET", "/readyz", ""); a.status != http.StatusOK {
				t.Errorf("readyz: got %d %s, want 200", a.status, a.body)
			}
			if r.metric("relay_upstream_key_refused") != 0 || r.metric("relay_upstream_breaker_open") != 0 {
				t.Error("got the key refused or the breaker open, want neither")
			}
			if strings.Contains(r.logs.String(), "AnyFrame rejects the key") {
				t.Error("got a log line that the key is refused, want none")
			}
			r.plane.ClearFaults()
			bad.say("again", "b0") // the turn that was refused
		})
	}
}

// The refused call may create a session, wake one, or send an answer.
func TestUpstream_ForbiddenBeforeOrAfterTurn_Refused(t *testing.T) {
	t.Parallel()
	r := newHarness(t, sqliteFile(t), anyframetest.WithAgent(1, func(c *anyframetest.Chat) {
		c.Say("You chose " + c.Ask("Which?", "red", "green") + ".")
	}))
	forbid := func(op anyframetest.Op) {
		r.plane.Inject(anyframetest.Fault{Kind: anyframetest.Respond, Status: http.StatusForbidden, Op: op})
	}
	forbid(anyframetest.OpCreate)
	v := r.visitor()
	v.refused("ask", "k1", http.StatusBadGateway, "upstream_refused")
	r.plane.ClearFaults()
	v.say("ask", "k1")
	id := v.open("").prompt("question")
	forbid(anyframetest.OpRespond)
	refused(t, "an answer", v.respond(id, "red"), http.StatusBadGateway, "upstream_refused")
	r.plane.ClearFaults()
	if a := v.respond(id, "red"); a.status != http.StatusAccepted {
		t.Errorf("the answer again: got %d %s, want 202", a.status, a.body)
	}
	r.restart() // so that AnyFrame must be asked whether the sandbox runs
	forbid(anyframetest.OpGet)
	refused(t, "POST /v1/session", v.do("POST", "/v1/session", ""), http.StatusBadGateway, "upstream_refused")
}

// However often the calls of one visitor, or of many visitors on one network, fail,
// others are served.
func TestUpstream_OneVisitorsOrNetworksCallsFail_OthersServed(t *testing.T) {
	t.Parallel()
	for name, addrs := range map[string][]string{
		"one visitor":                   {"198.51.100.1"},
		"one visitor at many addresses": {"198.51.100.1", "198.51.100.2", "198.51.100.3", "198.51.100.4"},
		"one address":                   {"198.51.100.1"},
		"one IPv6 network":              {"2001:db8:1:1::1", "2001:db8:1:2::1", "2001:db8:1:3::1", "2001:db8:1:4::1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newHarness(t, behindProxy, anyframetest.WithAgent(1, speak))
			good := r.visitorAt("203.0.113.9")
			good.wantServed("before")
			var bad []*addressed
			for i := range 4 {
				v := r.visitorAt(addrs[i%len(addrs)])
				if strings.HasPrefix(name, "one visitor") && i > 0 {
					v.browser = bad[0].browser
				}
				bad = append(bad, v)
			}
			own := len(r.plane.Sessions())
			for _, v := range bad {
				v.wantServed("before")
			}
			for _, s := range r.plane.Sessions()[own:] {
				r.plane.Inject(anyframetest.Fault{Kind: anyframetest.Respond, Status: http.StatusInternalServerError, Session: s.ID})
			}
			for i := range 20 {
				if a := bad[i%len(bad)].sends(); a.status != http.StatusBadGateway {
					t.Fatalf("a failing call: got %d %s, want 502", a.status, a.body)
				}
			}
			if got := r.metric("relay_upstream_breaker_open"); got != 0 {
				t.Errorf("circuit breaker open: got %v, want 0", got)
			}
			good.wantServed("after")
		})
	}
}

// If calls of the same kind fail for visitors on three networks, they count as failing
// for all visitors, although AnyFrame reports that it is well.
func TestUpstream_VisitorsAtThreeNetworksFail_BreakerOpens(t *testing.T) {
	t.Parallel()
	r := newHarness(t, behindProxy, anyframetest.WithAgent(1, speak))
	var all []*addressed
	for _, addr := range []string{"198.51.100.1", "198.51.100.2", "2001:db8:1:1::1"} {
		v := r.visitorAt(addr)
		v.wantServed("before")
		all = append(all, v)
	}
	r.plane.Inject(anyframetest.Fault{Kind: anyframetest.Respond, Status: http.StatusInternalServerError, Op: anyframetest.OpMessage})
	for _, v := range all {
		if a := v.sends(); a.status != http.StatusBadGateway {
			t.Fatalf("a failing call: got %d %s, want 502", a.status, a.body)
		}
	}
	if got := r.metric("relay_upstream_breaker_open"); got != 1 {
		t.Errorf("circuit breaker open: got %v, want 1", got)
	}
	refused(t, "a turn while it is open", all[0].sends(), http.StatusServiceUnavailable, "upstream_unavailable")
	r.plane.ClearFaults()
	eventually(t, "a turn", func() bool { return all[0].sends().status == http.StatusAccepted })
}

// Connections that are all reset at once, as when AnyFrame is deployed, do not open the
// breaker.
func TestUpstream_AllConnectionsReset_BreakerStaysClosed(t *testing.T) {
	overTransports(t, func(t *testing.T, via transport) {
		r := via.newHarness(t, behindProxy, anyframetest.WithAgent(1, speak))
		var all []*addressed
		for i := range 6 {
			v := r.visitorAt(fmt.Sprintf("198.51.100.%d", i+1))
			v.wantServed("before")
			all = append(all, v)
		}
		for range 3 {
			hit := r.plane.FaultsHit()
			r.plane.Inject(anyframetest.Fault{Kind: anyframetest.Hang, Op: anyframetest.OpMessage, Times: len(all)})
			var waiting sync.WaitGroup
			for _, v := range all {
				waiting.Go(func() { v.sends() })
			}
			r.plane.WaitFor(t, func() bool { return r.plane.FaultsHit() == hit+len(all) })
			r.plane.CutConnections()
			waiting.Wait()
			if got := r.metric("relay_upstream_breaker_open"); got != 0 {
				t.Errorf("circuit breaker open: got %v, want 0", got)
			}
			for _, v := range all {
				v.wantServed("after")
			}
		}
	})
}

// Calls that are safe to repeat are repeated on a new connection.
func TestUpstream_ConnectionResetWhileReading_ReadRepeated(t *testing.T) {
	overTransports(t, func(t *testing.T, via transport) {
		r := via.newHarness(t, nil, anyframetest.WithAgent(1, speak))
		v, _ := r.begin("hello")
		hit := r.plane.FaultsHit()
		r.plane.Inject(anyframetest.Fault{Kind: anyframetest.Hang, Op: anyframetest.OpTranscript, Times: 1})
		got := make(chan answer, 1)
		go func() { got <- v.do("GET", "/v1/transcript", "") }()
		r.plane.WaitFor(t, func() bool { return r.plane.FaultsHit() == hit+1 })
		r.plane.CutConnections()
		select {
		case a := <-got:
			if a.status != http.StatusOK {
				t.Errorf("the transcript: got %d %s, want 200", a.status, a.body)
			}
		case <-time.After(patience):
			t.Fatal("the transcript did not come")
		}
	})
}
