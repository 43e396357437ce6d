package anyframe

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

type step = func(*http.Request) (*http.Response, error)

// route responds by method and the end of the path; each has its own list of
// responses.
func route(t *testing.T, ends map[string][]step, opts ...Option) (c *Client, asked func() []string) {
	t.Helper()
	scripts := map[string]*script{}
	for end, steps := range ends {
		scripts[end] = newScript(steps...)
	}
	var log []string
	c = newClient(t, append([]Option{WithHTTPClient(&http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		for end, s := range scripts {
			method, path, _ := strings.Cut(end, " ")
			if r.Method == method && strings.HasSuffix(r.URL.Path, path) {
				log = append(log, end)
				return s.RoundTrip(r)
			}
		}
		t.Errorf("got %s %s, want none", r.Method, r.URL.Path)
		return reply(404, "")(r)
	})})}, opts...)...)
	return c, func() []string { return log }
}

func build(state, rest string) step {
	return reply(200, fmt.Sprintf(`{"agent_id":7,"build_key":"k","state":%s%s}`, state, rest))
}

const (
	statusOf = "GET /build/status"
	order    = "POST /build"
	listOf   = "GET /builds"
)

func TestWaitForBuild_Building_PolledUntilBuilt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := route(t, map[string][]step{statusOf: {
			build(`null`, ""), build(`"queued"`, ""), build(`"paused"`, ""), reply(503, ""), reply(503, ""), reply(503, ""),
			build(`"running"`, ""), build(`"succeeded"`, `,"built_image_id":"im"`),
		}}, WithRetry(RetryPolicy{MaxRetries: 2, MaxDelay: 1}))
		var seen []string
		status, err := c.Agents.WaitForBuild(t.Context(), 7, WaitOptions{
			OnPoll: func(status string, elapsed time.Duration) {
				seen = append(seen, fmt.Sprint(status, " ", elapsed.Round(time.Second)))
			},
		})
		if err != nil || status.BuiltImageID != "im" {
			t.Fatalf("got %+v, %v, want it built", status, err)
		}
		// One poll failed after its three attempts, and the next one succeeded.
		if want := []string{" 0s", "queued 2s", "paused 4s", "running 8s", "succeeded 10s"}; !slices.Equal(seen, want) {
			t.Errorf("got %q, want %q", seen, want)
		}
	})
}

func TestWaitForBuild_FailedBuild_Error(t *testing.T) {
	for state, message := range map[string]string{
		"failed":    "anyframe: build of agent 7: failed: out of disk",
		"cancelled": "anyframe: build of agent 7: cancelled: out of disk",
	} {
		c, _ := route(t, map[string][]step{statusOf: {build(`"`+state+`"`, `,"error":"out of disk"`)}})
		_, err := c.Agents.WaitForBuild(t.Context(), 7, WaitOptions{})
		e, ok := errors.AsType[*BuildFailedError](err)
		if !ok || string(e.Status.State) != state || err.Error() != message {
			t.Errorf("got %v, want %s", err, message)
		}
	}
	for e, want := range map[*BuildFailedError]string{
		{}: "anyframe: build failed", {Status: &BuildStatus{AgentID: 7, State: "failed"}}: "anyframe: build of agent 7: failed",
	} {
		if e.Error() != want {
			t.Errorf("got %v, want %s", e, want)
		}
	}
}

func TestWaitForBuild_TimeoutOrCancel_Ends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := route(t, map[string][]step{statusOf: {build(`"running"`, "")}})
		start := time.Now()
		_, err := c.Agents.WaitForBuild(t.Context(), 7, WaitOptions{})
		e, ok := errors.AsType[*WaitTimeoutError](err)
		if !ok || e.Last != "running" || time.Since(start) != 600*time.Second || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v after %v, want a timeout after 600s", err, time.Since(start))
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(3*time.Second, cancel)
		start = time.Now()
		if _, err := c.Agents.WaitForBuild(ctx, 7, WaitOptions{}); !errors.Is(err, context.Canceled) || time.Since(start) != 3*time.Second {
			t.Errorf("got %v after %v, want Canceled after 3s", err, time.Since(start))
		}
	})
	c, _ := route(t, map[string][]step{statusOf: {reply(404, "")}})
	if _, err := c.Agents.WaitForBuild(t.Context(), 7, WaitOptions{}); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound at once", err)
	}
}

func TestWaitForBuild_ImageWithoutBuild_CountsAsBuilt(t *testing.T) {
	c, _ := route(t, map[string][]step{statusOf: {build(`null`, `,"built_image_id":"im"`)}})
	if status, err := c.Agents.WaitForBuild(t.Context(), 7, WaitOptions{}); err != nil || status.BuiltImageID != "im" {
		t.Errorf("got %+v, %v, want it built", status, err)
	}
}

