package relay_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
)

// challenged fails the test unless a is a refusal with a challenge, and returns the
// solution: the value of the header Relay-Challenge.
func challenged(t *testing.T, what string, a answer) (solution string) {
	t.Helper()
	refused(t, what, a, 428, "challenge_required")
	c, _ := a.json["challenge"].(map[string]any)
	if c == nil {
		t.Fatalf("%s: got %d %s, want a challenge", what, a.status, a.body)
	}
	return solve(t, c)
}

func solve(t *testing.T, c map[string]any) (solution string) {
	t.Helper()
	salt, _ := c["salt"].(string)
	most, _ := c["maxnumber"].(float64)
	sum, _ := c["challenge"].(string)
	want, err := hex.DecodeString(sum)
	if err != nil {
		t.Fatal(err)
	}
	text := []byte(salt)
	for n := range int(most) + 1 {
		text = strconv.AppendInt(text[:len(salt)], int64(n), 10)
		if got := sha256.Sum256(text); bytes.Equal(got[:], want) {
			text, err := json.Marshal(map[string]any{"algorithm": c["algorithm"], "challenge": c["challenge"], "number": n, "salt": salt, "signature": c["signature"]})
			if err != nil {
				t.Fatal(err)
			}
			return base64.StdEncoding.EncodeToString(text)
		}
	}
	t.Fatalf("%v has no solution", c)
	return ""
}

// send posts a message from an address, with a solution if there is one.
func (b *browser) send(key, solution, addr string) answer {
	b.r.t.Helper()
	headers := []string{"Idempotency-Key", key, "X-Forwarded-For", addr}
	if solution != "" {
		headers = append(headers, "Relay-Challenge", solution)
	}
	return b.do("POST", "/v1/messages", `{"text":"hi"}`, headers...)
}

func accepted(t *testing.T, what string, a answer) {
	t.Helper()
	if a.status != http.StatusAccepted {
		t.Fatalf("%s: got %d %s, want 202", what, a.status, a.body)
	}
}

const home, elsewhere = "192.0.2.1", "198.51.100.1"

// challenging configures a relay to require challenges, and applies further changes.
func challenging(when relay.Challenge, change func(*relay.Config)) func(*relay.Config) {
	return func(c *relay.Config) {
		trusting("", "127.0.0.0/8", "::1/128")(c)
		c.Challenge = when
		if change != nil {
			change(c)
		}
	}
}

func TestChallenge_Always_EachNewSessionTakesASolution(t *testing.T) {
	t.Parallel()
	overStores(t, func(t *testing.T, share sharing) {
		t.Parallel()
		a, b := replicas(t, overHTTP1, share, challenging(relay.ChallengeAlways, nil), anyframetest.WithAgent(1, talk))
		v := a.visitor()
		there := &browser{b, v.token}
		first := challenged(t, "without a solution", v.send("k1", "", home))
		second := challenged(t, "nonsense", v.send("k1", "nonsense", home))
		if first == second {
			t.Error("got the same challenge twice, want a fresh one")
		}
		if n := a.plane.Count(anyframetest.OpCreate); n != 0 {
			t.Errorf("sessions created: got %d, want none", n)
		}
		want := there.send("k1", first, home) // another replica than the one that issued it
		accepted(t, "solved", want)
		for _, repeat := range []answer{v.send("k1", first, home), v.send("k1", "", home), there.send("k1", "nonsense", home)} {
			if repeat.body != want.body {
				t.Errorf("repeated: got %d %s, want %s", repeat.status, repeat.body, want.body)
			}
		}
		accepted(t, "more of the same session", v.send("k2", "", home))

		// The next session requires another solution.
		if end := v.do("DELETE", "/v1/session", ""); end.status != http.StatusNoContent {
			t.Fatalf("ended: got %d %s", end.status, end.body)
		}
		challenged(t, "used, at the same replica", there.send("k3", first, home))
		challenged(t, "used, at the other replica", v.send("k3", first, home))
		challenged(t, "another visitor's", a.visitor().send("k1", second, home))
		accepted(t, "one that was refused before others passed", v.send("k3", second, home))
		a.counts(map[string]float64{
			"relay_challenges_total result given site default":     6,
			"relay_challenges_total result missing site default":   1,
			"relay_challenges_total result malformed site default": 1,
			"relay_challenges_total result used site default":      1,
			"relay_challenges_total result foreign site default":   1,
			"relay_challenges_total result passed site default":    1,
			"relay_challenges_total result expired site default":   0,
		})
		b.counts(map[string]float64{"relay_challenges_total result passed site default": 1})
	})
}

