package relay_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
	"github.com/anyframe-relay/relay/relay/internal/feedback"
	"github.com/anyframe-relay/relay/relay/internal/store"
)

func takesFeedback(c *relay.Config) { c.Feedback = true }

// rate sends a rating; more are further members.
func (b *browser) rate(turn, rating, more string) answer {
	b.r.t.Helper()
	return b.do("POST", "/v1/feedback", `{"turn":`+quote(turn)+`,"rating":`+rating+more+`}`)
}

// rates is rate, which must succeed.
func (b *browser) rates(turn, rating, more string) {
	b.r.t.Helper()
	if a := b.rate(turn, rating, more); a.status != http.StatusAccepted || strings.TrimSpace(a.body) != "{}" {
		b.r.t.Fatalf("rate %s %s: got %d %s, want 202 {}", turn, rating, a.status, a.body)
	}
}

// ratings returns the ratings that a client received, in order, since its last reset.
func ratings(events []event) (all []string) {
	for _, e := range lastLife(events) {
		if e.kind == "feedback" {
			all = append(all, fmt.Sprint(e.str("turn"), " ", e.json["rating"]))
		}
	}
	return all
}

// wantRatings waits for as many ratings as in want and fails the test unless they are
// equal.
func (x *stream) wantRatings(what string, want ...string) {
	x.t.Helper()
	es := x.until(what, func(es []event) bool { return len(ratings(es)) >= len(want) })
	if got := ratings(es); !slices.Equal(got, want) {
		x.t.Errorf("%s: got %q, want %q", what, got, want)
	}
	for _, e := range es {
		if e.kind == "feedback" && (e.id != "" || len(e.json) != 2) {
			x.t.Errorf("%s: got %s, want turn and rating without an id", what, e)
		}
	}
}

// feedback returns the feedback and the contexts in the visitor's export.
func (b *browser) feedback() (words, contexts string) {
	b.r.t.Helper()
	a := b.do("GET", "/v1/export", "")
	var out struct {
		Conversations []struct {
			Context json.RawMessage `json:"context"`
		} `json:"conversations"`
		Feedback []struct {
			Epoch   int     `json:"epoch"`
			Turn    string  `json:"turn"`
			Rating  string  `json:"rating"`
			Comment *string `json:"comment"`
			RatedAt string  `json:"rated_at"`
		} `json:"feedback"`
	}
	if err := json.Unmarshal([]byte(a.body), &out); err != nil {
		b.r.t.Fatalf("got %s, %v, want JSON", a.body, err)
	}
	for _, f := range out.Feedback {
		comment := "-"
		if f.Comment != nil {
			comment = *f.Comment
		}
		words += fmt.Sprintf("%d %s %s %s;", f.Epoch, f.Turn, f.Rating, comment)
	}
	for _, c := range out.Conversations {
		contexts += string(c.Context) + ";"
	}
	return words, contexts
}

func TestFeedback_LastWord_CountsOverTabsAndRestarts(t *testing.T) {
	t.Parallel()
	disk := sqliteFile(t)
	r := newHarness(t, func(c *relay.Config) { disk(c); takesFeedback(c) }, anyframetest.WithAgent(1, talk))
	v := r.visitor()
	if a := v.do("POST", "/v1/visitor", `{"carrier":"bearer"}`); a.json["feedback"] != true {
		t.Errorf("got %s, want feedback on", a.body)
	}
	x, y := v.open(""), v.open("")
	v.say("hi", "k1")
	v.say("again", "k2")
	es := x.turnEnds(2)
	seen := lastID(es)
	v.rates("k1", `"up"`, `,"comment":"Fine"`)
	for _, x := range []*stream{x, y} {
		x.wantRatings("live", "k1 up")
	}
	v.rates("k1", `"down"`, `,"comment":"`+strings.Repeat("ä", 2000)+`"`)
	x.wantRatings("changed", "k1 up", "k1 down")
	v.rates("k2", `"up"`, "")
	x.wantRatings("another", "k1 up", "k1 down", "k2 up")
	v.rates("k2", `null`, `,"comment":"gone"`)
	for _, x := range []*stream{x, y} {
		x.wantRatings("taken back", "k1 up", "k1 down", "k2 up", "k2 <nil>")
	}
	z := v.open("")
	z.wantRatings("a reload", "k1 down")
	z.until("all of it", func(es []event) bool { return len(ends(es)) == 2 })
	v.open(seen).wantRatings("who goes on", "k1 down", "k2 <nil>")
	r.counts(map[string]float64{"relay_feedback_total rating up": 2, "relay_feedback_total rating down": 1, "relay_feedback_total rating none": 1})
	r.restart()
	v.open("").wantRatings("after a restart", "k1 down")
	told := transcriptEvents(t, v)
	if got := ratings(told); !slices.Equal(got, []string{"k1 down"}) {
		t.Errorf("transcript: got %q", got)
	}
	if got, _ := v.feedback(); got != "1 k1 down "+strings.Repeat("ä", 2000)+";" {
		t.Errorf("export: got %q, want the last word alone", got)
	}

	// A turn of an earlier epoch.
	v.do("DELETE", "/v1/session", "")
	v.say("anew", "k3")
	v.rates("k3", `"up"`, "")
	v.rates("k1", `"up"`, "")
	v.open("").wantRatings("the present epoch's", "k3 up")
	if a := v.do("GET", "/v1/transcript?epoch=1&limit=1000", ""); !strings.Contains(a.body, `{"id":null,"event":"feedback","data":{"turn":"k1","rating":"up"}}`) {
		t.Errorf("got %s, want the rating of the epoch before", a.body)
	}
}

