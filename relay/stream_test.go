package relay_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
)

// TestStream_UnusualRequestHeaders_SameResponse requests ranges, other types, and
// conditional responses.
func TestStream_UnusualRequestHeaders_SameResponse(t *testing.T) {
	r := newHarness(t, nil)
	v := r.visitor()
	for name, headers := range map[string][]string{
		"a range": {"Range", "bytes=0-1"}, "what changed": {"If-None-Match", "*"}, "another type": {"Accept", "text/html"}, "a coding": {"Accept-Encoding", "gzip, br, zstd"},
		"since": {"If-Modified-Since", "Mon, 23 Nov 2099 10:00:00 GMT"}, "a foreign id": {"X-Request-Id", "mine"},
	} {
		x := v.openAt("/v1/events", headers...)
		x.status("none")
		for field, want := range map[string]string{
			"Content-Type": "text/event-stream; charset=utf-8", "Content-Encoding": "", "Content-Range": "", "Cache-Control": "no-store, no-transform", "X-Content-Type-Options": "nosniff",
		} {
			if got := x.res.Header.Get(field); got != want {
				t.Errorf("%s: got %s %q, want %q", name, field, got, want)
			}
		}
		if x.res.Header.Get("X-Request-Id") == "mine" {
			t.Errorf("%s: the request has the id that the client made up", name)
		}
		x.close()
	}
	for method, want := range map[string]int{"HEAD": 405, "POST": 405, "OPTIONS": 204} {
		if a := v.do(method, "/v1/events", ""); a.status != want {
			t.Errorf("%s: got %d, want %d", method, a.status, want)
		}
	}
	refused(t, "without a token", (&browser{r: r}).do("GET", "/v1/events", ""), 401, "visitor_unknown")
}

// paper is a connection that records what is written to it and when. Once it is stuck,
// writes block and fail at their deadline.
type paper struct {
	mu       sync.Mutex
	header   http.Header
	code     int
	written  bytes.Buffer
	at       []time.Time
	stuck    bool
	deadline time.Time
}

func (p *paper) Header() http.Header { return p.header }

func (p *paper) WriteHeader(code int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.code = code
}

func (p *paper) SetWriteDeadline(t time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deadline = t
	return nil
}

var errStuck = errors.New("i/o timeout")

func (p *paper) Write(b []byte) (int, error) {
	p.mu.Lock()
	stuck, wait := p.stuck, time.Until(p.deadline)
	p.mu.Unlock()
	if stuck {
		time.Sleep(wait) // as a full socket does
		return 0, errStuck
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at = append(p.at, time.Now())
	return p.written.Write(b)
}

func (p *paper) FlushError() error { return nil }

func (p *paper) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.written.String()
}

func (p *paper) jam() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stuck = true
}

// inside runs f in a bubble with a relay whose AnyFrame does not exist: nothing here may
// need it. Open returns a stream's connection and a channel that receives when it ended.
func inside(t *testing.T, f func(t *testing.T, srv *relay.Server, open func() (*paper, <-chan time.Time))) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := relay.DefaultConfig()
		c.APIKey, c.AgentID, c.BaseURL, c.Store = "afm_none", 1, "http://127.0.0.1:1", "memory:"
		c.StreamsPerVisitor, c.StreamsPerIP = 1000, 1000
		c.RateIP = nil
		srv, err := relay.New(t.Context(), c, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
		if err != nil {
			t.Fatal(err)
		}
		rec := httptest.NewRecorder()
		req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/visitor", strings.NewReader(`{"carrier":"bearer"}`))
		req.Header.Set("Content-Type", "application/json")
		srv.Handler().ServeHTTP(rec, req)
		token := regexp.MustCompile(`"token":"([^"]+)"`).FindStringSubmatch(rec.Body.String())
		if token == nil {
			t.Fatalf("POST /v1/visitor: got %d %s, want a token", rec.Code, rec.Body)
		}
		ctx, leave := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		f(t, srv, func() (*paper, <-chan time.Time) {
			p, ended := &paper{header: http.Header{}}, make(chan time.Time, 1)
			req := httptest.NewRequestWithContext(ctx, http.MethodGet, "/v1/events", nil)
			req.Header.Set("Authorization", "Bearer "+token[1])
			wg.Go(func() {
				srv.Handler().ServeHTTP(p, req)
				ended <- time.Now()
			})
			synctest.Wait()
			return p, ended
		})
		leave()
		wg.Wait()
		if err := srv.Close(); err != nil {
			t.Error("close:", err)
		}
		synctest.Wait()
	})
}

var retryLine = regexp.MustCompile(`(?m)^retry: (\d+)$`)

// retryOf returns the last reconnection time that was sent.
func retryOf(t *testing.T, text string) time.Duration {
	t.Helper()
	all := retryLine.FindAllStringSubmatch(text, -1)
	if all == nil {
		t.Fatalf("no retry field in %q", text)
	}
	ms, err := strconv.Atoi(all[len(all)-1][1])
	if err != nil {
		t.Fatal(err)
	}
	return time.Duration(ms) * time.Millisecond
}

