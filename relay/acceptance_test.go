package relay_test

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
)

// seqless puts a proxy before the control plane that takes the seq out of the
// answers to messages.
func seqless(t *testing.T, plane *anyframetest.Server) string {
	t.Helper()
	target, err := url.Parse(plane.URL())
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{
		FlushInterval: -1,
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target) },
		ModifyResponse: func(res *http.Response) error {
			if !strings.HasSuffix(res.Request.URL.Path, "/message") || res.StatusCode >= 300 {
				return nil
			}
			const body = `{"ok":true}`
			res.Body = io.NopCloser(strings.NewReader(body))
			res.ContentLength = int64(len(body))
			res.Header.Set("Content-Length", strconv.Itoa(len(body)))
			return nil
		},
		ErrorLog: log.New(io.Discard, "", 0),
	}
	web := httptest.NewServer(proxy)
	t.Cleanup(func() {
		web.CloseClientConnections()
		web.Close()
	})
	return web.URL
}

func TestMessagesFromManyTabsAreShownOnceEachWithoutTheirSeq(t *testing.T) {
	t.Parallel()
	plane := anyframetest.Start(t, anyframetest.WithAgent(1, talk))
	url := seqless(t, plane)
	r := rigFor(t, plane, func(c *relay.Config) { c.BaseURL = url })
	v := r.visitor()
	x := v.open("")
	x.status("none")
	var wg sync.WaitGroup
	for _, key := range []string{"a", "b", "c", "d"} {
		wg.Go(func() { v.say("from "+key, key) })
	}
	wg.Wait()
	shownAs := map[string]int{}
	for _, e := range x.turnEnds(4) {
		if e.kind == "user" {
			shownAs[e.str("text")+"/"+e.str("turn")]++
		}
	}
	for _, key := range []string{"a", "b", "c", "d"} {
		if n := shownAs["from "+key+"/"+key]; n != 1 {
			t.Errorf("the message of %s: shown %d times, want once, in %v", key, n, shownAs)
		}
	}
}

func TestASandboxThatStoppedBehindAnOpenStreamIsNoticed(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil, anyframetest.WithAgent(1, func(c *anyframetest.Chat) {
		c.Say("Wait.")
		<-c.Context().Done()
	}))
	r.srv.SetWatch(20*time.Millisecond, 20*time.Millisecond)
	r.srv.SetSilent(50 * time.Millisecond)
	v := r.visitor()
	x := v.open("")
	v.say("hi", "a")
	x.until("the agent's words", func(es []event) bool { return shown(es) == "Wait." })
	r.plane.Inject(anyframetest.Fault{Kind: anyframetest.Respond, Op: anyframetest.OpGet, Status: 200, Body: `{"id":"` + r.upstream() + `","agent_id":1,"status":"terminated"}`})
	got := x.turnEnds(1)
	if end := got[slices.IndexFunc(got, func(e event) bool { return e.kind == "turn_end" })]; end.str("reason") != "interrupted" {
		t.Errorf("turn end: got %v, want interrupted", end)
	}
	x.status("sleeping")
	if n := r.plane.Count(anyframetest.OpEvents); n != 1 {
		t.Errorf("streams opened: got %d, want the one that never ended", n)
	}
}

func TestAnAnswerOfUnknownFateIsNotCalledSettled(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil, anyframetest.WithAgent(1, func(c *anyframetest.Chat) { c.Say("You chose " + c.Ask("Which?", "red", "green")) }))
	v := r.visitor()
	x := v.open("")
	v.say("hi", "a")
	got := x.until("the question", func(es []event) bool { return count(es, "question") == 1 })
	id := got[len(got)-1].str("id")
	r.plane.Inject(anyframetest.Fault{Kind: anyframetest.Respond, Op: anyframetest.OpRespond, Status: 500, Times: 1})
	for try := range 2 {
		a := v.do("POST", "/v1/responses", `{"id":"`+id+`","answer":"red"}`)
		if a.status != 502 || a.code() != "upstream_failed" || a.header.Get("Retry-After") == "" {
			t.Errorf("try %d: got %d %s, want 502 upstream_failed with Retry-After", try, a.status, a.body)
		}
	}
	if n := count(x.all(), "settled"); n != 0 {
		t.Errorf("settled events: got %d, want none", n)
	}
}

func TestEndingASandboxIsTriedAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil, anyframetest.WithAgent(1, talk))
	v := r.visitor()
	v.say("hi", "a")
	r.plane.Inject(anyframetest.Fault{Kind: anyframetest.Respond, Op: anyframetest.OpTerminate, Status: 500, Times: 2})
	if a := v.do("DELETE", "/v1/session", ""); a.status != http.StatusNoContent {
		t.Fatalf("got %d %s, want 204", a.status, a.body)
	}
	r.plane.WaitFor(t, func() bool {
		info, _ := r.plane.Session(r.upstream())
		return info.Status == anyframetest.StatusTerminated
	})
}

func TestTheStateSaysBootingAsSoonAsTheSandboxIsOnItsWay(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil, anyframetest.WithAgent(1, talk))
	r.plane.Inject(anyframetest.Fault{Kind: anyframetest.Hang, Op: anyframetest.OpCreate, Times: 1})
	v := r.visitor()
	if a := v.do("POST", "/v1/session", ""); a.status != http.StatusAccepted || a.json["status"] != "booting" {
		t.Errorf("POST: got %d %s, want 202 booting", a.status, a.body)
	}
	if a := v.do("GET", "/v1/session", ""); a.json["status"] != "booting" {
		t.Errorf("GET: got %s, want booting", a.body)
	}
}

func TestAnEmptyKeyIsNoKey(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	if a := r.visitor().do("POST", "/v1/messages", `{"text":"hi"}`, "Idempotency-Key", ""); a.status != 400 || a.code() != "bad_request" {
		t.Errorf("got %d %s, want 400 bad_request", a.status, a.body)
	}
}
