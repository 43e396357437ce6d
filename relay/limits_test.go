package relay_test

import (
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
)

func rate(n int, per time.Duration) relay.Rate { return relay.Rate{Limit: n, Window: per} }

func trusting(header string, prefixes ...string) func(*relay.Config) {
	return func(c *relay.Config) {
		c.TrustedProxies.Header = header
		for _, p := range prefixes {
			c.TrustedProxies.Prefixes = append(c.TrustedProxies.Prefixes, netip.MustParsePrefix(p))
		}
	}
}

func TestMessagesAndAnswersAreCountedByVisitor(t *testing.T) {
	r := newRig(t, func(c *relay.Config) { c.RateMessages = rate(3, time.Hour) })
	v := r.visitor()
	for range 5 { // what is refused anyway costs nothing
		refused(t, "no message", v.do("POST", "/v1/messages", `{"text":""}`), 400, "empty_message")
		refused(t, "no answer", v.do("POST", "/v1/responses", `{"id":"p1-1"}`), 400, "bad_request")
	}
	v.say("one", "k1")
	v.say("two", "k2")
	refused(t, "an answer", v.do("POST", "/v1/responses", `{"id":"p1-1","answer":"x"}`), 404, "prompt_unknown")
	for range 3 {
		refused(t, "a fourth", v.do("POST", "/v1/messages", `{"text":"three"}`), 429, "rate_limited")
		refused(t, "a fourth, to a question", v.do("POST", "/v1/responses", `{"id":"p1-1","answer":"x"}`), 429, "rate_limited")
	}
	if n := r.plane.Count(anyframetest.OpMessage); n != 2 {
		t.Errorf("messages at AnyFrame: got %d, want 2", n)
	}
	if a := v.do("GET", "/v1/session", ""); a.status != http.StatusOK {
		t.Errorf("reading: got %d, want 200", a.status)
	}
	r.visitor().say("one", "k1") // another visitor, from the same address
}

func TestRequestsAreCountedByAddress(t *testing.T) {
	d := newDesk(t, func(c *relay.Config) { c.RateIP = rate(5, time.Hour) })
	token := d.mint()
	for range 4 {
		if a := d.ask("GET", "/v1/session", "", bearer(token)...); a.status != http.StatusOK {
			t.Errorf("within the limit: got %d, want 200", a.status)
		}
	}
	for _, path := range []string{"/v1/session", "/v1/events", "/v1/transcript", "/v1/nothing"} {
		a := d.ask("GET", path, "", bearer(token)...)
		refused(t, path, a, 429, "rate_limited")
	}
	refused(t, "another visitor", d.ask("POST", "/v1/visitor", `{}`), 429, "rate_limited")
	for _, path := range []string{"/", "/widget.js", "/healthz", "/readyz"} {
		if a := d.ask("GET", path, ""); a.status != http.StatusOK {
			t.Errorf("%s: got %d, want 200 however many ask", path, a.status)
		}
	}
	if a := d.ask("OPTIONS", "/v1/session", ""); a.status != http.StatusNoContent {
		t.Errorf("a preflight: got %d, want 204", a.status)
	}
	d.addr = "192.0.2.2:1"
	if a := d.ask("GET", "/v1/session", "", bearer(token)...); a.status != http.StatusOK {
		t.Errorf("another address: got %d, want 200", a.status)
	}

	off := newDesk(t, nil)
	for i := range 500 {
		if a := off.ask("GET", "/v1/nothing", ""); a.status != http.StatusNotFound {
			t.Fatalf("request %d without a limit: got %d, want 404", i, a.status)
		}
	}
}

