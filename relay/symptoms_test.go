package relay_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
)

// What users of chat servers and event relays suffer from, and the test that
// keeps it away from ours. Those without a name are below.
//
//	the answer is lost or unfinished after a reload, a
//	  reconnect or a locked phone                        TestATabThatReturnsMidAnswerShowsItOnce
//	                                                     TestEveryLastEventIDResumesWithExactlyTheRest
//	an unknown or old id is silently taken for a known   TestAnUnknownLastEventIDResetsAndSendsEverything
//	an id of the last conversation looks caught up       TestASessionThatCannotComeBackIsFollowedByANewOne
//	                                                     and below
//	the seventh tab hangs and nobody says why            below
//	a proxy buffers or compresses the events             TestTheFirstBytesComeAtOnce
//	a proxy's idle timeout cuts long thinking            TestAQuietStreamIsNeverSilentForFifteenSecondsAndEndsInItsTime
//	                                                     and below
//	dead connections pile up                             TestAWriteThatTakesTenSecondsEndsItsStreamAndNoOther
//	                                                     TestAQuietStreamIsNeverSilentForFifteenSecondsAndEndsInItsTime
//	memory grows with every connection                   TestAThousandVisitorsComeAndGoAndNothingStays
//	                                                     and below
//	one slow reader stops all                            TestAReaderThatNeverReadsCostsOthersNothingAndCatchesUpLater
//	whoever closes the tab stops the agent               below
//	a token that is void loops for ever, or its streams
//	  stay open after a logout                           TestAVisitorForgottenAtOneReplicaLosesItsStreamsAtTheOther
//	                                                     and below
//	several replicas double or lose events               TestEveryLastEventIDResumesAtAnotherReplica, TestSoak
//	several replicas send a turn twice                   TestOneKeyAtTwoReplicasIsSentOnce
//	a deploy hangs, or all come back at once             TestDrainingEndsStreamsSpreadOverFiveSecondsWithARetryTime
//	third-party cookies are blocked                      the tests of visitors and origins
//	a stream that is cut ends in an error, not cleanly   TestSIGTERMWithStreamsOpenAndATurnInFlightLosesNothing in cmd/relay
//	a storm of returning tabs becomes the upstream's     below
//	the stream skips numbers and a lost event hides
//	  among them                                         below

func TestTheTabThatIsOneTooManyIsToldSoAndFitsInLater(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *relay.Config) { c.StreamsPerVisitor = 3 })
	v := r.visitor()
	tabs := []*tab{v.open(""), v.open(""), v.open("")}
	a := v.do("GET", "/v1/events", "")
	wantProblem(t, "one too many", a, http.StatusTooManyRequests, "too_many_streams")
	if a.header.Get("Content-Type") == "text/event-stream" {
		t.Error("the refusal claims to be a stream")
	}
	r.visitor().open("").status("none") // nobody else is kept out
	tabs[0].close()
	eventually(t, "room again", func() bool { return v.fits() })
}

// fits opens a stream and closes it, if it is let in.
func (b *browser) fits() bool {
	b.r.t.Helper()
	req, err := http.NewRequestWithContext(b.r.t.Context(), http.MethodGet, b.r.web.URL+"/v1/events", nil)
	if err != nil {
		b.r.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+b.token)
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		b.r.t.Fatal(err)
	}
	defer res.Body.Close()
	return res.StatusCode == http.StatusOK
}

func TestAnIDOfTheLastConversationIsNotTakenForOneOfThis(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil, anyframetest.WithAgent(1, speak))
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
}

func TestTheAgentGoesOnWhenEveryTabIsClosed(t *testing.T) {
	t.Parallel()
	g := gated{gate: make(chan struct{})}
	r := newRig(t, nil, anyframetest.WithAgent(1, g.speak))
	r.srv.SetLinger(10 * time.Millisecond)
	v := r.visitor()
	x := v.open("")
	v.say("now", "k1")
	x.until("half the answer", func(es []event) bool { return slices.Equal(answers(es), []string{firstHalf}) })
	x.close()
	close(g.gate)
	id := r.upstream()
	r.plane.WaitFor(t, func() bool { s, _ := r.plane.Session(id); return s.Turns == 1 && !s.Busy })
	wantAnswers(t, "whoever comes back", v.open("").turnEnds(1), firstHalf+secondHalf)
	if got := r.plane.Count(anyframetest.OpTerminate); got != 0 {
		t.Errorf("sandboxes ended by the relay: got %d, want none", got)
	}
}

