//go:build !race

package relay_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
	"github.com/anyframe-relay/relay/tools/testtools"
)

// heap returns the bytes in use after garbage collection.
func heap() int64 {
	var m runtime.MemStats
	for range 3 { // pools release their memory in the second cycle
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// Not parallel: memory that other tests use would be counted.
func TestMemory_ThousandVisitorsLeave_AllReleased(t *testing.T) {
	visitors := 200
	if os.Getenv("RELAY_TEST_ALL") != "" {
		visitors = 1000
	}
	disk := sqliteFile(t)
	r := newHarness(t, func(c *relay.Config) {
		disk(c)
		c.MaxSessions = 2 * visitors
		c.Tune(lingering(10 * time.Millisecond))
		c.RateMessages = relay.Rates{{Limit: 1000, Window: time.Second}} // counted by visitor
	}, anyframetest.WithWordsPerDelta(500), anyframetest.WithAgent(1, func(c *anyframetest.Chat) {
		c.Say(strings.Repeat("many words ", 5000))
	}))
	chat := func(n int) {
		var wg sync.WaitGroup
		slots := make(chan struct{}, 8)
		for range n {
			slots <- struct{}{}
			wg.Go(func() {
				defer func() { <-slots }()
				if err := r.passBy(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		r.plane.WaitFor(t, func() bool { return r.plane.OpenStreams("") == 0 })
		for _, s := range r.plane.Sessions() {
			r.plane.Delete(s.ID) // the control plane's memory is not the relay's
		}
		eventually(t, "no session in memory", func() bool { return r.srv.SessionsInMemory() == 0 })
		r.logs.reset()
	}
	chat(100) // fills pools, caches and connections
	goroutines, before := runtime.NumGoroutine(), heap()
	chat(visitors)
	if !settled(goroutines + 20) { // those of connections that stay open
		t.Errorf("goroutines: got %d, were %d", runtime.NumGoroutine(), goroutines)
	}
	// A visitor who left costs a row in the store, and in this test the control plane's
	// records of its requests. A visitor still in memory would cost 100 KB.
	per := (heap() - before) / int64(visitors)
	if per > 20<<10 {
		t.Errorf("heap: got %d bytes for each visitor who left, want nearly none", per)
	}
	t.Logf("heap: %d bytes for each visitor who left", per)
	eventually(t, "no visitor who left is counted", func() bool { return r.srv.CountedInMemory() == 0 })
}

// passBy is a visitor who sends one message, reads the answer and leaves. It keeps
// nothing, so that the memory in use afterwards is the relay's.
func (r *harness) passBy(ctx context.Context) error {
	var in struct{ Token string }
	call := func(method, path, body string, read func(io.Reader) error) error {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, method, r.web.URL+path, strings.NewReader(body))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Authorization", "Bearer "+in.Token)
		res, err := testtools.Client.Transport.RoundTrip(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if res.StatusCode/100 != 2 {
			return fmt.Errorf("%s %s: got %s", method, path, res.Status)
		}
		return read(res.Body)
	}
	drain := func(r io.Reader) error { _, err := io.Copy(io.Discard, r); return err }
	err := call("POST", "/v1/visitor", `{"carrier":"bearer"}`, func(r io.Reader) error { return json.NewDecoder(r).Decode(&in) })
	if err != nil {
		return err
	}
	if err := call("POST", "/v1/messages", `{"text":"hello"}`, drain); err != nil {
		return err
	}
	return call("GET", "/v1/events", "", func(r io.Reader) error {
		lines := bufio.NewReader(r)
		for {
			switch line, err := lines.ReadString('\n'); {
			case err != nil:
				return err
			case line == "event: turn_end\n":
				return nil
			}
		}
	})
}

func TestMemory_LongChat_SessionBounded(t *testing.T) {
	t.Parallel()
	for name, opts := range numberings {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const events, size = 40, 8 << 10
			r := newHarness(t, func(c *relay.Config) { c.ReplayEvents, c.ReplayBytes = events, size }, append(opts, anyframetest.WithAgent(1, func(c *anyframetest.Chat) {
				c.Say(strings.Repeat("word ", 300))
			}))...)
			v := r.visitor()
			v.open("")
			for i := range 12 {
				v.say("more", fmt.Sprint("k", i))
				id := r.upstream()
				r.plane.WaitFor(t, func() bool { s, _ := r.plane.Session(id); return s.Turns == i+1 && !s.Busy })
				// The newest event is kept whatever its size, and so is a run of
				// unnumbered deltas, in fewer pieces.
				if n, bytes := r.srv.Kept(); n > events+1 || bytes > 4*size {
					t.Fatalf("after turn %d: got %d events, %d bytes in memory, want %d and %d at most", i, n, bytes, events, size)
				}
			}
			want := r.oracle(1, r.upstream())
			last := want[len(want)-1].id
			eventually(t, "all of it", func() bool { return v.do("GET", "/v1/session", "").json["last_event_id"] == last })
			// Deltas that wait to be processed must not each cause a request whether they
			// follow a message that AnyFrame does not show.
			if reads := r.plane.Count(anyframetest.OpTranscript); reads > 10*12 {
				t.Errorf("transcript: got %d reads for 12 turns", reads)
			}
			v.open("").matches("and all of it can be had", want)
		})
	}
}

func TestMemory_StreamsComeAndGo_AllReleased(t *testing.T) {
	r := newHarness(t, nil, anyframetest.WithAgent(1, speak))
	v := r.visitor()
	stays := v.open("")
	v.say("one", "k1")
	stays.turnEnds(1)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if !v.fits() {
					t.Error("a tab was refused")
				}
			}
		})
	}
	wg.Wait()
	eventually(t, "one stream", func() bool { return r.srv.CountedInMemory() == 2 }) // by visitor, by address
	if got := r.plane.OpenStreams(""); got != 1 {
		t.Errorf("upstream streams: got %d, want 1", got)
	}
}
