package relay_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
)

// An answer that may not have arrived does not settle the prompt.
func TestPrompt_AnswerOutcomeUnknown_NotSettled(t *testing.T) {
	t.Parallel()
	r := newHarness(t, nil, anyframetest.WithAgent(1, func(c *anyframetest.Chat) { c.Say("You chose " + c.Ask("Which?", "red", "green")) }))
	v := r.visitor()
	x := v.open("")
	v.say("hi", "a")
	id := x.prompt("question")
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

// prompt waits for a prompt of a kind and returns its id.
func (x *stream) prompt(kind string) string {
	x.t.Helper()
	es := x.until(kind, func(es []event) bool { return count(es, kind) > 0 })
	return es[slices.IndexFunc(es, func(e event) bool { return e.kind == kind })].str("id")
}

func (b *browser) respond(id, answer string) answer {
	b.r.t.Helper()
	return b.do("POST", "/v1/responses", fmt.Sprintf(`{"id":%s,"answer":%s}`, quote(id), quote(answer)))
}

func (b *browser) decide(id, decision string) answer {
	b.r.t.Helper()
	return b.do("POST", "/v1/responses", fmt.Sprintf(`{"id":%s,"decision":%s}`, quote(id), quote(decision)))
}

// outcomes returns the outcomes of settled prompts on a stream.
func outcomes(events []event) []string {
	var all []string
	for _, e := range events {
		if e.kind == "settled" {
			all = append(all, e.str("id")+" "+e.str("outcome"))
		}
	}
	return all
}

// settles waits for the end of the turn and for a prompt to be settled, which may come
// slightly later.
func (x *stream) settles() []event {
	x.t.Helper()
	return x.until("the turn's end and the prompt's", func(es []event) bool {
		return count(es, "turn_end") > 0 && count(es, "settled") > 0
	})
}

func wantOutcomes(t *testing.T, what string, es []event, want ...string) {
	t.Helper()
	if got := outcomes(es); !slices.Equal(got, want) {
		t.Errorf("%s: settled: got %q, want %q", what, got, want)
	}
}

func TestPrompt_Answered_SettledOnEveryTab(t *testing.T) {
	t.Parallel()
	disk := sqliteFile(t)
	r := newHarness(t, disk, anyframetest.WithAgent(1, asks))
	v := r.visitor()
	x, y := v.open(""), v.open("")
	v.say("ask", "k1")
	id := x.prompt("question")
	for _, secret := range r.plane.Secrets() {
		if strings.Contains(id, secret) {
			t.Errorf("prompt id: got %q, AnyFrame's own", id)
		}
	}
	wantProblem(t, "an unknown id", v.respond("p1-999", "red"), http.StatusNotFound, "prompt_unknown")
	wantProblem(t, "a decision on a question", v.decide(id, "approve"), http.StatusForbidden, "approvals_off")
	if a := v.respond(id, "red"); a.status != http.StatusAccepted || strings.TrimSpace(a.body) != "{}" {
		t.Errorf("answer: got %d %s, want 202 {}", a.status, a.body)
	}
	repeated := func(when string) {
		if a := v.respond(id, "red"); a.status != http.StatusAccepted {
			t.Errorf("the same answer %s: got %d %s, want 202 as before", when, a.status, a.body)
		}
	}
	repeated("again")
	wantProblem(t, "another answer", v.respond(id, "green"), http.StatusConflict, "prompt_settled")
	for name, x := range map[string]*stream{"asked": x, "watched": y, "came later": v.open("")} {
		es := x.settles()
		wantOutcomes(t, name, es, id+" answered")
		wantAnswers(t, name, es, "You chose red.")
		same(t, name, numbered(es), r.oracle(1, r.upstream()))
	}
	r.restart()
	repeated("after a restart")
	wantProblem(t, "after a restart", v.respond(id, "green"), http.StatusConflict, "prompt_settled")
	wantOutcomes(t, "after a restart", v.open("").settles(), id+" answered")
	if got := r.plane.Count(anyframetest.OpRespond); got != 1 {
		t.Errorf("answers that AnyFrame got: got %d, want 1", got)
	}
}

func TestPrompt_OfPreviousEpoch_Unknown(t *testing.T) {
	t.Parallel()
	r := newHarness(t, func(c *relay.Config) { c.VisitorApprovals = true }, anyframetest.WithAgent(1, asks))
	v := r.visitor()
	for kind, text := range map[string]string{"question": "ask", "approval": "permit"} {
		x := v.open("")
		v.say(text, kind+"1")
		old := x.prompt(kind)
		if a := v.do("DELETE", "/v1/session", ""); a.status != http.StatusNoContent {
			t.Fatalf("ended: got %d %s, want 204", a.status, a.body)
		}
		x.close()
		v.say(text, kind+"2")
		x = v.open("")
		x.prompt(kind)
		before := r.plane.Count(anyframetest.OpRespond)
		refused(t, "the old "+kind+", answered", v.respond(old, "red"), 404, "prompt_unknown")
		refused(t, "the old "+kind+", approved", v.decide(old, "approve"), 404, "prompt_unknown")
		if n := r.plane.Count(anyframetest.OpRespond) - before; n != 0 {
			t.Errorf("%s: got %d answers at AnyFrame, want none", kind, n)
		}
		x.close()
		v.do("DELETE", "/v1/session", "")
	}
}

func TestPrompt_AnswersAtOnce_OneCounts(t *testing.T) {
	t.Parallel()
	r := newHarness(t, nil, anyframetest.WithAgent(1, asks))
	v := r.visitor()
	x := v.open("")
	v.say("ask", "k1")
	id := x.prompt("question")
	var mu sync.Mutex
	var taken []string
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Go(func() {
			choice := fmt.Sprint("choice ", i)
			switch a := v.respond(id, choice); {
			case a.status == http.StatusAccepted:
				mu.Lock()
				taken = append(taken, choice)
				mu.Unlock()
			case a.code() != "prompt_settled":
				t.Errorf("got %d %s, want 202 or prompt_settled", a.status, a.body)
			}
		})
	}
	wg.Wait()
	if len(taken) != 1 {
		t.Fatalf("accepted: got %q, want one", taken)
	}
	wantAnswers(t, "live", x.settles(), "You chose "+taken[0]+".")
	wantOutcomes(t, "live", x.all(), id+" answered")
	if got := r.plane.Count(anyframetest.OpRespond); got != 1 {
		t.Errorf("answers that AnyFrame got: got %d, want 1", got)
	}
}

