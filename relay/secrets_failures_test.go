package relay_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
)

func TestSecrets_Failures_NothingLeaks(t *testing.T) {
	t.Parallel()
	kinds := map[string]anyframetest.Fault{
		"refuse":              {Kind: anyframetest.Refuse},
		"hang":                {Kind: anyframetest.Hang},
		"garbage":             {Kind: anyframetest.Garbage},
		"lost answers":        {Kind: anyframetest.LoseAnswer},
		"late":                {Kind: anyframetest.Late, Delay: 1500 * time.Millisecond},
		"headers only":        {Kind: anyframetest.HangAfterHeaders},
		"a slow body":         {Kind: anyframetest.SlowBody, N: 100, Delay: time.Millisecond},
		"the wrong type":      {Kind: anyframetest.WrongType},
		"cut after events":    {Kind: anyframetest.CutAfterEvents, N: 3},
		"cut after bytes":     {Kind: anyframetest.CutAfterBytes, N: 250},
		"ended after events":  {Kind: anyframetest.EndAfterEvents, N: 3},
		"stalled":             {Kind: anyframetest.StallAfterEvents, N: 3},
		"repeated":            {Kind: anyframetest.RepeatLast, N: 2},
		"all again":           {Kind: anyframetest.ReplayAll},
		"dropped":             {Kind: anyframetest.Drop, N: 3},
		"swapped":             {Kind: anyframetest.Swap, N: 2},
		"garbled":             {Kind: anyframetest.Garble, N: 2},
		"garbage in between":  {Kind: anyframetest.InsertGarbage, N: 2},
		"unknown in between":  {Kind: anyframetest.InsertUnknown, N: 2},
		"unnumbered delta":    {Kind: anyframetest.InsertUnnumbered, N: 2},
		"a redirect":          {Kind: anyframetest.Respond, Status: 307},
		"an empty answer":     {Kind: anyframetest.Respond, Status: 200, Body: "{}"},
		"no content":          {Kind: anyframetest.Respond, Status: 204},
		"a proxy's own words": {Kind: anyframetest.Respond, Status: 502, ContentType: "text/html", Body: "<html>xyzzy-upstream-error"},
	}
	for _, status := range []int{400, 401, 403, 404, 409, 422, 429, 500, 503} {
		kinds[fmt.Sprint("status ", status)] = anyframetest.Fault{Kind: anyframetest.Respond, Status: status, RetryAfter: "1"}
	}
	for name, fault := range kinds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			disk := sqliteFile(t)
			w, v := canaryHarness(t, func(c *relay.Config) { disk(c); c.Visibility = relay.VisibilityTools })
			plane := w.r.plane
			v.say("hello", "k1")
			v.open("").turnEnds(1)
			id := w.r.upstream()
			w.r.restartWith(func(c *relay.Config) {
				c.SendWait, c.BootTimeout, c.UpstreamTimeout = 2*time.Second, 3*time.Second, impatience
			})
			x := v.open("")
			x.turnEnds(1)
			if fault.Body == "" && fault.Kind == anyframetest.Respond { // an upstream that reveals everything it has
				fault.Body = `{"detail":"xyzzy-upstream-error in ` + id + ` for ` + plane.Key() + ` ` + strings.Join(plane.Secrets(), " ") + `"}`
			}
			fault.Times = 3
			plane.Inject(fault)
			plane.CutStreams()
			fresh := w.r.visitor()
			y := fresh.open("")
			for i, b := range []*browser{v, fresh, v} {
				w.do(b, "GET", "/v1/session", "")
				w.do(b, "POST", "/v1/messages", `{"text":"hello xyzzy-visitor-words"}`, "Idempotency-Key", fmt.Sprint("f", i))
			}
			w.do(v, "GET", "/v1/transcript", "")
			w.do(v, "POST", "/v1/responses", `{"id":"p1-2","answer":"xyzzy-answer"}`)
			w.do(v, "POST", "/v1/session", "")
			plane.ClearFaults()
			z := v.open("1-1")
			w.do(v, "DELETE", "/v1/session", "")
			w.do(v, "GET", "/readyz", "")
			for _, tab := range []*stream{x, y, z} {
				w.watch(tab)
			}
			w.clean(plane.Secrets())
			w.silent(v, fresh)
		})
	}
}

// The client's errors name the session, even if none of its requests failed.
func TestSecrets_BootNeverEnds_NothingLeaks(t *testing.T) {
	t.Parallel()
	r := newHarness(t, func(c *relay.Config) { c.BootTimeout, c.BootOnOpen = time.Second, true }, anyframetest.WithKey(canary), anyframetest.WithBootDelay(time.Hour))
	w, v := &witness{r: r}, r.visitor()
	w.do(v, "POST", "/v1/session", "")
	r.plane.WaitFor(t, func() bool { // given up
		all := r.plane.Sessions()
		return len(all) > 0 && all[0].Status == anyframetest.StatusTerminated
	})
	eventually(t, "the log says so", func() bool { return strings.Contains(r.logs.String(), `"msg":"failed to wake the sandbox"`) })
	w.clean(r.plane.Secrets())
}

// An erasure's failure joins those of all its conversations.
func TestSecrets_EraseFailsForSeveral_NothingLeaks(t *testing.T) {
	t.Parallel()
	w, v := canaryHarness(t, eraseSoon)
	v.talked(3)
	w.r.plane.Inject(anyframetest.Fault{Kind: anyframetest.Respond, Op: anyframetest.OpDelete, Status: 500, Body: `{"detail":"xyzzy-upstream-error"}`})
	w.r.runs()
	v.erases("/v1/visitor?erase=true")
	w.r.awaitLog(`"msg":"failed to erase"`)
	w.clean(append(w.r.plane.Secrets(), "xyzzy-upstream-error"))
}

func TestSecrets_StartFails_NothingLeaks(t *testing.T) {
	key := relay.Secret(canary)
	for name, change := range map[string]func(*relay.Config){
		"no agent":     func(c *relay.Config) { c.AgentID = 0 },
		"a bad URL":    func(c *relay.Config) { c.BaseURL = "ftp://127.0.0.1" },
		"a bad store":  func(c *relay.Config) { c.Store = "sqlite:/nowhere/at/all/relay.db" },
		"a bad origin": func(c *relay.Config) { c.AllowedOrigins = []string{"shop"} },
	} {
		c := relay.DefaultConfig()
		c.APIKey, c.AgentID, c.BaseURL, c.Store = key, 1, "http://127.0.0.1:1", "memory:"
		change(&c)
		err := startAndClose(t, c)
		if err == nil {
			t.Errorf("%s: got no error, want one", name)
			continue
		}
		for _, form := range disguises(string(key)) {
			if text := fmt.Sprintf("%v %+v %#v %v %#v", err, err, err, c, c); len(form) >= 8 && strings.Contains(text, form) {
				t.Errorf("%s: got %s, want nothing of the key", name, text)
			}
		}
	}
}

// startAndClose starts a relay without an AnyFrame and returns why it did not start.
func startAndClose(t *testing.T, c relay.Config) error {
	t.Helper()
	srv, err := relay.New(t.Context(), c, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		return err
	}
	return srv.Close()
}
