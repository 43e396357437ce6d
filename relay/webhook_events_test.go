package relay_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
)

// TestWebhook_Budgets_ToldOnceADayBySiteOverReplicas uses up two budgets on two replicas
// and on a site of its own.
func TestWebhook_Budgets_ToldOnceADayBySiteOverReplicas(t *testing.T) {
	t.Parallel()
	overStores(t, func(t *testing.T, share sharing) {
		t.Parallel()
		h := newHook(t)
		budget := func(c *relay.Config) { c.TurnsPerDay, c.SessionsPerDay = 5, 2 }
		a, b := replicas(t, overHTTP1, share, func(c *relay.Config) {
			h.use(c)
			budget(c)
			withSites(map[string]func(*relay.Config){"shop": func(c *relay.Config) { c.TurnsPerDay = 5 }})(c)
		}, anyframetest.WithAgent(1, speak))
		runs(t, a, b)
		v := a.visitor()
		x := v.open("")
		for i := range 5 {
			at := []*browser{v, v.at(b)}[i%2]
			at.say("hi", fmt.Sprint("k", i))
			x.turnEnds(i + 1)
			if i == 2 {
				if got := slices.Concat(h.of("budget.near"), h.of("budget.reached")); len(got) != 0 {
					t.Errorf("three of five: got %v, want nothing told", got)
				}
			}
		}
		near, reached := h.gets(t, "budget.near", 1)[0], h.gets(t, "budget.reached", 1)[0]
		if near["budget"] != "turns" || near["used"] != 4.0 || near["limit"] != 5.0 || near["site"] != "default" || near["conversation"] != nil || near["visitor"] != nil {
			t.Errorf("got %v, want four of five turns", near)
		}
		if reached["budget"] != "turns" || reached["used"] != 5.0 || reached["limit"] != 5.0 {
			t.Errorf("got %v, want five of five turns", reached)
		}
		for _, r := range []*harness{a, b} {
			v.at(r).refused("hi", "k9", http.StatusTooManyRequests, "turn_budget")
		}
		a.visitorOf("shop").sayAt("shop", "hi", "k1") // which has a budget of its own
		h.gets(t, "budget.near", 1)
		h.gets(t, "budget.reached", 1)
	})
}

func TestWebhook_BudgetOfSessions_Told(t *testing.T) {
	t.Parallel()
	h := newHook(t)
	r := newHarness(t, func(c *relay.Config) { h.use(c); c.SessionsPerDay = 1 }, anyframetest.WithAgent(1, speak))
	runs(t, r)
	r.begin("hi")
	near, reached := h.gets(t, "budget.near", 1)[0], h.gets(t, "budget.reached", 1)[0]
	if near["budget"] != "sessions" || reached["used"] != 1.0 || reached["limit"] != 1.0 {
		t.Errorf("got %v and %v, want one of one new session", near, reached)
	}
}

// TestWebhook_BudgetAtWhichChallengesBegin_IsNearNotReached counts with challenges, which
// begin when four fifths are used.
func TestWebhook_BudgetAtWhichChallengesBegin_IsNearNotReached(t *testing.T) {
	t.Parallel()
	h := newHook(t)
	r := newHarness(t, func(c *relay.Config) { h.use(c); c.SessionsPerDay, c.Challenge = 5, "auto" }, anyframetest.WithAgent(1, speak))
	runs(t, r)
	for range 4 {
		r.begin("hi")
	}
	r.visitor().refused("hi", "k1", http.StatusPreconditionRequired, "challenge_required")
	if near := h.gets(t, "budget.near", 1)[0]; near["used"] != 4.0 || near["limit"] != 5.0 {
		t.Errorf("got %v, want four of five", near)
	}
	if got := h.of("budget.reached"); len(got) != 0 {
		t.Errorf("got %v, want nothing: one is left", got)
	}
}

func TestWebhook_Feedback_EachWordToldOnceWithoutComment(t *testing.T) {
	t.Parallel()
	overStores(t, func(t *testing.T, share sharing) {
		t.Parallel()
		h := newHook(t)
		a, b := replicas(t, overHTTP1, share, func(c *relay.Config) { h.use(c); c.Feedback = true }, anyframetest.WithAgent(1, speak))
		runs(t, a, b)
		v, _ := a.begin("hi")
		const turn = "k1"
		for i, rating := range []string{`"up","comment":"a private word"`, `"up","comment":"another private word"`, `"down"`, "null", `"up"`} {
			at := []*browser{v, v.at(b)}[i%2]
			if got := at.do("POST", "/v1/feedback", fmt.Sprintf(`{"turn":%q,"rating":%s}`, turn, rating)); got.status != http.StatusAccepted {
				t.Fatalf("feedback: got %d %s", got.status, got.body)
			}
		}
		started := h.gets(t, "conversation.started", 1)[0]
		var got []string
		for _, e := range h.gets(t, "feedback.given", 3) {
			got = append(got, fmt.Sprint(e["rating"]))
			if e["turn"] != turn || e["conversation"] != started["conversation"] || e["epoch"] != 1.0 || e["visitor"] != visitorHash(t, a, v) {
				t.Errorf("got %v, want the turn and its conversation", e)
			}
		}
		if !slices.Equal(got, []string{"up", "down", "up"}) {
			t.Errorf("got %v, want each rating in its order", got)
		}
		for _, body := range h.bodies {
			if strings.Contains(body, "private") {
				t.Errorf("got %s, want no comment", body)
			}
		}
	})
}

// TestConversations_TurnAtWork_ItsKeyListedAtBothReplicas reads the list while AnyFrame
// is processing two turns.
func TestConversations_TurnAtWork_ItsKeyListedAtBothReplicas(t *testing.T) {
	t.Parallel()
	overStores(t, func(t *testing.T, share sharing) {
		t.Parallel()
		g := gated{gate: make(chan struct{})}
		a, b := replicas(t, overHTTP1, share, nil, anyframetest.WithAgent(1, g.speak))
		v := a.visitor()
		x := v.open("")
		v.say("one", "k1")
		v.say("two", "k2")
		turn := func(want string) {
			t.Helper()
			for _, r := range []*harness{a, b} {
				r.awaitRow("the turn "+want, "", func(row operated) bool { return row.Turn == want && row.Busy == (want != "") })
			}
		}
		turn("k1")
		g.gate <- struct{}{}
		x.turnEnds(1)
		turn("k2")
		g.gate <- struct{}{}
		x.turnEnds(2)
		turn("")
	})
}
