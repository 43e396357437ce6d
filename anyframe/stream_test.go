package anyframe

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// collect ranges over a stream to its end.
func collect(seq iter.Seq2[Event, error]) (ids []string, err error) {
	for e, err := range seq {
		if err != nil {
			return ids, err
		}
		ids = append(ids, e.ID)
	}
	return ids, nil
}

func scripted(t *testing.T, opts []Option, steps ...func(*http.Request) (*http.Response, error)) (*SessionsService, *script) {
	t.Helper()
	transport := newScript(steps...)
	c := newClient(t, append([]Option{WithHTTPClient(&http.Client{Transport: transport})}, opts...)...)
	return c.Sessions, transport
}

func TestEvents_OneConnection_ReadToEnd(t *testing.T) {
	opened := 0
	s, transport := scripted(t, nil, events("id: 1\nevent: x\ndata: {\"a\":1}\n\n: keepalive\n\nid: no\ndata: {}\n\ndata: {}\n\n"))
	seq := s.Events(t.Context(), "x", StreamOptions{OnOpen: func() { opened++ }})
	if transport.count() != 0 {
		t.Fatal("got a request before the range, want none")
	}
	for range 2 { // every range opens its own
		var got []string
		for e, err := range seq {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprintf("%s|%s|%d|%s", e.ID, e.Name, e.Seq, e.Data))
		}
		if got, want := strings.Join(got, " "), `1|x|1|{"a":1} no||0|{} ||0|{}`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if transport.count() != 2 || opened != 2 {
		t.Errorf("got %d requests, %d opened, want 2", transport.count(), opened)
	}
}

func TestEvents_Error_YieldedOnceAndLast(t *testing.T) {
	broken := errors.New("broken")
	tests := map[string]struct {
		step  func(*http.Request) (*http.Response, error)
		o     StreamOptions
		want  error
		ids   int
		opens bool
	}{
		"404":            {reply(404, `{"detail":"gone"}`), StreamOptions{}, ErrNotFound, 0, false},
		"401":            {reply(401, ""), StreamOptions{}, ErrUnauthorized, 0, false},
		"503":            {reply(503, ""), StreamOptions{}, ErrServer, 0, false},
		"204":            {reply(204, ""), StreamOptions{}, ErrStreamEnded, 0, false},
		"202":            {reply(202, "", "Content-Type", "text/event-stream"), StreamOptions{}, ErrNotEventStream, 0, false},
		"HTML":           {reply(200, "<html>", "Content-Type", "text/html"), StreamOptions{}, ErrNotEventStream, 0, false},
		"no type":        {reply(200, "data: x\n\n"), StreamOptions{}, ErrNotEventStream, 0, false},
		"no connection":  {fail(refusedDial), StreamOptions{}, ErrTransport, 0, false},
		"half a frame":   {events("id: 1\ndata: x\n\nid: 2\ndata: y"), StreamOptions{}, io.ErrUnexpectedEOF, 1, true},
		"event too long": {events("id: 1\ndata: x\n\ndata: " + strings.Repeat("x", 99)), StreamOptions{MaxEventSize: 50}, ErrEventTooLarge, 1, true},
		"break": {live(func(_ context.Context, w io.Writer) error {
			fmt.Fprint(w, "id: 1\ndata: x\n\n")
			return broken
		}), StreamOptions{}, broken, 1, true},
	}
	for name, test := range tests {
		opened := false
		s, transport := scripted(t, nil, test.step)
		test.o.OnOpen = func() { opened = true }
		n, errs := 0, 0
		for _, err := range s.Events(t.Context(), "x", test.o) {
			if errs > 0 {
				t.Errorf("%s: got more after the error", name)
			}
			if err == nil {
				n++
				continue
			}
			errs++
			if _, ok := errors.AsType[*Error](err); !ok || !errors.Is(err, test.want) {
				t.Errorf("%s: got %v, want an *Error that is %v", name, err, test.want)
			}
		}
		if n != test.ids || errs != 1 || opened != test.opens || transport.count() != 1 {
			t.Errorf("%s: got %d events, %d errors, opened %v, %d requests, want %d, 1, %v, 1",
				name, n, errs, opened, transport.count(), test.ids, test.opens)
		}
	}
}

func TestStream_Compressed_Refused(t *testing.T) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte("data: x\n\n")); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	s, _ := scripted(t, nil, reply(200, b.String(), "Content-Type", "text/event-stream", "Content-Encoding", "gzip"))
	if _, err := collect(s.Events(t.Context(), "x", StreamOptions{})); !errors.Is(err, ErrNotEventStream) {
		t.Errorf("got %v, want ErrNotEventStream", err)
	}
}

// quietThen sends a keepalive every interval, n times, and then one event.
func quietThen(interval time.Duration, n int, text string) func(*http.Request) (*http.Response, error) {
	return live(func(ctx context.Context, w io.Writer) error {
		for range n {
			if err := sleep(ctx, interval); err != nil {
				return err
			}
			fmt.Fprint(w, ":")
		}
		_, err := fmt.Fprint(w, "\n"+text)
		return err
	})
}

