package anyframe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func told(id int, data string) string { return fmt.Sprintf("id: %d\ndata: %s\n\n", id, data) }

const (
	resultJSON  = `{"type":"result"}`
	failureJSON = `{"type":"_error","error":"boom"}`
	textJSON    = `{"type":"assistant","content":[{"type":"text","text":"hi"}]}`
)

// turn collects the types of a turn's events.
func turn(ctx context.Context, s *SessionsService, o StreamOptions) (types []string, err error) {
	for e, err := range s.Turn(ctx, "x", Message{Prompt: "hello"}, o) {
		if err != nil {
			return types, err
		}
		types = append(types, e.Type())
	}
	return types, nil
}

const (
	message = "POST /message"
	stream1 = "GET /events"
	session = "GET /sessions/x"
)

func TestTurn_Message_SentOnceAndFollowedToResult(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, asked := route(t, map[string][]step{
			message: {reply(200, `{"ok":true,"seq":12}`)},
			stream1: {
				cut(told(12, `{"type":"user_message"}`) + told(13, textJSON)),
				reply(503, ""),
				live(func(ctx context.Context, w io.Writer) error { // stays open after the turn
					fmt.Fprint(w, told(13, textJSON)+told(14, textJSON)+told(15, resultJSON)+told(16, textJSON))
					<-ctx.Done()
					return ctx.Err()
				}),
			},
		})
		all := c.Sessions.Turn(t.Context(), "x", Message{Prompt: "hello"}, StreamOptions{})
		if len(asked()) != 0 {
			t.Fatal("got a request before the range, want none")
		}
		var seqs []int64
		for e, err := range all {
			if err != nil {
				t.Fatal(err)
			}
			seqs = append(seqs, e.Seq)
		}
		if want := []int64{12, 13, 14, 15}; !slices.Equal(seqs, want) {
			t.Errorf("got %v, want %v", seqs, want)
		}
		if want := []string{message, stream1, stream1, stream1}; !slices.Equal(asked(), want) {
			t.Errorf("got %q, want %q", asked(), want)
		}
	})
}

func TestTurn_Stream_OpenedBeforeMessage(t *testing.T) {
	for _, test := range []struct{ reply, given, want string }{
		{`{"ok":true,"seq":12}`, "", "11"},
		{`{"ok":true,"seq":"12"}`, "", "11"},
		{`{"ok":true,"seq":1}`, "", ""},
		{`{"ok":true,"seq":0}`, "", ""},
		{`{"ok":true,"seq":12}`, "7", "7"},
		{`{"ok":true}`, "7", "7"},
		{``, "7", "7"},
	} {
		s, transport := scripted(t, nil, reply(200, test.reply), events(told(40, resultJSON)))
		for range 2 { // a second range is another turn, independent of the first
			all, err := turn(t.Context(), s, StreamOptions{LastEventID: test.given})
			if err != nil || !slices.Equal(all, []string{TypeResult}) {
				t.Fatalf("%+v: got %q, %v, want the result", test, all, err)
			}
			r := transport.requests[1]
			if got := r.Header.Get("Last-Event-Id"); got != test.want || transport.count() != 2 {
				t.Errorf("%+v: got last event id %q in %d requests", test, got, transport.count())
			}
			transport.requests = nil
		}
	}
}

func TestTurn_ResponseWithoutSeq_Error(t *testing.T) {
	for answer, want := range map[string]string{
		`{"ok":true}`:                   "no seq",
		``:                              "no seq",
		`{"ok":false,"error":"asleep"}`: "asleep",
	} {
		s, transport := scripted(t, nil, reply(200, answer))
		_, err := turn(t.Context(), s, StreamOptions{})
		e, ok := errors.AsType[*Error](err)
		if !ok || !strings.Contains(err.Error(), want) || transport.count() != 1 || !e.Sent() {
			t.Errorf("%s: got %v in %d requests, want %q, sent", answer, err, transport.count(), want)
		}
	}
}

func TestTurn_Errors_NotSentTwice(t *testing.T) {
	for name, answer := range map[string]step{"502": reply(502, ""), "reset": fail(reset), "409": reply(409, "")} {
		s, transport := scripted(t, nil, answer)
		_, err := turn(t.Context(), s, StreamOptions{LastEventID: "1"})
		if e, ok := errors.AsType[*Error](err); !ok || transport.count() != 1 || e.Sent() != (name != "409") {
			t.Errorf("%s: got %v in %d requests, want one", name, err, transport.count())
		}
	}
}

