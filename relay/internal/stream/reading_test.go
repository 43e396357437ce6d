package stream

import (
	"bufio"
	"context"
	"iter"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/eventlog"
	"github.com/anyframe-relay/relay/relay/internal/telemetry"
)

// piped is a response whose bytes go through a pipe, for tests under synctest.
type piped struct {
	net.Conn
	header http.Header
}

func (p piped) Header() http.Header { return p.header }
func (p piped) WriteHeader(int)     {}
func (p piped) Flush()              {}

// hijackable is a piped response whose connection can be hijacked.
type hijackable struct{ piped }

func (h hijackable) Hijack() (net.Conn, *bufio.ReadWriter, error) { return h.Conn, nil, nil }

// tab is a browser's end of a piped stream.
type tab struct {
	net.Conn
	leave  func()        // disconnects
	reason <-chan string // receives why the stream ended
}

// pipedBothWays runs f under synctest, with a stream that hijacks its connection and with
// one that stays in its handler. The log begins after event 4.
func pipedBothWays(t *testing.T, f func(t *testing.T, src *fakeSource, open func(lastEventID string) tab)) {
	for name, wrap := range map[string]func(piped) http.ResponseWriter{
		"taken over":     func(p piped) http.ResponseWriter { return hijackable{p} },
		"in the handler": func(p piped) http.ResponseWriter { return p },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, src := newServer(t, Options{}), newFakeSource()
				src.log = eventlog.New(4, eventlog.Limits{Events: 10, Bytes: 1 << 20})
				f(t, src, func(lastEventID string) tab {
					theirs, ours := net.Pipe()
					ctx, cancel := context.WithCancel(t.Context())
					reason := make(chan string, 1)
					r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/v1/events", nil)
					go func() {
						defer func() { _ = recover() }() // as net/http does
						_ = s.Serve(wrap(piped{ours, http.Header{}}), r, src, lastEventID, func(why string) { reason <- why })
					}()
					leave := func() { cancel(); theirs.Close() }
					t.Cleanup(leave)
					return tab{theirs, leave, reason}
				})
			})
		})
	}
}

// listen reads until what arrived contains want. It returns what arrived, and the longest
// silence.
func (b tab) listen(t *testing.T, want string) (got string, silence time.Duration) {
	t.Helper()
	p := make([]byte, 64<<10)
	for heard := time.Now(); !strings.Contains(got, want); heard = time.Now() {
		n, err := b.Read(p)
		if err != nil {
			t.Fatalf("got %q and %v, want %q in it", got, err, want)
		}
		got += string(p[:n])
		silence = max(silence, time.Since(heard))
	}
	return got, silence
}

// AnyFrame may take longer to answer than a proxy tolerates silence.
func TestReading_AnyFrameIsSlow_HeartbeatsBetweenFrames(t *testing.T) {
	pipedBothWays(t, func(t *testing.T, src *fakeSource, open func(string) tab) {
		src.known = func(context.Context) (bool, error) {
			time.Sleep(30 * time.Second)
			return false, nil // the conversation follows from the start
		}
		src.history = func(context.Context, int64) iter.Seq2[event.Item, error] {
			return func(yield func(event.Item, error) bool) {
				for seq := range int64(4) {
					time.Sleep(30 * time.Second)
					if !yield(event.Item{Kind: "text", Seq: seq + 1, Data: map[string]any{"n": seq}}, nil) {
						return
					}
				}
				time.Sleep(30 * time.Second)
				yield(event.Item{Seq: 4}, nil)
				src.log.Append(eventlog.Entry{Seq: 5, Frame: []byte("data: live\n\n")})
			}
		}
		got, silence := open("1-9").listen(t, "data: live")
		if silence > defaultHeartbeat {
			t.Errorf("got a silence of %v, want %v at most", silence, defaultHeartbeat)
		}
		got = regexp.MustCompile(`\r\n(?:[0-9a-f]+\r\n)?`).ReplaceAllString(got, "") // chunks
		want := `: hello\nretry: \d+\nevent: session\n.*\n\n(:\n){2,}event: reset\n.*\n\n` +
			strings.Repeat(`(:\n){2,}event: text\n.*\nid: 1-\d\n\n`, 4) + `(:\n)*data: live`
		if !regexp.MustCompile(want).MatchString(got) {
			t.Errorf("got %q, want %s", got, want)
		}
	})
}

// A browser that has left must not hold its place until AnyFrame has answered.
func TestReading_BrowserLeaves_ReadEnds(t *testing.T) {
	pipedBothWays(t, func(t *testing.T, src *fakeSource, open func(string) tab) {
		src.known = func(ctx context.Context) (bool, error) {
			<-ctx.Done()
			return false, ctx.Err()
		}
		src.history = func(ctx context.Context, _ int64) iter.Seq2[event.Item, error] {
			return func(yield func(event.Item, error) bool) {
				<-ctx.Done()
				yield(event.Item{}, ctx.Err())
			}
		}
		for _, lastEventID := range []string{"", "1-9"} {
			b := open(lastEventID)
			b.listen(t, "event: session")
			synctest.Wait() // it reads
			b.leave()
			left := time.Now()
			if got := <-b.reason; got != telemetry.EndGone || time.Since(left) > 0 {
				t.Errorf("after %q: ended as %q after %v, want %q at once", lastEventID, got, time.Since(left), telemetry.EndGone)
			}
		}
	})
}

func TestReading_HeartbeatNotAccepted_ReadEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, src := newServer(t, Options{}), newFakeSource()
		theirs, ours := net.Pipe()
		defer theirs.Close()
		st := &stream{server: s, src: src, conn: conn{net: ours, wrote: time.Now()}, silence: defaultHeartbeat}
		st.conn.borrow()
		defer st.conn.giveBack()
		src.known = func(ctx context.Context) (bool, error) {
			<-ctx.Done()
			return true, ctx.Err()
		}
		known, err := st.known(t.Context(), 9)
		if got := endOf(err); known || got != telemetry.EndSlow {
			t.Errorf("got known %v and %v, which ends it as %q, want %q", known, err, got, telemetry.EndSlow)
		}
	})
}

// The goroutine that reads is not the stream's, and its panic still ends only the stream.
func TestReading_Panic_EndsItAlone(t *testing.T) {
	pipedBothWays(t, func(t *testing.T, src *fakeSource, open func(string) tab) {
		var once sync.Once
		src.known = func(context.Context) (bool, error) {
			once.Do(func() { panic("fault") })
			return true, nil
		}
		bad := open("1-9")
		bad.listen(t, "event: session")
		if got := <-bad.reason; got != telemetry.EndGone {
			t.Errorf("got %q, want %q", got, telemetry.EndGone)
		}
		src.history = func(context.Context, int64) iter.Seq2[event.Item, error] {
			return func(func(event.Item, error) bool) { panic("fault") }
		}
		bad = open("")
		bad.listen(t, "event: session")
		if got := <-bad.reason; got != telemetry.EndGone {
			t.Errorf("got %q, want %q", got, telemetry.EndGone)
		}
		open("1-9").listen(t, "event: session")
	})
}
