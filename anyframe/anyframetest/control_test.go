package anyframetest_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
)

func TestControl_PostAndUserMessage_Logged(t *testing.T) {
	cp := anyframetest.Start(t)
	id := running(t, cp)
	l := listen(t, cp, id, "")
	if got := cp.Post(id, map[string]any{"type": "note"}); got != 1 {
		t.Errorf("got seq %d, want 1", got)
	}
	if got := cp.UserMessage(id, "from the console"); got != 2 {
		t.Errorf("got seq %d, want 2", got)
	}
	waitForIdleOrPrompt(t, cp, id)
	cp.Sleep(id)
	var came []string
	for _, f := range l.wantEnd() {
		came = append(came, f.data)
	}
	if got, want := kinds(t, came), "note user_message"+strings.Repeat(" assistant+", 5)+" assistant result"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if n := len(cp.Messages(id)); n != 0 {
		t.Errorf("got %d messages by the API, want 0", n)
	}
	if got := cp.UserMessage(id, "into the night"); got != 0 {
		t.Errorf("got seq %d from a session that sleeps, want 0", got)
	}
	if got := cp.Post(id, map[string]any{"type": "note"}); got != 10 {
		t.Errorf("got seq %d, want 10: the log outlives the sandbox", got)
	}
}

func TestControl_UnknownSession_NoEffect(t *testing.T) {
	cp := anyframetest.Start(t)
	cp.Sleep(strangersID)
	cp.Wake(strangersID)
	cp.Delete(strangersID)
	cp.SetStatus(strangersID, "running")
	cp.LoseSnapshots(strangersID)
	cp.PostUnnumbered(strangersID, "x")
	if cp.Post(strangersID, "x") != 0 || cp.UserMessage(strangersID, "x") != 0 || cp.Answer(strangersID, "x") {
		t.Error("got something done, want nothing")
	}
	if cp.Log(strangersID) != nil || cp.Messages(strangersID) != nil || cp.OpenStreams(strangersID) != 0 {
		t.Error("got something kept, want nothing")
	}
	if _, found := cp.Session(strangersID); found {
		t.Error("got a session, want none")
	}
}

func TestControl_SetStatus_Applies(t *testing.T) {
	cp := anyframetest.Start(t)
	for _, c := range []struct {
		status string
		resume int // status of the response
	}{
		{"terminated", 202}, {"paused", 202}, {"error", 409}, {"snapshotting", 409}, {"booting", 409}, {"hibernating", 409},
	} {
		id := running(t, cp)
		cp.SetStatus(id, c.status)
		wantStatus(t, cp, id, c.status)
		post(t, cp, id, "message", map[string]any{"prompt": "x"}, 409)
		post(t, cp, id, "resume", nil, c.resume)
	}
}

func TestControl_SleepAndWake_LikeTheAPI(t *testing.T) {
	cp := anyframetest.Start(t)
	id := running(t, cp)
	cp.Sleep(id)
	cp.Sleep(id)
	wantStatus(t, cp, id, "terminated")
	cp.Wake(id)
	cp.Wake(id)
	wantStatus(t, cp, id, "running")
	info, _ := cp.Session(id)
	if info.SnapshotID == "" {
		t.Errorf("got %+v, want a snapshot", info)
	}
	cp.Delete(id)
	call(t, cp, "GET", "/api/sessions/"+id, nil, 404)
}