func TestChallenge_Off_HeaderIgnored(t *testing.T) {
	t.Parallel()
	r := newHarness(t, challenging(relay.ChallengeOff, func(c *relay.Config) { c.RateSessions = rate(1, time.Hour) }), anyframetest.WithAgent(1, talk))
	accepted(t, "with nonsense", r.visitor().send("k1", "nonsense", home))
	refused(t, "a second", r.visitor().send("k1", "", home), 429, "session_quota")
}

func TestChallenge_AutoAndQuotaHalfUsed_WidensItFourfold(t *testing.T) {
	t.Parallel()
	disk := sqliteFile(t)
	r := newHarness(t, challenging(relay.ChallengeAuto, func(c *relay.Config) {
		disk(c)
		c.RateSessions = rate(4, time.Hour)
	}), anyframetest.WithAgent(1, talk))
	for i := range 2 {
		accepted(t, fmt.Sprint("new session ", i+1), r.visitor().send("k1", "", home))
	}
	for i := range 14 { // up to four times the quota, less those two
		v := r.visitor()
		solution := challenged(t, fmt.Sprint("new session ", i+3), v.send("k1", "", home))
		accepted(t, fmt.Sprint("new session ", i+3, ", solved"), v.send("k1", solution, home))
		if i == 5 {
			r.restart()
		}
	}
	v := r.visitor()
	solution := challenged(t, "a seventeenth", v.send("k1", "", home))
	a := v.send("k1", solution, home)
	refused(t, "a seventeenth, solved", a, 429, "session_quota")
	if a.header.Get("Retry-After") == "" {
		t.Error("got no Retry-After, want one")
	}
	challenged(t, "an eighteenth", r.visitor().send("k1", "", home)) // a refusal of others does not affect it
	accepted(t, "from elsewhere", r.visitor().send("k1", "", elsewhere))
	r.counts(map[string]float64{"relay_challenges_total result passed site default": 8}) // since the restart: the last one was not used up
}

// A solution sent with a refused message can be used again.
func TestChallenge_RefusedForAnotherReason_SolutionKept(t *testing.T) {
	t.Parallel()
	awayFromMidnight(t)
	r := newHarness(t, challenging(relay.ChallengeAlways, func(c *relay.Config) {
		c.RateSessions, c.RateMessages, c.SessionsPerDay, c.MaxSessions = rate(1, time.Hour), rate(2, time.Hour), 6, 5
	}), anyframetest.WithAgent(1, talk))
	for i := range 4 {
		v := r.visitor()
		accepted(t, fmt.Sprint("new session ", i+1), v.send("k1", challenged(t, "asked", v.send("k1", "", home)), home))
	}
	v := r.visitor()
	solution := challenged(t, "asked", v.send("k1", "", home))
	for range 3 { // a refused message is not counted either
		refused(t, "the address", v.send("k1", solution, home), 429, "session_quota")
	}
	r.srv.CloseHub()
	refused(t, "draining", v.send("k1", solution, elsewhere), 503, "draining")
}

