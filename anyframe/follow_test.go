package anyframe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func status(s SessionStatus) func(*http.Request) (*http.Response, error) {
	return reply(200, fmt.Sprintf(`{"id":"x","status":%q}`, s))
}

// cut ends a connection after text with a break.
func cut(text string) func(*http.Request) (*http.Response, error) {
	return live(func(_ context.Context, w io.Writer) error {
		fmt.Fprint(w, text)
		return reset
	})
}

// asked lists the requests: the last event id of each stream, "get" for each poll.
func (s *script) asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []string
	for _, r := range s.requests {
		if strings.HasSuffix(r.URL.Path, "/events") {
			list = append(list, "after "+r.Header.Get("Last-Event-Id"))
		} else {
			list = append(list, "get")
		}
	}
	return list
}

func event(ids ...int) string {
	var b strings.Builder
	for _, id := range ids {
		fmt.Fprintf(&b, "id: %d\ndata: {}\n\n", id)
	}
	return b.String()
}

var ended = reply(204, "")

func TestFollow_CutInsideEvent_ResumesAfterLastWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, transport := scripted(t, nil,
			cut(event(5, 6)+"id: 7\ndata: {\"ha"),
			cut(event(7, 9)), // ids may skip
			cut("id: 10\n"),  // a cut frame's id does not count
			ended)
		ids, err := collect(s.Follow(t.Context(), "x", StreamOptions{LastEventID: "4"}))
		if !errors.Is(err, ErrStreamEnded) || !slices.Equal(ids, []string{"5", "6", "7", "9"}) {
			t.Errorf("got %v, %v, want 5 6 7 9", ids, err)
		}
		want := []string{"after 4", "after 6", "after 9", "after 9"}
		if got := transport.asked(); !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestFollow_RepeatedEvent_Dropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, transport := scripted(t, nil,
			cut(event(1, 2, 2)+"data: {}\n\n"+event(1)),
			cut("id: 0\ndata: {}\n\nid: x\ndata: {}\n\n"+event(1, 2, 3)+"id\ndata: {}\n\n"),
			ended)
		ids, err := collect(s.Follow(t.Context(), "x", StreamOptions{}))
		// Events without a number are yielded: "0", "x", and the two without an id.
		if want := []string{"1", "2", "", "0", "x", "3", ""}; !errors.Is(err, ErrStreamEnded) || !slices.Equal(ids, want) {
			t.Errorf("got %q, %v, want %q", ids, err, want)
		}
		if got, want := transport.asked(), []string{"after ", "after 2", "after 3"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q: never back", got, want)
		}
	})
}

func TestFollow_NonNumericID_Kept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, transport := scripted(t, nil, cut("id\ndata: {}\n\n"), cut("id: b\ndata: {}\n\nid\ndata: {}\n\n"), ended)
		ids, err := collect(s.Follow(t.Context(), "x", StreamOptions{LastEventID: "a"}))
		if want := []string{"", "b", ""}; !errors.Is(err, ErrStreamEnded) || !slices.Equal(ids, want) {
			t.Errorf("got %q, %v, want %q", ids, err, want)
		}
		if got, want := transport.asked(), []string{"after a", "after a", "after b"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestFollow_EventsBeforeLastEventID_Dropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := scripted(t, nil, cut(event(1, 2, 3)), ended)
		ids, err := collect(s.Follow(t.Context(), "x", StreamOptions{LastEventID: "2"}))
		if !errors.Is(err, ErrStreamEnded) || !slices.Equal(ids, []string{"3"}) {
			t.Errorf("got %q, %v, want 3", ids, err)
		}
	})
}

