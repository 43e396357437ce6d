package stream

import (
	"context"
	"errors"
	"io"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/eventlog"
	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/telemetry"
)

// fakeSource is a running session with one log and no history.
type fakeSource struct {
	watchers eventlog.Watchers
	log      *eventlog.Log
	look     func()
	revoked  atomic.Bool
	known    func(context.Context) (bool, error)                                 // nil: nothing is
	history  func(ctx context.Context, after int64) iter.Seq2[event.Item, error] // nil: none can be read
}

func newFakeSource() *fakeSource {
	f := &fakeSource{log: eventlog.New(0, eventlog.Limits{Events: 2000, Bytes: 4 << 20}), look: func() {}}
	f.log.Watch(f.watchers.Notify)
	return f
}

func (f *fakeSource) View() View {
	return View{Status: event.StatusRunning, Epoch: 1, Log: f.log, Revoked: f.revoked.Load()}
}
func (f *fakeSource) Watchers() *eventlog.Watchers { return &f.watchers }
func (f *fakeSource) Look(context.Context)         { f.look() }
func (f *fakeSource) Wrote()                       {}
func (f *fakeSource) Known(ctx context.Context, _ int64) (bool, error) {
	if f.known != nil {
		return f.known(ctx)
	}
	return false, nil
}

func (f *fakeSource) History(ctx context.Context, after, _ int64) iter.Seq2[event.Item, error] {
	if f.history != nil {
		return f.history(ctx, after)
	}
	return func(yield func(event.Item, error) bool) { yield(event.Item{}, errors.New("no history")) }
}

func newServer(tb testing.TB, o Options) *Server {
	s := New(o, telemetry.NewMetrics(prometheus.NewRegistry()), slog.New(slog.DiscardHandler))
	tb.Cleanup(s.Close)
	return s
}

// newIdleStreams returns idle streams, and the browsers' ends of their connections.
func newIdleStreams(tb testing.TB, n int) (*fakeSource, []*stream, []net.Conn) {
	tb.Helper()
	s, src := newServer(tb, Options{}), newFakeSource()
	l, err := new(net.ListenConfig).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	var all []*stream
	var ends []net.Conn
	for range n {
		theirs, err := new(net.Dialer).DialContext(tb.Context(), "tcp", l.Addr().String())
		if err != nil {
			tb.Fatal(err)
		}
		ours, err := l.Accept()
		if err != nil {
			tb.Fatal(err)
		}
		raw, err := ours.(*net.TCPConn).SyscallConn()
		if err != nil {
			tb.Fatal(err)
		}
		st := &stream{
			server: s, src: src, info: &telemetry.RequestInfo{}, done: func(string) {},
			cursor: cursor{view: src.View(), told: src.View()}, conn: conn{net: ours, raw: raw, wrote: time.Now()},
			silence: time.Hour, ends: time.Now().Add(time.Hour),
		}
		s.open.Add(1)
		if !s.group.Add() {
			tb.Fatal("a new server is closed")
		}
		src.watchers.Add(&st.watch, st)
		if !st.suspend(idle, st.ends) {
			tb.Fatal("a new stream does not wait")
		}
		tb.Cleanup(func() { theirs.Close() })
		all, ends = append(all, st), append(ends, theirs)
	}
	return src, all, ends
}

func (s *stream) isIdle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state == idle
}

// receives fails the test unless the browser's end receives exactly want next.
func receives(t *testing.T, what string, browser net.Conn, want string) {
	t.Helper()
	_ = browser.SetReadDeadline(time.Now().Add(time.Minute))
	got := make([]byte, len(want))
	if n, err := io.ReadFull(httputil.NewChunkedReader(browser), got); err != nil || string(got) != want {
		t.Fatalf("%s: got %q and %v, want %q", what, got[:n], err, want)
	}
}

func discardAll(browsers []net.Conn) {
	for _, c := range browsers {
		go func() { _, _ = io.Copy(io.Discard, c) }()
	}
}

// soon waits until cond holds.
func soon(t *testing.T, what string, cond func() bool) {
	t.Helper()
	look := time.NewTicker(2 * time.Millisecond)
	defer look.Stop()
	for deadline := time.Now().Add(time.Minute); !cond(); <-look.C {
		if time.Now().After(deadline) {
			t.Fatal("did not come: " + what)
		}
	}
}