func TestChallenge_RoomOrBudgetFourFifthsUsed_Asks(t *testing.T) {
	t.Parallel()
	awayFromMidnight(t)
	for name, tt := range map[string]struct {
		change func(*relay.Config)
		free   int // new sessions before a challenge
	}{
		"sessions of the day": {func(c *relay.Config) { c.SessionsPerDay = 5 }, 4},
		"turns of the day":    {func(c *relay.Config) { c.TurnsPerDay = 5 }, 4},
		"sandboxes awake":     {func(c *relay.Config) { c.MaxSessions = 5 }, 4},
		"the only one":        {func(c *relay.Config) { c.SessionsPerDay = 1 }, 1},
		"addresses not limited": {func(c *relay.Config) {
			c.RateSessions, c.SessionsPerDay, c.TurnsPerDay, c.MaxSessions = nil, 0, 0, 100
		}, 20},
		"per day": {func(c *relay.Config) { c.RateSessions = relay.Rates{{Limit: 5, Window: relay.Day}} }, 3},
		"the shortest of a list": {func(c *relay.Config) {
			c.RateSessions = relay.Rates{{Limit: 100, Window: time.Hour}, {Limit: 3, Window: relay.Day}}
		}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newHarness(t, challenging(relay.ChallengeAuto, func(c *relay.Config) {
				c.RateSessions = rate(1000, time.Hour)
				tt.change(c)
			}), anyframetest.WithAgent(1, talk))
			for i := range tt.free {
				accepted(t, fmt.Sprint("new session ", i+1), r.visitor().send("k1", "", home))
			}
			if tt.free == 20 {
				return
			}
			v := r.visitor()
			solution := challenged(t, "one more", v.send("k1", "", home))
			if tt.free == 1 {
				refused(t, "one more, solved", v.send("k1", solution, home), 503, "at_capacity")
				return
			}
			accepted(t, "one more, solved", v.send("k1", solution, home))
		})
	}
}

// At once, only as many begin as may without a challenge; the others get one, and succeed
// with its solution.
func TestChallenge_AutoAndManyAtOnce_HalfAreFree(t *testing.T) {
	t.Parallel()
	r := newHarness(t, challenging(relay.ChallengeAuto, func(c *relay.Config) { c.RateSessions = rate(8, time.Hour) }), anyframetest.WithAgent(1, talk))
	r.plane.Inject(anyframetest.Fault{Kind: anyframetest.Late, Op: anyframetest.OpCreate, Delay: 100 * time.Millisecond})
	var wg sync.WaitGroup
	answers := make([]answer, 20)
	visitors := make([]*browser, 20)
	for i := range answers {
		visitors[i] = r.visitor()
		wg.Go(func() { answers[i] = visitors[i].send("k1", "", home) })
	}
	wg.Wait()
	free := 0
	for i, a := range answers {
		if a.status == http.StatusAccepted {
			free++
			continue
		}
		accepted(t, "solved", visitors[i].send("k1", challenged(t, "asked", a), home))
	}
	if n := r.plane.Count(anyframetest.OpCreate); free != 4 || n != 20 {
		t.Errorf("got %d free and %d sessions, want 4 and 20", free, n)
	}
}

func TestChallenge_SandboxBoots_RepeatsPassWithOrWithoutIt(t *testing.T) {
	t.Parallel()
	disk := sqliteFile(t)
	r := newHarness(t, challenging(relay.ChallengeAlways, disk), anyframetest.WithAgent(1, talk))
	v := r.visitor()
	solution := challenged(t, "asked", v.send("k1", "", home))
	r.plane.Inject(anyframetest.Fault{Kind: anyframetest.Respond, Op: anyframetest.OpCreate, Status: http.StatusUnprocessableEntity})
	for _, s := range []string{solution, "", "nonsense", solution} {
		if a := v.send("k1", s, home); a.status != http.StatusBadGateway {
			t.Errorf("no sandbox can be made: got %d %s, want 502", a.status, a.body)
		}
	}
	challenged(t, "the same solution for another turn", v.send("k2", solution, home))
	r.plane.ClearFaults()
	r.restart()
	accepted(t, "afterwards, without it", v.send("k1", "", home))
	if n := len(v.turns(t)); n != 1 {
		t.Errorf("got %d turns, want 1", n)
	}
}

// turns returns the visitor's messages in its transcript.
func (b *browser) turns(t *testing.T) (all []any) {
	t.Helper()
	a := b.do("GET", "/v1/transcript", "")
	events, _ := a.json["events"].([]any)
	for _, e := range events {
		if e, _ := e.(map[string]any); e["event"] == "user" {
			all = append(all, e)
		}
	}
	return all
}

