package relay_test

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
)

// numberings are the two ways in which deltas may arrive.
var numberings = map[string][]anyframetest.Option{
	"numbered deltas":   nil,
	"unnumbered deltas": {anyframetest.WithUnnumberedDeltas()},
}

func TestFaults_EveryStreamFault_NoEventLost(t *testing.T) {
	overTransports(t, func(t *testing.T, via transport) {
		type fault = anyframetest.Fault
		var cases []fault
		for n := range 6 {
			for _, kind := range []anyframetest.Kind{anyframetest.CutAfterEvents, anyframetest.EndAfterEvents} {
				cases = append(cases, fault{Kind: kind, N: n})
			}
		}
		for n := 1; n <= 12; n++ { // a turn has no more events
			for _, kind := range []anyframetest.Kind{anyframetest.Drop, anyframetest.Swap, anyframetest.Garble} {
				cases = append(cases, fault{Kind: kind, N: n})
			}
		}
		for n := 1; n <= 5; n += 2 {
			for _, kind := range []anyframetest.Kind{
				anyframetest.RepeatLast, anyframetest.InsertGarbage, anyframetest.InsertUnknown, anyframetest.InsertUnnumbered,
			} {
				cases = append(cases, fault{Kind: kind, N: n})
			}
		}
		cases = append(
			cases, fault{Kind: anyframetest.ReplayAll}, fault{Kind: anyframetest.WrongType}, fault{Kind: anyframetest.LoseAnswer},
			fault{Kind: anyframetest.Refuse}, fault{Kind: anyframetest.Garbage}, fault{Kind: anyframetest.Respond, Status: 500},
			fault{Kind: anyframetest.Respond, Status: 429, RetryAfter: "0.3"}, fault{Kind: anyframetest.Respond, Status: 409},
			fault{Kind: anyframetest.Hang}, fault{Kind: anyframetest.SlowBody, N: 7}, fault{Kind: anyframetest.Late, Delay: time.Second / 4},
		)
		for name, opts := range numberings {
			for _, f := range cases {
				t.Run(fmt.Sprintf("%s, %d after %d", name, f.Kind, f.N), func(t *testing.T) {
					t.Parallel()
					r := via.newHarness(t, func(c *relay.Config) { c.UpstreamTimeout = impatience }, append(opts, anyframetest.WithAgent(1, speak))...)
					surviveStream(r, f, len(opts) > 0)
				})
			}
		}
	})
}

// surviveStream runs a conversation of two turns. The stream of the second one meets the
// fault.
func surviveStream(r *harness, f anyframetest.Fault, unnumbered bool) {
	r.t.Helper()
	v := r.visitor()
	x := v.open("")
	v.say("one", "k1")
	middle := numbered(x.turnEnds(1))
	id := r.upstream()
	f.Op, f.Times = anyframetest.OpEvents, 1
	r.plane.Inject(f)
	r.plane.CutStreams()
	v.say("two", "k2")
	r.plane.WaitFor(r.t, func() bool { s, _ := r.plane.Session(id); return s.Turns == 2 && !s.Busy && r.plane.FaultsHit() == 1 })
	want := r.oracle(1, id)
	if f.Kind == anyframetest.Drop || f.Kind == anyframetest.Swap {
		// A missing last event is detected on the next connection.
		x.until("all but one", func(es []event) bool { return len(numbered(es)) >= len(want)-1 })
		r.plane.CutStreams()
	}
	live := x.matches("live", want)
	last := middle[len(middle)-1].id
	again := v.open(last).matches("resumed", after(want, last))
	all := v.open("").matches("from the start", want)
	// If an unnumbered delta is lost on an intact connection, or inserted into it, the
	// stream cannot be distinguished from a correct one.
	if f.Kind == anyframetest.InsertUnnumbered || unnumbered && (f.Kind == anyframetest.Drop || f.Kind == anyframetest.Swap) {
		return
	}
	wantAnswers(r.t, "live", live, firstWords+spoken, firstWords+spoken)
	wantAnswers(r.t, "resumed", again, firstWords+spoken)
	wantAnswers(r.t, "from the start", all, firstWords+spoken, firstWords+spoken)
}

