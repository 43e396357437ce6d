package relay_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
)

// used is a row of GET /api/usage.
type used struct {
	Date, Site      string
	Turns, Sessions int
	Feedback        struct{ Up, Down int }
}

func (r *harness) usage() []used {
	r.t.Helper()
	var out struct{ Days []used }
	if err := json.Unmarshal([]byte(r.operates("GET", "/api/usage", "").body), &out); err != nil {
		r.t.Fatal(err)
	}
	return out.Days
}

func TestUsage_TwoReplicasAndSites_CountedTogether(t *testing.T) {
	t.Parallel()
	overStores(t, func(t *testing.T, share sharing) {
		t.Parallel()
		settings := func(c *relay.Config) {
			c.Feedback = true
			withSites(map[string]func(*relay.Config){"shop": nil})(c)
		}
		a, b := replicas(t, overHTTP1, share, settings, anyframetest.WithAgent(1, speak))
		today := time.Now().UTC().Format(time.DateOnly)
		want := []used{{Date: today, Site: "default"}, {Date: today, Site: "shop"}}
		if got := b.usage(); !slices.Equal(got, want) {
			t.Errorf("before the first turn: got %+v, want zeros", got)
		}
		v := a.visitor()
		x := v.open("")
		v.say("one", "k1")
		x.turnEnds(1)
		v.say("one", "k1") // the same turn
		v.at(b).say("two", "k2")
		x.turnEnds(2)
		a.visitorOf("shop").sayAt("shop", "hi", "k1")
		for _, rating := range []string{`"up"`, `"up"`, `"down"`, `null`, `"up"`} {
			if got := v.do("POST", "/v1/feedback", `{"turn":"k1","rating":`+rating+`}`); got.status != http.StatusAccepted {
				t.Fatalf("feedback: got %d %s", got.status, got.body)
			}
		}
		v.do("POST", "/v1/feedback", `{"turn":"k2","rating":"down"}`)
		want[0].Turns, want[0].Sessions, want[0].Feedback.Up, want[0].Feedback.Down = 2, 1, 1, 1
		want[1].Turns, want[1].Sessions = 1, 1
		for name, r := range map[string]*harness{"here": a, "elsewhere": b} {
			if got := r.usage(); !slices.Equal(got, want) && time.Now().UTC().Format(time.DateOnly) == today {
				t.Errorf("%s: got %+v, want %+v", name, got, want)
			}
		}
	})
}

func TestUsage_TurnThatAnyFrameRefuses_NotCounted(t *testing.T) {
	t.Parallel()
	r := newHarness(t, nil, anyframetest.WithAgent(1, speak))
	v, _ := r.begin("hello")
	before := r.usage()[0].Turns
	r.plane.Inject(anyframetest.Fault{Kind: anyframetest.Respond, Op: anyframetest.OpMessage, Status: http.StatusUnprocessableEntity})
	if got := v.do("POST", "/v1/messages", `{"text":"no"}`); got.status/100 == 2 {
		t.Fatalf("got %d, want the turn refused", got.status)
	}
	if got := r.usage()[0]; got.Turns != before || got.Sessions != 1 {
		t.Errorf("got %+v, want %d turns and one session", got, before)
	}
}

func TestUsage_WithoutToken_Refused(t *testing.T) {
	t.Parallel()
	d := newOffline(t, withTokens)
	refused(t, "no token", d.admin("GET", "/api/usage", ""), http.StatusUnauthorized, "admin_unauthorized")
	refused(t, "another method", d.admin("POST", "/api/usage", "", "Authorization", "Bearer "+adminToken), http.StatusMethodNotAllowed, "method_not_allowed")
}