// If AnyFrame has lost a session, the next message needs a new one, which is only
// detected during the wake.
func TestChallenge_SessionLost_NextOneTakesASolution(t *testing.T) {
	t.Parallel()
	r := newHarness(t, challenging(relay.ChallengeAlways, nil), anyframetest.WithAgent(1, talk))
	v := r.visitor()
	accepted(t, "solved", v.send("k1", challenged(t, "asked", v.send("k1", "", home)), home))
	r.plane.Delete(r.upstream())
	solution := challenged(t, "asked again", v.send("k2", "", home))
	a := v.send("k2", solution, home)
	accepted(t, "solved again", a)
	if a.json["epoch"] != 2.0 {
		t.Errorf("got %s, want epoch 2", a.body)
	}
	if n := r.plane.Count(anyframetest.OpCreate); n != 2 {
		t.Errorf("sessions created: got %d, want 2", n)
	}
}

func TestChallenge_BootOnOpen_AskedToo(t *testing.T) {
	t.Parallel()
	r := newHarness(t, challenging(relay.ChallengeAlways, func(c *relay.Config) { c.BootOnOpen = true }), anyframetest.WithAgent(1, talk))
	v := r.visitor()
	solution := challenged(t, "asked", v.do("POST", "/v1/session", ""))
	if a := v.do("POST", "/v1/session", "", "Relay-Challenge", solution); a.status != 202 && a.status != 200 {
		t.Fatalf("solved: got %d %s, want 202", a.status, a.body)
	}
	accepted(t, "a message then", v.send("k1", "", home))
	if end := v.do("DELETE", "/v1/session", ""); end.status != http.StatusNoContent {
		t.Fatalf("ended: got %d %s", end.status, end.body)
	}
	challenged(t, "used", v.do("POST", "/v1/session", "", "Relay-Challenge", solution))
	challenged(t, "used, for a message", v.send("k2", solution, home))

	// If nothing boots on opening, opening requires no challenge.
	lazy := newHarness(t, challenging(relay.ChallengeAlways, nil), anyframetest.WithAgent(1, talk))
	if a := lazy.visitor().do("POST", "/v1/session", ""); a.status != http.StatusOK {
		t.Errorf("nothing to boot: got %d %s, want 200", a.status, a.body)
	}
}

// A browser can solve the challenge of its first message while the visitor writes it.
func TestChallenge_Introduction_HasItAheadOfTheFirstMessage(t *testing.T) {
	t.Parallel()
	ahead := func(b *browser) map[string]any {
		a := b.do("POST", "/v1/visitor", `{"carrier":"bearer"}`, "X-Forwarded-For", home)
		c, _ := a.json["challenge"].(map[string]any)
		if a.status != http.StatusOK || c == nil != (a.json["challenge"] == nil) {
			t.Fatalf("introduced: got %d %s", a.status, a.body)
		}
		return c
	}
	r := newHarness(t, challenging(relay.ChallengeAlways, nil), anyframetest.WithAgent(1, talk))
	v := r.visitor()
	asked := ahead(v)
	if asked == nil {
		t.Fatal("got no challenge, want one for a visitor without a session")
	}
	accepted(t, "solved ahead", v.send("k1", solve(t, asked), home))
	if c := ahead(v); c != nil {
		t.Errorf("with a session: got %v, want no challenge", c)
	}
	if a := v.do("DELETE", "/v1/session", ""); a.status != http.StatusNoContent {
		t.Fatalf("ended: got %d %s", a.status, a.body)
	}
	accepted(t, "solved ahead, again", v.send("k2", solve(t, ahead(v)), home))

	auto := newHarness(t, challenging(relay.ChallengeAuto, func(c *relay.Config) { c.RateSessions = rate(2, time.Hour) }), anyframetest.WithAgent(1, talk))
	v, w := auto.visitor(), auto.visitor()
	if c := ahead(v); c != nil {
		t.Errorf("nothing is short: got %v, want no challenge", c)
	}
	accepted(t, "free", v.send("k1", "", home))
	accepted(t, "solved ahead", w.send("k1", solve(t, ahead(w)), home))
	off := newHarness(t, challenging(relay.ChallengeOff, nil), anyframetest.WithAgent(1, talk))
	if c := ahead(off.visitor()); c != nil {
		t.Errorf("off: got %v, want no challenge", c)
	}
}