func TestFollow_IDWithoutData_CursorMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, transport := scripted(t, nil, cut(event(1)+"id: 8\n\n"), ended)
		if _, err := collect(s.Follow(t.Context(), "x", StreamOptions{})); !errors.Is(err, ErrStreamEnded) {
			t.Error(err)
		}
		if got, want := transport.asked(), []string{"after ", "after 8"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestFollow_FinalRefusal_Ends(t *testing.T) {
	for name, test := range map[string]struct {
		step func(*http.Request) (*http.Response, error)
		o    StreamOptions
		want error
	}{
		"401":            {reply(401, ""), StreamOptions{}, ErrUnauthorized},
		"403":            {reply(403, ""), StreamOptions{}, ErrForbidden},
		"404":            {reply(404, ""), StreamOptions{}, ErrNotFound},
		"400":            {reply(400, ""), StreamOptions{}, ErrInvalid},
		"204":            {ended, StreamOptions{}, ErrStreamEnded},
		"not a stream":   {reply(200, "", "Content-Type", "text/html"), StreamOptions{}, ErrNotEventStream},
		"event too long": {events("data: " + strings.Repeat("x", 99)), StreamOptions{MaxEventSize: 9}, ErrEventTooLarge},
	} {
		synctest.Test(t, func(t *testing.T) {
			s, transport := scripted(t, nil, test.step)
			ids, err := collect(s.Follow(t.Context(), "x", test.o))
			if _, ok := errors.AsType[*Error](err); !ok || !errors.Is(err, test.want) || len(ids) != 0 || transport.count() != 1 {
				t.Errorf("%s: got %v after %d requests, want %v after one", name, err, transport.count(), test.want)
			}

			s, transport = scripted(t, nil, test.step, test.step)
			f := s.Follower(t.Context(), "x", test.o)
			defer f.Close()
			_, first := f.Next()
			_, ok := f.TryNext()
			parked := f.Park(func() {})
			if _, err := f.Next(); ok || parked || err != first || first == nil || transport.count() != 1 { //nolint:errorlint // the same error
				t.Errorf("%s: got %v again after %d requests, want %v after one", name, err, transport.count(), first)
			}
		})
	}
}

func TestFollow_EventTooLarge_ErrorNamesEvent(t *testing.T) {
	for text, want := range map[string]string{
		event(1) + "id: 2\ndata: " + strings.Repeat("x", 99): "2",
		event(1) + "data: " + strings.Repeat("x", 99):        "",
	} {
		synctest.Test(t, func(t *testing.T) {
			s, transport := scripted(t, nil, events(text))
			_, err := collect(s.Follow(t.Context(), "x", StreamOptions{MaxEventSize: 50}))
			e, ok := errors.AsType[*EventTooLargeError](err)
			if !ok || e.ID != want || e.Limit != 50 || !errors.Is(err, ErrEventTooLarge) || transport.count() != 1 {
				t.Errorf("got %v after %d connections, want event %q too large after one", err, transport.count(), want)
			}
		})
	}
}

func TestFollow_TemporaryError_Reconnects(t *testing.T) {
	for name, step := range map[string]func(*http.Request) (*http.Response, error){
		"408": reply(408, ""), "425": reply(425, ""), "429": reply(429, ""), "500": reply(500, ""), "503": reply(503, ""),
		"no connection": fail(refusedDial), "reset": fail(reset), "no headers": hang, "half a frame": events("data: x"),
		"silence": live(func(ctx context.Context, _ io.Writer) error { <-ctx.Done(); return ctx.Err() }),
	} {
		synctest.Test(t, func(t *testing.T) {
			s, _ := scripted(t, nil, step, events(event(1)), status(StatusTerminated))
			ids, err := collect(s.Follow(t.Context(), "x", StreamOptions{}))
			if _, ok := errors.AsType[*SessionStateError](err); !ok || !slices.Equal(ids, []string{"1"}) {
				t.Errorf("%s: got %q, %v, want the event of the second connection", name, ids, err)
			}
		})
	}
}

func TestFollow_CleanEndOr409_SessionPolled(t *testing.T) {
	for name, end := range map[string]func(*http.Request) (*http.Response, error){
		"clean end": events(event(1)), "409": reply(409, ""),
	} {
		for state, again := range map[SessionStatus]bool{
			StatusRunning: true, StatusBooting: true, "hibernating": true,
			StatusTerminated: false, StatusPaused: false, StatusError: false, StatusSnapshotting: false,
		} {
			synctest.Test(t, func(t *testing.T) {
				s, transport := scripted(t, nil, end, status(state), ended)
				_, err := collect(s.Follow(t.Context(), "x", StreamOptions{}))
				if again {
					if !errors.Is(err, ErrStreamEnded) || transport.count() != 3 {
						t.Errorf("%s, %s: got %v, %q, want another connection", name, state, err, transport.asked())
					}
					return
				}
				e, ok := errors.AsType[*SessionStateError](err)
				if !ok || e.Session.Status != state || transport.count() != 2 {
					t.Errorf("%s, %s: got %v, %q, want a SessionStateError", name, state, err, transport.asked())
				}
			})
		}
	}
}

func TestFollow_SessionPoll_EndsOnlyIfRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := scripted(t, nil, events(""), reply(404, ""))
		if _, err := collect(s.Follow(t.Context(), "x", StreamOptions{})); !errors.Is(err, ErrNotFound) {
			t.Errorf("got %v, want ErrNotFound", err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		s, transport := scripted(t, []Option{WithRetry(RetryPolicy{MaxRetries: -1})}, events(""), reply(503, ""), ended)
		if _, err := collect(s.Follow(t.Context(), "x", StreamOptions{})); !errors.Is(err, ErrStreamEnded) || transport.count() != 3 {
			t.Errorf("got %v, %q, want another connection", err, transport.asked())
		}
	})
}