func TestTabsThatComeAndGoLeaveNothing(t *testing.T) {
	r := newRig(t, nil, anyframetest.WithAgent(1, speak))
	v := r.visitor()
	stays := v.open("")
	v.say("one", "k1")
	stays.turnEnds(1)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if !v.fits() {
					t.Error("a tab was refused")
				}
			}
		})
	}
	wg.Wait()
	eventually(t, "one stream", func() bool { return r.srv.CountedInMemory() == 2 }) // by visitor, by address
	if got := r.plane.OpenStreams(""); got != 1 {
		t.Errorf("upstream streams: got %d, want 1", got)
	}
}

func TestALogoutEndsTheStreamsAndIsNotAskedAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil, anyframetest.WithAgent(1, speak))
	v := r.visitor()
	tabs := []*tab{v.open(""), v.open("")}
	v.say("one", "k1")
	for _, x := range tabs {
		x.turnEnds(1)
	}
	if a := v.do("DELETE", "/v1/visitor", ""); a.status != http.StatusNoContent {
		t.Fatalf("DELETE: got %d %s, want 204", a.status, a.body)
	}
	for _, x := range tabs {
		es := x.ended()
		if last := es[len(es)-1]; last.str("code") != "visitor_unknown" || last.json["fatal"] != true {
			t.Errorf("last event: got %s, want a fatal problem visitor_unknown", last)
		}
	}
	a := v.do("GET", "/v1/events", "")
	wantProblem(t, "whoever comes back", a, http.StatusUnauthorized, "visitor_unknown")
	if a.header.Get("Location") != "" {
		t.Error("a redirect is no answer to a script")
	}
	r.plane.WaitFor(t, func() bool { return r.plane.OpenStreams("") == 0 })
}

func TestAStormOfReturningTabsIsNotAnyFrames(t *testing.T) {
	t.Parallel()
	disk := onDisk(t)
	r := newRig(t, func(c *relay.Config) { disk(c); c.ReplayEvents = 2000 }, anyframetest.WithAgent(1, speak))
	r.srv.SetSilent(time.Hour) // a busy machine takes so long that the sandbox would be asked after
	v := r.visitor()
	x := v.open("")
	v.say("one", "k1")
	x.turnEnds(1)
	want := r.oracle(1, r.upstream())
	const tabs = 60
	for _, last := range []string{"", want[2].id} {
		asked := r.plane.Count(anyframetest.OpAny)
		var all []*tab
		for range tabs {
			all = append(all, v.open(last))
		}
		for _, y := range all {
			if last == "" {
				y.matches("from the start", want)
			} else {
				y.matches("the rest", after(want, last))
			}
			y.close()
		}
		if got := r.plane.Count(anyframetest.OpAny) - asked; got != 0 {
			t.Errorf("requests to AnyFrame for %d tabs after %q: got %d, want none", tabs, last, got)
		}
	}
	r.restart()
	asked := r.plane.Count(anyframetest.OpAny)
	var all []*tab
	for range tabs {
		all = append(all, v.open(want[len(want)-2].id))
	}
	for _, y := range all {
		y.matches("after a restart", want[len(want)-1:])
	}
	if got := r.plane.Count(anyframetest.OpEvents); got != 2 {
		t.Errorf("upstream streams opened: got %d, want one before the restart and one after", got)
	}
	if got := r.plane.Count(anyframetest.OpAny) - asked; got > 2*tabs {
		t.Errorf("requests to AnyFrame for %d tabs after a restart: got %d, want hardly more than one each", tabs, got)
	}
}

func TestALostEventIsFoundInAStreamThatSkipsNumbersInTwoWays(t *testing.T) {
	t.Parallel()
	// Three apart, and six where AnyFrame keeps a message to itself: as far as
	// two events are apart when the one between is lost.
	r := newRig(t, nil, anyframetest.WithSeqStep(3), anyframetest.WithoutUserEcho(), anyframetest.WithAgent(1, speak))
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
}

func TestNothingIsCompressedWhateverTheBrowserTakes(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil, anyframetest.WithAgent(1, speak))
	v := r.visitor()
	x := v.openAt("/v1/events", "Accept-Encoding", "gzip, br, zstd")
	v.say("hello", "k1")
	x.turnEnds(1)
	for _, name := range []string{"Content-Encoding", "Content-Length"} {
		if got := x.res.Header.Get(name); got != "" {
			t.Errorf("%s: got %q, want none", name, got)
		}
	}
	if got := x.res.Header.Get("Cache-Control"); !strings.Contains(got, "no-transform") {
		t.Errorf("Cache-Control: got %q, want no-transform", got)
	}
}

func TestAnAnswerAfterOneThatWasTornComesWordByWordAgain(t *testing.T) {
	t.Parallel()
	g := gated{make(chan struct{}), true}
	r := newRig(t, nil, anyframetest.WithAgent(1, g.speak))
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
}
