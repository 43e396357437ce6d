package relay_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime/pprof"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
	"github.com/anyframe-relay/relay/relay/internal/poll"
	streams "github.com/anyframe-relay/relay/relay/internal/stream"
)

// bothWays runs f with relays that detect by the poller when a browser disconnects, and
// with relays that have a goroutine for it.
func bothWays(t *testing.T, f func(t *testing.T, newHarness func(streams.Options, func(*relay.Config), ...anyframetest.Option) *harness)) {
	t.Helper()
	for name, unwatched := range map[string]bool{"watched": false, "unwatched": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f(t, func(o streams.Options, change func(*relay.Config), opts ...anyframetest.Option) *harness {
				if unwatched {
					o.Watch = func(net.Conn, poll.Waiter) (*poll.Watch, error) { return nil, poll.ErrUnsupported }
				}
				return newHarness(t, func(c *relay.Config) {
					if c.Tune(relay.Tuning{Stream: o}); change != nil {
						change(c)
					}
				}, opts...)
			})
		})
	}
}

func (r *harness) streamsEnded(reason string) float64 {
	return metric(r.t, r.reg, "relay_streams_ended_total", "reason", reason)
}

func TestIdleStream_LastEventID_Resumes(t *testing.T) {
	bothWays(t, func(_ *testing.T, newHarness func(streams.Options, func(*relay.Config), ...anyframetest.Option) *harness) {
		r := newHarness(streams.Options{}, func(c *relay.Config) { c.ReplayEvents = 5 }, anyframetest.WithAgent(1, talk))
		v := r.visitor()
		_, want := conversation(r, v)
		for _, o := range want {
			v.open(o.id).matches("after "+o.id, after(want, o.id))
		}
	})
}

func TestIdleStream_Quiet_Heartbeats(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, newHarness func(streams.Options, func(*relay.Config), ...anyframetest.Option) *harness) {
		r := newHarness(streams.Options{Heartbeat: time.Second}, nil, anyframetest.WithAgent(1, talk))
		v := r.visitor()
		x := v.open("")
		beats := func() int {
			x.mu.Lock()
			defer x.mu.Unlock()
			return strings.Count(x.raw.String(), "\n:")
		}
		for range 2 {
			before := beats()
			eventually(t, "three heartbeats", func() bool { return beats() >= before+3 })
			v.say("hello", fmt.Sprint("k", before))
			x.turnEnds(1) // the heartbeat timer continues after other writes
		}
	})
}

func TestIdleStream_BrowserLeaves_Noticed(t *testing.T) {
	bothWays(t, func(t *testing.T, newHarness func(streams.Options, func(*relay.Config), ...anyframetest.Option) *harness) {
		r := newHarness(streams.Options{}, nil)
		v := r.visitor()
		stays := v.open("")
		const tabs = 20
		for range tabs {
			x := v.open("")
			x.status("none")
			x.close()
		}
		eventually(t, "all have gone", func() bool { return r.streamsEnded("gone") == tabs })
		if n := metric(t, r.reg, "relay_streams_open"); n != 1 {
			t.Errorf("open: got %v, want the one that stays", n)
		}
		stays.close()
		eventually(t, "the last has gone", func() bool { return r.streamsEnded("gone") == tabs+1 })
	})
}

// A browser sends nothing on a stream. A little data does no harm; more ends the stream.
func TestIdleStream_BrowserSendsOnStream_ConnectionClosed(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, newHarness func(streams.Options, func(*relay.Config), ...anyframetest.Option) *harness) {
		r := newHarness(streams.Options{Heartbeat: time.Second}, nil)
		conn, err := net.Dial("tcp", strings.TrimPrefix(r.web.URL, "http://")) //nolint:noctx // loopback
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "GET /v1/events HTTP/1.1\r\nHost: relay.test\r\nAuthorization: Bearer %s\r\n\r\n", r.visitor().token)
		got, p := "", make([]byte, 4096)
		for beats := 0; beats < 3; beats = strings.Count(got, "\r\n:\n\r\n") {
			n, err := conn.Read(p)
			if got += string(p[:n]); err != nil {
				t.Fatalf("got %q and %v, want heartbeats", got, err)
			}
			if _, err := io.WriteString(conn, strings.Repeat("x", 300)); err != nil {
				t.Fatal(err)
			}
		}
		_, _ = io.WriteString(conn, strings.Repeat("x", 8<<10)) // it may hang up before it has received everything
		_, _ = io.Copy(io.Discard, conn)
		eventually(t, "its stream has ended", func() bool { return r.streamsEnded("gone") == 1 })
	})
}

