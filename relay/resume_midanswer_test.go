package relay_test

import (
	"slices"
	"testing"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
)

// A browser that reconnects in the middle of an answer shows it whole and once.
func TestResume_MidAnswer_AnswerShownOnce(t *testing.T) {
	overTransports(t, func(t *testing.T, via transport) {
		between := map[string]func(*harness){
			"nothing happens":    func(*harness) {},
			"the relay restarts": (*harness).restart,
			"the stream is cut":  func(r *harness) { r.plane.CutStreams() },
			"AnyFrame is not there": func(r *harness) {
				r.plane.Down()
				r.up()
			},
		}
		for name, opts := range numberings {
			for echo, more := range map[string][]anyframetest.Option{"": nil, ", no messages": {anyframetest.WithoutUserEcho()}} {
				for what, happens := range between {
					t.Run(name+echo+", "+what, func(t *testing.T) {
						t.Parallel()
						g := gated{make(chan struct{}), len(opts) > 0}
						disk := sqliteFile(t)
						r := via.newHarness(t, disk, slices.Concat(opts, more, []anyframetest.Option{anyframetest.WithAgent(1, g.speak)})...)
						v := r.visitor()
						first, stays := v.open(""), v.open("")
						v.say("before", "k1")
						first.turnEnds(1)
						v.say("now", "k2")
						seen := first.until("half the answer", func(es []event) bool {
							a := answers(es)
							return len(a) == 2 && a[1] == firstHalf
						})
						stays.until("half the answer", func(es []event) bool { a := answers(es); return len(a) == 2 && a[1] == firstHalf })
						first.close()
						id := r.upstream()
						happens(r)
						at := slices.IndexFunc(seen, func(e event) bool { return e.id == numbered(seen)[len(numbered(seen))-1].id })
						kept := seen[:at+1]
						back := v.open(seen[at].id)
						r.plane.WaitFor(t, func() bool { return r.plane.OpenStreams(id) == 1 })
						close(g.gate)
						back.turnEnds(1)
						want := r.oracle(1, id)
						whole := append(slices.Clone(kept), back.all()...)
						if more == nil { // otherwise the visitor's own messages have no number on a live stream
							same(t, "returned", numbered(whole), want)
						}
						wantAnswers(t, "returned", whole, "Before.", firstHalf+secondHalf)
						wantAnswers(t, "from the start", v.open("").turnEnds(2), "Before.", firstHalf+secondHalf)
						if what != "the relay restarts" {
							wantAnswers(t, "stayed", stays.turnEnds(2), "Before.", firstHalf+secondHalf)
						}
						for who, es := range map[string][]event{"returned": whole, "from the start": v.open("").turnEnds(2)} {
							if n := count(es, "user"); n != 2 {
								t.Errorf("%s: got %d messages of the visitor, want 2\n%s", who, n, lines(es))
							}
						}
					})
				}
			}
		}
	})
}

// A browser may have seen later events than a relay that has just restarted. It still
// gets unnumbered events.
func TestResume_AheadOfRestartedRelay_GetsUnnumberedEvents(t *testing.T) {
	overTransports(t, func(t *testing.T, via transport) {
		g := gated{gate: make(chan struct{})}
		disk := sqliteFile(t)
		r := via.newHarness(t, disk, anyframetest.WithAgent(1, g.speak))
		v := r.visitor()
		x := v.open("")
		v.say("now", "k1")
		seen := numbered(x.until("half the answer", func(es []event) bool { return slices.Equal(answers(es), []string{firstHalf}) }))
		r.restart()
		x = v.open(seen[len(seen)-1].id)
		id := r.upstream()
		r.plane.WaitFor(t, func() bool { return r.plane.OpenStreams(id) == 1 })
		shown := r.oracle(1, id)
		last := shown[len(shown)-1].id
		eventually(t, "caught up", func() bool {
			a := v.do("GET", "/v1/session", "")
			return a.json["last_event_id"] == last && a.json["agent_busy"] == true
		})
		r.plane.Sleep(id)
		es := x.turnEnds(1)
		end := slices.IndexFunc(es, func(e event) bool { return e.kind == "turn_end" }) // the sleeping status may also follow immediately
		if got := es[end].str("reason"); got != "interrupted" {
			t.Errorf("turn end: got %q, want interrupted", got)
		}
		if got := numbered(es); got != nil {
			t.Errorf("numbered events: got\n%swant none", lines(got))
		}
	})
}