func TestRetryAfterIsWhenThereIsRoomAgain(t *testing.T) {
	for _, limit := range []relay.Rate{rate(1, time.Second), rate(1, time.Minute), rate(5, time.Minute), rate(120, time.Minute), rate(6, time.Hour)} {
		t.Run(fmt.Sprintf("%d per %v", limit.Limit, limit.Window), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDesk(t, func(c *relay.Config) { c.RateIP = limit })
				passed, first := 0, time.Now()
				// Bursts and single requests, spread unevenly over the windows.
				for i := range 60 {
					a := d.ask("GET", "/v1/nothing", "")
					if a.status == http.StatusNotFound {
						passed++
						if i%7 == 3 {
							time.Sleep(limit.Window / time.Duration(2*i))
						}
						continue
					}
					refused(t, "too many", a, 429, "rate_limited")
					seconds, _ := strconv.Atoi(a.header.Get("Retry-After"))
					wait := time.Duration(seconds) * time.Second
					if wait > 2*limit.Window {
						t.Fatalf("got Retry-After %v, want two windows at most", wait)
					}
					if early := wait - 1100*time.Millisecond; early > 0 { // it is told in whole seconds
						time.Sleep(early)
						refused(t, "before that", d.ask("GET", "/v1/nothing", ""), 429, "rate_limited")
						wait -= early
					}
					time.Sleep(wait)
					if a := d.ask("GET", "/v1/nothing", ""); a.status != http.StatusNotFound {
						t.Fatalf("after %s s: got %d, want it let through", a.header.Get("Retry-After"), a.status)
					}
					passed++
				}
				windows := float64(time.Since(first))/float64(limit.Window) + 1
				if most := windows * float64(limit.Limit) * 1.5; float64(passed) > most {
					t.Errorf("passed in %.1f windows: got %d, want %.0f at most", windows, passed, most)
				}
			})
		})
	}
}