func TestIdleStream_Drain_Ended(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, newHarness func(streams.Options, func(*relay.Config), ...anyframetest.Option) *harness) {
		r := newHarness(streams.Options{}, nil)
		v := r.visitor()
		var tabs []*stream
		for range 10 {
			x := v.open("")
			x.status("none")
			tabs = append(tabs, x)
		}
		r.srv.Drain(t.Context())
		for _, x := range tabs {
			x.ended()
			if d := retryOf(t, "retry: "+x.retry); d < time.Second || d > 15*time.Second || strings.Count(x.raw.String(), "retry:") != 2 {
				t.Errorf("got %q, want another retry, of the rest of the drain and 1s to 10s", x.raw.String())
			}
		}
		if n := r.streamsEnded("drained"); n != 10 {
			t.Errorf("drained: got %v, want 10", n)
		}
	})
}

func TestIdleStream_LifetimeOver_Ended(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, newHarness func(streams.Options, func(*relay.Config), ...anyframetest.Option) *harness) {
		r := newHarness(streams.Options{}, func(c *relay.Config) { c.StreamLifetime = 2 * time.Second })
		v := r.visitor()
		for _, x := range []*stream{v.open(""), v.open("")} {
			x.ended()
		}
		eventually(t, "both have ended", func() bool { return r.streamsEnded("lifetime") == 2 })
	})
}

func TestIdleStream_ReaderTakesNothing_Closed(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("many words ", 20_000)
	bothWays(t, func(t *testing.T, newHarness func(streams.Options, func(*relay.Config), ...anyframetest.Option) *harness) {
		r := newHarness(streams.Options{}, func(c *relay.Config) { c.ReplayBytes = 64 << 20 }, anyframetest.WithAgent(1, func(c *anyframetest.Chat) { c.Say(long) }), anyframetest.WithWordsPerDelta(1000))
		r.sendBuffer.Store(4 << 10)
		v := r.visitor()
		conn, err := net.Dial("tcp", strings.TrimPrefix(r.web.URL, "http://")) //nolint:noctx // loopback
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.(*net.TCPConn).SetReadBuffer(4 << 10)
		fmt.Fprintf(conn, "GET /v1/events HTTP/1.1\r\nHost: relay.test\r\nAuthorization: Bearer %s\r\n\r\n", v.token)
		eventually(t, "its stream is open", func() bool { return metric(t, r.reg, "relay_streams_open") == 1 })
		x := v.open("")
		v.say("go", "k1")
		x.turnEnds(1)
		eventually(t, "the slow one has ended", func() bool { return r.streamsEnded("slow") == 1 })
		v.say("go", "k2") // the other stream continues
		x.turnEnds(2)
	})
}

// With a bubble's clock, on a connection that cannot be tried or polled.
func TestIdleStream_OwnConnection_NeverSilentForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newOffline(t, nil)
		network := &pipes{make(chan net.Conn), make(chan struct{})}
		web := &http.Server{Handler: d.srv.Handler(), ReadHeaderTimeout: time.Minute}
		go func() { _ = web.Serve(network) }()
		defer web.Close()
		ours, theirs := net.Pipe()
		defer ours.Close()
		network.conns <- theirs
		begin := time.Now()
		fmt.Fprintf(ours, "GET /v1/events HTTP/1.1\r\nHost: relay.test\r\nAuthorization: Bearer %s\r\n\r\n", d.mint())
		res, err := http.ReadResponse(bufio.NewReader(ours), nil)
		if err != nil {
			t.Fatal(err)
		}
		comments := 0
		p := make([]byte, 4096)
		for last := begin; err == nil; last = time.Now() {
			var n int
			n, err = res.Body.Read(p)
			comments += strings.Count(string(p[:n]), ":\n")
			if quiet := time.Since(last); quiet > 12*time.Second {
				t.Errorf("silence: got %v, want at most 12s", quiet)
			}
		}
		life := time.Since(begin)
		if !errors.Is(err, io.EOF) || life < 8*time.Minute || life > 10*time.Minute+time.Second {
			t.Errorf("got %v after %v, want a clean end after 8m to 10m", err, life)
		}
		if most := int(life / (10 * time.Second)); comments > most {
			t.Errorf("got %d heartbeats, want %d at most", comments, most)
		}
	})
}

// An idle stream has no goroutine.
func TestIdleStream_Waiting_NoGoroutine(t *testing.T) {
	if !poll.Supported {
		t.Skip("streams wait without a goroutine on Linux only")
	}
	r := newHarness(t, nil, anyframetest.WithAgent(1, talk))
	v := r.visitor()
	var tabs []*stream
	for range 20 {
		tabs = append(tabs, v.open(""))
	}
	v.say("hello", "k1")
	for _, x := range tabs {
		x.turnEnds(1)
	}
	eventually(t, "no goroutine of a stream", func() bool {
		var all bytes.Buffer
		if err := pprof.Lookup("goroutine").WriteTo(&all, 1); err != nil {
			t.Fatal(err)
		}
		return !strings.Contains(all.String(), "stream.(*stream)")
	})
	v.say("hello", "k2")
	for _, x := range tabs {
		x.turnEnds(2)
	}
}
