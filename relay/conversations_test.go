package relay_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/tools/testtools"
)

// listed is one conversation of GET /v1/conversations.
type listed struct {
	Epoch   int       `json:"epoch"`
	Title   string    `json:"title"`
	Started time.Time `json:"started_at"`
	Active  time.Time `json:"last_active_at"`
	Current bool      `json:"current"`
	Events  []any     `json:"events"` // in an export
}

func (b *browser) conversations() []listed {
	b.r.t.Helper()
	a := b.do("GET", "/v1/conversations", "")
	var out struct {
		Conversations []listed `json:"conversations"`
	}
	if err := json.Unmarshal([]byte(a.body), &out); err != nil || a.status != http.StatusOK || out.Conversations == nil {
		b.r.t.Fatalf("GET /v1/conversations: got %d %s, %v, want a list", a.status, a.body, err)
	}
	return out.Conversations
}

// talked gives the visitor n conversations of one turn each, all but the last one ended.
func (b *browser) talked(n int) {
	b.r.t.Helper()
	for i := 1; i <= n; i++ {
		x := b.open("")
		b.say(fmt.Sprintf("  conversation\n%d ", i), fmt.Sprint("key-", i))
		x.until("the turn ends", func(es []event) bool { return count(lastLife(es), "turn_end") == 1 })
		x.close()
		if i < n {
			b.end()
		}
	}
}

func (b *browser) end() {
	b.r.t.Helper()
	if a := b.do("DELETE", "/v1/session", ""); a.status != http.StatusNoContent {
		b.r.t.Fatalf("DELETE /v1/session: got %d %s, want 204", a.status, a.body)
	}
}

func TestConversations_Ended_ListedAndReadWithoutWaking(t *testing.T) {
	t.Parallel()
	disk := sqliteFile(t)
	r := newHarness(t, disk, anyframetest.WithAgent(1, talk))
	v := r.visitor()
	if got := v.conversations(); len(got) != 0 {
		t.Errorf("got %v before the first, want none", got)
	}
	v.talked(3)
	var want [4]string
	for epoch := 1; epoch <= 3; epoch++ {
		a := v.do("GET", fmt.Sprint("/v1/transcript?epoch=", epoch), "")
		text := fmt.Sprint(`"text":"  conversation\n`, epoch, ` "`)
		if a.status != http.StatusOK || !strings.Contains(a.body, text) {
			t.Errorf("epoch %d: got %d %s, want its own words", epoch, a.status, a.body)
		}
		want[epoch] = a.body
	}
	v.end()
	r.restart()
	calls := len(r.plane.Sessions())
	all := v.conversations()
	if len(all) != 3 {
		t.Fatalf("got %d conversations, want 3", len(all))
	}
	for i, c := range all {
		epoch := 3 - i
		if c.Epoch != epoch || c.Title != fmt.Sprint("conversation ", epoch) || c.Current || c.Started.After(c.Active) || time.Since(c.Started) > time.Hour {
			t.Errorf("got %+v at %d, want epoch %d, titled and over", c, i, epoch)
		}
		if a := v.do("GET", fmt.Sprint("/v1/transcript?epoch=", epoch), ""); a.body != want[epoch] {
			t.Errorf("epoch %d after a restart: got %s, want %s", epoch, a.body, want[epoch])
		}
	}
	for _, s := range r.plane.Sessions() {
		if s.Status != anyframetest.StatusTerminated {
			t.Errorf("got a sandbox %s, want all as they were", s.Status)
		}
	}
	if got := len(r.plane.Sessions()); got != calls {
		t.Errorf("got %d sessions, want %d", got, calls)
	}
	v.say("again", "key-4")
	if all = v.conversations(); len(all) != 4 || !all[0].Current || all[0].Epoch != 4 || all[1].Current {
		t.Errorf("got %+v, want the fourth current", all)
	}
}

