package anyframe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestBuildEvent_AnyForm_Decoded(t *testing.T) {
	for _, test := range []struct {
		name, data string
		want       BuildEvent
	}{
		{"line", `{"offset":3,"content":"a"}`, BuildEvent{Text: "a", Offset: new(int64(3))}},
		{"line", `{"offset":0,"content":"","text":"b"}`, BuildEvent{Text: "", Offset: new(int64(0))}},
		{"line", `{"text":"b"}`, BuildEvent{Text: "b"}},
		{"line", `{"content":null,"text":"b","offset":null}`, BuildEvent{Text: "b"}},
		{"line", `{"content":5}`, BuildEvent{Text: `{"content":5}`}},
		{"line", `{"offset":"x","text":"b"}`, BuildEvent{Text: "b"}},
		{"log", `building...`, BuildEvent{Text: "building..."}},
		{"log", `"quoted"`, BuildEvent{Text: `"quoted"`}},
		{"", `{"cut":`, BuildEvent{Text: `{"cut":`}},
		{"line", ``, BuildEvent{}},
		{"line", `{"text":"b","state":"running"}`, BuildEvent{Text: "b"}},
		{"state", `{"state":"succeeded"}`, BuildEvent{State: BuildStateSucceeded}},
		{"", `{"state":"succeeded"}`, BuildEvent{State: BuildStateSucceeded}},
		{"state", `{"state":"odd","text":"b"}`, BuildEvent{State: "odd"}},
		{"state", `succeeded`, BuildEvent{State: BuildStateSucceeded}},
		{"state", ` "failed" `, BuildEvent{State: `"failed"`}},
		{"state", `"failed"`, BuildEvent{State: BuildStateFailed}},
		{"state", `{"other":1}`, BuildEvent{Text: `{"other":1}`}},
	} {
		test.want.Name, test.want.Data = test.name, []byte(test.data)
		if got := newBuildEvent(test.name, []byte(test.data)); !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s %s: got %+v, want %+v", test.name, test.data, got, test.want)
		}
	}
}

// lines collects a build's lines, with states in brackets.
func lines(t *testing.T, c *Client, o StreamOptions) (said []string, err error) {
	t.Helper()
	for e, err := range c.Agents.StreamBuild(t.Context(), 7, 9, o) {
		switch {
		case err != nil:
			return said, err
		case e.State != "":
			said = append(said, "["+string(e.State)+"]")
		default:
			said = append(said, e.Text)
		}
	}
	return said, nil
}

func line(offset int, text string) string {
	return fmt.Sprintf("event: line\ndata: {\"offset\":%d,\"content\":%q}\n\n", offset, text)
}

func state(s string) string { return fmt.Sprintf("event: state\ndata: {\"state\":%q}\n\n", s) }

func streams(t *testing.T, steps ...step) (*Client, *script) {
	t.Helper()
	s, transport := scripted(t, nil, steps...)
	return s.client, transport
}

func TestStreamBuild_RunningBuild_ReadToEnd(t *testing.T) {
	open := live(func(ctx context.Context, w io.Writer) error { // a server that does not hang up
		fmt.Fprint(w, ": hello\n\n"+state("running")+line(0, "a")+line(1, "b")+state("running")+line(1, "b")+line(5, "c")+state("succeeded"))
		<-ctx.Done()
		return ctx.Err()
	})
	c, transport := streams(t, open)
	got, err := lines(t, c, StreamOptions{})
	if want := []string{"[running]", "a", "b", "c", "[succeeded]"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	if r := transport.requests[0]; r.Header.Get("Accept") != "text/event-stream" || r.Header.Get("Last-Event-Id") != "" {
		t.Errorf("got headers %v", r.Header)
	}
}

func TestStreamBuild_ServerEnds_Ends(t *testing.T) {
	c, transport := streams(t, events(line(0, "a")+"event: log\ndata: plain\n\n"))
	got, err := lines(t, c, StreamOptions{LastEventID: "5"})
	if want := []string{"a", "plain"}; err != nil || !slices.Equal(got, want) || transport.count() != 1 {
		t.Errorf("got %q, %v in %d requests, want %q in 1", got, err, transport.count(), want)
	}
	if id := transport.requests[0].Header.Get("Last-Event-Id"); id != "" {
		t.Errorf("got last event id %q, want none", id)
	}
}

func TestStreamBuild_BrokenLog_Resumed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, transport := streams(t,
			cut(state("running")+line(0, "a")+line(10, "b")+"event: line\ndata: {\"offset\":20,"),
			reply(503, "", "Retry-After", "3"), fail(reset),
			cut(state("running")+line(0, "a")+line(10, "b")+line(20, "c")),
			events(line(20, "c")+line(30, "d")+state("failed")))
		var reconnects []Reconnect
		start := time.Now()
		got, err := lines(t, c, StreamOptions{OnReconnect: func(r Reconnect) { reconnects = append(reconnects, r) }})
		if want := []string{"[running]", "a", "b", "c", "d", "[failed]"}; err != nil || !slices.Equal(got, want) {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
		if transport.count() != 5 || len(reconnects) != 4 || reconnects[3].Attempt != 1 || time.Since(start) < 3*time.Second {
			t.Errorf("got %d requests, %+v after %v, want 5 after 3s and more", transport.count(), reconnects, time.Since(start))
		}
	})
}