func TestFaults_CutAtEveryByte_NoEventLost(t *testing.T) {
	overTransports(t, func(t *testing.T, via transport) {
		for name, opts := range numberings {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				step := 1
				if len(opts) > 0 || testing.Short() {
					step = 5
				}
				r := via.newHarness(t, func(c *relay.Config) { c.MaxSessions = 1000 }, append(opts, anyframetest.WithAgent(1, func(c *anyframetest.Chat) { c.Say("Hm.") }))...)
				type one struct {
					v    *browser
					x    *stream
					id   string
					seen int
				}
				var visitors []one
				size := 1
				for n := 0; n <= size; n += step {
					v := r.visitor()
					x := v.open("")
					v.say("one", "k1")
					x.turnEnds(1)
					size = 0 // of a turn on the wire, which is the same for all
					for _, e := range r.plane.Log(r.upstream()) {
						size += len(fmt.Sprintf("id: %d\ndata: %s\n\n", e.Seq, e.Payload))
					}
					visitors = append(visitors, one{v, x, r.upstream(), n})
					r.plane.Inject(anyframetest.Fault{
						Kind: anyframetest.CutAfterBytes, N: n, Op: anyframetest.OpEvents, Session: visitors[len(visitors)-1].id, Times: 1,
					})
				}
				r.plane.CutStreams()
				for _, o := range visitors {
					o.v.say("two", "k2")
				}
				for _, o := range visitors {
					o.x.turnEnds(2)
					got := o.x.matches(fmt.Sprintf("cut after %d bytes", o.seen), r.oracle(1, o.id))
					wantAnswers(t, fmt.Sprintf("cut after %d bytes", o.seen), got, "Hm.", "Hm.")
				}
				if hit, want := r.plane.FaultsHit(), len(visitors); hit != want {
					t.Errorf("streams cut: got %d, want %d", hit, want)
				}
			})
		}
	})
}

func TestFaults_StreamSkipsNumbers_LostEventStillFetched(t *testing.T) {
	overTransports(t, func(t *testing.T, via transport) {
		r := via.newHarness(t, nil, anyframetest.WithSeqStep(3), anyframetest.WithAgent(1, func(c *anyframetest.Chat) {
			c.Say(strings.Repeat("a ", 60))
		}))
		v := r.visitor()
		x := v.open("")
		v.say("one", "k1")
		x.turnEnds(1)
		id := r.upstream()
		asked := r.plane.Count(anyframetest.OpTranscript)
		if asked > 20 {
			t.Errorf("reads of the transcript for 63 holes that are AnyFrame's own: got %d, want at most 20", asked)
		}
		r.plane.Inject(anyframetest.Fault{Kind: anyframetest.Drop, N: 40, Op: anyframetest.OpEvents, Times: 1})
		r.plane.CutStreams()
		v.say("two", "k2")
		x.turnEnds(2)
		x.matches("live", r.oracle(1, id))
		r.counts(map[string]float64{"relay_upstream_events_filled_total": 1, "relay_upstream_stream_reconnects_total cause broken": 1, "relay_upstream_stream_reconnects_total": 1})
	})
}

// A panic in one conversation's reader is contained, and the conversation
// continues.
func TestFaults_PanicInPump_ConversationContinues(t *testing.T) {
	overTransports(t, func(t *testing.T, via transport) {
		for where, happens := range map[string]func(*harness){
			"AnyFrame's stream broke": func(r *harness) { r.plane.CutStreams() },
			"filled a gap in AnyFrame's stream": func(r *harness) {
				r.plane.Inject(anyframetest.Fault{Op: anyframetest.OpEvents, Kind: anyframetest.Drop, N: 2, Times: 1})
				r.plane.CutStreams()
			},
		} {
			t.Run(where, func(t *testing.T) {
				t.Parallel()
				r := via.newHarness(t, nil, anyframetest.WithAgent(1, speak))
				v := r.visitor()
				x := v.open("")
				v.say("one", "k1")
				x.turnEnds(1)
				var once sync.Once
				r.onLog.Store(new(func(rec slog.Record) {
					if rec.Message == where {
						once.Do(func() { panic("a fault in the pump") })
					}
				}))
				happens(r)
				v.say("two", "k2")
				x.turnEnds(2)
				v.say("three", "k3")
				x.turnEnds(3)
				wantAnswers(t, "from the start", v.open("").matches("from the start", r.oracle(1, r.upstream())), firstWords+spoken, firstWords+spoken, firstWords+spoken)
				if r.metric("relay_panics_total") == 0 {
					t.Error("no panic was counted")
				}
			})
		}
	})
}

func TestFaults_StreamSkipsIrregularly_LostEventFetched(t *testing.T) {
	overTransports(t, func(t *testing.T, via transport) {
		// Seqs are three apart, and six where AnyFrame omits a message: the distance of
		// two events if the one between them is lost.
		r := via.newHarness(t, nil, anyframetest.WithSeqStep(3), anyframetest.WithoutUserEcho(), anyframetest.WithAgent(1, speak))
		v := r.visitor()
		x := v.open("")
		for i := range 4 {
			v.say("go on", fmt.Sprint("k", i))
			x.turnEnds(i + 1)
		}
		for n := 2; n < 8; n++ {
			r.plane.Inject(anyframetest.Fault{Kind: anyframetest.Drop, N: n, Op: anyframetest.OpEvents, Times: 1})
			r.plane.CutStreams()
			v.say("go on", fmt.Sprint("lost", n))
			x.turnEnds(n + 3)
			x.matches(fmt.Sprintf("event %d was lost", n), r.oracle(1, r.upstream()))
		}
	})
}
