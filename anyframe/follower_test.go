package anyframe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/internal/poll"
)

// follow is how a stream is followed in tests: by Follow, or by a Follower.
var follow = (*SessionsService).Follow

// parked follows with a goroutine that is not there while nothing comes: what the
// loop gets is read in the goroutine that tells.
func parked(s *SessionsService, ctx context.Context, id string, o StreamOptions) iter.Seq2[Event, error] { //nolint:revive // as a method expression has it
	return func(yield func(Event, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		f := s.Follower(ctx, id, o)
		defer f.Close()
		back := make(chan struct{}, 1)
		for {
			e, ok := f.Try()
			if !ok {
				if f.Park(func() { back <- struct{}{} }) {
					<-back
					continue
				}
				if err := f.Connect(); err != nil {
					yield(Event{}, err)
					return
				}
				continue
			}
			if !yield(e, nil) {
				return
			}
		}
	}
}

func TestAFollowerDoesAsFollow(t *testing.T) {
	follow = parked
	defer func() { follow = (*SessionsService).Follow }()
	for name, test := range map[string]func(*testing.T){
		"after the last whole event": TestFollowContinuesAfterTheLastWholeEvent,
		"drops what it has yielded":  TestFollowDropsWhatItHasYielded,
		"an id that is no number":    TestFollowKeepsAnIDThatIsNoNumber,
		"what the caller had":        TestFollowDropsWhatTheCallerHadAlready,
		"an id without data":         TestFollowMovesOnByAnIDWithoutData,
		"refused for good":           TestFollowStopsWhenRefusedForGood,
		"too large":                  TestFollowNamesTheEventThatIsTooLargeSoThatItCanBePassed,
		"reconnects":                 TestFollowReconnectsOnWhatPasses,
		"asks the session":           TestFollowAsksTheSessionAfterACleanEndOr409,
		"the look is refused":        TestFollowEndsWhenTheLookIsRefusedAndOnlyThen,
		"gives up":                   TestFollowGivesUpAfterMaxStallsWithoutProgress,
		"gives up on clean ends":     TestFollowGivesUpOnCleanEndsToo,
		"has its budget back":        TestFollowHasItsBudgetBackAfterEachNewEvent,
		"goes on for ever":           TestFollowMayGoOnForEver,
		"tells of each":              TestFollowTellsOfEachReconnectAndOpening,
		"waits as asked":             TestFollowWaitsAsTheServerAsks,
		"cancelled in a wait":        TestFollowEndsAtOnceWhenCancelledInAWait,
		"cancelled in a read":        TestFollowEndsAtOnceWhenCancelledInARead,
		"the loop is left":           TestFollowEndsWhenTheLoopIsLeft,
	} {
		t.Run(name, test)
	}
}

// fed is a server whose streams say what they are fed, connection by connection.
type fed struct {
	mu    sync.Mutex
	after []string // the last event id of each connection
	feed  chan func(io.Writer) (goesOn bool)
}

func (f *fed) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.after = append(f.after, r.Header.Get("Last-Event-ID"))
	f.mu.Unlock()
	w.Header().Set("Content-Type", "text/event-stream")
	_ = http.NewResponseController(w).Flush()
	for {
		select {
		case say := <-f.feed:
			goesOn := say(w)
			_ = http.NewResponseController(w).Flush()
			if !goesOn {
				panic(http.ErrAbortHandler)
			}
		case <-r.Context().Done():
			return
		}
	}
}

// kinds of connection that a stream may have.
func eachKind(t *testing.T, h http.Handler, test func(t *testing.T, c *Client)) {
	isolate(t)
	t.Run("plain", func(t *testing.T) {
		srv := httptest.NewServer(h)
		t.Cleanup(srv.Close)
		test(t, newClient(t, WithBaseURL(srv.URL)))
	})
	for _, http2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("TLS, HTTP/2 %v", http2), func(t *testing.T) {
			base, own := secureServer(t, h.ServeHTTP, http2)
			if !http2 {
				own.spoke.Store(1)
			}
			test(t, newClient(t, WithBaseURL(base), WithHTTPClient(&http.Client{Transport: own})))
		})
	}
}

func TestAParkedFollowerHasWhatComesWhenItComes(t *testing.T) {
	f := &fed{feed: make(chan func(io.Writer) bool)}
	eachKind(t, f, func(t *testing.T, c *Client) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		next, stop := iter.Pull2(parked(c.Sessions, ctx, "x", StreamOptions{LendData: true}))
		defer stop()
		want := func(id, data string) {
			t.Helper()
			e, err, _ := next()
			if err != nil || e.ID != id || string(e.Data) != data {
				t.Fatalf("got %s %.40q, %v, want %s %.40q", e.ID, e.Data, err, id, data)
			}
		}
		go func() {
			for i := range 20 { // each only when the one before was read
				f.feed <- func(w io.Writer) bool {
					fmt.Fprintf(w, "id: %d\ndata: %d\n\n", i+1, i)
					return true
				}
			}
		}()
		for i := range 20 {
			want(fmt.Sprint(i+1), fmt.Sprint(i))
		}
		large := strings.Repeat("large ", 30_000)
		go func() {
			pieces := []string{"id: 21\nda", "ta: " + large[:20_000], large[20_000:], "\n", "\nid: 22\ndata: b\n\n:", "\n"}
			for _, piece := range pieces {
				f.feed <- func(w io.Writer) bool {
					_, _ = io.WriteString(w, piece)
					return true
				}
			}
			f.feed <- func(io.Writer) bool { return false } // breaks while nothing comes
			f.feed <- func(w io.Writer) bool {
				_, _ = io.WriteString(w, "id: 23\ndata: c\n\n")
				return true
			}
		}()
		want("21", large)
		want("22", "b")
		want("23", "c")
		f.mu.Lock()
		after := strings.Join(f.after, ",")
		f.after = nil
		f.mu.Unlock()
		if after != ",22" {
			t.Errorf("connected after %q, want after nothing and after 22", after)
		}
	})
}