func TestFollow_NoProgress_GivesUpAfterMaxStalls(t *testing.T) {
	for set, want := range map[int]int{0: 11, 1: 2, 3: 4} {
		synctest.Test(t, func(t *testing.T) {
			s, transport := scripted(t, nil, cut("data: {}\n\n"+event(4))) // always the same event, and nothing new
			var attempts []int
			_, err := collect(s.Follow(t.Context(), "x", StreamOptions{
				LastEventID: "4", MaxStalls: set, OnReconnect: func(r Reconnect) { attempts = append(attempts, r.Attempt) },
			}))
			if !errors.Is(err, reset) || !errors.Is(err, ErrTransport) || transport.count() != want {
				t.Errorf("%d: got %v after %d connections, want the last break after %d", set, err, transport.count(), want)
			}
			if len(attempts) != want-1 || attempts[0] != 1 || attempts[len(attempts)-1] != want-1 {
				t.Errorf("%d: got attempts %v, want 1 to %d", set, attempts, want-1)
			}
		})
	}
}

func TestFollow_CleanEndsWithoutProgress_GivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := scripted(t, nil, events(""), status(StatusRunning), events(""), status(StatusRunning), events(""))
		_, err := collect(s.Follow(t.Context(), "x", StreamOptions{MaxStalls: 1}))
		if _, ok := errors.AsType[*Error](err); !ok || !errors.Is(err, ErrTransport) || !errors.Is(err, io.EOF) {
			t.Errorf("got %v, want an *Error for the ends", err)
		}
	})
}

func TestFollow_NewEvent_StallCountReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		c := newClient(t, WithHTTPClient(&http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			n++
			if n > 40 {
				return ended(r)
			}
			if n%2 == 0 {
				return reply(500, "")(r)
			}
			return cut(event(n))(r)
		})}))
		most := 0
		ids, err := collect(c.Sessions.Follow(t.Context(), "x", StreamOptions{
			MaxStalls: 2, OnReconnect: func(r Reconnect) { most = max(most, r.Attempt) },
		}))
		if !errors.Is(err, ErrStreamEnded) || len(ids) != 20 || most != 2 {
			t.Errorf("got %d events, attempts up to %d, %v, want 20, 2", len(ids), most, err)
		}
	})
}

func TestFollow_NegativeMaxStalls_NoLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		steps := slices.Repeat([]func(*http.Request) (*http.Response, error){reply(502, "")}, 200)
		s, transport := scripted(t, nil, append(steps, ended)...)
		_, err := collect(s.Follow(t.Context(), "x", StreamOptions{MaxStalls: -1}))
		if !errors.Is(err, ErrStreamEnded) || transport.count() != 201 {
			t.Errorf("got %v after %d, want all 200 failures outlived", err, transport.count())
		}
	})
}

func TestFollow_ReconnectAndOpen_CallbacksCalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []Reconnect
		opened := 0
		start := time.Now()
		s, _ := scripted(t, nil, cut(event(3)), reply(500, ""), events(event(4)), status(StatusRunning), ended)
		_, err := collect(s.Follow(t.Context(), "x", StreamOptions{
			OnReconnect: func(r Reconnect) { told = append(told, r) }, OnOpen: func() { opened++ },
		}))
		if !errors.Is(err, ErrStreamEnded) || opened != 2 || len(told) != 3 {
			t.Fatalf("got %v, %d opened, %d reconnects, want 2 and 3", err, opened, len(told))
		}
		var waited time.Duration
		for i, want := range []struct {
			attempt int
			cause   error
			last    string
		}{{1, reset, "3"}, {2, ErrServer, "3"}, {1, io.EOF, "4"}} {
			r := told[i]
			if r.Attempt != want.attempt || !errors.Is(r.Cause, want.cause) || r.LastEventID != want.last {
				t.Errorf("reconnect %d: got %+v, want %+v", i, r, want)
			}
			waited += r.Delay
		}
		if time.Since(start) != waited {
			t.Errorf("got a wait of %v, want the %v that was told", time.Since(start), waited)
		}
	})
}

