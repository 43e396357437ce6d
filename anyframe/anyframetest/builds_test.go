package anyframetest_test

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
)

var box = map[string]any{"repo_url": "tinyhq/box", "install_cmd": "bun install"}

// build starts a build and returns its id.
func build(t *testing.T, cp *anyframetest.Server, agent, body any) int64 {
	t.Helper()
	queued := call(t, cp, "POST", path("agents", agent, "build"), body, 202)
	wantFields(t, queued, "agent_id build_key queued reason build_id")
	want(t, queued, map[string]any{"agent_id": agent, "queued": true, "reason": nil})
	id, is := queued["build_id"].(float64)
	if !is {
		t.Fatalf("got %v, want a build", queued)
	}
	return int64(id)
}

func TestBuild_SameConfiguration_ImageShared(t *testing.T) {
	cp := anyframetest.Start(t)
	agent := createAgent(t, cp, maps.Clone(box))
	never := call(t, cp, "GET", path("agents", agent, "build", "status"), nil, 200)
	want(t, never, map[string]any{
		"agent_id": agent, "build_key": nil, "state": nil, "started_at": nil, "finished_at": nil, "error": nil, "built_image_id": nil,
	})
	first := build(t, cp, agent, map[string]any{"force": false})

	status := call(t, cp, "GET", path("agents", agent, "build", "status"), nil, 200)
	wantFields(t, status, "agent_id build_key state started_at finished_at error built_image_id")
	want(t, status, map[string]any{"agent_id": agent, "state": "succeeded", "error": nil})
	image, _ := status["built_image_id"].(string)
	if !slices.Contains(cp.Secrets(), image) || status["finished_at"] == nil || status["build_key"] == nil {
		t.Errorf("got %v, want it finished, with an image", status)
	}
	detail := call(t, cp, "GET", path("agents", agent), nil, 200)
	want(t, detail, map[string]any{"build_key": status["build_key"]})
	want(t, detail["image"].(map[string]any), map[string]any{"build_key": status["build_key"], "modal_image_id": image})

	hit := map[string]any{"queued": false, "reason": "The image is cached", "build_id": nil, "build_key": status["build_key"]}
	want(t, call(t, cp, "POST", path("agents", agent, "build"), map[string]any{"force": false}, 202), hit)
	twin := createAgent(t, cp, maps.Clone(box))
	want(t, call(t, cp, "POST", path("agents", twin, "build"), nil, 202), hit)
	want(t, call(t, cp, "GET", path("agents", twin, "build", "status"), nil, 200), map[string]any{"state": nil, "built_image_id": image})

	second := build(t, cp, agent, map[string]any{"force": true})
	call(t, cp, "PATCH", path("agents", agent), map[string]any{"repo_ref": "v2"}, 200)
	detail = call(t, cp, "GET", path("agents", agent), nil, 200)
	want(t, detail, map[string]any{"build_key": nil, "image": nil})
	third := build(t, cp, agent, nil)

	at := path("agents", agent, "builds")
	builds := list(t, cp, at)
	if len(builds) != 3 || builds[0]["id"] != float64(third) || builds[1]["id"] != float64(second) || builds[2]["id"] != float64(first) {
		t.Fatalf("got builds %v, want %d, %d and %d", builds, third, second, first)
	}
	wantFields(t, builds[0], "id build_key state started_at finished_at error log_size")
	if builds[0]["build_key"] == builds[1]["build_key"] || builds[1]["build_key"] != builds[2]["build_key"] {
		t.Errorf("got builds %v, want the newest alone with another key", builds)
	}
	for limit, n := range map[string]int{"2": 2, "0": 1, "-5": 1, "100000": 3} {
		if got := list(t, cp, at+"?limit="+limit); len(got) != n || got[0]["id"] != float64(third) {
			t.Errorf("limit %s: got %v, want %d from the newest", limit, got, n)
		}
	}
	alone := createAgent(t, cp, map[string]any{})
	build(t, cp, alone, nil)
	build(t, cp, createAgent(t, cp, map[string]any{}), nil) // no repository, so it shares with no other agent
}