// Only HTTP/1.1 without TLS can be hijacked; other connections stay with net/http.
func TestHijack_OtherConnections_StayWhereTheyAre(t *testing.T) {
	for name, change := range map[string]func(*http.Request){
		"HTTP/2":          func(r *http.Request) { r.ProtoMajor, r.ProtoMinor = 2, 0 },
		"HTTP/1.0":        func(r *http.Request) { r.ProtoMinor = 0 },
		"a body":          func(r *http.Request) { r.ContentLength = 5 },
		"a body, chunked": func(r *http.Request) { r.ContentLength = -1 },
		"no hijacker":     func(*http.Request) {},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/events", nil)
		change(r)
		var c conn
		if taken, err := c.hijack(httptest.NewRecorder(), r); taken || err != nil || c.net != nil {
			t.Errorf("%s: got %v and %v, want neither", name, taken, err)
		}
	}
}

// hideHijacker makes a stream stay in its handler.
func hideHijacker(w http.ResponseWriter) http.ResponseWriter {
	return struct {
		http.ResponseWriter
		http.Flusher
	}{w, w.(http.Flusher)}
}

// bothWays runs f with a web server whose streams hijack their connections, and with one
// whose streams stay in their handlers. Reasons receives why each stream ended.
func bothWays(t *testing.T, o Options, f func(t *testing.T, s *Server, src *fakeSource, open func() *http.Response, reasons <-chan string)) {
	for name, wrap := range map[string]func(http.ResponseWriter) http.ResponseWriter{
		"taken over": func(w http.ResponseWriter) http.ResponseWriter { return w }, "in the handler": hideHijacker,
	} {
		t.Run(name, func(t *testing.T) {
			s, src, reasons := newServer(t, o), newFakeSource(), make(chan string, 100)
			web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if err := s.Serve(wrap(w), r, src, "", func(reason string) { reasons <- reason }); err != nil {
					_ = problem.Write(w, err)
				}
			}))
			t.Cleanup(web.Close)
			t.Cleanup(s.Close) // first: the web server waits for its handlers
			f(t, s, src, func() *http.Response {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, web.URL, nil)
				if err != nil {
					t.Fatal(err)
				}
				res, err := web.Client().Do(req)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { res.Body.Close() })
				return res
			}, reasons)
		})
	}
}

// until reads the body until it contains want, and returns what it has read.
func until(t *testing.T, res *http.Response, want string) string {
	t.Helper()
	var got strings.Builder
	for p := make([]byte, 1); !strings.Contains(got.String(), want); {
		n, err := res.Body.Read(p)
		if got.Write(p[:n]); err != nil {
			t.Fatalf("got %q and %v, want %q in it", got.String(), err, want)
		}
	}
	return got.String()
}

func TestServe_EventsRevokedAndLeft(t *testing.T) {
	bothWays(t, Options{}, func(t *testing.T, s *Server, src *fakeSource, open func() *http.Response, reasons <-chan string) {
		stays, leaves := open(), open()
		for _, res := range []*http.Response{stays, leaves} {
			until(t, res, "event: session")
		}
		if n := s.Open(); n != 2 {
			t.Errorf("Open: got %d, want 2", n)
		}
		leaves.Body.Close()
		if got := <-reasons; got != telemetry.EndGone {
			t.Errorf("a browser that left: got %q, want %q", got, telemetry.EndGone)
		}
		src.log.Append(eventlog.Entry{Seq: 1, Frame: []byte("data: x\n\n")})
		until(t, stays, "data: x")
		src.revoked.Store(true)
		src.watchers.Notify()
		until(t, stays, `"fatal":true`)
		if rest, err := io.ReadAll(stays.Body); err != nil {
			t.Errorf("after the problem: got %q and %v, want a clean end", rest, err)
		}
		if got := <-reasons; got != telemetry.EndVoided {
			t.Errorf("a revoked visitor: got %q, want %q", got, telemetry.EndVoided)
		}
		soon(t, "no stream is open", func() bool { return s.Open() == 0 && src.watchers.Len() == 0 })
	})
}

