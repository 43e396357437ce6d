package relay_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
)

func readable(c *relay.Config) { c.ConsoleRead = true }

func TestTranscript_ReadingOff_RefusedBeforeAnything(t *testing.T) {
	t.Parallel()
	r := newHarness(t, nil, anyframetest.WithAgent(1, speak))
	r.begin("hello")
	row := r.awaitRow("the conversation", "", func(operated) bool { return true })
	for _, id := range []string{row.ID, "x"} {
		refused(t, "read "+id, r.admin("GET", "/api/conversations/"+id+"/transcript", ""), http.StatusForbidden, "console_read_off")
	}
	if n := len(r.logged("audit")); n != 0 {
		t.Errorf("audit lines: got %d, want none", n)
	}
	d := newOffline(t, func(c *relay.Config) { withTokens(c); readable(c) })
	refused(t, "no token", d.admin("GET", "/api/conversations/x/transcript", ""), http.StatusUnauthorized, "admin_unauthorized")
}

// TestTranscript_AtOtherReplica_WhatTheVisitorSees reads a sleeping conversation, an
// ended one and one whose visitor was forgotten, on a relay that has none of them in
// memory.
func TestTranscript_AtOtherReplica_WhatTheVisitorSees(t *testing.T) {
	t.Parallel()
	overStores(t, func(t *testing.T, share sharing) {
		t.Parallel()
		a, b := replicas(t, overHTTP1, share, func(c *relay.Config) { c.Feedback = true; readable(c) }, anyframetest.WithAgent(1, speak))
		v := a.visitor()
		x := v.open("")
		for i := range 3 {
			v.say(fmt.Sprint("question ", i), fmt.Sprint("k", i))
			x.turnEnds(i + 1)
		}
		v.do("POST", "/v1/feedback", `{"turn":"k1","rating":"up","comment":"a comment"}`)
		want := v.do("GET", "/v1/transcript", "")
		if !strings.Contains(want.body, "question 2") || !strings.Contains(want.body, `"feedback"`) {
			t.Fatalf("got %s, want the questions and the rating", want.body)
		}
		row := b.awaitRow("the conversation", "", func(row operated) bool { return row.Epoch == 1 })
		path := "/api/conversations/" + row.ID + "/transcript"
		same := func(when string) {
			t.Helper()
			if got := b.operates("GET", path, ""); got.body != want.body || got.header.Get("Cache-Control") != "no-store" || strings.Contains(got.body, "a comment") {
				t.Errorf("%s: got %v %s, want what the visitor sees: %s", when, got.header, got.body, want.body)
			}
		}
		same("awake")
		b.operates("POST", "/api/conversations/"+row.ID+"/end", "")
		x.status("ended")
		calls := len(a.plane.Sessions())
		same("over")
		if n := len(a.plane.Sessions()); n != calls || a.plane.Sessions()[0].Status == "running" {
			t.Errorf("got %d sandboxes, %s, want none woken", n, a.plane.Sessions()[0].Status)
		}
		if n := len(b.logged("audit")); n != 3 {
			t.Errorf("audit lines: got %d, want one for each reading and the end", n)
		}

		// By pages, each event once.
		var all []string
		for since, pages := "0", 0; ; pages++ {
			got := b.operates("GET", path+"?limit=3&since="+since, "")
			var page struct {
				Events []json.RawMessage
				Next   *json.Number `json:"next_since"`
			}
			if err := json.Unmarshal([]byte(got.body), &page); err != nil {
				t.Fatal(err)
			}
			for _, e := range page.Events {
				all = append(all, string(e))
			}
			if page.Next == nil {
				break
			}
			if since = page.Next.String(); pages > 50 {
				t.Fatal("the pages have no end")
			}
		}
		if got := `{"events":[` + strings.Join(all, ",") + `],"next_since":null}`; got != strings.TrimSpace(want.body) {
			t.Errorf("pages: got %s, want %s", got, want.body)
		}
		for _, query := range []string{"since=x", "since=-1", "limit=0", "limit=1001", "epoch=1"} {
			refused(t, query, b.admin("GET", path+"?"+query, ""), http.StatusBadRequest, "bad_request")
		}
		refused(t, "another", b.admin("GET", "/api/conversations/x/transcript", ""), http.StatusNotFound, "not_found")
		v.do("DELETE", "/v1/visitor", "")
		if got := b.operates("GET", path, ""); !strings.Contains(got.body, "question 2") { // its notes are deleted, AnyFrame's log is not
			t.Errorf("the visitor has left: got %s, want the words", got.body)
		}
		b.operates("POST", "/api/conversations/"+row.ID+"/erase", "")
		refused(t, "erased", b.admin("GET", path, ""), http.StatusNotFound, "not_found")
	})
}

func TestTranscript_AnyFrameForgotIt_NotFound(t *testing.T) {
	t.Parallel()
	r := newHarness(t, readable, anyframetest.WithAgent(1, speak))
	r.begin("hello")
	row := r.awaitRow("the conversation", "", func(operated) bool { return true })
	r.plane.Inject(anyframetest.Fault{Kind: anyframetest.Respond, Op: anyframetest.OpTranscript, Status: 404})
	got := r.admin("GET", "/api/conversations/"+row.ID+"/transcript", "")
	refused(t, "read", got, http.StatusNotFound, "not_found")
	if id := r.plane.Sessions()[0].ID; strings.Contains(got.body, id) {
		t.Errorf("got %s, want no id of AnyFrame's", got.body)
	}
}

func TestTranscript_KeyInTheAgentsWords_Masked(t *testing.T) {
	t.Parallel()
	r := newHarness(t, readable, anyframetest.WithAgent(1, func(c *anyframetest.Chat) { c.Say("It is afm_0123456789abcdef0123456789abcdef.") }))
	r.begin("what is the key?")
	row := r.awaitRow("the conversation", "", func(operated) bool { return true })
	if got := r.operates("GET", "/api/conversations/"+row.ID+"/transcript", ""); strings.Contains(got.body, "afm_0123") || !strings.Contains(got.body, "what is the key?") {
		t.Errorf("got %s, want the key masked", got.body)
	}
}
