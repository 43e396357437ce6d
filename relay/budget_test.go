package relay_test

import (
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
)

// untilMidnight fails the test unless a refusal's retry time is the beginning of the next
// UTC day.
func untilMidnight(t *testing.T, what string, a answer) {
	t.Helper()
	seconds, _ := strconv.Atoi(a.header.Get("Retry-After"))
	over := time.Now().UTC().Truncate(24 * time.Hour).Add(24 * time.Hour)
	if off := time.Until(over) - time.Duration(seconds)*time.Second; off < -time.Minute || off > time.Minute {
		t.Errorf("%s: got Retry-After %d, want the time until midnight UTC, %v", what, seconds, time.Until(over))
	}
}

// awayFromMidnight waits if the UTC day would otherwise end during the test.
func awayFromMidnight(t *testing.T) {
	t.Helper()
	if left := time.Until(time.Now().UTC().Truncate(24 * time.Hour).Add(24 * time.Hour)); left < time.Minute {
		time.Sleep(left + time.Second)
	}
}

func TestBudget_TurnsOverReplicas_ExactlyAsMany(t *testing.T) {
	t.Parallel()
	overStores(t, func(t *testing.T, share sharing) {
		t.Parallel()
		awayFromMidnight(t)
		a, b := replicas(t, overHTTP1, share, func(c *relay.Config) { c.TurnsPerDay = 7 }, anyframetest.WithAgent(1, talk))
		var got atomic.Int32
		var wg sync.WaitGroup
		for i := range 20 {
			r := []*harness{a, b}[i%2]
			v := r.visitor()
			wg.Go(func() {
				ans := v.do("POST", "/v1/messages", `{"text":"hi"}`)
				if ans.status == http.StatusAccepted {
					got.Add(1)
					return
				}
				refused(t, "over the budget", ans, 429, "turn_budget")
				untilMidnight(t, "over the budget", ans)
			})
		}
		wg.Wait()
		// A turn that waits for its sandbox holds a reservation, and may have released
		// it.
		for ; got.Load() < 7; got.Add(1) {
			a.visitor().say("hi", "k1")
		}
		refused(t, "one more", b.visitor().do("POST", "/v1/messages", `{"text":"hi"}`), 429, "turn_budget")
		if n := a.plane.Count(anyframetest.OpMessage); n != 7 {
			t.Errorf("messages at AnyFrame: got %d, want 7", n)
		}
		for _, r := range []*harness{a, b} {
			r.counts(map[string]float64{"relay_turns_today": 7, "relay_turns_budget": 7, "relay_budget_used_ratio": 1})
		}
	})
}

func TestBudget_UsedUp_RepeatsAndReadingGoOn(t *testing.T) {
	t.Parallel()
	awayFromMidnight(t)
	disk := sqliteFile(t)
	r := newHarness(t, func(c *relay.Config) {
		disk(c)
		c.TurnsPerDay = 2
	}, anyframetest.WithAgent(1, talk))
	r.counts(map[string]float64{"relay_turns_today": 0, "relay_budget_used_ratio": 0})
	v := r.visitor()
	want := v.say("one", "k1").body
	r.counts(map[string]float64{"relay_turns_today": 1, "relay_budget_used_ratio": 0.5})
	r.restart()
	v.say("two", "k2")
	for range 2 {
		if got := v.say("one", "k1").body; got != want {
			t.Errorf("a repeated key: got %s, want %s", got, want)
		}
		untilMidnight(t, "a third turn", v.refused("three", "k3", 429, "turn_budget"))
		if a := v.do("GET", "/v1/transcript", ""); a.status != http.StatusOK {
			t.Errorf("reading: got %d %s, want 200", a.status, a.body)
		}
		r.visitor().refused("hi", "k1", 429, "turn_budget")
		r.restart()
	}
	r.counts(map[string]float64{"relay_turns_today": 2})
	if n := r.plane.Count(anyframetest.OpCreate); n != 1 {
		t.Errorf("sessions created: got %d, want 1: none for a turn that cannot be sent", n)
	}
}

