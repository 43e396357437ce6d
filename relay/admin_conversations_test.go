package relay_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
)

// operated is a row of GET /api/conversations.
type operated struct {
	ID, Site, Visitor, Status string
	Epoch                     int
	Streams                   int
	Turn                      string
	Busy                      bool `json:"agent_busy"`
	Prompts                   []struct {
		ID, Kind, Tool string
		Input          json.RawMessage
	}
}

func (r *harness) list(query string) (rows []operated, next string) {
	r.t.Helper()
	a := r.operates("GET", "/api/conversations?"+query, "")
	var out struct {
		Conversations []operated
		Next          *string `json:"next_cursor"`
	}
	if err := json.Unmarshal([]byte(a.body), &out); err != nil {
		r.t.Fatal(err)
	}
	if out.Next != nil {
		next = *out.Next
	}
	return out.Conversations, next
}

// awaitRow waits until the operators' list has a row that satisfies cond.
func (r *harness) awaitRow(what, query string, cond func(operated) bool) (row operated) {
	r.t.Helper()
	eventually(r.t, what, func() bool {
		rows, _ := r.list(query)
		for _, row = range rows {
			if cond(row) {
				return true
			}
		}
		return false
	})
	return row
}

func TestConversations_PromptWithApprovalsOff_DecidedAtOtherReplica(t *testing.T) {
	t.Parallel()
	overStores(t, func(t *testing.T, share sharing) {
		t.Parallel()
		const private = "a word that operators are not shown"
		a, b := replicas(t, overHTTP1, share, nil, anyframetest.WithAgent(1, func(c *anyframetest.Chat) {
			c.Say(fmt.Sprint(private, " ", c.Permit("Bash", map[string]any{"command": "rm -r build"})))
		}))
		v := a.visitor()
		x := v.open("")
		v.say(private, "k1")
		row := b.awaitRow("a prompt", "waiting=true", func(row operated) bool { return len(row.Prompts) == 1 })
		p := row.Prompts[0]
		if p.Kind != "permission" || p.Tool != "Bash" || string(p.Input) != `{"command":"rm -r build"}` || row.Visitor != visitorHash(t, a, v) || row.Epoch != 1 || row.Status != "running" {
			t.Errorf("got %+v, want the conversation with the exact input", row)
		}
		if body := b.operates("GET", "/api/conversations", "").body; strings.Contains(body, private) || strings.Contains(body, a.plane.Sessions()[0].ID) {
			t.Errorf("got %s, want no word of the conversation and no id of AnyFrame's", body)
		}
		path := "/api/conversations/" + row.ID + "/prompts/" + p.ID
		for _, bad := range []string{``, `{}`, `{"decision":"maybe"}`, `{"decision":"approve","answer":"x"}`, `{"answer":" "}`} {
			refused(t, "decide "+bad, b.admin("POST", path, bad), http.StatusBadRequest, "bad_request")
		}
		refused(t, "an answer to a permission", b.admin("POST", path, `{"answer":"yes"}`), http.StatusNotFound, "prompt_unknown")
		refused(t, "another prompt", b.admin("POST", path+"0", `{"decision":"approve"}`), http.StatusNotFound, "prompt_unknown")
		refused(t, "another conversation", b.admin("POST", "/api/conversations/x/prompts/"+p.ID, `{"decision":"approve"}`), http.StatusNotFound, "not_found")
		if got := b.operates("POST", path, `{"decision":"approve"}`); got.status != http.StatusAccepted {
			t.Errorf("got %d %s, want 202", got.status, got.body)
		}
		x.turnEnds(1)
		wantAnswers(t, "the visitor", x.all(), private+" true")
		eventually(t, "nothing waits", func() bool { rows, _ := b.list("waiting=true"); return len(rows) == 0 })
		refused(t, "decided again", b.admin("POST", path, `{"decision":"deny"}`), http.StatusConflict, "prompt_settled")
	})
}

func TestConversations_VisitorsPromptAnsweredByOperator_SettledElsewhere(t *testing.T) {
	t.Parallel()
	r := newHarness(t, nil, anyframetest.WithAgent(1, func(c *anyframetest.Chat) { c.Say("You chose " + c.Ask("Which?", "red", "green")) }))
	v := r.visitor()
	x := v.open("")
	v.say("ask", "k1")
	id := x.prompt("question")
	row := r.awaitRow("a question", "waiting=true", func(row operated) bool { return len(row.Prompts) == 1 })
	if p := row.Prompts[0]; p.ID != id || p.Kind != "question" || p.Tool != "" || p.Input != nil {
		t.Errorf("got %+v, want the question without its words", p)
	}
	r.operates("POST", "/api/conversations/"+row.ID+"/prompts/"+id, `{"answer":"blue"}`)
	wantOutcomes(t, "the visitor", x.settles(), id+" elsewhere")
	wantAnswers(t, "the visitor", x.all(), "You chose blue")
}