func TestWhoseAddressCounts(t *testing.T) {
	const proxy, other = "10.1.2.3:4444", "203.0.113.9:4444"
	xff, fly := trusting("", "10.0.0.0/8", "fd00::/8"), trusting("Fly-Client-IP", "10.0.0.0/8")
	for name, tt := range map[string]struct {
		change  func(*relay.Config)
		addr    string
		headers []string
		want    string // the address that is counted
	}{
		"nobody between":                 {nil, other, nil, "203.0.113.9"},
		"no proxy trusted":               {nil, other, []string{"X-Forwarded-For", "198.51.100.7"}, "203.0.113.9"},
		"no proxy trusted, other names":  {nil, other, []string{"X-Real-Ip", "198.51.100.7", "True-Client-Ip", "198.51.100.7", "Forwarded", "for=198.51.100.7", "Cf-Connecting-Ip", "198.51.100.7", "Fly-Client-Ip", "198.51.100.7"}, "203.0.113.9"},
		"not through the proxy":          {xff, other, []string{"X-Forwarded-For", "198.51.100.7"}, "203.0.113.9"},
		"through the proxy":              {xff, proxy, []string{"X-Forwarded-For", "198.51.100.7"}, "198.51.100.7"},
		"through two":                    {xff, proxy, []string{"X-Forwarded-For", "198.51.100.7, 10.9.9.9"}, "198.51.100.7"},
		"a spoof in front":               {xff, proxy, []string{"X-Forwarded-For", "1.1.1.1, 2.2.2.2, 198.51.100.7"}, "198.51.100.7"},
		"a spoof as a trusted one":       {xff, proxy, []string{"X-Forwarded-For", "1.1.1.1, 10.0.0.1, 198.51.100.7, 10.9.9.9"}, "198.51.100.7"},
		"a spoof in a header of its own": {xff, proxy, []string{"X-Forwarded-For", "1.1.1.1", "X-Forwarded-For", "198.51.100.7"}, "198.51.100.7"},
		"another header through it":      {xff, proxy, []string{"X-Forwarded-For", "198.51.100.7", "X-Real-Ip", "1.1.1.1", "True-Client-Ip", "1.1.1.1"}, "198.51.100.7"},
		"an underscore":                  {xff, proxy, []string{"X_Forwarded_For", "1.1.1.1", "X-Forwarded-For", "198.51.100.7"}, "198.51.100.7"},
		"garbage":                        {xff, proxy, []string{"X-Forwarded-For", "garbage"}, "10.1.2.3"},
		"garbage at the end":             {xff, proxy, []string{"X-Forwarded-For", "198.51.100.7, garbage"}, "10.1.2.3"},
		"garbage in front":               {xff, proxy, []string{"X-Forwarded-For", "garbage, 198.51.100.7"}, "198.51.100.7"},
		"an address with a port":         {xff, proxy, []string{"X-Forwarded-For", "198.51.100.7:1234"}, "10.1.2.3"},
		"nothing said":                   {xff, proxy, nil, "10.1.2.3"},
		"an empty header":                {xff, proxy, []string{"X-Forwarded-For", " , "}, "10.1.2.3"},
		"only proxies":                   {xff, proxy, []string{"X-Forwarded-For", "10.8.8.8, 10.9.9.9"}, "10.1.2.3"},
		"IPv4 written as IPv6":           {xff, proxy, []string{"X-Forwarded-For", "::ffff:198.51.100.7"}, "198.51.100.7"},
		"a proxy written as IPv6":        {xff, "[::ffff:10.1.2.3]:4444", []string{"X-Forwarded-For", "198.51.100.7"}, "198.51.100.7"},
		"a proxy of IPv6":                {xff, "[fd00::1]:4444", []string{"X-Forwarded-For", "198.51.100.7"}, "198.51.100.7"},
		"IPv6, the first of its /64":     {xff, proxy, []string{"X-Forwarded-For", "2001:db8:1:2::1"}, "2001:db8:1:2::"},
		"IPv6, the last of its /64":      {xff, proxy, []string{"X-Forwarded-For", "2001:db8:1:2:ffff:ffff:ffff:ffff"}, "2001:db8:1:2::9"},
		"IPv6 without a proxy":           {nil, "[2001:db8:1:2:3:4:5:6]:7", nil, "2001:db8:1:2::"},
		"IPv6 with a zone":               {xff, proxy, []string{"X-Forwarded-For", "2001:db8:1:2::1%eth0"}, "2001:db8:1:2::"},
		"the one header":                 {fly, proxy, []string{"Fly-Client-IP", "198.51.100.7"}, "198.51.100.7"},
		"the one header, not the other":  {fly, proxy, []string{"Fly-Client-IP", "198.51.100.7", "X-Forwarded-For", "1.1.1.1"}, "198.51.100.7"},
		"only the other header":          {fly, proxy, []string{"X-Forwarded-For", "1.1.1.1"}, "10.1.2.3"},
		"the one header from anybody":    {fly, other, []string{"Fly-Client-IP", "198.51.100.7"}, "203.0.113.9"},
		"the one header twice":           {fly, proxy, []string{"Fly-Client-IP", "1.1.1.1", "Fly-Client-IP", "198.51.100.7"}, "198.51.100.7"},
		"the one header with a list":     {fly, proxy, []string{"Fly-Client-IP", "1.1.1.1, 198.51.100.7"}, "10.1.2.3"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, used := range []bool{true, false} {
				d := newDesk(t, func(c *relay.Config) {
					if tt.change != nil {
						tt.change(c)
					}
					c.RateIP = rate(1, time.Hour)
				})
				if used { // the one request that the address may make has been made
					d.addr = netip.AddrPortFrom(netip.MustParseAddr(tt.want), 5).String()
					d.ask("GET", "/v1/nothing", "")
				}
				d.addr = tt.addr
				a := d.ask("GET", "/v1/nothing", "", tt.headers...)
				if got := a.status == http.StatusTooManyRequests; got != used {
					t.Errorf("after a request of %s: %v, got %d", tt.want, used, a.status)
				}
			}
		})
	}
}