func TestFollow_ServerRetry_Observed(t *testing.T) {
	const jitter = 250 * time.Millisecond // of a first reconnect
	for name, test := range map[string]struct {
		step        func(*http.Request) (*http.Response, error)
		least, most time.Duration
	}{
		"retry field":           {cut("retry: 3000\n\n"), 3 * time.Second, 3*time.Second + jitter},
		"retry field, with EOF": {cut("retry: 3000\n"), 3 * time.Second, 3*time.Second + jitter},
		"absurd retry field":    {cut("retry: 99999999999\n\n"), maxRetryField, maxRetryField + jitter},
		"retry field of zero":   {cut("retry: 0\n\n"), 0, jitter},
		"Retry-After":           {reply(503, "", "Retry-After", "20"), 20 * time.Second, 20 * time.Second},
		"long Retry-After":      {reply(429, "", "Retry-After", "300"), 300 * time.Second, 300 * time.Second},
		"absurd Retry-After":    {reply(429, "", "Retry-After", "999999"), maxFollowRetryAfter, maxFollowRetryAfter},
		"nothing":               {cut(""), 0, jitter},
	} {
		synctest.Test(t, func(t *testing.T) {
			s, _ := scripted(t, nil, test.step, ended)
			start := time.Now()
			_, err := collect(s.Follow(t.Context(), "x", StreamOptions{}))
			if d := time.Since(start); !errors.Is(err, ErrStreamEnded) || d < test.least || d > test.most {
				t.Errorf("%s: got %v after %v, want from %v to %v", name, err, d, test.least, test.most)
			}
		})
	}
}

func TestFollow_CanceledDuringWait_EndsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		s, transport := scripted(t, nil, reply(503, "", "Retry-After", "60"))
		start := time.Now()
		_, err := collect(s.Follow(ctx, "x", StreamOptions{}))
		if !errors.Is(err, context.Canceled) || errors.Is(err, ErrTransport) || time.Since(start) != time.Second || transport.count() != 1 {
			t.Errorf("got %v after %v, want Canceled after 1s", err, time.Since(start))
		}
	})
}

func TestFollow_CanceledDuringRead_EndsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		s, transport := scripted(t, nil, quietThen(time.Hour, 1, ""))
		_, err := collect(s.Follow(ctx, "x", StreamOptions{}))
		if !errors.Is(err, context.Canceled) || transport.count() != 1 {
			t.Errorf("got %v after %d connections, want Canceled after one", err, transport.count())
		}
	})
}

func TestFollow_LoopLeft_Ends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, transport := scripted(t, nil, events(event(1, 2)))
		for _, err := range s.Follow(t.Context(), "x", StreamOptions{}) {
			if err != nil {
				t.Error(err)
			}
			break
		}
		if transport.count() != 1 || transport.requests[0].Context().Err() == nil {
			t.Errorf("got %q, want one connection, closed", transport.asked())
		}
	})
}

func TestFollow_RangedTwice_StartsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, transport := scripted(t, nil, cut(event(1)), ended, cut(event(1)), ended)
		seq := s.Follow(t.Context(), "x", StreamOptions{})
		for range 2 {
			if ids, _ := collect(seq); len(ids) != 1 {
				t.Errorf("got %q, want 1", ids)
			}
		}
		if got, want := transport.asked(), []string{"after ", "after 1", "after ", "after 1"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// batches records what was yielded between two calls of OnIdle.
type batches struct {
	mu  sync.Mutex // held to look or append
	all []string
}

func (b *batches) note(what string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all = append(b.all, what)
}

func (b *batches) flush() { b.note("flush") }

func (b *batches) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Join(b.all, " ")
}