func TestConversations_StoppedAtOtherReplica_GoesOnWithTheNextMessage(t *testing.T) {
	t.Parallel()
	overStores(t, func(t *testing.T, share sharing) {
		t.Parallel()
		a, b := replicas(t, overHTTP1, share, nil, anyframetest.WithAgent(1, atWork))
		runs(t, a, b)
		v := a.visitor()
		x := v.open("")
		v.say("work", "k1")
		x.until("the agent's words", func(es []event) bool { return shown(es) == "On it." })
		row := b.awaitRow("the conversation", "", func(row operated) bool { return row.Status == "running" })
		path := "/api/conversations/" + row.ID + "/stop"
		for range 2 { // the second time nothing is running
			if got := b.operates("POST", path, ""); got.status != http.StatusAccepted || strings.TrimSpace(got.body) != "{}" {
				t.Errorf("stop: got %d %s, want 202 {}", got.status, got.body)
			}
			x.wantEnds("it is stopped", "k1 stopped")
		}
		v.insist("hi", "k2")
		x.wantEnds("the next turn", "k1 stopped", "k2 done")
		if n := len(b.logged("audit")); n != 2 {
			t.Errorf("audit lines: got %d, want 2", n)
		}
		refused(t, "an unknown one", b.admin("POST", "/api/conversations/x/stop", ""), http.StatusNotFound, "not_found")
	})
}

func TestConversations_EndedAndErasedAtOtherReplica_DoneAndLogged(t *testing.T) {
	t.Parallel()
	overStores(t, func(t *testing.T, share sharing) {
		t.Parallel()
		a, b := replicas(t, overHTTP1, share, nil, anyframetest.WithAgent(1, speak))
		runs(t, a, b)
		v := a.visitor()
		x := v.open("")
		v.say("one", "k1")
		x.turnEnds(1)
		row := b.awaitRow("the conversation", "", func(row operated) bool { return row.Epoch == 1 })
		if got := b.operates("POST", "/api/conversations/"+row.ID+"/end", ""); got.status != http.StatusNoContent {
			t.Errorf("end: got %d, want 204", got.status)
		}
		x.status("ended")
		b.awaitRow("it ended", "status=ended", func(other operated) bool { return other.ID == row.ID })
		v.insist("two", "k2")
		second := b.awaitRow("another", "", func(row operated) bool { return row.Epoch == 2 })
		b.operates("POST", "/api/conversations/"+row.ID+"/end", "") // already ended: the second call does nothing
		erased := b.operates("POST", "/api/conversations/"+row.ID+"/erase", "")
		id, _ := erased.json["erasure"].(string)
		if erased.status != http.StatusAccepted || id == "" {
			t.Fatalf("erase: got %d %s, want 202 and the erasure", erased.status, erased.body)
		}
		eventually(t, "deleted", func() bool { return b.operates("GET", "/api/erasures/"+id, "").json["deleted_at"] != nil })
		rows, _ := b.list("")
		if len(rows) != 1 || rows[0].ID != second.ID {
			t.Errorf("got %+v, want the second one alone", rows)
		}
		if got := v.do("GET", "/v1/session", ""); got.status != http.StatusOK || got.json["epoch"] != 2.0 {
			t.Errorf("the visitor: got %d %s, want the second conversation", got.status, got.body)
		}
		if n := len(b.logged("audit")); n != 3 {
			t.Errorf("audit lines: got %d, want 3", n)
		}
		for _, path := range []string{"/api/conversations/x/end", "/api/conversations/x/erase"} {
			refused(t, path, b.admin("POST", path, ""), http.StatusNotFound, "not_found")
		}
		refused(t, "an unknown erasure", b.admin("GET", "/api/erasures/x", ""), http.StatusNotFound, "not_found")
	})
}

func TestConversations_Pages_EachOnceLatestFirst(t *testing.T) {
	t.Parallel()
	r := newHarness(t, nil, anyframetest.WithAgent(1, speak))
	want := map[string]bool{}
	for i := range 7 {
		v, _ := r.begin(fmt.Sprint("number ", i))
		want[visitorHash(t, r, v)] = true
	}
	eventually(t, "all listed", func() bool { rows, _ := r.list("limit=200"); return len(rows) == 7 })
	got, cursor := map[string]bool{}, ""
	for range 5 {
		query := "limit=3"
		if cursor != "" {
			query += "&cursor=" + cursor
		}
		var rows []operated
		rows, cursor = r.list(query)
		for _, row := range rows {
			if got[row.Visitor] {
				t.Errorf("%s is listed twice", row.Visitor)
			}
			got[row.Visitor] = true
		}
		if cursor == "" {
			break
		}
	}
	if len(got) != len(want) {
		t.Errorf("got %d conversations, want %d", len(got), len(want))
	}
	if rows, _ := r.list("site=other"); len(rows) != 0 {
		t.Errorf("an unknown site: got %v, want nothing", rows)
	}
	for _, query := range []string{"status=odd", "waiting=maybe", "limit=0", "limit=201", "limit=x", "cursor=x", "more=1"} {
		refused(t, query, r.admin("GET", "/api/conversations?"+query, ""), http.StatusBadRequest, "bad_request")
	}
}