func TestNeighboursInIPv6AreOthers(t *testing.T) {
	d := newDesk(t, func(c *relay.Config) { c.RateIP = rate(1, time.Hour) })
	for i, addr := range []string{"[2001:db8:1:2::1]:1", "[2001:db8:1:3::1]:1", "[2001:db8:2:2::1]:1", "192.0.2.1:1", "192.0.2.2:1"} {
		d.addr = addr
		if a := d.ask("GET", "/v1/nothing", ""); a.status != http.StatusNotFound {
			t.Errorf("%s, number %d: got %d, want 404", addr, i, a.status)
		}
	}
}

// tryStream asks for a stream and returns the refusal, or closes it again.
func (b *browser) tryStream(headers ...string) (a answer) {
	b.r.t.Helper()
	return b.do("GET", "/v1/events", "", headers...)
}

func TestHowManyStreamsMayBeOpen(t *testing.T) {
	behind := trusting("", "127.0.0.0/8", "::1/128")
	for name, tt := range map[string]struct {
		change func(*relay.Config)
		// Streams of visitor 1 and 2 from these addresses are open; then one more.
		open   []string
		next   string
		status int
		code   string
	}{
		"of one visitor":         {func(c *relay.Config) { c.StreamsPerVisitor = 2 }, []string{"1 192.0.2.1", "1 192.0.2.2", "2 192.0.2.1"}, "1 192.0.2.3", 429, "too_many_streams"},
		"from one address":       {func(c *relay.Config) { c.StreamsPerIP = 2 }, []string{"1 192.0.2.1", "2 192.0.2.1", "1 192.0.2.2"}, "2 192.0.2.1", 429, "too_many_streams"},
		"from one IPv6 network":  {func(c *relay.Config) { c.StreamsPerIP = 2 }, []string{"1 2001:db8::1", "2 2001:db8::2", "1 192.0.2.2"}, "2 2001:db8::ffff:3", 429, "too_many_streams"},
		"in all":                 {func(c *relay.Config) { c.MaxStreams = 3 }, []string{"1 192.0.2.1", "2 192.0.2.2", "1 192.0.2.3"}, "2 192.0.2.4", 503, "at_capacity"},
		"in all before by whose": {func(c *relay.Config) { c.MaxStreams, c.StreamsPerVisitor = 1, 1 }, []string{"1 192.0.2.1"}, "1 192.0.2.1", 503, "at_capacity"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(c *relay.Config) { behind(c); tt.change(c) })
			visitors := map[string]*browser{"1": r.visitor(), "2": r.visitor()}
			from := func(s string) (*browser, string) { return visitors[s[:1]], s[2:] }
			var tabs []*tab
			for _, s := range tt.open {
				v, addr := from(s)
				tabs = append(tabs, v.openAt("/v1/events", "X-Forwarded-For", addr))
			}
			v, addr := from(tt.next)
			for range 3 { // what was refused is not counted
				a := v.tryStream("X-Forwarded-For", addr)
				refused(t, "one more", a, tt.status, tt.code)
				if a.header.Get("Retry-After") == "" {
					t.Error("got no Retry-After, want one")
				}
			}
			tabs[0].close() // of the same visitor or from the same address, in every case
			deadline := time.Now().Add(patience)
			for {
				again := v.streamNow(addr)
				if again == http.StatusOK {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("after one was closed: got %d, want 200", again)
				}
			}
		})
	}
}

// streamNow opens a stream, closes it at once, and returns its status.
func (b *browser) streamNow(addr string) int {
	b.r.t.Helper()
	req, err := http.NewRequestWithContext(b.r.t.Context(), http.MethodGet, b.r.web.URL+"/v1/events", nil)
	if err != nil {
		b.r.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+b.token)
	req.Header.Set("X-Forwarded-For", addr)
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		b.r.t.Fatal(err)
	}
	res.Body.Close()
	return res.StatusCode
}