func TestStream_Silent_Stalled(t *testing.T) {
	for _, test := range []struct{ set, want time.Duration }{{0, 90 * time.Second}, {5 * time.Second, 5 * time.Second}} {
		synctest.Test(t, func(t *testing.T) {
			s, _ := scripted(t, nil, live(func(ctx context.Context, w io.Writer) error {
				fmt.Fprint(w, "id: 1\ndata: x\n\n")
				<-ctx.Done()
				return ctx.Err()
			}))
			start := time.Now()
			ids, err := collect(s.Events(t.Context(), "x", StreamOptions{IdleTimeout: test.set}))
			if !errors.Is(err, ErrStreamStalled) || !errors.Is(err, ErrTransport) || len(ids) != 1 || time.Since(start) != test.want {
				t.Errorf("got %v, %v after %v, want one event and ErrStreamStalled after %v", ids, err, time.Since(start), test.want)
			}
		})
	}
}

func TestStream_AnyByte_KeepsAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := scripted(t, nil, quietThen(4*time.Second, 100, "id: 1\ndata: x\n\n"))
		ids, err := collect(s.Events(t.Context(), "x", StreamOptions{IdleTimeout: 5 * time.Second}))
		if err != nil || len(ids) != 1 {
			t.Errorf("got %v, %v, want the event after 400 s of single bytes", ids, err)
		}
	})
}

func TestStream_NoIdleTimeout_SilentStreamStaysOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := scripted(t, nil, quietThen(24*time.Hour, 1, "id: 1\ndata: x\n\n"))
		if ids, err := collect(s.Events(t.Context(), "x", StreamOptions{IdleTimeout: -1})); err != nil || len(ids) != 1 {
			t.Errorf("got %v, %v, want the event after a day", ids, err)
		}
	})
}

func TestStream_SlowConsumer_NoStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := scripted(t, nil, live(func(_ context.Context, w io.Writer) error {
			for i := range 3 {
				fmt.Fprintf(w, "id: %d\ndata: x\n\n", i+1)
			}
			return nil
		}))
		n := 0
		for _, err := range s.Events(t.Context(), "x", StreamOptions{IdleTimeout: 5 * time.Second}) {
			if err != nil {
				t.Fatal(err)
			}
			n++
			time.Sleep(time.Minute) // in the bubble: the consumer works
		}
		if n != 3 {
			t.Errorf("got %d events, want 3", n)
		}
	})
}

func TestStream_SlowOnOpen_NoStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := scripted(t, nil, events("id: 1\ndata: x\n\n"))
		o := StreamOptions{IdleTimeout: 5 * time.Second, OnOpen: func() { time.Sleep(time.Minute) }} // in the bubble
		if ids, err := collect(s.Events(t.Context(), "x", o)); err != nil || len(ids) != 1 {
			t.Errorf("got %v, %v, want the event", ids, err)
		}
	})
}

func TestStream_CallTimeout_DoesNotApply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		transport := newScript(quietThen(time.Minute, 60, "id: 1\ndata: x\n\n"))
		c := newClient(t, WithTimeout(time.Second), WithHTTPClient(&http.Client{Transport: transport, Timeout: time.Second}))
		if ids, err := collect(c.Sessions.Events(t.Context(), "x", StreamOptions{})); err != nil || len(ids) != 1 {
			t.Errorf("got %v, %v, want the event after an hour", ids, err)
		}
	})
}

func TestStream_DoesNotOpen_TimesOut(t *testing.T) {
	slowRefusal := func(r *http.Request) (*http.Response, error) {
		pr, pw := io.Pipe()
		context.AfterFunc(r.Context(), func() { pw.CloseWithError(r.Context().Err()) })
		return response(r, 500, pr), nil
	}
	for name, test := range map[string]struct {
		step func(*http.Request) (*http.Response, error)
		want error
	}{"headers": {hang, ErrTransport}, "the body of a refusal": {slowRefusal, ErrServer}} {
		synctest.Test(t, func(t *testing.T) {
			s, _ := scripted(t, []Option{WithTimeout(7 * time.Second)}, test.step)
			start := time.Now()
			_, err := collect(s.Events(t.Context(), "x", StreamOptions{}))
			if !errors.Is(err, test.want) || time.Since(start) != 7*time.Second {
				t.Errorf("%s: got %v after %v, want %v after 7s", name, err, time.Since(start), test.want)
			}
		})
	}
}

func TestStream_Canceled_EndsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		s, _ := scripted(t, nil, quietThen(time.Hour, 1, ""))
		start := time.Now()
		_, err := collect(s.Events(ctx, "x", StreamOptions{}))
		if !errors.Is(err, context.Canceled) || errors.Is(err, ErrTransport) || time.Since(start) != time.Second {
			t.Errorf("got %v after %v, want Canceled after 1s", err, time.Since(start))
		}
	})
}