func TestStream_Opened_FirstBytesAtOnce(t *testing.T) {
	inside(t, func(t *testing.T, _ *relay.Server, open func() (*paper, <-chan time.Time)) {
		begin := time.Now()
		p, _ := open()
		if p.code != http.StatusOK || len(p.at) == 0 || !p.at[0].Equal(begin) {
			t.Fatalf("got status %d, %d writes, want some at once", p.code, len(p.at))
		}
		for name, want := range map[string]string{
			"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-store, no-transform",
			"X-Accel-Buffering": "no", "Content-Encoding": "",
		} {
			if got := p.header.Get(name); got != want {
				t.Errorf("%s: got %q, want %q", name, got, want)
			}
		}
		if !strings.HasPrefix(p.text(), ":") || !strings.Contains(p.text(), `data: {"status":"none","epoch":0}`) {
			t.Errorf("first bytes: got %q, want a comment and where the session stands", p.text())
		}
		if d := retryOf(t, p.text()); d < time.Second || d > 3*time.Second {
			t.Errorf("retry: got %v, want 1s to 3s", d)
		}
	})
}

func TestStream_Quiet_HeartbeatWithin15sAndLifetime(t *testing.T) {
	inside(t, func(t *testing.T, _ *relay.Server, open func() (*paper, <-chan time.Time)) {
		begin := time.Now()
		spread := map[time.Duration]bool{}
		var ends []<-chan time.Time
		var papers []*paper
		for range 20 {
			p, ended := open()
			papers, ends = append(papers, p), append(ends, ended)
		}
		for i, ended := range ends {
			life := (<-ended).Sub(begin)
			spread[life] = true
			if life < 8*time.Minute || life > 10*time.Minute {
				t.Errorf("lifetime: got %v, want 8m to 10m", life)
			}
			last := begin
			for _, at := range append(papers[i].at, begin.Add(life)) {
				if quiet := at.Sub(last); quiet > 15*time.Second {
					t.Fatalf("silence: got %v, want at most 15s", quiet)
				}
				last = at
			}
		}
		if len(spread) < 10 {
			t.Errorf("lifetimes of 20 streams: got %d different, want them spread", len(spread))
		}
	})
}

func TestStream_Drain_EndsSpreadOver5sWithRetry(t *testing.T) {
	inside(t, func(t *testing.T, srv *relay.Server, open func() (*paper, <-chan time.Time)) {
		var ends []<-chan time.Time
		var papers []*paper
		for range 40 {
			p, ended := open()
			papers, ends = append(papers, p), append(ends, ended)
		}
		begin := time.Now()
		srv.Drain(t.Context())
		if took := time.Since(begin); took > 6*time.Second {
			t.Errorf("drain: got %v, want about 5s", took)
		}
		early, retries := 0, map[time.Duration]bool{}
		for i, ended := range ends {
			after := (<-ended).Sub(begin)
			if after > 5*time.Second {
				t.Errorf("a stream ended after %v, want 5s at most", after)
			}
			if after < 2500*time.Millisecond {
				early++
			}
			d := retryOf(t, papers[i].text())
			// A browser that reconnects before the drain is over is refused.
			if rest := 5*time.Second - after; d < rest+time.Second-time.Millisecond || d > rest+10*time.Second {
				t.Errorf("retry: got %v with %v of the drain left, want 1s to 10s more than that", d, rest)
			}
			retries[d] = true
		}
		if early < 5 || early > 35 || len(retries) < 20 {
			t.Errorf("40 streams: got %d ended in the first half, %d retry times, want both spread", early, len(retries))
		}
		rec := httptest.NewRecorder()
		srv.Handler().ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/readyz", nil))
		if rec.Code != http.StatusServiceUnavailable {
			t.Errorf("readyz while draining: got %d, want 503", rec.Code)
		}
	})
}

// A write that takes 10 s ends its own stream and no other.
func TestStream_WriteTakes10s_OnlyThatStreamEnds(t *testing.T) {
	inside(t, func(t *testing.T, _ *relay.Server, open func() (*paper, <-chan time.Time)) {
		begin := time.Now()
		stuck, ended := open()
		_, other := open()
		stuck.jam()
		if took := (<-ended).Sub(begin); took > 25*time.Second {
			t.Errorf("a reader that takes nothing: got %v, want its stream ended within a heartbeat and 10s", took)
		}
		if life := (<-other).Sub(begin); life < 8*time.Minute {
			t.Errorf("the other stream: ended after %v, want its whole lifetime", life)
		}
	})
}

func TestStream_ReaderNeverReads_OthersUnaffectedAndCatchesUp(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("many words ", 3000)
	r := newHarness(t, func(c *relay.Config) { c.ReplayEvents = 50 }, anyframetest.WithAgent(1, func(c *anyframetest.Chat) { c.Say(long) }))
	v := r.visitor()
	// A reader that takes the first line and then nothing for a while.
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.web.URL+"/v1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+v.token)
	res, err := (&http.Transport{ReadBufferSize: 512, DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	x := v.open("")
	v.say("go", "k1")
	x.turnEnds(1)
	want := r.oracle(1, r.upstream())
	x.matches("the one who reads", want)
	slow := &stream{t: t, cancel: func() { res.Body.Close() }, res: res, done: make(chan struct{}), grew: make(chan struct{}, 1)}
	go slow.read()
	t.Cleanup(slow.close)
	slow.matches("the one who comes to it later", want)
}