func TestBudget_TurnNotAccepted_NotCounted(t *testing.T) {
	t.Parallel()
	awayFromMidnight(t)
	r := newHarness(t, func(c *relay.Config) { c.TurnsPerDay = 1 }, anyframetest.WithAgent(1, talk))
	for _, fault := range []anyframetest.Fault{
		{Kind: anyframetest.Respond, Op: anyframetest.OpCreate, Status: http.StatusUnprocessableEntity},
		{Kind: anyframetest.Respond, Op: anyframetest.OpMessage, Status: http.StatusUnprocessableEntity},
		{Kind: anyframetest.Respond, Op: anyframetest.OpMessage, Status: http.StatusInternalServerError},
	} {
		r.plane.Inject(fault)
		v := r.visitor()
		if a := v.do("POST", "/v1/messages", `{"text":"hi"}`, "Idempotency-Key", "k1"); a.status < 500 {
			t.Fatalf("%v: got %d %s, want it failed", fault.Op, a.status, a.body)
		}
		r.plane.ClearFaults()
		r.counts(map[string]float64{"relay_turns_today": 0})
	}
	v := r.visitor()
	v.say("hi", "k1")
	v.say("hi", "k1")
	r.counts(map[string]float64{"relay_turns_today": 1})
	v.refused("more", "k2", 429, "turn_budget")
}

func TestBudget_KeyRotated_CountKept(t *testing.T) {
	t.Parallel()
	awayFromMidnight(t)
	disk := sqliteFile(t)
	r := newHarness(t, func(c *relay.Config) { disk(c); c.TurnsPerDay = 1 }, anyframetest.WithAgent(1, talk))
	v := r.visitor()
	v.say("hi", "k1")
	next := startPlane(t, anyframetest.WithKey("afm_test_rotated"), anyframetest.WithAgent(1, talk))
	r.restartWith(func(c *relay.Config) { c.APIKey, c.BaseURL = relay.Secret(next.Key()), next.URL() })
	r.counts(map[string]float64{"relay_turns_today": 1})
	v.refused("more", "k2", 429, "turn_budget")
}

// A turn that AnyFrame proves to have is counted, whatever happened to the response.
func TestBudget_AnswerLost_CountedOnce(t *testing.T) {
	t.Parallel()
	awayFromMidnight(t)
	r := newHarness(t, func(c *relay.Config) { c.TurnsPerDay = 2 }, anyframetest.WithAgent(1, talk))
	v := r.visitor()
	v.say("one", "k1")
	r.plane.Inject(anyframetest.Fault{Kind: anyframetest.LoseAnswer, Op: anyframetest.OpMessage, Times: 1})
	v.insist("two", "k2")
	v.insist("two", "k2")
	r.counts(map[string]float64{"relay_turns_today": 2})
	v.refused("three", "k3", 429, "turn_budget")
}

func TestRates_List_EveryOneHolds(t *testing.T) {
	t.Parallel()
	awayFromMidnight(t)
	disk := sqliteFile(t)
	r := newHarness(t, func(c *relay.Config) {
		disk(c)
		trusting("", "127.0.0.0/8", "::1/128")(c)
		c.RateMessages = relay.Rates{{Limit: 100, Window: time.Hour}, {Limit: 3, Window: relay.Day}}
		c.RateSessions = relay.Rates{{Limit: 100, Window: time.Hour}, {Limit: 2, Window: relay.Day}}
	}, anyframetest.WithAgent(1, talk))
	v := r.visitor()
	for _, key := range []string{"k1", "k2", "k3"} {
		v.say("hi", key)
	}
	r.visitor().say("hi", "k1")
	for range 2 {
		untilMidnight(t, "a fourth message", v.refused("hi", "k4", 429, "rate_limited"))
		untilMidnight(t, "a third session", r.visitor().refused("hi", "k1", 429, "session_quota"))
		r.restart()
	}
}