func TestBuildAndWait_EarlierBuild_NewBuildAwaited(t *testing.T) {
	const (
		queued  = `{"agent_id":7,"build_key":"k","queued":true,"build_id":9}`
		noID    = `{"agent_id":7,"build_key":"k","queued":true}`
		old     = `,"finished_at":"2025-01-01T00:00:00Z","built_image_id":"old"`
		done    = `,"finished_at":"2025-01-02T00:00:00Z","built_image_id":"new"`
		running = `[{"id":9,"build_key":"k","state":"running"},{"id":8,"build_key":"k","state":"succeeded"}]`
		ready   = `[{"id":9,"build_key":"k","state":"succeeded","finished_at":"2025-01-02T00:00:00Z"}]`
		failure = `[{"id":9,"build_key":"k","state":"failed","finished_at":"2025-01-02T00:00:00Z","error":"boom"}]`
	)
	for name, test := range map[string]struct {
		queued string
		status []step
		list   []step
		image  string
		failed string
		polls  []string
	}{
		"the status of the one before, then its own": {
			queued,
			[]step{build(`"succeeded"`, old), build(`"running"`, ""), build(`"succeeded"`, done)},
			[]step{reply(200, running), reply(200, ready)},
			"new", "",
			[]string{"running", "running", "succeeded"},
		},
		"the failure of the one before": {
			queued,
			[]step{build(`"failed"`, `,"error":"old"`), build(`"succeeded"`, done)},
			[]step{reply(200, running), reply(200, ready)},
			"new", "",
			[]string{"running", "succeeded"},
		},
		"never its own": {
			queued, []step{build(`"succeeded"`, old)}, []step{reply(200, failure)}, "", "boom", []string{"failed"},
		},
		"not listed yet, another image": {
			queued,
			[]step{reply(200, `{"agent_id":7,"build_key":"x","state":"succeeded"}`), build(`"succeeded"`, done)},
			[]step{reply(200, `[]`), reply(200, ready)},
			"new", "",
			[]string{"queued", "succeeded"},
		},
		"never built, with an image": {
			queued,
			[]step{build(`null`, `,"built_image_id":"old"`), build(`"succeeded"`, done)},
			[]step{reply(200, `[]`), reply(200, ready)},
			"new", "",
			[]string{"queued", "succeeded"},
		},
		"no list at all": {
			queued, []step{build(`"running"`, ""), build(`"succeeded"`, done)}, []step{reply(404, "")}, "new", "", []string{"running", "succeeded"},
		},
		"no id to go by": {
			noID,
			[]step{build(`"succeeded"`, old), build(`"succeeded"`, done)},
			[]step{reply(200, running), reply(200, ready)},
			"new", "",
			[]string{"running", "succeeded"},
		},
		"cancelled": {
			queued,
			[]step{build(`"cancelled"`, `,"error":"by hand"`)},
			[]step{reply(200, `[{"id":9,"build_key":"k","state":"cancelled"}]`)},
			"", "by hand",
			[]string{"cancelled"},
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			c, _ := route(t, map[string][]step{order: {reply(202, test.queued)}, statusOf: test.status, listOf: test.list})
			var polls []string
			status, err := c.Agents.BuildAndWait(t.Context(), 7, BuildParams{}, WaitOptions{
				OnPoll: func(status string, _ time.Duration) { polls = append(polls, status) },
			})
			if test.failed != "" {
				e, ok := errors.AsType[*BuildFailedError](err)
				if !ok || e.Status.Error != test.failed {
					t.Errorf("%s: got %v, want it failed with %q", name, err, test.failed)
				}
			} else if err != nil || status.BuiltImageID != test.image {
				t.Errorf("%s: got %+v, %v, want image %s", name, status, err, test.image)
			}
			if !slices.Equal(polls, test.polls) {
				t.Errorf("%s: got polls %q, want %q", name, polls, test.polls)
			}
		})
	}
}

func TestBuildAndWait_NothingQueued_ReturnsAtOnce(t *testing.T) {
	const refused = `{"agent_id":7,"build_key":"k","queued":false,"reason":"image exists","build_id":null}`
	for name, test := range map[string]struct {
		status []step
		image  string
		failed bool
		asked  []string
	}{
		"built":                   {[]step{build(`"succeeded"`, `,"built_image_id":"im"`)}, "im", false, []string{order, statusOf}},
		"an image, never built":   {[]step{build(`null`, `,"built_image_id":"im"`)}, "im", false, []string{order, statusOf}},
		"an image, then a failed": {[]step{build(`"failed"`, `,"built_image_id":"im"`)}, "im", false, []string{order, statusOf}},
		"needs none":              {[]step{build(`null`, "")}, "", false, []string{order, statusOf}},
		"failed without an image": {[]step{build(`"failed"`, "")}, "", true, []string{order, statusOf}},
		"running already":         {[]step{build(`"running"`, ""), build(`"succeeded"`, `,"built_image_id":"im"`)}, "im", false, []string{order, statusOf, statusOf}},
	} {
		synctest.Test(t, func(t *testing.T) {
			c, asked := route(t, map[string][]step{order: {reply(202, refused)}, statusOf: test.status})
			status, err := c.Agents.BuildAndWait(t.Context(), 7, BuildParams{}, WaitOptions{})
			if _, failed := errors.AsType[*BuildFailedError](err); failed != test.failed || !failed && (err != nil || status.BuiltImageID != test.image) {
				t.Errorf("%s: got %+v, %v, want image %q, failed %v", name, status, err, test.image, test.failed)
			}
			if !slices.Equal(asked(), test.asked) {
				t.Errorf("%s: got %q, want %q", name, asked(), test.asked)
			}
		})
	}
}

func TestBuildAndWait_FailedOrder_NotRepeated(t *testing.T) {
	c, asked := route(t, map[string][]step{order: {reply(502, "")}})
	if _, err := c.Agents.BuildAndWait(t.Context(), 7, BuildParams{}, WaitOptions{}); !errors.Is(err, ErrServer) || len(asked()) != 1 {
		t.Errorf("got %v after %q, want the refusal after one order", err, asked())
	}
	synctest.Test(t, func(t *testing.T) {
		c, _ := route(t, map[string][]step{order: {hang}})
		_, err := c.Agents.BuildAndWait(t.Context(), 7, BuildParams{}, WaitOptions{Timeout: 5 * time.Second})
		if e, ok := errors.AsType[*WaitTimeoutError](err); !ok || e.After != 5*time.Second {
			t.Errorf("got %v, want a timeout after 5s", err)
		}
	})
}