func TestControl_Requests_Recorded(t *testing.T) {
	cp := anyframetest.Start(t)
	id := running(t, cp)
	post(t, cp, id, "message", `{"prompt": "x"}`, 200)
	callRaw(t, cp, "GET", "/api/sessions/"+id+"/transcript?since=1", nil, 200)
	var got []string
	for _, r := range cp.Requests() {
		if r.Header.Get("Authorization") != "Bearer "+cp.Key() {
			t.Errorf("got headers %v, want the key among them", r.Header)
		}
		got = append(got, fmt.Sprintf("%s %s %s %s %s", r.Op, r.Method, strings.ReplaceAll(r.Path, id, "*"), r.Query.Encode(), r.Body))
	}
	want := []string{
		`create POST /api/sessions  {"agent_id":4242}`,
		`message POST /api/sessions/*/message  {"prompt": "x"}`,
		`transcript GET /api/sessions/*/transcript since=1 `,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if cp.Count(anyframetest.OpMessage) != 1 || cp.Count(anyframetest.OpAny) != 3 {
		t.Errorf("got %d messages of %d, want 1 of 3", cp.Count(anyframetest.OpMessage), cp.Count(anyframetest.OpAny))
	}
}

func TestControl_Secrets_HoldAllHandedOut(t *testing.T) {
	cp := anyframetest.Start(t, anyframetest.WithAgent(1, func(c *anyframetest.Chat) {
		c.Tool("Bash", nil)
		c.Permit("Bash", nil)
	}))
	id := running(t, cp)
	view := call(t, cp, "GET", "/api/sessions/"+id, nil, 200)
	post(t, cp, id, "message", map[string]any{"prompt": "go"}, 200)
	prompt := promptOf(t, cp, id)
	cp.Sleep(id)
	asleep := call(t, cp, "GET", "/api/sessions/"+id, nil, 200)
	for _, want := range []any{
		cp.Key(), id, view["modal_sandbox_id"], view["sandbox_url"], asleep["snapshot_image_id"],
		prompt["prompt_id"], prompt["request_id"], prompt["tool_use_id"],
	} {
		if s, is := want.(string); !is || s == "" || !slices.Contains(cp.Secrets(), s) {
			t.Errorf("got %q, want %v among them", cp.Secrets(), want)
		}
	}
}

func TestControl_AwakeSessions_Counted(t *testing.T) {
	cp := anyframetest.Start(t)
	want := func(what string, now, most int) {
		t.Helper()
		if gotNow, gotMost := cp.Awake(); gotNow != now || gotMost != most {
			t.Errorf("%s: got %d awake, %d at most, want %d and %d", what, gotNow, gotMost, now, most)
		}
	}
	want("at first", 0, 0)
	a, b := running(t, cp), running(t, cp)
	want("two", 2, 2)
	cp.Sleep(a)
	cp.Sleep(a)
	want("one sleeps", 1, 2)
	running(t, cp)
	want("another", 2, 2)
	cp.Wake(a)
	want("the first woken", 3, 3)
	cp.Delete(b)
	cp.SetStatus(a, anyframetest.StatusError)
	want("one deleted, one failed", 1, 3)
}

func TestControl_Wait_EndsWithContext(t *testing.T) {
	cp := anyframetest.Start(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := cp.Wait(ctx, func() bool { return false }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	if err := cp.Wait(t.Context(), func() bool { return true }); err != nil {
		t.Errorf("got %v, want nil", err)
	}
}

// inMemory sends a request to a server without a port and returns the status and
// the body of the response.
func inMemory(t *testing.T, cp *anyframetest.Server, method, path, body string) (int, string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+cp.Key())
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	cp.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

func TestSession_Idle_Sleeps(t *testing.T) {
	for _, c := range []struct {
		name string
		opts []anyframetest.Option
		idle time.Duration
	}{
		{"as the session was told", nil, 7 * time.Second},
		{"as the server was told", []anyframetest.Option{anyframetest.WithIdleTimeout(time.Minute)}, time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const boot, snap, turn = 2 * time.Second, 3 * time.Second, 10 * time.Minute
				cp := anyframetest.New(append(c.opts, anyframetest.WithBootDelay(boot), anyframetest.WithSnapshotDelay(snap),
					anyframetest.WithAgent(1, func(c *anyframetest.Chat) { c.Pause(turn) }))...)
				defer cp.Close()
				if code, body := inMemory(t, cp, "POST", "/api/sessions", `{"agent_id":1,"idle_timeout_s":7}`); code != 202 {
					t.Fatalf("got %d %s, want 202", code, body)
				}
				id := cp.Sessions()[0].ID
				after := func(d time.Duration, want string) {
					t.Helper()
					time.Sleep(d) // of the bubble's clock
					synctest.Wait()
					if info, _ := cp.Session(id); info.Status != want {
						t.Errorf("got status %s, want %s", info.Status, want)
					}
				}
				after(boot-1, "booting")
				after(1, "running")
				after(c.idle-1, "running")
				cp.UserMessage(id, "wake up")
				after(turn-1, "running") // a turn is not idle
				after(1, "running")
				after(c.idle-1, "running")
				after(1, "snapshotting")
				after(snap-1, "snapshotting")
				after(1, "terminated")
			})
		})
	}
}

func TestControl_SetStatus_StaysUntilNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cp := anyframetest.New(anyframetest.WithBootDelay(time.Second))
		defer cp.Close()
		inMemory(t, cp, "POST", "/api/sessions", `{"agent_id":4242}`)
		id := cp.Sessions()[0].ID
		for _, status := range []string{"booting", "running", "booting", "odd", "snapshotting", "error"} {
			cp.SetStatus(id, status)
			time.Sleep(time.Minute) // of the bubble's clock; idle is five
			synctest.Wait()
			if info, _ := cp.Session(id); info.Status != status {
				t.Errorf("got status %s, want %s", info.Status, status)
			}
		}
		cp.SetStatus(id, "running")
		cp.SetStatus(id, "odd")
		time.Sleep(time.Hour)
		synctest.Wait()
		if info, _ := cp.Session(id); info.Status != "odd" {
			t.Errorf("got status %s, want odd", info.Status)
		}
	})
}

