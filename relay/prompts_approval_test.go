package relay_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
)

// Without approvals, visitors do not see what the agent requests permission for.
func TestPrompt_ApprovalsOff_PermissionNotShown(t *testing.T) {
	t.Parallel()
	r := newHarness(t, nil, anyframetest.WithAgent(1, asks))
	v := r.visitor()
	x := v.open("")
	v.say("permit", "k1")
	es := x.until("approval", func(es []event) bool { return count(es, "approval") == 1 })
	if got := latest(es, "approval").data; got != `{"id":null}` {
		t.Errorf("approval: got %s, want only that there is one", got)
	}
	for _, id := range []string{"p1-2", "nonsense"} {
		for _, decision := range []string{"approve", "deny"} {
			wantProblem(t, decision+" "+id, v.decide(id, decision), http.StatusForbidden, "approvals_off")
		}
	}
	if got := r.plane.Count(anyframetest.OpRespond); got != 0 {
		t.Errorf("answers that AnyFrame got: got %d, want none", got)
	}
	r.plane.Answer(r.upstream(), "approve")
	wantAnswers(t, "live", x.turnEnds(1), "Permitted: true")
	wantOutcomes(t, "live", x.all())
}

func TestPrompt_ApprovalsOn_VisitorDecides(t *testing.T) {
	for decision, outcome := range map[string]string{"approve": "approved", "deny": "denied"} {
		t.Run(decision, func(t *testing.T) {
			t.Parallel()
			r := newHarness(t, func(c *relay.Config) { c.VisitorApprovals = true }, anyframetest.WithAgent(1, asks))
			v := r.visitor()
			x := v.open("")
			v.say("permit", "k1")
			id := x.prompt("approval")
			asked := latest(x.all(), "approval")
			if asked.str("tool") != "Bash" || fmt.Sprint(asked.json["input"]) != "map[command:ls]" {
				t.Errorf("approval: got %s, want the tool and its input", asked.data)
			}
			wantProblem(t, "an unknown id", v.decide("p1-999", decision), http.StatusNotFound, "prompt_unknown")
			wantProblem(t, "an answer to an approval", v.respond(id, "red"), http.StatusNotFound, "prompt_unknown")
			if a := v.decide(id, decision); a.status != http.StatusAccepted {
				t.Errorf("decision: got %d %s, want 202", a.status, a.body)
			}
			other := map[string]string{"approve": "deny", "deny": "approve"}[decision]
			wantProblem(t, "another decision", v.decide(id, other), http.StatusConflict, "prompt_settled")
			wantAnswers(t, "live", x.settles(), fmt.Sprint("Permitted: ", decision == "approve"))
			wantOutcomes(t, "live", x.all(), id+" "+outcome)
			wantOutcomes(t, "later", v.open("").settles(), id+" "+outcome)
		})
	}
}