func TestTheEndOfTheContextEndsAParkedFollower(t *testing.T) {
	f := &fed{feed: make(chan func(io.Writer) bool)}
	eachKind(t, f, func(t *testing.T, c *Client) {
		why := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		fl := c.Sessions.Follower(ctx, "x", StreamOptions{})
		defer fl.Close()
		if err := fl.Connect(); err != nil {
			t.Fatal(err)
		}
		ready := make(chan struct{})
		if _, ok := fl.Try(); ok || !fl.Park(func() { close(ready) }) {
			t.Fatal("did not park")
		}
		cancel(why)
		<-ready
		if _, ok := fl.Try(); ok || fl.Park(nil) {
			t.Fatal("goes on")
		}
		if err := fl.Connect(); !errors.Is(err, context.Canceled) || !errors.Is(err, why) {
			t.Errorf("got %v, want the caller's own end", err)
		}
	})
}

func TestAParkedFollowerThatHearsNothingConnectsAgain(t *testing.T) {
	f := &fed{feed: make(chan func(io.Writer) bool)}
	eachKind(t, f, func(t *testing.T, c *Client) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var causes []error
		for _, err := range parked(c.Sessions, ctx, "x", StreamOptions{IdleTimeout: 20 * time.Millisecond, OnReconnect: func(r Reconnect) {
			causes = append(causes, r.Cause)
			if len(causes) == 2 {
				cancel()
			}
		}}) {
			if !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want the caller's own end", err)
			}
		}
		for _, cause := range causes {
			if !errors.Is(cause, ErrStreamStalled) {
				t.Errorf("connected again for %v, want %v", cause, ErrStreamStalled)
			}
		}
	})
}

func TestAParkedFollowerHoldsNeitherGoroutineNorBuffer(t *testing.T) {
	if !poll.Supported {
		t.Skip("connections are watched on Linux only")
	}
	isolate(t)
	const streams = 50
	srv := httptest.NewServer(once(t, func(*http.Request) {}))
	t.Cleanup(srv.Close)
	c := newClient(t, WithBaseURL(srv.URL))
	ctx, cancel := context.WithCancel(t.Context())
	var ended sync.WaitGroup
	for range streams {
		f := c.Sessions.Follower(ctx, "x", StreamOptions{LendData: true})
		if e, err := f.Next(); err != nil || e.ID != "1" {
			t.Fatalf("got %+v, %v, want the event", e, err)
		}
		ended.Add(1)
		if _, ok := f.Try(); ok || !f.Park(func() { f.Close(); ended.Done() }) {
			t.Fatal("did not park")
		}
		if d := &f.st.dec; d.buf != nil || d.own != nil || d.data != nil {
			t.Error("keeps a buffer")
		}
	}
	buf := make([]byte, 4<<20) // the server's goroutines are in this process too
	stacks := string(buf[:runtime.Stack(buf, true)])
	if got := strings.Count(stacks, "relay/anyframe.(*"); got > 0 {
		t.Errorf("got %d frames of ours for %d streams, want none:\n%s", got, streams, stacks)
	}
	cancel()
	ended.Wait()
}

// TestParkedFollowersMixUpNothing has many at once, cut anywhere: buffers are
// lent and given back all the time.
func TestParkedFollowersMixUpNothing(t *testing.T) {
	const streams, events = 40, 150
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var b strings.Builder
		var since int
		_, _ = fmt.Sscan(r.Header.Get("Last-Event-ID"), &since)
		for i := since; i < events; i++ {
			fmt.Fprintf(&b, "id: %d\ndata: %s\n\n", i+1, strings.Repeat(fmt.Sprint(r.URL.Path, i), 1+rand.N(8)*rand.N(60)))
		}
		text := b.String()
		w.Header().Set("Content-Type", "text/event-stream")
		for len(text) > 0 {
			n := min(len(text), 1+rand.N(3000))
			if _, err := io.WriteString(w, text[:n]); err != nil {
				return
			}
			text = text[n:]
			_ = http.NewResponseController(w).Flush()
			if rand.N(40) == 0 {
				panic(http.ErrAbortHandler)
			}
		}
		<-r.Context().Done()
	})
	isolate(t)
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	c := newClient(t, WithBaseURL(srv.URL), WithRetry(RetryPolicy{BaseDelay: time.Millisecond, MaxDelay: time.Millisecond}))
	var wg sync.WaitGroup
	for n := range streams {
		wg.Go(func() {
			id, seq := fmt.Sprint("s", n), int64(0)
			for e, err := range parked(c.Sessions, t.Context(), id, StreamOptions{LendData: true, MaxStalls: -1}) {
				if err != nil {
					t.Error(err)
					return
				}
				seq++
				one := fmt.Sprint("/api/sessions/", id, "/events", seq-1)
				if e.Seq != seq || strings.ReplaceAll(string(e.Data), one, "") != "" {
					t.Errorf("%s: got event %d with %.60q, want %d with %q", id, e.Seq, e.Data, seq, one)
					return
				}
				if seq == events {
					return
				}
			}
		})
	}
	wg.Wait()
}