func TestRates_RequestsPerDay_BeginAnewAtMidnight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // where the test begins at midnight
		d := newOffline(t, func(c *relay.Config) {
			c.RateIP = relay.Rates{{Limit: 2, Window: time.Minute}, {Limit: 5, Window: relay.Day}}
		})
		ask := func() answer { return d.ask("GET", "/v1/nothing", "") }
		time.Sleep(time.Hour)
		for day := range 3 {
			for i := range 5 {
				if i%2 == 0 {
					time.Sleep(3 * time.Minute)
				}
				if a := ask(); a.status != http.StatusNotFound {
					t.Fatalf("day %d, request %d of 5: got %d %s, want it let through", day, i+1, a.status, a.body)
				}
			}
			time.Sleep(3 * time.Minute)
			a := ask()
			refused(t, "a sixth", a, 429, "rate_limited")
			untilMidnight(t, "a sixth", a)
			seconds, _ := strconv.Atoi(a.header.Get("Retry-After"))
			time.Sleep(time.Duration(seconds-2) * time.Second) // Retry-After is in whole seconds
			refused(t, "just before midnight", ask(), 429, "rate_limited")
			time.Sleep(2 * time.Second)
		}
	})
}

func TestMetrics_AgentUsage_SummedUp(t *testing.T) {
	t.Parallel()
	spend := func(c *anyframetest.Chat) {
		c.Say("Done.")
		if c.Prompt() == "tell" {
			c.Emit(map[string]any{"type": "result", "total_cost_usd": 0.25, "usage": map[string]any{
				"input_tokens": 10, "output_tokens": 5, "cache_read_input_tokens": 100, "cache_creation_input_tokens": nil, "service_tier": "x",
			}})
			c.Emit(map[string]any{"type": "result", "total_cost_usd": "much", "usage": map[string]any{"input_tokens": -1}})
		}
	}
	a, b := replicas(t, overHTTP1, sqliteFile, nil, anyframetest.WithAgent(1, spend))
	v := a.visitor()
	tab := v.at(b).open("")
	v.say("hush", "k1")
	tab.turnEnds(1)
	cost := func(r *harness) (sum float64, shown bool) {
		families, err := r.reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() == "relay_agent_tokens_total" || f.GetName() == "relay_agent_cost_usd_total" {
				shown = true
			}
			if f.GetName() == "relay_agent_cost_usd_total" {
				sum = f.GetMetric()[0].GetCounter().GetValue()
			}
		}
		return sum, shown
	}
	for i, key := range []string{"k2", "k3"} {
		if _, shown := cost(a); shown != (i > 0) {
			t.Errorf("%d turns of which AnyFrame told: got metrics %v", i, shown)
		}
		v.say("tell", key)
		eventually(t, "the cost of a turn", func() bool { sum, _ := cost(a); return sum == 0.25*float64(i+1) })
	}
	a.counts(map[string]float64{
		"relay_agent_tokens_total kind input": 20, "relay_agent_tokens_total kind output": 10,
		"relay_agent_tokens_total kind cache_read": 200,
	})
	tab.turnEnds(5) // it has also reached the other replica
	if _, shown := cost(b); shown {
		t.Error("the other replica counts it again, want it counted once")
	}
}

func TestBudget_OfEachSite_ShownAndFollowsReload(t *testing.T) {
	t.Parallel()
	awayFromMidnight(t)
	sites := func(most int) func(*relay.Config) {
		return withSites(map[string]func(*relay.Config){"a": func(c *relay.Config) { c.TurnsPerDay = most }, "unvisited": nil})
	}
	r := newHarness(t, func(c *relay.Config) {
		c.TurnsPerDay = 8
		sites(2)(c)
	}, anyframetest.WithAgent(1, talk))
	r.visitor().say("hi", "k1")
	v := r.visitorOf("a")
	v.sayAt("a", "one", "k1")
	v.sayAt("a", "two", "k2")
	r.counts(map[string]float64{
		"relay_turns_today site default": 1, "relay_turns_budget site default": 8, "relay_budget_used_ratio site default": 0.125,
		"relay_turns_today site a": 2, "relay_turns_budget site a": 2, "relay_budget_used_ratio site a": 1,
		"relay_turns_today": 3, // and no more series
	})
	r.reload(sites(4))
	r.counts(map[string]float64{"relay_turns_budget site a": 4, "relay_budget_used_ratio site a": 0.5})
	r.reload(func(*relay.Config) {})
	r.counts(map[string]float64{"relay_turns_today": 1})
}