// closing records that a body was closed.
type closing struct {
	io.Reader
	closed *atomic.Int32
}

func (c closing) Close() error { c.closed.Add(1); return nil }

func TestStream_EveryExit_BodyClosed(t *testing.T) {
	text := "id: 1\ndata: x\n\nid: 2\ndata: x\n\n"
	for name, step := range map[string]struct {
		status int
		kind   string
		body   string
	}{
		"left early": {200, "text/event-stream", text}, "broken": {200, "text/event-stream", "data: x"},
		"refused": {404, "", ""}, "not a stream": {200, "text/html", ""}, "no content": {204, "", ""},
	} {
		var closed atomic.Int32
		s, transport := scripted(t, nil, func(r *http.Request) (*http.Response, error) {
			return response(r, step.status, closing{strings.NewReader(step.body), &closed}, "Content-Type", step.kind), nil
		})
		for _, err := range s.Events(t.Context(), "x", StreamOptions{}) {
			if (err == nil) != (name == "left early") {
				t.Errorf("%s: got %v", name, err)
			}
			break
		}
		if closed.Load() < 1 || transport.requests[0].Context().Err() == nil {
			t.Errorf("%s: got a body left open or a context left alive", name)
		}
	}
}

func TestStream_LoopLeft_NoGoroutineLeft(t *testing.T) {
	c := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "id: 1\ndata: x\n\n")
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
		<-r.Context().Done()
	})
	leave := func() {
		for _, err := range c.Sessions.Events(t.Context(), "x", StreamOptions{}) {
			if err != nil {
				t.Error(err)
			}
			break
		}
	}
	leave() // goroutines started by the first stream, such as the listener's, stay
	before := runtime.NumGoroutine()
	for range 50 {
		leave()
	}
	deadline := time.Now().Add(5 * time.Second)
	for runtime.NumGoroutine() > before+5 { // the sockets' own goroutines take a moment to end
		if time.Now().After(deadline) {
			t.Fatalf("got %d goroutines, want about %d", runtime.NumGoroutine(), before)
		}
		runtime.Gosched()
	}
}

func TestStream_Many_OpenAtOnce(t *testing.T) {
	const streams = 100
	var open sync.WaitGroup
	open.Add(streams)
	all := make(chan struct{})
	c := newServer(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
		<-all // none ends before all have started
	})
	var readers sync.WaitGroup
	for range streams {
		readers.Go(func() {
			if _, err := collect(c.Sessions.Events(t.Context(), "x", StreamOptions{OnOpen: open.Done})); err != nil {
				t.Error(err)
				open.Done()
			}
		})
	}
	open.Wait()
	close(all)
	readers.Wait()
}

func TestEvents_Socket_ArriveOneByOne(t *testing.T) {
	seen := make(chan struct{})
	c := newServer(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 3 {
			fmt.Fprintf(w, "id: %d\r\ndata: x\r\n\r\n", i+1)
			if err := http.NewResponseController(w).Flush(); err != nil {
				t.Error(err)
			}
			<-seen
		}
	})
	n := 0
	for e, err := range c.Sessions.Events(t.Context(), "x", StreamOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; e.Seq != int64(n) {
			t.Errorf("got seq %d, want %d", e.Seq, n)
		}
		seen <- struct{}{} // the server continues only after this one has arrived
	}
	if n != 3 {
		t.Errorf("got %d events, want 3", n)
	}
}

func TestSeq_NotDecimal_Zero(t *testing.T) {
	for id, want := range map[string]int64{
		"": 0, "1": 1, "007": 7, "9223372036854775807": 1<<63 - 1, "9223372036854775808": 0, "-1": 0, "+1": 0, "1.0": 0, "1x": 0, "1-2": 0,
	} {
		if got := parseSeq(id); got != want {
			t.Errorf("%q: got %d, want %d", id, got, want)
		}
	}
}

func TestStream_HeadersAtTimeout_ErrorOrStream(t *testing.T) {
	const limit = time.Second
	synctest.Test(t, func(t *testing.T) {
		late := 0
		for range 200 { // which of the two timers fires first is random
			c := newClient(t, WithTimeout(limit), WithHTTPClient(&http.Client{Transport: newScript(func(r *http.Request) (*http.Response, error) {
				time.Sleep(limit)
				return events(": hello\n\n")(r)
			})}))
			err := firstError(c.Sessions.Events(t.Context(), "x", StreamOptions{}))
			if errors.Is(err, context.DeadlineExceeded) {
				late++
			} else if err != nil && !errors.Is(err, ErrStreamEnded) && !errors.Is(err, io.EOF) {
				t.Fatalf("got %v, want a timeout or the stream", err)
			}
		}
		t.Logf("%d of 200 came too late", late)
	})
}
