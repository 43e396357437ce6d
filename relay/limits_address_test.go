package relay_test

import (
	"fmt"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/relay"
)

// Forwarded addresses count only if a trusted proxy sent them.
func TestClientAddress_ForwardedHeaders_TrustedProxiesOnly(t *testing.T) {
	t.Parallel()
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
				d := newOffline(t, func(c *relay.Config) {
					if tt.change != nil {
						tt.change(c)
					}
					c.RateIP = rate(1, time.Hour)
				})
				if used { // the address has used its one request
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

func TestLimits_IPv6Neighbours_CountedSeparately(t *testing.T) {
	d := newOffline(t, func(c *relay.Config) { c.RateIP = rate(1, time.Hour) })
	for i, addr := range []string{"[2001:db8:1:2::1]:1", "[2001:db8:1:3::1]:1", "[2001:db8:2:2::1]:1", "192.0.2.1:1", "192.0.2.2:1"} {
		d.addr = addr
		if a := d.ask("GET", "/v1/nothing", ""); a.status != http.StatusNotFound {
			t.Errorf("%s, number %d: got %d, want 404", addr, i, a.status)
		}
	}
}

// from posts a message as a visitor at that address.
func (b *browser) from(addr, text string) answer {
	b.r.t.Helper()
	return b.do("POST", "/v1/messages", `{"text":`+quote(text)+`}`, "X-Forwarded-For", addr)
}

func TestLimits_IPv6Network_Capped(t *testing.T) {
	t.Parallel()
	d := newOffline(t, func(c *relay.Config) { c.RateIP = rate(2, time.Hour) })
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

	r := newHarness(t, func(c *relay.Config) {
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