func TestBuild_List_DefaultsToTwenty(t *testing.T) {
	cp := anyframetest.Start(t)
	agent := createAgent(t, cp, map[string]any{})
	for range 101 {
		build(t, cp, agent, map[string]any{"force": true})
	}
	for query, n := range map[string]int{"": 20, "?limit=50": 50, "?limit=101": 100} {
		if got := len(list(t, cp, path("agents", agent, "builds")+query)); got != n {
			t.Errorf("%q: got %d builds, want %d", query, got, n)
		}
	}
}

func TestBuild_FailBuilds_Fails(t *testing.T) {
	cp := anyframetest.Start(t)
	agent := createAgent(t, cp, maps.Clone(box))
	cp.FailBuilds(1)
	build(t, cp, agent, nil)
	status := call(t, cp, "GET", path("agents", agent, "build", "status"), nil, 200)
	want(t, status, map[string]any{"state": "failed", "built_image_id": nil})
	if failure, is := status["error"].(string); !is || failure == "" {
		t.Errorf("got %v, want an error", status)
	}
	build(t, cp, agent, nil) // nothing is cached
	want(t, call(t, cp, "GET", path("agents", agent, "build", "status"), nil, 200), map[string]any{"state": "succeeded", "error": nil})
}

func TestBuild_Running_StreamedLive(t *testing.T) {
	cp := anyframetest.Start(t, anyframetest.WithBuildDelay(time.Hour), anyframetest.WithKeepalive(time.Millisecond))
	agent := createAgent(t, cp, maps.Clone(box))
	id := build(t, cp, agent, nil)
	want(t, call(t, cp, "GET", path("agents", agent, "build", "status"), nil, 200), map[string]any{"state": "queued", "finished_at": nil})
	want(t, call(t, cp, "POST", path("agents", agent, "build"), map[string]any{"force": true}, 202), map[string]any{
		"queued": false, "reason": "A build is running", "build_id": id,
	})
	if got := list(t, cp, path("agents", agent, "builds"))[0]["log_size"]; got != nil {
		t.Errorf("got log size %v, want none yet", got)
	}
	if !cp.SetBuildState(id, "running") || !cp.LogBuild(id, "first") {
		t.Fatal("got no build, want one")
	}
	want(t, call(t, cp, "GET", path("agents", agent, "build", "status"), nil, 200), map[string]any{"state": "running"})

	res, err := request(t, cp, "GET", path("agents", agent, "builds", id, "stream"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if got := res.Header.Get("Content-Type"); res.StatusCode != 200 || got != "text/event-stream" {
		t.Errorf("got %d %q, want 200 and an event stream", res.StatusCode, got)
	}
	body := newTail(res.Body)
	body.until(t, "event: line\ndata: {\"content\":\"first\",\"offset\":0}\n\n")
	cp.LogBuild(id, "zweite Zeile ✓")
	body.until(t, "event: line\ndata: {\"content\":\"zweite Zeile ✓\",\"offset\":6}\n\n")
	body.until(t, ": keepalive\n\n")
	cp.LogBuild(id, "")
	cp.LogBuild(id, "last")
	body.until(t, `"offset":24}`+"\n\n")
	cp.SetBuildState(id, "cancelled")
	body.until(t, "event: state\ndata: {\"state\":\"cancelled\"}\n\n")
	if rest, err := io.ReadAll(res.Body); err != nil || body.text != "" || len(rest) != 0 {
		t.Errorf("got %q and %v behind the state, want the end", body.text+string(rest), err)
	}
	if cp.SetBuildState(id, "running") || cp.LogBuild(id, "x") || cp.LogBuild(99999, "x") {
		t.Error("got a build that goes on, want it over")
	}
	want(t, list(t, cp, path("agents", agent, "builds"))[0], map[string]any{"state": "cancelled", "log_size": 29, "error": nil})
}

func TestBuild_Running_EndsWithStateOrAgent(t *testing.T) {
	cp := anyframetest.Start(t, anyframetest.WithBuildDelay(time.Hour))
	agent := createAgent(t, cp, maps.Clone(box))
	for state, failed := range map[string]bool{"failed": true, "succeeded": false} {
		cp.SetBuildState(build(t, cp, agent, map[string]any{"force": true}), state)
		status := call(t, cp, "GET", path("agents", agent, "build", "status"), nil, 200)
		if status["state"] != state || (status["error"] != nil) != failed || status["finished_at"] == nil {
			t.Errorf("got %v, want it %s, with an error: %t", status, state, failed)
		}
	}
	last := build(t, cp, agent, map[string]any{"force": true})
	res, err := request(t, cp, "GET", path("agents", agent, "builds", last, "stream"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	call(t, cp, "DELETE", path("agents", agent), nil, 204)
	newTail(res.Body).until(t, "event: state\ndata: {\"state\":\"cancelled\"}\n\n")
	if cp.LogBuild(last, "x") {
		t.Error("got a build without an agent, want none")
	}
}

// A tail is the unread part of a stream.
type tail struct {
	r    io.Reader
	text string
}

func newTail(r io.Reader) *tail { return &tail{r: r} }

// until reads up to and including text, and fails the test if it does not arrive.
func (l *tail) until(t *testing.T, text string) {
	t.Helper()
	buf := make([]byte, 1024)
	for {
		if _, rest, found := strings.Cut(l.text, text); found {
			l.text = rest
			return
		}
		n, err := l.r.Read(buf)
		l.text += string(buf[:n])
		if err != nil && !strings.Contains(l.text, text) {
			t.Fatalf("got %q and %v, want %q", l.text, err, text)
		}
	}
}

func TestBuild_Finished_ReplayedAndLogFetched(t *testing.T) {
	cp := anyframetest.Start(t, anyframetest.WithBuildLog("one", "two"))
	agent := createAgent(t, cp, maps.Clone(box))
	cp.FailBuilds(1)
	id := build(t, cp, agent, nil)
	at := path("agents", agent, "builds", id)
	stream := string(callRaw(t, cp, "GET", at+"/stream", nil, 200))
	if want := "event: line\ndata: {\"content\":\"one\",\"offset\":0}\n\nevent: line\ndata: {\"content\":\"two\",\"offset\":4}\n\n" +
		"event: state\ndata: {\"state\":\"failed\"}\n\n"; stream != want {
		t.Errorf("got %q, want %q", stream, want)
	}
	signed := call(t, cp, "GET", at+"/log_url", nil, 200)
	wantFields(t, signed, "url expires_in")
	address, _ := signed["url"].(string)
	if !slices.Contains(cp.Secrets(), address) || signed["expires_in"] != 3600.0 {
		t.Errorf("got %v, want a URL that is a secret, for an hour", signed)
	}
	r, err := http.NewRequestWithContext(t.Context(), "GET", address, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultTransport.RoundTrip(r) // without the key
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	log, err := io.ReadAll(res.Body)
	if res.StatusCode != 200 || string(log) != "one\ntwo\n" || err != nil || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/plain") {
		t.Errorf("got %d %q %v, want the log", res.StatusCode, log, err)
	}
	wantRefused(t, cp, []refused{
		{"stream of an unknown build", "GET", path("agents", agent, "builds", 99999, "stream"), nil, 404, ""},
		{"stream of another agent's build", "GET", path("agents", cp.AgentID(), "builds", id, "stream"), nil, 404, ""},
		{"stream of an unknown agent", "GET", path("agents", 99999, "builds", id, "stream"), nil, 404, ""},
		{"stream by name", "GET", path("agents", agent, "builds", "x", "stream"), nil, 422, "path build_id"},
		{"log of an unknown build", "GET", path("agents", agent, "builds", 99999, "log_url"), nil, 404, ""},
		{"a limit that is a word", "GET", path("agents", agent, "builds") + "?limit=x", nil, 422, "query limit"},
		{"force that is a word", "POST", path("agents", agent, "build"), map[string]any{"force": "yes"}, 422, "body force"},
		{"build of an unknown agent", "POST", path("agents", 99999, "build"), nil, 404, ""},
	})
}

func TestBuild_DefaultLog_NamesWhatIsBuilt(t *testing.T) {
	cp := anyframetest.Start(t)
	agent := createAgent(t, cp, maps.Clone(box))
	stream := string(callRaw(t, cp, "GET", path("agents", agent, "builds", build(t, cp, agent, nil), "stream"), nil, 200))
	for _, want := range []string{"tinyhq/box at main", "bun install", `{"state":"succeeded"}`} {
		if !strings.Contains(stream, want) {
			t.Errorf("got %s, want it with %s", stream, want)
		}
	}
}

func TestBuild_WithDelay_TakesThatLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cp := anyframetest.New(anyframetest.WithBuildDelay(8*time.Second), anyframetest.WithBuildLog("a", "b", "c"))
		defer cp.Close()
		if code, body := inMemory(t, cp, "POST", "/api/agents", `{"name":"x"}`); code != 201 {
			t.Fatalf("got %d %s, want 201", code, body)
		}
		const at = "/api/agents/4244/build" // after the first agent and its build
		if code, body := inMemory(t, cp, "POST", at, `{}`); code != 202 {
			t.Fatalf("got %d %s, want 202", code, body)
		}
		state := func() string {
			synctest.Wait()
			_, body := inMemory(t, cp, "GET", at+"/status", "")
			var status struct{ State string }
			if err := json.Unmarshal([]byte(body), &status); err != nil {
				t.Fatal(err)
			}
			return status.State
		}
		began := time.Now()
		for _, c := range []struct {
			after time.Duration
			state string
		}{{0, "queued"}, {1999 * time.Millisecond, "queued"}, {2 * time.Second, "running"}, {7999 * time.Millisecond, "running"}, {8 * time.Second, "succeeded"}} {
			time.Sleep(c.after - time.Since(began))
			if got := state(); got != c.state {
				t.Errorf("after %v: got %s, want %s", c.after, got, c.state)
			}
		}
	})
}

func TestBuild_ServerCloses_Stops(t *testing.T) {
	cp := anyframetest.New(anyframetest.WithBuildDelay(time.Hour))
	code, _ := inMemory(t, cp, "POST", path("agents", cp.AgentID(), "build"), `{"force":true}`)
	if code != 202 {
		t.Fatalf("got %d, want 202", code)
	}
	w, done := httptest.NewRecorder(), make(chan struct{})
	go func() {
		defer close(done)
		r := httptest.NewRequestWithContext(t.Context(), "GET", path("agents", cp.AgentID(), "builds", cp.AgentID()+2, "stream"), http.NoBody)
		r.Header.Set("Authorization", "Bearer "+cp.Key())
		cp.ServeHTTP(w, r)
	}()
	cp.WaitFor(t, func() bool { return cp.Count(anyframetest.OpBuildStream) == 1 })
	cp.Close()
	<-done
	if strings.Contains(w.Body.String(), "state") {
		t.Errorf("got %s, want no state", w.Body)
	}
}

func TestBuild_StreamFaults_Apply(t *testing.T) {
	cp := anyframetest.Start(t, anyframetest.WithBuildLog("one", "two"))
	agent := createAgent(t, cp, maps.Clone(box))
	at := path("agents", agent, "builds", build(t, cp, agent, nil), "stream")
	for name, c := range map[string]struct {
		fault anyframetest.Fault
		want  string // the contents, in order
		cut   bool
	}{
		"drop":       {anyframetest.Fault{Kind: anyframetest.Drop, N: 1}, "two succeeded", false},
		"swap":       {anyframetest.Fault{Kind: anyframetest.Swap, N: 1}, "two one succeeded", false},
		"end":        {anyframetest.Fault{Kind: anyframetest.EndAfterEvents, N: 2}, "one two", false},
		"cut":        {anyframetest.Fault{Kind: anyframetest.CutAfterEvents, N: 1}, "one", true},
		"cut bytes":  {anyframetest.Fault{Kind: anyframetest.CutAfterBytes, N: 70}, "one", true},
		"replay all": {anyframetest.Fault{Kind: anyframetest.ReplayAll}, "one two succeeded", false},
		"repeat":     {anyframetest.Fault{Kind: anyframetest.RepeatLast, N: 2}, "one two succeeded", false},
		"insert":     {anyframetest.Fault{Kind: anyframetest.InsertGarbage, N: 1, Body: `"two"`}, "one two two succeeded", false},
	} {
		t.Run(name, func(t *testing.T) {
			cp.ClearFaults()
			c.fault.Op = anyframetest.OpBuildStream
			cp.Inject(c.fault)
			res, err := request(t, cp, "GET", at, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = res.Body.Close() }()
			body, err := io.ReadAll(res.Body)
			if (err != nil) != c.cut {
				t.Errorf("got end %v, want a cut: %t", err, c.cut)
			}
			var got []string
			for frame := range strings.SplitAfterSeq(string(body), "\n\n") {
				for _, word := range []string{"one", "two", "succeeded"} {
					if strings.HasSuffix(frame, "\n\n") && strings.Contains(frame, `"`+word+`"`) {
						got = append(got, word)
					}
				}
			}
			if got := strings.Join(got, " "); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