// An answer that may have arrived is not sent twice.
func TestPrompt_AnswerOutcomeUnknown_ArrivesOnce(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault  anyframetest.Fault
		status int // of the first response
	}{
		"lost on the way back": {anyframetest.Fault{Kind: anyframetest.LoseAnswer}, 202},
		"answered too late":    {anyframetest.Fault{Kind: anyframetest.HangAfterHeaders}, 202},
		"refused by a proxy":   {anyframetest.Fault{Kind: anyframetest.Respond, Status: 502}, 502},
		"never answered":       {anyframetest.Fault{Kind: anyframetest.Hang}, 504},
		"not taken":            {anyframetest.Fault{Kind: anyframetest.Respond, Status: 429, RetryAfter: "50"}, 503},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newHarness(t, func(c *relay.Config) { c.UpstreamTimeout = impatience }, anyframetest.WithAgent(1, asks))
			v := r.visitor()
			x := v.open("")
			v.say("ask", "k1")
			id := x.prompt("question")
			c.fault.Op, c.fault.Times = anyframetest.OpRespond, 1
			r.plane.Inject(c.fault)
			if a := v.respond(id, "red"); a.status != c.status {
				t.Errorf("answer: got %d %s, want %d", a.status, a.body, c.status)
			}
			outcome := "answered"
			switch c.status {
			case 202:
			case 503: // AnyFrame refused it, so it may be sent again
				if a := v.respond(id, "red"); a.status != 202 {
					t.Errorf("again: got %d %s, want 202", a.status, a.body)
				}
			default: // it may have arrived, so no other tab may answer for now
				wantProblem(t, "again", v.respond(id, "red"), http.StatusBadGateway, "upstream_failed")
				if !r.plane.Answer(r.upstream(), "red") {
					t.Fatal("the prompt is not open")
				}
			}
			wantAnswers(t, "live", x.settles(), "You chose red.")
			wantOutcomes(t, "live", x.all(), id+" "+outcome)
			wantOutcomes(t, "later", v.open("").settles(), id+" "+outcome)
		})
	}
}

func TestPrompt_AnsweredByOperator_SettledElsewhere(t *testing.T) {
	t.Parallel()
	for _, restarted := range []bool{false, true} {
		t.Run(fmt.Sprint("restarted ", restarted), func(t *testing.T) {
			t.Parallel()
			disk := sqliteFile(t)
			r := newHarness(t, disk, anyframetest.WithAgent(1, asks))
			v := r.visitor()
			x := v.open("")
			v.say("ask", "k1")
			id := x.prompt("question")
			if restarted {
				r.restart()
				x = v.open("")
				x.prompt("question")
			}
			r.plane.Answer(r.upstream(), "blue")
			for name, x := range map[string]*stream{"live": x, "later": v.open("")} {
				wantAnswers(t, name, x.settles(), "You chose blue.")
				wantOutcomes(t, name, x.all(), id+" elsewhere")
			}
			wantProblem(t, "too late", v.respond(id, "red"), http.StatusConflict, "prompt_settled")
		})
	}
}