func TestStreamBuild_BrokenLog_StatesYieldedOnce(t *testing.T) {
	begun := state("queued") + state("running") + line(0, "a")
	for name, test := range map[string]struct {
		first, second string
		want          []string
	}{
		"from its beginning": {begun, begun + state("succeeded"), []string{"[queued]", "[running]", "a", "[succeeded]"}},
		"broken later": {
			begun + state("packing") + state("running"), begun + state("packing") + line(1, "b") + state("failed"),
			[]string{"[queued]", "[running]", "a", "[packing]", "b", "[failed]"},
		},
		"joined late": {state("running") + line(0, "a"), begun + state("succeeded"), []string{"[running]", "a", "[succeeded]"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			c, _ := streams(t, cut(test.first), events(test.second))
			got, err := lines(t, c, StreamOptions{})
			if err != nil || !slices.Equal(got, test.want) {
				t.Errorf("%s: got %q, %v, want %q", name, got, err, test.want)
			}
		})
	}
}

func TestStreamBuild_StalledLog_GivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, transport := streams(t, cut(line(0, "a")))
		got, err := lines(t, c, StreamOptions{MaxStalls: 3})
		if !errors.Is(err, reset) || !slices.Equal(got, []string{"a"}) || transport.count() != 4 {
			t.Errorf("got %q, %v in %d requests, want one line and the break after 4", got, err, transport.count())
		}
	})
	synctest.Test(t, func(t *testing.T) {
		quiet := live(func(ctx context.Context, w io.Writer) error {
			fmt.Fprint(w, line(0, "a"))
			<-ctx.Done()
			return ctx.Err()
		})
		c, _ := streams(t, quiet)
		if _, err := lines(t, c, StreamOptions{MaxStalls: 1, IdleTimeout: time.Minute}); !errors.Is(err, ErrStreamStalled) {
			t.Errorf("got %v, want ErrStreamStalled", err)
		}
	})
}

func TestStreamBuild_BrokenLogNoOffsets_NotResumed(t *testing.T) {
	c, transport := streams(t, cut("event: log\ndata: plain\n\n"))
	got, err := lines(t, c, StreamOptions{})
	if !errors.Is(err, reset) || !slices.Equal(got, []string{"plain"}) || transport.count() != 1 {
		t.Errorf("got %q, %v in %d requests, want the break after 1", got, err, transport.count())
	}
}

func TestStreamBuild_FinalError_Returned(t *testing.T) {
	for want, answer := range map[error]step{
		ErrNotFound: reply(404, ""), ErrUnauthorized: reply(401, ""), ErrStreamEnded: reply(204, ""),
		ErrNotEventStream: reply(200, "{}", "Content-Type", "application/json"), ErrConflict: reply(409, ""),
		ErrEventTooLarge: events("data: " + strings.Repeat("x", 2000) + "\n\n"),
	} {
		c, transport := streams(t, answer)
		if _, err := lines(t, c, StreamOptions{MaxEventSize: 1000}); !errors.Is(err, want) || transport.count() != 1 {
			t.Errorf("got %v in %d requests, want %v in 1", err, transport.count(), want)
		}
	}
}

func TestStreamBuild_LoopLeft_ConnectionClosed(t *testing.T) {
	gone := make(chan struct{})
	c, _ := streams(t, live(func(ctx context.Context, w io.Writer) error {
		defer close(gone)
		fmt.Fprint(w, line(0, "a"))
		<-ctx.Done()
		return ctx.Err()
	}))
	for _, err := range c.Agents.StreamBuild(t.Context(), 7, 9, StreamOptions{}) {
		if err != nil {
			t.Error(err)
		}
		break
	}
	<-gone
	ctx, cancel := context.WithCancel(t.Context())
	c, _ = streams(t, live(func(ctx context.Context, w io.Writer) error {
		fmt.Fprint(w, line(0, "a"))
		cancel()
		<-ctx.Done()
		return ctx.Err()
	}))
	if err := last(c.Agents.StreamBuild(ctx, 7, 9, StreamOptions{})); !errors.Is(err, context.Canceled) || errors.Is(err, ErrTransport) {
		t.Errorf("got %v, want Canceled", err)
	}
}