func TestNewSessionsAreCountedByAddress(t *testing.T) {
	r := newRig(t, func(c *relay.Config) { trusting("", "127.0.0.0/8", "::1/128")(c); c.RateSessions = rate(2, time.Hour) })
	send := func(v *browser, addr string) answer {
		return v.do("POST", "/v1/messages", `{"text":"hi"}`, "X-Forwarded-For", addr)
	}
	accepted := func(what string, a answer) {
		t.Helper()
		if a.status != http.StatusAccepted && a.status != http.StatusOK {
			t.Errorf("%s: got %d %s, want it accepted", what, a.status, a.body)
		}
	}
	first, second, third := r.visitor(), r.visitor(), r.visitor()
	for range 4 { // a session that exists costs nothing, asleep or awake
		accepted("the first", send(first, "192.0.2.1"))
	}
	r.plane.Sleep(r.upstream())
	accepted("the first, woken", first.do("POST", "/v1/session", "", "X-Forwarded-For", "192.0.2.1"))
	accepted("the first, woken", send(first, "192.0.2.1"))
	accepted("the second", send(second, "192.0.2.1"))
	for range 2 {
		a := send(third, "192.0.2.1")
		refused(t, "the third", a, 429, "session_quota")
		if a.header.Get("Retry-After") == "" {
			t.Error("got no Retry-After, want one")
		}
		refused(t, "the third, without a message", third.do("POST", "/v1/session", "", "X-Forwarded-For", "192.0.2.1"), 429, "session_quota")
	}
	if n := r.plane.Count(anyframetest.OpCreate); n != 2 {
		t.Errorf("sessions created: got %d, want 2", n)
	}
	accepted("the third, from elsewhere", send(third, "192.0.2.2"))
	accepted("the first again", send(first, "192.0.2.1"))
	if a := first.do("DELETE", "/v1/session", "", "X-Forwarded-For", "192.0.2.1"); a.status != http.StatusNoContent {
		t.Errorf("ended: got %d, want 204", a.status)
	}
	refused(t, "the first, for another session", send(first, "192.0.2.1"), 429, "session_quota")
}

func TestManySessionsAtOnceDoNotSlipPastTheQuota(t *testing.T) {
	r := newRig(t, func(c *relay.Config) { c.RateSessions = rate(2, time.Hour) })
	r.plane.Inject(anyframetest.Fault{Kind: anyframetest.Late, Op: anyframetest.OpCreate, Delay: 200 * time.Millisecond})
	var wg sync.WaitGroup
	statuses := make(chan int, 20)
	for range 20 {
		v := r.visitor()
		wg.Go(func() { statuses <- v.do("POST", "/v1/messages", `{"text":"hi"}`).status })
	}
	wg.Wait()
	close(statuses)
	got := map[int]int{}
	for status := range statuses {
		got[status]++
	}
	if n := r.plane.Count(anyframetest.OpCreate); n != 2 || got[http.StatusAccepted] != 2 || got[http.StatusTooManyRequests] != 18 {
		t.Errorf("got %d sessions and answers %v, want 2, and 18 refused", n, got)
	}
}

func TestASessionThatCouldNotBeMadeDoesNotCount(t *testing.T) {
	r := newRig(t, func(c *relay.Config) { c.RateSessions = rate(1, time.Hour) })
	v := r.visitor()
	r.plane.Inject(anyframetest.Fault{Kind: anyframetest.Respond, Op: anyframetest.OpCreate, Status: http.StatusUnprocessableEntity, Times: 3})
	for range 3 {
		refused(t, "while AnyFrame makes none", v.do("POST", "/v1/messages", `{"text":"hi"}`), 502, "upstream_failed")
	}
	v.say("hi", "k1")
	refused(t, "the second that is made", r.visitor().do("POST", "/v1/messages", `{"text":"hi"}`), 429, "session_quota")
}
