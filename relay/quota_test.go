package relay_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
)

// from posts a message as a visitor at that address.
func (b *browser) from(addr, text string) answer {
	b.r.t.Helper()
	return b.do("POST", "/v1/messages", `{"text":`+quote(text)+`}`, "X-Forwarded-For", addr)
}

// metric is the value of a counter or gauge; all its labels come in pairs.
func metric(t *testing.T, reg prometheus.Gatherer, name string, labels ...string) (sum float64) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			var has []string
			for _, l := range m.GetLabel() {
				has = append(has, l.GetName(), l.GetValue())
			}
			if len(labels) == 0 || slices.Equal(has, labels) {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return sum
}

func TestADayHasABudgetOfNewSessions(t *testing.T) {
	t.Parallel()
	disk := onDisk(t)
	r := newRig(t, func(c *relay.Config) {
		disk(c)
		trusting("", "127.0.0.0/8", "::1/128")(c)
		c.SessionsPerDay = 2
	}, anyframetest.WithAgent(1, atWork))
	first := r.visitor()
	first.say("hi", "k1")
	r.visitor().say("hi", "k1")
	for i := range 4 {
		if i == 2 {
			r.restart()
			first.r = r
		}
		a := r.visitor().from(fmt.Sprint("198.51.100.", i+1), "hi")
		refused(t, "the third", a, 503, "at_capacity")
		if seconds, _ := strconv.Atoi(a.header.Get("Retry-After")); seconds < 1 || seconds > 2*24*60*60 {
			t.Errorf("got Retry-After %q, want up to two days", a.header.Get("Retry-After"))
		}
		refused(t, "the third, without a message", r.visitor().do("POST", "/v1/session", ""), 503, "at_capacity")
	}
	first.say("who has a session goes on", "k2")
	r.plane.Sleep(r.plane.Sessions()[0].ID)
	first.insist("and wakes it", "k3")
	if n := r.plane.Count(anyframetest.OpCreate); n != 2 {
		t.Errorf("sessions created: got %d, want 2", n)
	}
	if got := metric(t, r.reg, "relay_capacity_refusals_total", "cause", "budget"); got < 4 {
		t.Errorf("refusals for want of budget: got %v, want them counted", got)
	}
}

func TestARestartGivesNoNewBudget(t *testing.T) {
	t.Parallel()
	disk := onDisk(t)
	r := newRig(t, func(c *relay.Config) {
		disk(c)
		c.RateSessions, c.RateMessages = rate(2, time.Hour), rate(3, time.Hour)
	})
	v := r.visitor()
	v.say("one", "k1")
	r.visitor().say("one", "k1")
	v.say("two", "k2")
	for range 3 {
		v.say("three", "k3")
		refused(t, "a fourth message", v.do("POST", "/v1/messages", `{"text":"four"}`), 429, "rate_limited")
		refused(t, "a third session", r.visitor().do("POST", "/v1/messages", `{"text":"hi"}`), 429, "session_quota")
		r.restart()
	}
}