func TestChallenge_OrderOfRefusals_AfterRateAndBudget(t *testing.T) {
	t.Parallel()
	awayFromMidnight(t)
	r := newHarness(t, challenging(relay.ChallengeAlways, func(c *relay.Config) { c.TurnsPerDay = 1 }), anyframetest.WithAgent(1, talk))
	v, w := r.visitor(), r.visitor()
	solution := challenged(t, "asked", w.send("k1", "", home))
	accepted(t, "solved", v.send("k1", challenged(t, "asked", v.send("k1", "", home)), home))
	refused(t, "the budget first", w.send("k1", "", home), 429, "turn_budget")
	refused(t, "the budget first, solved", w.send("k1", solution, home), 429, "turn_budget")

	limited := newHarness(t, challenging(relay.ChallengeAlways, func(c *relay.Config) { c.RateMessages = rate(1, time.Hour) }), anyframetest.WithAgent(1, talk))
	v = limited.visitor()
	for range 3 { // asking for a challenge costs no message
		solution = challenged(t, "asked", v.send("k1", "", home))
	}
	accepted(t, "solved", v.send("k1", solution, home))
	if a := v.do("DELETE", "/v1/session", ""); a.status != http.StatusNoContent {
		t.Fatalf("ended: got %d %s", a.status, a.body)
	}
	refused(t, "the rate first", v.send("k2", "", home), 429, "rate_limited")
}

func TestChallenge_Reload_CountsAtOnce(t *testing.T) {
	t.Parallel()
	r := newHarness(t, challenging(relay.ChallengeOff, nil), anyframetest.WithAgent(1, talk))
	v, w := r.visitor(), r.visitor()
	accepted(t, "off", v.send("k1", "", home))
	r.reload(func(c *relay.Config) { c.Challenge = relay.ChallengeAlways })
	accepted(t, "a session that there is", v.send("k2", "", home))
	solution := challenged(t, "always", w.send("k1", "", home))
	r.reload(func(c *relay.Config) { c.Challenge, c.Look.Title = relay.ChallengeAlways, "Anew" })
	accepted(t, "solved before the settings were read again", w.send("k1", solution, home))
	r.reload(func(*relay.Config) {})
	accepted(t, "off again", r.visitor().send("k1", "", home))
}

// A solution of one site is invalid on another, even if both have the same key and
// visitor.
func TestSites_SolutionOfOneSite_IsForeignToTheOthers(t *testing.T) {
	t.Parallel()
	r := newHarness(t, challenging(relay.ChallengeAlways, func(c *relay.Config) {
		c.IdentityKey = siteSecret
		withSites(map[string]func(*relay.Config){"a": nil, "b": nil, "free": func(c *relay.Config) { c.Challenge = relay.ChallengeOff }})(c)
	}), anyframetest.WithAgent(1, talk))
	sites := []string{"", "a", "b"}
	visitors, solutions := map[string]*browser{}, map[string]string{}
	post := func(site, key, solution string) answer {
		return visitors[site].do("POST", at(site, "/v1/messages"), `{"text":"hi"}`, "Idempotency-Key", key, "Relay-Challenge", solution)
	}
	for _, site := range append(sites, "free") {
		a := (&browser{r: r}).do("POST", at(site, "/v1/visitor"), introduction(signIn(t, of("ann"))))
		visitors[site] = &browser{r, a.token()}
	}
	for _, site := range sites {
		solutions[site] = challenged(t, site, post(site, "k1", ""))
	}
	for _, own := range sites {
		for _, other := range sites {
			if own != other {
				challenged(t, fmt.Sprintf("the solution of %q at %q", own, other), post(other, "k1", solutions[own]))
			}
		}
	}
	for _, site := range sites {
		accepted(t, "its own, at "+site, post(site, "k1", solutions[site]))
		label := site
		if label == "" {
			label = "default"
		}
		r.counts(map[string]float64{
			"relay_challenges_total result foreign site " + label: 2,
			"relay_challenges_total result passed site " + label:  1,
		})
	}
	accepted(t, "where none is asked for", post("free", "k1", "nonsense"))
}
