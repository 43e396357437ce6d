package relay_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
)

func TestFaults_TurnBeganWhileStreamDown_ShownOnce(t *testing.T) {
	overTransports(t, func(t *testing.T, via transport) {
		g := gated{make(chan struct{}), true}
		r := via.newHarness(t, nil, anyframetest.WithAgent(1, g.speak))
		v := r.visitor()
		x := v.open("")
		v.say("before", "k1")
		x.turnEnds(1)
		id := r.upstream()
		r.plane.Inject(anyframetest.Fault{Kind: anyframetest.Refuse, Op: anyframetest.OpEvents})
		r.plane.CutStreams()
		r.plane.WaitFor(t, func() bool { return r.plane.FaultsHit() > 0 })
		r.plane.UserMessage(id, "from the console") // no relay receives its first half
		r.plane.WaitFor(t, func() bool { s, _ := r.plane.Session(id); return s.Busy })
		r.plane.ClearFaults()
		r.plane.WaitFor(t, func() bool { return r.plane.OpenStreams(id) == 1 })
		close(g.gate)
		x.turnEnds(2)
		wantAnswers(t, "live", x.matches("live", r.oracle(1, id)), "Before.", firstHalf+secondHalf)
	})
}

func TestStream_LongUnnumberedAnswerWithSmallBuffer_ShownWhole(t *testing.T) {
	overTransports(t, func(t *testing.T, via transport) {
		text := strings.Repeat("word ", 400)
		for name, keep := range map[string]func(*relay.Config){
			"few events": func(c *relay.Config) { c.ReplayEvents = 7 },
			"few bytes":  func(c *relay.Config) { c.ReplayBytes = 1000 },
			"hardly any": func(c *relay.Config) { c.ReplayBytes = 50 },
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				r := via.newHarness(t, keep, anyframetest.WithUnnumberedDeltas(), anyframetest.WithAgent(1, func(c *anyframetest.Chat) {
					c.Say("Short.")
					c.Say(text)
				}))
				v := r.visitor()
				x, y := v.open(""), v.open("")
				v.say("go on", "k1")
				for _, x := range []*stream{x, y, v.open("")} {
					es := x.until("the end", func(es []event) bool {
						at := slices.IndexFunc(es, func(e event) bool { return e.kind == "turn_end" })
						return at >= 0 && !slices.ContainsFunc(es[at:], func(e event) bool { return e.kind == "reset" })
					})
					wantAnswers(t, "shown", es, "Short."+text)
				}
			})
		}
	})
}

func TestFaults_DeltasWhileStreamDown_NotMissingFromMiddle(t *testing.T) {
	overTransports(t, func(t *testing.T, via transport) {
		for name, opts := range map[string][]anyframetest.Option{"": nil, "no messages": {anyframetest.WithoutUserEcho()}} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				gates := [2]chan struct{}{make(chan struct{}), make(chan struct{})}
				lost := make(chan struct{})
				parts := []string{"One ", "two ", "three."}
				r := via.newHarness(t, nil, append(opts, anyframetest.WithAgent(1, func(c *anyframetest.Chat) {
					if c.Prompt() == "before" {
						return
					}
					for i, part := range parts {
						c.EmitUnnumbered(textPayload(part, true))
						if i == 1 {
							close(lost)
						}
						if i < len(gates) {
							select {
							case <-gates[i]:
							case <-c.Context().Done():
								return
							}
						}
					}
					c.Emit(textPayload(strings.Join(parts, ""), false))
				}))...)
				v := r.visitor()
				x := v.open("")
				v.say("before", "k1")
				x.turnEnds(1)
				v.say("now", "k2")
				x.until("the first word", func(es []event) bool { return slices.Contains(answers(es), parts[0]) })
				id := r.upstream()
				r.plane.Inject(anyframetest.Fault{Kind: anyframetest.Refuse, Op: anyframetest.OpEvents})
				r.plane.CutStreams()
				r.plane.WaitFor(t, func() bool { return r.plane.FaultsHit() > 0 })
				close(gates[0]) // no relay receives the second word
				<-lost
				r.plane.ClearFaults()
				r.plane.WaitFor(t, func() bool { return r.plane.OpenStreams(id) == 1 })
				close(gates[1])
				wantAnswers(t, "live", x.turnEnds(2), "", strings.Join(parts, ""))
			})
		}
	})
}

func TestFaults_AnswerAfterTornOne_ComesInDeltas(t *testing.T) {
	overTransports(t, func(t *testing.T, via transport) {
		g := gated{make(chan struct{}), true}
		r := via.newHarness(t, nil, anyframetest.WithAgent(1, g.speak))
		v := r.visitor()
		x := v.open("")
		v.say("now", "k1")
		x.until("half the answer", func(es []event) bool { return slices.Equal(answers(es), []string{firstHalf}) })
		id := r.upstream()
		r.plane.CutStreams()
		r.plane.WaitFor(t, func() bool { return r.plane.OpenStreams(id) == 1 && r.plane.Count(anyframetest.OpEvents) == 2 })
		close(g.gate)
		torn := len(x.turnEnds(1))
		v.say("and again", "k2")
		pieces := 0
		for _, e := range x.turnEnds(2)[torn:] {
			if delta, _ := e.json["delta"].(bool); delta {
				pieces++
			}
		}
		if pieces != 4 {
			t.Errorf("pieces of the second answer: got %d, want its 4 words", pieces)
		}
	})
}