func TestConversations_Pages_ReadToTheEnd(t *testing.T) {
	t.Parallel()
	r := newHarness(t, nil, anyframetest.WithAgent(1, talk))
	v := r.visitor()
	v.talked(2)
	whole := v.do("GET", "/v1/transcript?epoch=1", "")
	events, _ := whole.json["events"].([]any)
	if len(events) < 3 || whole.json["next_since"] != nil {
		t.Fatalf("got %s, want all in one page", whole.body)
	}
	var pages []any
	for since := "0"; ; {
		a := v.do("GET", "/v1/transcript?epoch=1&limit=1&since="+since, "")
		more, _ := a.json["events"].([]any)
		pages = append(pages, more...)
		next, ok := a.json["next_since"].(float64)
		if !ok {
			break
		}
		since = fmt.Sprint(int64(next))
	}
	if fmt.Sprint(pages) != fmt.Sprint(events) {
		t.Errorf("got %v in pages of one, want %v", pages, events)
	}
	asked := len(r.plane.Requests())
	a := v.do("GET", "/v1/transcript?epoch=1&since=4611686018427387904", "")
	if got, _ := a.json["events"].([]any); a.status != http.StatusOK || len(got) != 0 || a.json["next_since"] != nil {
		t.Errorf("beyond the end: got %s, want nothing", a.body)
	}
	for _, req := range r.plane.Requests()[asked:] {
		if strings.Contains(req.Query.Encode(), "4611686018427387904") {
			t.Errorf("got %v passed on, want it to go nowhere", req.Query)
		}
	}
}

func TestConversations_UnknownEpoch_NotFound(t *testing.T) {
	t.Parallel()
	r := newHarness(t, nil, anyframetest.WithAgent(1, talk))
	v, other := r.visitor(), r.visitor()
	v.talked(2)
	for _, bad := range []string{"0", "-1", "x", "1.5", "1e0"} {
		refused(t, bad, v.do("GET", "/v1/transcript?epoch="+bad, ""), 400, "bad_request")
	}
	refused(t, "one that never was", v.do("GET", "/v1/transcript?epoch=3", ""), 404, "not_found")
	refused(t, "another visitor's", other.do("GET", "/v1/transcript?epoch=1", ""), 404, "not_found")
	for _, s := range r.plane.Sessions() {
		r.plane.Delete(s.ID)
	}
	refused(t, "unknown to AnyFrame", v.do("GET", "/v1/transcript?epoch=1", ""), 404, "not_found")
	for _, path := range []string{"/v1/conversations", "/v1/export"} {
		refused(t, path, (&browser{r: r}).do("GET", path, ""), 401, "visitor_unknown")
	}
}

func TestExport_Conversations_OneDocument(t *testing.T) {
	t.Parallel()
	r := newHarness(t, nil, anyframetest.WithAgent(1, talk))
	v := r.visitor()
	v.talked(3)
	a := v.do("GET", "/v1/export", "")
	if a.status != http.StatusOK || a.header.Get("Content-Type") != "application/json" ||
		a.header.Get("Content-Disposition") != `attachment; filename="conversations.json"` {
		t.Errorf("got %d %v, want a file of JSON", a.status, a.header)
	}
	var out struct {
		ExportedAt    time.Time        `json:"exported_at"`
		Visitor       map[string]any   `json:"visitor"`
		Conversations []listed         `json:"conversations"`
		Feedback      []map[string]any `json:"feedback"`
	}
	if err := json.Unmarshal([]byte(a.body), &out); err != nil {
		t.Fatalf("got %s, %v, want JSON", a.body, err)
	}
	if time.Since(out.ExportedAt) > time.Hour || out.Visitor["identified"] != false || out.Feedback == nil || len(out.Conversations) != 3 {
		t.Errorf("got %+v, want all three and who it is", out)
	}
	for i, c := range out.Conversations {
		page := v.do("GET", fmt.Sprint("/v1/transcript?epoch=", 3-i), "")
		if want, _ := page.json["events"].([]any); fmt.Sprint(c.Events) != fmt.Sprint(want) || c.Epoch != 3-i {
			t.Errorf("epoch %d: got %v, want %v", c.Epoch, c.Events, want)
		}
	}
	if fresh := r.visitor().do("GET", "/v1/export", ""); fresh.status != http.StatusOK || !strings.Contains(fresh.body, `"conversations":[]`) {
		t.Errorf("got %d %s of a new visitor, want no conversations", fresh.status, fresh.body)
	}
}

func TestExport_FailureInTheMiddle_CutsTheConnection(t *testing.T) {
	t.Parallel()
	r := newHarness(t, nil, anyframetest.WithWordsPerDelta(1000), anyframetest.WithAgent(1, func(c *anyframetest.Chat) { c.Say(strings.Repeat("words ", 20_000)) }))
	v := r.visitor()
	v.talked(2)
	r.plane.Inject(anyframetest.Fault{Kind: anyframetest.Respond, Op: anyframetest.OpTranscript, Status: 500, Session: r.plane.Sessions()[0].ID})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.web.URL+"/v1/export", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+v.token)
	res, err := testtools.Client.Transport.RoundTrip(req)
	if err == nil {
		defer res.Body.Close()
		var whole any
		if err = json.NewDecoder(res.Body).Decode(&whole); err == nil {
			t.Error("got a whole document, want one that is cut off")
		}
	}
}
