package relay_test

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/relay"
	"github.com/anyframe-relay/relay/tools/testtools"
)

// tryStream opens a stream and returns the refusal, or closes the stream.
func (b *browser) tryStream(headers ...string) (a answer) {
	b.r.t.Helper()
	return b.do("GET", "/v1/events", "", headers...)
}

func TestLimits_OpenStreams_CappedByVisitorAndAddress(t *testing.T) {
	t.Parallel()
	behind := trusting("", "127.0.0.0/8", "::1/128")
	for name, tt := range map[string]struct {
		change func(*relay.Config)
		// Streams of visitors 1 and 2 from these addresses are open; then one more is
		// opened.
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
			r := newHarness(t, func(c *relay.Config) { behind(c); tt.change(c) })
			visitors := map[string]*browser{"1": r.visitor(), "2": r.visitor()}
			from := func(s string) (*browser, string) { return visitors[s[:1]], s[2:] }
			var tabs []*stream
			for _, s := range tt.open {
				v, addr := from(s)
				tabs = append(tabs, v.openAt("/v1/events", "X-Forwarded-For", addr))
			}
			v, addr := from(tt.next)
			for range 3 { // a refused stream is not counted
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
	res, err := testtools.Client.Transport.RoundTrip(req)
	if err != nil {
		b.r.t.Fatal(err)
	}
	res.Body.Close()
	return res.StatusCode
}

func TestLimits_OpenStreamsAtOnce_CapHolds(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*relay.Config){
		"of a visitor":    func(c *relay.Config) { c.StreamsPerVisitor = 3 },
		"of an address":   func(c *relay.Config) { c.StreamsPerIP = 3 },
		"of all together": func(c *relay.Config) { c.MaxStreams = 3 },
	} {
		r := newHarness(t, change)
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
				res, err := testtools.Client.Transport.RoundTrip(req)
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

func TestLimits_OneStreamTooMany_RefusedUntilOneCloses(t *testing.T) {
	t.Parallel()
	r := newHarness(t, func(c *relay.Config) { c.StreamsPerVisitor = 3 })
	v := r.visitor()
	tabs := []*stream{v.open(""), v.open(""), v.open("")}
	a := v.do("GET", "/v1/events", "")
	wantProblem(t, "one too many", a, http.StatusTooManyRequests, "too_many_streams")
	if a.header.Get("Content-Type") == "text/event-stream" {
		t.Error("the refusal claims to be a stream")
	}
	r.visitor().open("").status("none") // other visitors are not affected
	tabs[0].close()
	eventually(t, "room again", func() bool { return v.fits() })
}

// fits opens a stream and closes it if it is admitted.
func (b *browser) fits() bool {
	b.r.t.Helper()
	req, err := http.NewRequestWithContext(b.r.t.Context(), http.MethodGet, b.r.web.URL+"/v1/events", nil)
	if err != nil {
		b.r.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+b.token)
	res, err := testtools.Client.Transport.RoundTrip(req)
	if err != nil {
		b.r.t.Fatal(err)
	}
	defer res.Body.Close()
	return res.StatusCode == http.StatusOK
}