// A caller may repeat a turn whose error says that it was not sent.
func TestTurn_StreamFailsAfterMessage_CountsAsSent(t *testing.T) {
	sent := reply(200, `{"ok":true,"seq":2}`)
	for name, answer := range map[string]step{
		"401": reply(401, ""), "404": reply(404, ""), "429": reply(429, ""), "dial": fail(refusedDial), "no stream": reply(200, "{}"),
	} {
		synctest.Test(t, func(t *testing.T) {
			c, _ := route(t, map[string][]step{message: {sent}, stream1: {answer}})
			_, err := turn(t.Context(), c.Sessions, StreamOptions{MaxStalls: 1})
			if e, ok := errors.AsType[*Error](err); !ok || !e.Sent() {
				t.Errorf("%s: got %v, want an error that counts as sent", name, err)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	c, _ := route(t, map[string][]step{message: {func(r *http.Request) (*http.Response, error) {
		cancel()
		return sent(r)
	}}})
	_, err := turn(ctx, c.Sessions, StreamOptions{})
	if e, ok := errors.AsType[*Error](err); !ok || !e.Sent() || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want Canceled, and sent", err)
	}
}

func TestTurn_InvalidStreamArguments_MessageNotSent(t *testing.T) {
	for name, test := range map[string]struct {
		id  string
		opt CallOption
	}{
		"last event id": {"5\n6", CallTimeout(0)},
		"header":        {"", CallHeader("last-event-id", "5")},
	} {
		c, asked := route(t, map[string][]step{message: {reply(200, `{"ok":true,"seq":2}`)}})
		err := last(c.Sessions.Turn(t.Context(), "x", Message{Prompt: "p"}, StreamOptions{LastEventID: test.id}, test.opt))
		if e, ok := errors.AsType[*Error](err); !ok || e.Sent() || !errors.Is(err, ErrInvalid) || len(asked()) != 0 {
			t.Errorf("%s: got %v after %q, want it refused before any request", name, err, asked())
		}
	}
}

func TestTurn_Failure_EventAndEnd(t *testing.T) {
	answer := reply(200, `{"ok":true,"seq":2}`)
	stays := func(text string) step {
		return live(func(ctx context.Context, w io.Writer) error {
			fmt.Fprint(w, text)
			<-ctx.Done()
			return ctx.Err()
		})
	}
	for name, test := range map[string]struct {
		stream []step
		want   []string
		after  time.Duration
	}{
		"with a result":          {[]step{stays(told(2, failureJSON) + told(3, resultJSON))}, []string{TypeFailure, TypeResult}, 0},
		"without":                {[]step{stays(told(2, failureJSON))}, []string{TypeFailure}, failureGrace},
		"and words":              {[]step{stays(told(2, failureJSON) + told(3, textJSON))}, []string{TypeFailure, TypeAssistant}, failureGrace},
		"and the connection too": {[]step{cut(told(2, failureJSON)), hang}, []string{TypeFailure}, failureGrace},
	} {
		synctest.Test(t, func(t *testing.T) {
			c, _ := route(t, map[string][]step{message: {answer}, stream1: test.stream, session: {status(StatusRunning)}})
			start := time.Now()
			got, err := turn(t.Context(), c.Sessions, StreamOptions{})
			if err != nil || !slices.Equal(got, test.want) || time.Since(start) != test.after {
				t.Errorf("%s: got %q, %v after %v, want %q after %v", name, got, err, time.Since(start), test.want, test.after)
			}
		})
	}
}

func TestTurn_SlowConsumer_GracePeriodNotReduced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := route(t, map[string][]step{
			message: {reply(200, `{"ok":true,"seq":2}`)},
			stream1: {live(func(ctx context.Context, w io.Writer) error {
				fmt.Fprint(w, told(2, failureJSON)+told(3, textJSON))
				if err := sleep(ctx, time.Minute+failureGrace/2); err != nil {
					return err
				}
				fmt.Fprint(w, told(4, resultJSON))
				return nil
			})},
		})
		var got []string
		for e, err := range c.Sessions.Turn(t.Context(), "x", Message{Prompt: "p"}, StreamOptions{}) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, e.Type())
			if len(got) == 2 {
				if err := sleep(t.Context(), time.Minute); err != nil {
					t.Fatal(err)
				}
			}
		}
		if want := []string{TypeFailure, TypeAssistant, TypeResult}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestTurn_StreamError_Returned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := route(t, map[string][]step{
			message: {reply(200, `{"ok":true,"seq":2}`)}, stream1: {events(told(2, textJSON))}, session: {status(StatusTerminated)},
		})
		got, err := turn(t.Context(), c.Sessions, StreamOptions{})
		if !isState(err, StatusTerminated) || !slices.Equal(got, []string{TypeAssistant}) {
			t.Errorf("got %q, %v, want a SessionStateError after the text", got, err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		c, _ := route(t, map[string][]step{
			message: {reply(200, `{"ok":true,"seq":2}`)},
			stream1: {live(func(ctx context.Context, w io.Writer) error {
				fmt.Fprint(w, told(2, failureJSON))
				cancel()
				<-ctx.Done()
				return ctx.Err()
			})},
		})
		if _, err := turn(ctx, c.Sessions, StreamOptions{}); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want Canceled", err)
		}
	})
}