func TestChat_WithPace_Paced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cp := anyframetest.New(anyframetest.WithPace(time.Second), anyframetest.WithAgent(1, func(c *anyframetest.Chat) { c.Say("one two three") }))
		defer cp.Close()
		inMemory(t, cp, "POST", "/api/sessions", `{"agent_id":1}`)
		id := cp.Sessions()[0].ID
		cp.UserMessage(id, "go")
		for n := range 4 { // three words, and the block with the result
			synctest.Wait()
			if got, want := len(cp.Log(id)), []int{2, 3, 4, 6}[n]; got != want {
				t.Errorf("got %d events after %d s, want %d", got, n, want)
			}
			time.Sleep(time.Second) // of the bubble's clock
		}
	})
}

func TestServer_AsHandler_Works(t *testing.T) {
	cp := anyframetest.New()
	t.Cleanup(cp.Close)
	if got := cp.URL(); got != "" {
		t.Errorf("got URL %q, want none", got)
	}
	if code, _ := inMemory(t, cp, "GET", "/api/me", ""); code != 200 {
		t.Errorf("got %d, want 200", code)
	}
	cp.Down() // does nothing without a port
	if err := cp.Up(); err != nil {
		t.Error(err)
	}
	if err := cp.Listen("127.0.0.1:0"); err != nil {
		t.Error(err)
	}
	if err := cp.Listen("127.0.0.1:0"); err == nil {
		t.Error("got a second port, want an error")
	}
}

func TestServer_CloseWithEverythingOpen_NoGoroutineLeft(t *testing.T) {
	cp := anyframetest.Start(t, anyframetest.WithAgent(1, anyframetest.Cases{
		{"ask", func(c *anyframetest.Chat) { c.Ask("?") }},
		{"wait", func(c *anyframetest.Chat) { c.Pause(time.Hour) }},
	}.Or(func(c *anyframetest.Chat) { c.Say("done") })))
	for _, prompt := range []string{"ask", "wait", "else"} {
		id := running(t, cp)
		listen(t, cp, id, "")
		post(t, cp, id, "message", map[string]any{"prompt": prompt}, 200)
	}
	cp.Close()
	cp.Close()
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	// Goroutines at their last instruction may still be visible for a moment.
	cp.WaitFor(t, func() bool { return !strings.Contains(goroutines(), "anyframetest.(*Server).ServeHTTP") })
	for _, part := range []string{"runTurns", "serveEvents", ").listen"} {
		if stacks := goroutines(); strings.Contains(stacks, part) {
			t.Errorf("got a goroutine in %s, want none:\n%s", part, stacks)
		}
	}
	if code, _ := inMemory(t, cp, "GET", "/api/me", ""); code != 503 {
		t.Errorf("got %d from a closed server, want 503", code)
	}
	if err := cp.Up(); err == nil {
		t.Error("got a closed server up, want an error")
	}
}

// goroutines returns the stacks of all goroutines.
func goroutines() string {
	buf := make([]byte, 1<<20)
	return string(buf[:runtime.Stack(buf, true)])
}

func TestServer_ManySessionsAtOnce_Work(t *testing.T) {
	const sessions, turns = 200, 3
	long := strings.Repeat("word after word ", 60<<10/16)
	cp := anyframetest.Start(t, anyframetest.WithUnnumberedDeltas(), anyframetest.WithAgent(1, func(c *anyframetest.Chat) {
		if c.Turn() == 1 && c.Prompt() == "0" {
			c.Say(long)
		}
		c.Say("answer to " + c.Prompt())
	}))
	var wg sync.WaitGroup
	for n := range sessions {
		wg.Go(func() {
			id := create(t, cp)
			for range turns {
				if cp.UserMessage(id, fmt.Sprint(n)) == 0 {
					t.Errorf("session %d does not run", n)
				}
			}
			cp.WaitFor(t, func() bool {
				info, _ := cp.Session(id)
				return info.Turns == turns && !info.Busy
			})
			if got, want := len(cp.Log(id)), 3*turns; n != 0 && got != want {
				t.Errorf("got %d events, want %d", got, want)
			}
		})
	}
	wg.Wait()
}