func TestConsole_Page_StrictPolicyAndNoToken(t *testing.T) {
	t.Parallel()
	d := newOffline(t, withTokens)
	kinds := map[string]string{"/": "text/html", "/console.css": "text/css"}
	scripts, err := filepath.Glob("../web/console/*.js")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("got %v, %v, want scripts", scripts, err)
	}
	for _, script := range scripts {
		kinds["/"+filepath.Base(script)] = "text/javascript"
	}
	for path, kind := range kinds {
		a := d.admin("GET", path, "")
		policy := a.header.Get("Content-Security-Policy")
		if a.status != http.StatusOK || !strings.HasPrefix(a.header.Get("Content-Type"), kind) || strings.Contains(policy, "unsafe") ||
			!strings.Contains(policy, "default-src 'none'") || !strings.Contains(policy, "trusted-types 'none'") || !strings.Contains(policy, "frame-ancestors 'none'") {
			t.Errorf("%s: got %d, %v, want it under a strict policy", path, a.status, a.header)
		}
		if strings.Contains(a.body, " style=") || strings.Contains(a.body, " onclick") || strings.Contains(a.body, "innerHTML") {
			t.Errorf("%s has something inline", path)
		}
	}
	refused(t, "its API", d.admin("GET", "/api/events", ""), http.StatusUnauthorized, "admin_unauthorized")
}

func TestConversations_ManySites_ListedTogetherAndOperatedAtOtherReplica(t *testing.T) {
	t.Parallel()
	overStores(t, func(t *testing.T, share sharing) {
		t.Parallel()
		a, b := replicas(t, overHTTP1, share, withSites(map[string]func(*relay.Config){"shop": nil, "unused": nil}), anyframetest.WithAgent(1, asking))
		runs(t, a, b)
		var order []string // of the sites, by last activity
		for i, site := range []string{"shop", "", "shop"} {
			a.visitorOf(site).sayAt(site, "ask", fmt.Sprint("k", i))
			order = append([]string{cmp.Or(site, "default")}, order...)
			b.awaitRow("it waits", "", func(row operated) bool { return row.Site == order[0] && len(row.Prompts) == 1 })
			eventually(t, "all wait", func() bool { rows, _ := b.list("waiting=true"); return len(rows) == i+1 })
		}
		for _, query := range []string{"", "waiting=true"} {
			seen, cursor := map[string]bool{}, ""
			var got []string
			for range 5 {
				rows, next := b.list("limit=1&" + query + "&cursor=" + cursor)
				for _, row := range rows {
					got, seen[row.ID] = append(got, row.Site), true
				}
				if cursor = next; next == "" {
					break
				}
			}
			if query == "" && !slices.Equal(got, order) || len(got) != 3 || len(seen) != 3 {
				t.Errorf("%q: got %v in pages of one, want each once, the latest first: %v", query, got, order)
			}
		}
		for site, n := range map[string]int{"default": 1, "shop": 2, "unused": 0, "unknown": 0} {
			if rows, _ := b.list("site=" + site); len(rows) != n {
				t.Errorf("site %s: got %d conversations, want %d", site, len(rows), n)
			}
		}
		row, _ := b.list("site=shop&limit=1")
		path := "/api/conversations/" + row[0].ID
		if got := b.operates("POST", path+"/prompts/"+row[0].Prompts[0].ID, `{"answer":"blue"}`); got.status != http.StatusAccepted {
			t.Errorf("decide: got %d %s, want 202", got.status, got.body)
		}
		b.awaitRow("it goes on", "site=shop", func(other operated) bool { return other.ID == row[0].ID && len(other.Prompts) == 0 })
		if got := b.operates("POST", path+"/end", ""); got.status != http.StatusNoContent {
			t.Errorf("end: got %d %s, want 204", got.status, got.body)
		}
		b.awaitRow("it ended", "site=shop&status=ended", func(other operated) bool { return other.ID == row[0].ID })
		id, _ := b.operates("POST", path+"/erase", "").json["erasure"].(string)
		eventually(t, "deleted", func() bool { return b.operates("GET", "/api/erasures/"+id, "").json["deleted_at"] != nil })
		if rows, _ := b.list(""); len(rows) != 2 {
			t.Errorf("got %+v, want the other two", rows)
		}
	})
}