// The store may fail once while the past is read. The next attempt continues after the
// last event written.
func TestServe_HistoryFailsMidway_NothingRepeated(t *testing.T) {
	bothWays(t, Options{}, func(t *testing.T, _ *Server, src *fakeSource, open func() *http.Response, _ <-chan string) {
		src.log = eventlog.New(4, eventlog.Limits{Events: 10, Bytes: 1 << 20})
		var past []event.Item
		for _, seq := range []int64{0, 1, 2, 0, 3, 0, 0, 4} {
			past = append(past, event.Item{Kind: "text", Seq: seq, Data: map[string]any{"n": len(past)}})
		}
		fail := map[int]bool{4: true, 6: true}
		src.history = func(_ context.Context, after int64) iter.Seq2[event.Item, error] {
			return func(yield func(event.Item, error) bool) {
				begin := slices.IndexFunc(past, func(it event.Item) bool { return it.Seq == after }) + 1
				if after == 0 {
					begin = 0
				}
				for i := begin; i < len(past); i++ {
					if fail[i] {
						delete(fail, i)
						yield(event.Item{}, errors.New("the store is away"))
						return
					}
					if !yield(past[i], nil) {
						return
					}
				}
				yield(event.Item{Seq: 4}, nil)
			}
		}
		got := until(t, open(), `"n":7`)
		var shown []string
		for _, m := range regexp.MustCompile(`"n":(\d)`).FindAllStringSubmatch(got, -1) {
			shown = append(shown, m[1])
		}
		if want := "0 1 2 3 4 5 6 7"; strings.Join(shown, " ") != want || strings.Count(got, "event: problem") != 1 {
			t.Errorf("got %s in %q, want %s and one problem", shown, got, want)
		}
	})
}

func TestServe_DrainedThenClosed_RefusesNewAndEndsOpen(t *testing.T) {
	bothWays(t, Options{}, func(t *testing.T, s *Server, _ *fakeSource, open func() *http.Response, reasons <-chan string) {
		res := open()
		until(t, res, "event: session")
		s.Drain()
		if refused := open(); refused.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("while draining: got %d, want 503", refused.StatusCode)
		}
		until(t, res, "retry: ")
		if _, err := io.ReadAll(res.Body); err != nil {
			t.Errorf("got %v, want a clean end", err)
		}
		if got := <-reasons; got != telemetry.EndDrained || len(reasons) > 0 {
			t.Errorf("got %q and %d more, want %q only", got, len(reasons), telemetry.EndDrained)
		}
	})
}

func TestServe_ClosedAtOnce_EndsOpenAndWaits(t *testing.T) {
	bothWays(t, Options{}, func(t *testing.T, s *Server, _ *fakeSource, open func() *http.Response, reasons <-chan string) {
		for range 5 {
			until(t, open(), "event: session")
		}
		s.Close()
		if n := s.Open(); n != 0 || len(reasons) != 5 {
			t.Errorf("after Close: got %d open, %d ended, want 0 and 5", n, len(reasons))
		}
	})
}

// An answer that ends cleanly would look as if nothing had gone wrong.
func TestServe_Panic_CutsTheAnswerAndNoOther(t *testing.T) {
	bothWays(t, Options{}, func(t *testing.T, _ *Server, src *fakeSource, open func() *http.Response, reasons <-chan string) {
		var once sync.Once
		src.look = func() {
			fault := false
			once.Do(func() { fault = true })
			if fault {
				panic("fault")
			}
		}
		bad := open()
		if got, err := io.ReadAll(bad.Body); err == nil {
			t.Errorf("got %q and a clean end, want an error", got)
		}
		if got := <-reasons; got != telemetry.EndGone {
			t.Errorf("got %q, want %q", got, telemetry.EndGone)
		}
		until(t, open(), "event: session")
	})
}

// A frame ends with an empty line, and nothing else does.
func TestServe_CommentsAndRetry_HaveNoEmptyLine(t *testing.T) {
	bothWays(t, Options{Heartbeat: time.Second}, func(t *testing.T, s *Server, _ *fakeSource, open func() *http.Response, _ <-chan string) {
		res := open()
		var got strings.Builder
		for p := make([]byte, 1); strings.Count(got.String(), "\n:\n") < 2; {
			n, err := res.Body.Read(p)
			if got.Write(p[:n]); err != nil {
				t.Fatalf("got %q and %v, want heartbeats", got.String(), err)
			}
		}
		s.Drain()
		rest, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		got.Write(rest)
		want := `^: hello\nretry: \d+\nevent: session\ndata: \{.*\}\n\n(:\n)+retry: \d+\n$`
		if !regexp.MustCompile(want).MatchString(got.String()) {
			t.Errorf("got %q, want %s", got.String(), want)
		}
	})
}
