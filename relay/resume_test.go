package relay_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
)

// conversation runs two turns and returns a tab that saw them and the oracle's lines
// for them. The second turn fails.
func conversation(r *harness, v *browser) (*stream, []told) {
	r.t.Helper()
	x := v.open("")
	v.say("hello", "k1")
	x.turnEnds(1)
	v.say("please fail", "k2")
	x.turnEnds(2)
	want := r.oracle(1, r.upstream())
	same(r.t, "live", numbered(x.all()), want)
	return x, want
}

func TestResume_EveryLastEventID_ExactlyTheRest(t *testing.T) {
	overTransports(t, func(t *testing.T, via transport) {
		places := map[string]func(*harness){
			"kept in memory":  func(*harness) {},
			"after a restart": (*harness).restart,
		}
		for name, replay := range map[string]int{"all kept": 2000, "little kept": 5} {
			for place, move := range places {
				t.Run(name+", "+place, func(t *testing.T) {
					disk := sqliteFile(t)
					r := via.newHarness(t, func(c *relay.Config) { disk(c); c.ReplayEvents = replay }, anyframetest.WithAgent(1, talk))
					v := r.visitor()
					x, want := conversation(r, v)
					x.close()
					move(r)
					for _, o := range want {
						rest := after(want, o.id)
						x := v.open(o.id)
						got := x.until("the rest", func(es []event) bool { return len(numbered(es)) >= len(rest) })
						same(t, "header "+o.id, numbered(got), rest)
						if n := count(got, "reset"); n != 0 {
							t.Errorf("after %s: got %d resets, want none", o.id, n)
						}
						x.close()
					}
					for _, query := range []string{"last_event_id=" + want[2].id, "lastEventId=" + want[2].id, "last_event_id=" + want[2].id + "&lastEventId=1-999"} {
						x = v.openAt("/v1/events?" + query)
						got := x.until("the rest", func(es []event) bool { return len(numbered(es)) >= len(want)-3 })
						same(t, query, numbered(got), want[3:])
						x.close()
					}
					x = v.openAt("/v1/events?last_event_id=1-999&lastEventId=1-998", "Last-Event-ID", want[2].id)
					got := x.until("the rest", func(es []event) bool { return len(numbered(es)) >= len(want)-3 })
					same(t, "header over query", numbered(got), want[3:])
					x = v.open("")
					got = x.until("all", func(es []event) bool { return len(numbered(es)) >= len(want) })
					same(t, "no id", numbered(got), want)
				})
			}
		}
	})
}

func TestResume_UnknownLastEventID_ResetAndEverything(t *testing.T) {
	overTransports(t, func(t *testing.T, via transport) {
		disk := sqliteFile(t)
		r := via.newHarness(t, func(c *relay.Config) { disk(c); c.ReplayEvents = 6 }, anyframetest.WithAgent(1, talk))
		v := r.visitor()
		_, want := conversation(r, v)
		for _, again := range []bool{false, true} {
			if again {
				r.restart()
			}
			for _, id := range []string{
				"1-999999", "2-1", "0-1", "1-0", "garbage", "1", "1-", "-1", "1-1-1", "01-1", "1-01", "1-+1", " 1-x", "9223372036854775808-1",
				"1-9223372036854775808", strings.Repeat("1", 65), "1-" + strings.Repeat("1", 4000), "\u00e9", "1-1;drop",
			} {
				x := v.open(id)
				got := x.until("all for "+id, func(es []event) bool { return len(numbered(es)) >= len(want) })
				same(t, fmt.Sprintf("after %q", id), numbered(got), want)
				if got[0].kind != "session" || got[1].kind != "reset" || got[1].str("reason") != "unknown_event_id" {
					t.Errorf("after %q: got\n%swant session, then reset unknown_event_id", id, lines(got[:2]))
				}
				x.close()
			}
		}
	})
}

func TestResume_AnotherTabSends_SessionlessStreamStarts(t *testing.T) {
	overTransports(t, func(t *testing.T, via transport) {
		r := via.newHarness(t, nil, anyframetest.WithAgent(1, talk))
		v := r.visitor()
		first, second := v.open(""), v.open("")
		first.status("none")
		second.status("none")
		if n := len(r.plane.Sessions()); n != 0 {
			t.Fatalf("before the first turn: got %d sessions, want none", n)
		}
		v.say("hi", "k1")
		first.turnEnds(1)
		second.turnEnds(1)
		want := r.oracle(1, r.upstream())
		same(t, "first tab", numbered(first.all()), want)
		same(t, "second tab", numbered(second.all()), want)
		if n := r.plane.OpenStreams(r.upstream()); n != 1 {
			t.Errorf("upstream streams for two tabs: got %d, want 1", n)
		}
		if n := count(first.all(), "reset"); n != 0 {
			t.Errorf("resets: got %d, want none", n)
		}
	})
}

func TestResume_UserEvent_CarriesTurnKey(t *testing.T) {
	overTransports(t, func(t *testing.T, via transport) {
		for name, opts := range map[string][]anyframetest.Option{
			"AnyFrame shows messages":         nil,
			"AnyFrame does not show messages": {anyframetest.WithoutUserEcho()},
			"nor number deltas":               {anyframetest.WithoutUserEcho(), anyframetest.WithUnnumberedDeltas()},
		} {
			t.Run(name, func(t *testing.T) {
				disk := sqliteFile(t)
				r := via.newHarness(t, disk, append(opts, anyframetest.WithAgent(1, talk))...)
				v := r.visitor()
				x := v.open("")
				v.say("one", "k1")
				x.turnEnds(1)
				v.say("two", "k2")
				x.turnEnds(2)
				r.plane.UserMessage(r.upstream(), "from the console")
				live := x.turnEnds(3)
				check := func(what string, es []event) {
					t.Helper()
					var got []string
					for _, e := range es {
						if e.kind == "user" || e.kind == "turn_end" {
							got = append(got, e.str("text")+"/"+e.str("turn")+e.str("reason"))
						}
					}
					want := []string{"one/k1", "/k1done", "two/k2", "/k2done", "from the console/", "/done"}
					if len(opts) > 0 {
						want = append(want[:4:4], "/done") // AnyFrame omits what the console wrote
					}
					if fmt.Sprint(got) != fmt.Sprint(want) {
						t.Errorf("%s: got %v, want %v", what, got, want)
					}
				}
				check("live", live)
				check("from memory", v.open("").turnEnds(3))
				r.restart()
				check("after a restart", v.open("").turnEnds(3))
			})
		}
	})
}

// The ids of two epochs differ only in the epoch; an old id must not be accepted as a new
// one.
func TestResume_LastEventIDOfPreviousEpoch_Reset(t *testing.T) {
	overTransports(t, func(t *testing.T, via transport) {
		r := via.newHarness(t, nil, anyframetest.WithAgent(1, speak))
		v := r.visitor()
		x := v.open("")
		v.say("one", "k1")
		first := numbered(x.turnEnds(1))
		v.do("DELETE", "/v1/session", "")
		v.say("two", "k2")
		x.until("the new session", func(es []event) bool { return count(lastLife(es), "turn_end") == 1 && len(resets(es)) == 1 })
		want := r.oracle(2, r.upstream())
		for _, o := range first { // the same numbers exist again
			y := v.open(o.id)
			es := y.until("all of the new", func(es []event) bool { return len(numbered(es)) >= len(want) })
			same(t, "after "+o.id, numbered(es), want)
			if got := resets(es); !slices.Equal(got, []string{"new_session"}) {
				t.Errorf("after %s: got resets %q, want new_session", o.id, got)
			}
			y.close()
		}
	})
}