func TestTurn_LoopLeft_StreamClosed(t *testing.T) {
	gone := make(chan struct{})
	c, _ := route(t, map[string][]step{
		message: {reply(200, `{"ok":true,"seq":2}`)},
		stream1: {live(func(ctx context.Context, w io.Writer) error {
			defer close(gone)
			fmt.Fprint(w, told(2, textJSON))
			<-ctx.Done()
			return ctx.Err()
		})},
	})
	for _, err := range c.Sessions.Turn(t.Context(), "x", Message{Prompt: "p"}, StreamOptions{}) {
		if err != nil {
			t.Error(err)
		}
		break
	}
	<-gone
}

func TestRetry_TableByMethod_Observed(t *testing.T) {
	const once, thrice = 1, 3
	for _, o := range operations() {
		method := o.method()
		if strings.HasSuffix(method, "Events") || strings.HasSuffix(method, "StreamBuild") || strings.Contains(method, "Wait") {
			continue // these have their own tests
		}
		verb := ""
		probe := newClient(t, WithHTTPClient(&http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			verb = r.Method
			return reply(404, "")(r)
		})}))
		if err := o.call(t.Context(), probe); !errors.Is(err, ErrNotFound) {
			t.Fatalf("%s: got %v, want ErrNotFound", o.name, err)
		}
		again := verb == http.MethodGet || verb == http.MethodPut || verb == http.MethodDelete
		switch method {
		case "Sessions.Previews.List", "Sessions.Previews.Status", "Sessions.Previews.Logs":
			again = true // reads, though they are POSTs
		}
		for name, answer := range map[string]step{
			"500": reply(500, ""), "503": reply(503, "", "Retry-After", "0"), "408": reply(408, ""), "reset": fail(reset),
			"429": reply(429, ""), "dial": fail(refusedDial), "409": reply(409, ""), "501": reply(501, ""),
		} {
			want := once
			if name == "429" || name == "dial" || again && name != "409" && name != "501" {
				want = thrice
			}
			synctest.Test(t, func(t *testing.T) {
				transport := newScript(answer)
				c := newClient(t, WithHTTPClient(&http.Client{Transport: transport}))
				err := o.call(t.Context(), c)
				if e, ok := errors.AsType[*Error](err); !ok || transport.count() != want || e.Attempts != want {
					t.Errorf("%s, %s: got %d requests, %v, want %d", o.name, name, transport.count(), err, want)
				}
			})
		}
	}
}

func TestDeletes_404AfterLostResponse_Success(t *testing.T) {
	for _, o := range operations() {
		if m := o.method(); !strings.Contains(m, "Delete") && !strings.Contains(m, "Clear") && m != "Tokens.Revoke" {
			continue
		}
		synctest.Test(t, func(t *testing.T) {
			c := newClient(t, WithHTTPClient(&http.Client{Transport: newScript(fail(reset), reply(404, ""))}))
			if err := o.call(t.Context(), c); err != nil {
				t.Errorf("%s: got %v, want success", o.name, err)
			}
			c = newClient(t, WithHTTPClient(&http.Client{Transport: newScript(reply(404, ""))}))
			if err := o.call(t.Context(), c); !errors.Is(err, ErrNotFound) {
				t.Errorf("%s: got %v, want ErrNotFound", o.name, err)
			}
		})
	}
}