func TestOnIdle_EachBatch_CalledBeforeWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b batches
		s, _ := scripted(t, nil, live(func(ctx context.Context, w io.Writer) error {
			fmt.Fprint(w, event(1, 2)+"id: 3\ndata: ha")
			if err := sleep(ctx, time.Second); err != nil {
				return err
			}
			if got := b.String(); got != "1 2 flush" {
				t.Errorf("got %q while the stream waits, want 1 2 flush", got)
			}
			fmt.Fprint(w, "lf\n\n:\n\n:\n\n")
			if err := sleep(ctx, time.Second); err != nil {
				return err
			}
			fmt.Fprint(w, ":\n\n"+event(2)) // nothing new
			_ = sleep(ctx, time.Second)
			fmt.Fprint(w, event(4)+"id: 5\ndata: cut")
			return reset
		}), cut(event(5)), ended)
		for e, err := range s.Follow(t.Context(), "x", StreamOptions{OnIdle: b.flush, OnReconnect: func(Reconnect) {
			b.note("reconnect")
		}}) {
			if err == nil {
				b.note(e.ID)
			}
		}
		want := "1 2 flush 3 flush 4 flush reconnect 5 flush reconnect"
		if got := b.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestOnIdle_EveryStreamOverSocket_Called(t *testing.T) {
	flushed := make(chan struct{}, 8)
	c := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 3 {
			fmt.Fprintf(w, "id: %d\ndata: {\"offset\":%d,\"content\":\"x\"}\n\n", i+1, i)
			if err := http.NewResponseController(w).Flush(); err != nil {
				t.Error(err)
			}
			select {
			case <-flushed: // never, if the client waits without calling OnIdle
			case <-r.Context().Done():
				return
			}
		}
		fmt.Fprint(w, "id: 4\nevent: state\ndata: {\"state\":\"succeeded\"}\n\n")
	})
	o := StreamOptions{OnIdle: func() { flushed <- struct{}{} }, IdleTimeout: 10 * time.Second}
	for name, stream := range map[string]func(yield func(error) bool){
		"events": func(yield func(error) bool) {
			c.Sessions.Events(t.Context(), "x", o)(func(_ Event, err error) bool { return yield(err) })
		},
		"follow": func(yield func(error) bool) {
			c.Sessions.Follow(t.Context(), "x", o)(func(_ Event, err error) bool { return yield(err) })
		},
		"build log": func(yield func(error) bool) {
			c.Agents.StreamBuild(t.Context(), 1, 2, o)(func(_ BuildEvent, err error) bool { return yield(err) })
		},
	} {
		n := 0
		for err := range stream {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if n++; n == 4 {
				break
			}
		}
		if n != 4 {
			t.Errorf("%s: got %d events, want 4", name, n)
		}
	}
}

// lastBatches returns what was in each batch of a stream that is left after n
// events, 0 for never. What was not flushed is in angle brackets.
func lastBatches[E any](t *testing.T, n int, stream func(StreamOptions) iter.Seq2[E, error], show func(E) string) string {
	t.Helper()
	var batch, flushed []string
	o := StreamOptions{OnIdle: func() {
		flushed = append(flushed, strings.Join(batch, " "))
		batch = nil
	}}
	for e, err := range stream(o) {
		if err != nil {
			t.Error(err)
			continue
		}
		batch = append(batch, show(e))
		if n--; n == 0 {
			break
		}
	}
	if batch != nil {
		flushed = append(flushed, fmt.Sprintf("<%s>", strings.Join(batch, " ")))
	}
	return strings.Join(flushed, ", ")
}

func TestOnIdle_LastBatch_Called(t *testing.T) {
	stays := func(text string) step {
		return live(func(ctx context.Context, w io.Writer) error {
			fmt.Fprint(w, text)
			<-ctx.Done()
			return ctx.Err()
		})
	}
	ctx, id := t.Context(), func(e Event) string { return e.ID }
	follow := func(o StreamOptions) iter.Seq2[Event, error] {
		s, _ := scripted(t, nil, stays(event(1, 2, 3)))
		return s.Follow(ctx, "x", o)
	}
	read := func(o StreamOptions) iter.Seq2[Event, error] {
		s, _ := scripted(t, nil, events(event(1, 2, 3)))
		return s.Events(ctx, "x", o)
	}
	turn := func(o StreamOptions) iter.Seq2[Event, error] {
		s, _ := scripted(t, nil, reply(200, `{"ok":true,"seq":1}`), stays(event(1, 2)+told(3, resultJSON)))
		return s.Turn(ctx, "x", Message{Prompt: "p"}, o)
	}
	log := func(o StreamOptions) iter.Seq2[BuildEvent, error] {
		c, _ := streams(t, stays(line(0, "1")+line(1, "2")+state("succeeded")))
		return c.Agents.StreamBuild(ctx, 7, 9, o)
	}
	text := func(e BuildEvent) string { return e.Text + string(e.State) }
	for name, test := range map[string]struct{ got, want string }{
		"events to the end":    {lastBatches(t, 0, read, id), "1 2 3"},
		"events, left":         {lastBatches(t, 2, read, id), "1 2"},
		"follow, left":         {lastBatches(t, 2, follow, id), "1 2"},
		"turn to the result":   {lastBatches(t, 0, turn, id), "1 2 3"},
		"turn, left":           {lastBatches(t, 2, turn, id), "1 2"},
		"build log to the end": {lastBatches(t, 0, log, text), "1 2 succeeded"},
		"build log, left":      {lastBatches(t, 2, log, text), "1 2"},
	} {
		if test.got != test.want {
			t.Errorf("%s: got batches %s, want %s", name, test.got, test.want)
		}
	}
}
