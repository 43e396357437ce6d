package relay_test

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
)

// beyond are numbers that no conversation reaches.
var beyond = []string{"1000", "2147483648", "4611686018427387903", "4611686018427387904", "9223372036854775807"}

// wantOwnNumbers fails if AnyFrame received a number that its log does not have.
func (r *harness) wantOwnNumbers(id string) {
	r.t.Helper()
	log := r.plane.Log(id)
	last := log[len(log)-1].Seq
	for _, q := range r.plane.Requests() {
		for _, text := range []string{q.Query.Get("since"), q.Header.Get("Last-Event-ID")} {
			if n, _ := strconv.ParseInt(text, 10, 64); n > last {
				r.t.Errorf("%s: got number %d, want %d at most", q.Op, n, last)
			}
		}
	}
}

// Numbers that a visitor makes up are compared with the end of AnyFrame's log. AnyFrame
// is asked for that end occasionally, and never about the numbers.
func TestNumbers_BeyondTheLog_NotSentToAnyFrame(t *testing.T) {
	t.Parallel()
	for name, place := range map[string]func(*harness){
		"in memory": func(*harness) {}, "after a restart": (*harness).restart,
		"asleep": func(r *harness) { r.plane.Sleep(r.upstream()); r.restart() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newHarness(t, sqliteFile(t), anyframetest.WithAgent(1, talk))
			v := r.visitor()
			_, want := conversation(r, v)
			place(r)
			id := r.upstream()
			before, start := r.plane.Count(anyframetest.OpTranscript), time.Now()
			var all sync.WaitGroup
			for range 4 {
				for _, n := range beyond {
					all.Go(func() {
						if since, err := strconv.ParseInt(n, 10, 64); err == nil && since <= 1<<62 {
							a := v.do("GET", "/v1/transcript?since="+n, "")
							for a.status == http.StatusTooManyRequests { // the limit per visitor is two at once
								time.Sleep(50 * time.Millisecond)
								a = v.do("GET", "/v1/transcript?since="+n, "")
							}
							if events, _ := a.json["events"].([]any); a.status != http.StatusOK || len(events) != 0 || a.json["next_since"] != nil {
								t.Errorf("since=%s: got %d %s, want no events and no next_since", n, a.status, a.body)
							}
						}
					})
					all.Go(func() {
						x := v.open("1-" + n)
						defer x.close()
						es := x.until("all of it", func(es []event) bool { return len(numbered(es)) >= len(want) })
						if got := count(es, "reset"); got != 1 {
							t.Errorf("last event id 1-%s: got %d resets, want 1", n, got)
						}
						same(t, "since the reset", numbered(lastLife(es)), want)
					})
				}
			}
			all.Wait()
			// Besides the end of the log, the relay reads what its own log no longer has,
			// for each of the streams.
			most := 4*len(beyond) + 4 + int(time.Since(start)/time.Second)
			if got := r.plane.Count(anyframetest.OpTranscript) - before; got > most {
				t.Errorf("transcripts read: got %d, want %d at most", got, most)
			}
			r.wantOwnNumbers(id)
		})
	}
}

// However many numbers a visitor tries, AnyFrame is asked for the end of its log at most
// every two seconds.
func TestNumbers_ManyTried_AnyFrameSeldomAsked(t *testing.T) {
	t.Parallel()
	r := newHarness(t, sqliteFile(t), anyframetest.WithAgent(1, speak))
	v, id := r.begin("hello")
	r.restart()
	v.do("GET", "/v1/session", "") // looks at the session, and may read its past
	before, start := r.plane.Count(anyframetest.OpTranscript), time.Now()
	var all sync.WaitGroup
	for i := range 100 {
		all.Go(func() { v.do("GET", fmt.Sprintf("/v1/transcript?since=%d", 1000+i), "") })
	}
	all.Wait()
	most := 2 + int(time.Since(start)/(2*time.Second)) // one at the start, and one at the end of each two seconds
	if got := r.plane.Count(anyframetest.OpTranscript) - before; got > most {
		t.Errorf("transcripts read: got %d, want %d at most", got, most)
	}
	r.wantOwnNumbers(id)
}

// A browser that has seen more events than a relay that has just started is trusted, even
// if AnyFrame was asked for the end of its log just before.
func TestNumbers_AheadOfARelayThatJustStarted_Known(t *testing.T) {
	t.Parallel()
	r := newHarness(t, sqliteFile(t), anyframetest.WithAgent(1, speak))
	v, id := r.begin("hello")
	r.stop()
	r.plane.UserMessage(id, "from elsewhere")
	r.plane.WaitFor(t, func() bool { return len(resultsOf(r.plane.Log(id))) == 2 })
	r.start()
	if a := v.do("GET", "/v1/transcript?since=1000000", ""); a.status != http.StatusOK {
		t.Errorf("got %d %s, want 200", a.status, a.body)
	}
	want := r.oracle(1, id)
	last := want[len(want)-1].id
	x := v.open(last)
	v.say("again", "k2")
	x.turnEnds(1)
	if got := count(x.all(), "reset"); got != 0 {
		t.Errorf("last event id %s: got %d resets, want none", last, got)
	}
	x.matches("resumed", after(r.oracle(1, id), last))
}

// resultsOf returns the events that end turns.
func resultsOf(log []anyframetest.Event) []anyframetest.Event {
	return slices.DeleteFunc(log, func(e anyframetest.Event) bool { return !strings.Contains(string(e.Payload), `"result"`) })
}