// lastID returns the id of the last event that has one.
func lastID(events []event) (id string) {
	for _, e := range events {
		if e.id != "" {
			id = e.id
		}
	}
	return id
}

func TestFeedback_Wrong_Refused(t *testing.T) {
	t.Parallel()
	r := newHarness(t, takesFeedback, anyframetest.WithAgent(1, talk))
	v, _ := r.begin("hi")
	for body, want := range map[string]string{
		`{"turn":"k1"}`:                                  "rating",
		`{"turn":"k1","rating":"maybe"}`:                 "rating",
		`{"turn":"k1","rating":1}`:                       "rating",
		`{"turn":"k1","rating":""}`:                      "rating",
		`{"rating":"up"}`:                                "turn",
		`{"turn":"k1","rating":"up","stars":5}`:          "stars",
		`{"turn":"k1","rating":"up","comment":7}`:        "comment",
		`{"turn":"k1","rating":"up","comment":"\u0000"}`: "comment",
		`{"turn":"k1","rating":"up","comment":"` + strings.Repeat("x", 2001) + `"}`: "comment",
	} {
		a := v.do("POST", "/v1/feedback", body)
		refused(t, body, a, 400, "bad_request")
		if detail, _ := a.json["detail"].(string); !strings.Contains(detail, `"`+want+`"`) {
			t.Errorf("%.60s: got %q, want %q named", body, detail, want)
		}
	}
	refused(t, "never sent", v.rate("nobody", `"up"`, ""), 404, "turn_unknown")
	refused(t, "never sent, taken back", v.rate("nobody", `null`, ""), 404, "turn_unknown")
	refused(t, "no key", v.rate("a b", `"up"`, ""), 404, "turn_unknown")
	refused(t, "another visitor's", r.visitor().rate("k1", `"up"`, ""), 404, "turn_unknown")
	refused(t, "without a token", (&browser{r: r}).rate("k1", `"up"`, ""), 401, "visitor_unknown")
	if got, _ := v.feedback(); got != "" {
		t.Errorf("got %q, want nothing kept", got)
	}
	v.rates("k1", `"up"`, `,"comment":"`+strings.Repeat(`\ud83d\ude00`, 2000)+`"`)
}

func TestFeedback_Off_Refused(t *testing.T) {
	t.Parallel()
	r := newHarness(t, nil, anyframetest.WithAgent(1, talk))
	v, _ := r.begin("hi")
	refused(t, "off", v.rate("k1", `"up"`, ""), 403, "feedback_off")
	if a := v.do("POST", "/v1/visitor", `{"carrier":"bearer"}`); a.json["feedback"] != false {
		t.Errorf("got %s, want feedback off", a.body)
	}
}

// A visitor who may not send may still rate.
func TestFeedback_PausedOrNotAgreed_Taken(t *testing.T) {
	t.Parallel()
	disk := sqliteFile(t)
	r := newHarness(t, func(c *relay.Config) { disk(c); takesFeedback(c) }, anyframetest.WithAgent(1, talk))
	v, _ := r.begin("hi")
	r.restartWith(func(c *relay.Config) { c.Consent = "May we?" })
	v.refused("more", "k2", 403, "consent_required")
	v.rates("k1", `"up"`, "")
	r.operates("PUT", "/api/pause", "{}")
	v.rates("k1", `"down"`, "")
}