func TestProcessesShareTheLimits(t *testing.T) {
	overStores(t, func(t *testing.T, share sharing) {
		t.Parallel()
		a, b := replicas(t, share, func(c *relay.Config) { c.SessionsPerDay, c.MaxSessions, c.RateMessages = 6, 4, rate(3, time.Hour) },
			anyframetest.WithAgent(1, atWork))
		// accepted is how many of twelve, half of them at each, are accepted.
		accepted := func(other string, send func(r *rig) answer) int32 {
			var got atomic.Int32
			var wg sync.WaitGroup
			for i := range 12 {
				wg.Go(func() {
					if ans := send([]*rig{a, b}[i%2]); ans.status == http.StatusAccepted {
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
		got := accepted("rate_limited", func(r *rig) answer { return v.at(r).do("POST", "/v1/messages", `{"text":"hi"}`) })
		if got != 3 {
			t.Errorf("messages of one visitor: got %d taken, want 3", got)
		}
		got = accepted("at_capacity", func(r *rig) answer { return r.visitor().do("POST", "/v1/messages", `{"text":"work"}`) })
		if got < 3 || got > 4 {
			t.Errorf("new sessions: got %d, want 3 or 4", got)
		}
		a.atMost(4)
	})
}

func TestAWholeIPv6NetworkHasALimit(t *testing.T) {
	d := newDesk(t, func(c *relay.Config) { c.RateIP = rate(2, time.Hour) })
	passed := 0
	for i := range 1000 {
		d.addr = fmt.Sprintf("[2001:db8:1:%x::1]:1", i)
		if a := d.ask("GET", "/v1/nothing", ""); a.status == http.StatusNotFound {
			passed++
		} else {
			refused(t, "one more of the network", a, 429, "rate_limited")
		}
	}
	if passed != 16*2 {
		t.Errorf("from a thousand /64 of one /48: got %d let through, want as many as of 16", passed)
	}
	for _, addr := range []string{"[2001:db8:2::1]:1", "198.51.100.1:1"} {
		d.addr = addr
		if a := d.ask("GET", "/v1/nothing", ""); a.status != http.StatusNotFound {
			t.Errorf("%s: got %d, want it let through", addr, a.status)
		}
	}

	r := newRig(t, func(c *relay.Config) {
		trusting("", "127.0.0.0/8", "::1/128")(c)
		c.RateSessions, c.StreamsPerIP = rate(1, time.Hour), 1
	})
	v := r.visitor()
	for i := range 18 {
		addr := fmt.Sprintf("2001:db8:1:%x::1", i)
		a := r.visitor().from(addr, "hi")
		if i < 16 && a.status != http.StatusAccepted {
			t.Errorf("session %d: got %d %s, want 202", i+1, a.status, a.body)
		}
		if i < 16 {
			v.openAt("/v1/events", "X-Forwarded-For", addr)
			continue
		}
		refused(t, "a session of a seventeenth", a, 429, "session_quota")
		if status := v.streamNow(addr); status != http.StatusTooManyRequests {
			t.Errorf("a stream of a seventeenth: got %d, want 429", status)
		}
	}
}

func TestManyStreamsAtOnceDoNotSlipPastTheirLimits(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*relay.Config){
		"of a visitor":    func(c *relay.Config) { c.StreamsPerVisitor = 3 },
		"of an address":   func(c *relay.Config) { c.StreamsPerIP = 3 },
		"of all together": func(c *relay.Config) { c.MaxStreams = 3 },
	} {
		r := newRig(t, change)
		v := r.visitor()
		var wg sync.WaitGroup
		open := make(chan *http.Response, 40)
		for range cap(open) {
			wg.Go(func() {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.web.URL+"/v1/events", nil)
				if err != nil {
					t.Error(err)
					return
				}
				req.Header.Set("Authorization", "Bearer "+v.token)
				res, err := http.DefaultTransport.RoundTrip(req)
				if err != nil {
					t.Error(err)
					return
				}
				open <- res
			})
		}
		wg.Wait()
		close(open)
		streams := 0
		for res := range open {
			if res.StatusCode == http.StatusOK {
				streams++
			} else if res.Header.Get("Retry-After") == "" {
				t.Errorf("%s: got %s without Retry-After", name, res.Status)
			}
			t.Cleanup(func() { res.Body.Close() })
		}
		if streams != 3 {
			t.Errorf("%s: got %d streams, want 3", name, streams)
		}
	}
}

func TestALargeMessageOfOneWhoHasSentEnoughIsRefusedUnread(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *relay.Config) { c.RateMessages = rate(1, time.Hour) })
	v := r.visitor()
	v.say("hi", "k1")
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(r.web.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	// The body never comes, and is not waited for.
	_, err = fmt.Fprintf(conn, "POST /v1/messages HTTP/1.1\r\nHost: relay.test\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\n"+
		"Idempotency-Key: k2\r\nContent-Length: 1000000\r\nConnection: close\r\n\r\n", v.token)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	if res.StatusCode != http.StatusTooManyRequests {
		t.Errorf("another message: got %s, want 429", res.Status)
	}
	a := v.do("POST", "/v1/messages", `{"text":"hi"}`+strings.Repeat(" ", 100_000), "Idempotency-Key", "k1")
	if a.status != http.StatusAccepted {
		t.Errorf("the same again: got %d %s, want 202", a.status, a.body)
	}
}