func TestReplicas_FeedbackAtOther_ToldEverywhere(t *testing.T) {
	t.Parallel()
	overStores(t, func(t *testing.T, share sharing) {
		t.Parallel()
		a, b := replicas(t, overHTTP1, share, takesFeedback, anyframetest.WithAgent(1, talk))
		here := a.visitor()
		there := here.at(b)
		x := here.open("")
		here.say("hi", "k1")
		x.turnEnds(1)
		there.rates("k1", `"up"`, "")
		x.wantRatings("at the first", "k1 up")
		y := there.open("")
		y.wantRatings("at the second", "k1 up")
		here.rates("k1", `null`, "")
		for _, x := range []*stream{x, y} {
			x.wantRatings("taken back", "k1 up", "k1 <nil>")
		}
	})
}

// ratesTwo creates two conversations and gives feedback on each.
func (b *browser) ratesTwo() {
	b.r.t.Helper()
	b.say("hi", "k1")
	b.rates("k1", `"up"`, `,"comment":"first words"`)
	b.do("DELETE", "/v1/session", "")
	b.say("hi", "k2")
	b.rates("k2", `"up"`, `,"comment":"second words"`)
}

func TestErase_Feedback_InNoFile(t *testing.T) {
	t.Parallel()
	disk := sqliteFile(t)
	r := newHarness(t, func(c *relay.Config) {
		disk(c)
		takesFeedback(c)
		eraseSoon(c)
	}, anyframetest.WithAgent(1, talk))
	r.runs()
	v := r.visitor()
	v.ratesTwo()
	v.erases("/v1/conversations/1")
	if got, _ := v.feedback(); got != "2 k2 up second words;" {
		t.Errorf("got %q, want the other epoch's", got)
	}
	refused(t, "what is erased", v.rate("k1", `"down"`, ""), 404, "turn_unknown")
	r.erased()
	wantInNoFile(t, r.file(), "first words")
	v.erases("/v1/visitor?erase=true")
	r.erased()
	wantInNoFile(t, r.file(), "second words")
}

// lateRecords is a store whose response about feedback is delayed for as long as a test
// needs.
type lateRecords struct {
	feedback.Store
	armed         atomic.Bool // for the next response
	asked, arrive chan struct{}
}

func (l *lateRecords) RecordsOf(ctx context.Context, kind, owner, after string, n int) ([]store.Record, error) {
	all, err := l.Store.RecordsOf(ctx, kind, owner, after, n)
	if l.armed.CompareAndSwap(true, false) {
		close(l.asked)
		<-l.arrive
	}
	return all, err
}

// The conversation is erased while an export reads its feedback.
func TestErase_WhileExported_FeedbackNotInIt(t *testing.T) {
	t.Parallel()
	late := &lateRecords{asked: make(chan struct{}), arrive: make(chan struct{})}
	r := newHarness(t, func(c *relay.Config) {
		takesFeedback(c)
		eraseSoon(c)
	}, anyframetest.WithAgent(1, talk))
	r.srv.WatchFeedback(func(s feedback.Store) feedback.Store { late.Store = s; return late })
	r.runs()
	v := r.visitor()
	v.ratesTwo()
	late.armed.Store(true)
	var wg sync.WaitGroup
	wg.Go(func() {
		if got, _ := v.feedback(); got != "2 k2 up second words;" {
			t.Errorf("got %q, want the other epoch's", got)
		}
	})
	select {
	case <-late.asked:
	case <-time.After(patience):
		t.Fatal("the export asks for no feedback")
	}
	v.erases("/v1/conversations/1")
	r.erased()
	close(late.arrive)
	wg.Wait()
}

func TestExport_Context_AsLastSent(t *testing.T) {
	t.Parallel()
	r := newHarness(t, nil, anyframetest.WithAgent(1, talk))
	v := r.visitor()
	v.say("hi", "k1")
	v.do("DELETE", "/v1/session", "")
	v.tells("k2", `,"context":{"page":"/a"}`, `{"verified":{},"page":{"page":"/a"}}`)
	v.tells("k3", `,"context":{"page":"/b"}`, `{"verified":{},"page":{"page":"/b"}}`)
	if _, got := v.feedback(); got != `{"verified":{},"page":{"page":"/b"}};null;` {
		t.Errorf("got %s, want what was sent last in the second conversation, and null in the first", got)
	}
}
