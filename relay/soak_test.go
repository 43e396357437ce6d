package relay_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
	"github.com/anyframe-relay/relay/relay/internal/session"
	"github.com/anyframe-relay/relay/relay/internal/store"
)

// TestSoak runs conversations with every kind of fault, at random: streams are cut,
// stalled, doubled and garbled, requests fail, the sandbox sleeps, the relay restarts,
// tabs come and go, turns are stopped and rated. Half of the runs use two replicas, on
// one file or one Redis. At the end every tab must have what the control plane's log has,
// and every turn must have been accepted once. After the visitor has had everything
// erased, no content may be left at AnyFrame.
//
// make test runs 40 seeds with the race detector, and 200 without, which cost as much.
// RELAY_SOAK sets a longer duration, such as 10m; RELAY_SEED repeats one seed.
func TestSoak(t *testing.T) {
	t.Parallel()
	if raw := os.Getenv("RELAY_SEED"); raw != "" {
		seed, err := strconv.ParseUint(raw, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		soak(t, seed)
		return
	}
	seeds, until := 40, time.Time{}
	if os.Getenv("RELAY_TEST_ALL") != "" && !raceDetector {
		seeds = 200
	}
	if raw := os.Getenv("RELAY_SOAK"); raw != "" {
		d, err := time.ParseDuration(raw)
		if err != nil {
			t.Fatal(err)
		}
		seeds, until = 1<<30, time.Now().Add(d)
	}
	if testing.Short() {
		seeds = 10
	}
	var wg sync.WaitGroup
	slots := make(chan struct{}, 6) // with the race detector, more would only delay the tests that run beside it
	if !raceDetector {
		slots = make(chan struct{}, 12)
	}
	for n := range seeds {
		if !until.IsZero() && time.Now().After(until) {
			break
		}
		slots <- struct{}{}
		wg.Go(func() { // not as a parallel subtest, which would begin only when this loop ends
			defer func() { <-slots }()
			seed := uint64(n) + 1
			if !until.IsZero() {
				seed = rand.Uint64()
			}
			t.Run(fmt.Sprintf("RELAY_SEED=%d", seed), func(t *testing.T) { soak(t, seed) })
		})
	}
	wg.Wait()
}

// reader is a browser that reconnects with the last event id it saw.
type reader struct {
	v      *browser
	kept   []event // up to and including the last numbered one
	x      *stream
	resets int
}

// take moves the events of the open stream to kept.
func (o *reader) take() {
	if o.x == nil {
		return
	}
	for _, e := range o.x.all() {
		if e.kind == "reset" {
			o.resets++
			o.kept = nil
		}
		o.kept = append(o.kept, e)
	}
	o.x.close()
	o.x = nil
}

// drop drops the events after the last numbered one, and returns its id.
func (o *reader) drop() string {
	for i, e := range slices.Backward(o.kept) {
		if e.id != "" {
			o.kept = o.kept[:i+1]
			return e.id
		}
	}
	o.kept = nil
	return ""
}

func (o *reader) reopen() {
	o.take()
	o.x = o.v.open(o.drop())
}

// chat returns the conversation as the reader has it.
func (o *reader) chat() []event {
	if o.x == nil {
		return o.kept
	}
	all := slices.Clone(o.kept)
	for _, e := range o.x.all() {
		if e.kind == "reset" {
			all = nil
		}
		all = append(all, e)
	}
	return all
}

// hesitant returns s with some answers that take longer, and a few that take much longer.
// What one call has read may then be older than what a later call has.
func hesitant(s store.Store) session.Store {
	return store.Observe(s, func(string, time.Duration, error) {
		switch n := rand.IntN(400); {
		case n == 0:
			time.Sleep(rand.N(time.Second))
		case n < 20:
			time.Sleep(rand.N(50 * time.Millisecond))
		}
	})
}

func soak(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, seed))
	pick := func(n int) int { return rng.IntN(n) }
	unnumbered, echo := pick(2) == 0, pick(4) > 0
	var opts []anyframetest.Option
	if unnumbered {
		opts = append(opts, anyframetest.WithUnnumberedDeltas())
	}
	if !echo {
		opts = append(opts, anyframetest.WithoutUserEcho())
	}
	if pick(3) == 0 {
		opts = append(opts, anyframetest.WithSeqStep(3))
	}
	opts = append(opts, anyframetest.WithPace(time.Duration(pick(3))*time.Millisecond), anyframetest.WithAgent(1, func(c *anyframetest.Chat) {
		c.Say("First of all, " + c.Prompt() + ". ")
		c.Think("Hm.")
		c.Tool("Bash", map[string]any{"command": "ls"})
		c.Say("You said " + c.Prompt() + ", and so it is, word for word.")
	}))
	shared := sharing(sqliteFile)
	if seed%4 == 0 && echo {
		shared = inRedis
	}
	keep := shared(t)
	kept := []int{3, 20, 2000}[pick(3)]
	change := func(c *relay.Config) {
		keep(c)
		c.UpstreamTimeout = time.Second
		if !echo { // a message whose request timed out on a busy machine would still arrive, undetectably
			c.UpstreamTimeout = patience
		}
		c.ReplayEvents = kept
		c.Feedback = true
		c.Tune(relay.Tuning{Session: session.Tuning{Lease: time.Second, Resync: 100 * time.Millisecond}, EraseAgain: 50 * time.Millisecond, Store: hesitant})
	}
	via := overHTTP1
	if seed%3 > 0 {
		via = overHTTP2()
	}
	r := via.newHarness(t, change, opts...)
	rigs := []*harness{r}
	if seed%2 == 0 && echo { // otherwise each of two replicas shows a message in a place of its own, see ARCHITECTURE.md
		rigs = append(rigs, harnessFor(t, r.plane, change))
	}
	t.Logf("unnumbered deltas %t, messages shown %t, events kept %d, replicas %d, HTTP/2 %t", unnumbered, echo, kept, len(rigs), len(via) > 0)
	v := r.visitor()
	somewhere := func() *browser { return v.at(rigs[pick(len(rigs))]) }
	readers := []*reader{{v: v}, {v: v}, {v: v}}
	for _, o := range readers {
		o.reopen()
	}
	const turns = 6
	var spares []*spare
	rated := map[string]string{} // the last rating of each turn, if it has one
	losable := []anyframetest.Op{anyframetest.OpTranscript, anyframetest.OpGet}
	if echo { // otherwise nothing shows whether a message reached an agent that was put to sleep
		losable = append(losable, anyframetest.OpMessage)
	}
	for turn := range turns {
		for range 1 + pick(3) {
			n := pick(8)
			switch pick(12) {
			case 0:
				r.plane.Inject(anyframetest.Fault{Kind: anyframetest.CutAfterBytes, N: pick(900), Op: anyframetest.OpEvents, Times: 1})
			case 1:
				r.plane.Inject(anyframetest.Fault{Kind: anyframetest.EndAfterEvents, N: n, Op: anyframetest.OpEvents, Times: 1})
			case 2:
				r.plane.Inject(anyframetest.Fault{Kind: anyframetest.RepeatLast, N: n, Op: anyframetest.OpEvents, Times: 1})
			case 3:
				r.plane.Inject(anyframetest.Fault{Kind: anyframetest.ReplayAll, Op: anyframetest.OpEvents, Times: 1})
			case 4:
				if !unnumbered { // an unnumbered event that is lost cannot be found again
					r.plane.Inject(anyframetest.Fault{Kind: []anyframetest.Kind{anyframetest.Drop, anyframetest.Swap, anyframetest.Garble}[pick(3)], N: 1 + n, Op: anyframetest.OpEvents, Times: 1})
				}
			case 5:
				r.plane.Inject(anyframetest.Fault{Kind: anyframetest.LoseAnswer, Op: losable[pick(len(losable))], Times: 1})
			case 6:
				r.plane.Inject(anyframetest.Fault{Kind: anyframetest.Respond, Status: 503, Op: []anyframetest.Op{anyframetest.OpEvents, anyframetest.OpTranscript, anyframetest.OpResume}[pick(3)], Times: 1})
			case 7:
				r.plane.CutStreams()
			case 8:
				if turn > 0 {
					r.plane.Sleep(r.inUse())
				}
			case 9:
				for _, o := range readers {
					o.take()
				}
				rigs[pick(len(rigs))].restart()
				for _, o := range readers {
					o.reopen()
				}
			default:
				o := readers[pick(len(readers))]
				o.v = somewhere()
				o.reopen()
			}
		}
		if echo && pick(3) == 0 { // otherwise two messages in flight at once have no order
			spares = append(spares, stopMeanwhile(somewhere(), somewhere(), turn))
		}
		text := fmt.Sprintf("number %d", turn)
		for deadline := time.Now().Add(patience); ; {
			a, err := somewhere().try(t.Context(), text, fmt.Sprint("k", turn))
			if err == nil && a.status == 202 {
				break
			}
			if err != nil || a.status < 500 || time.Now().After(deadline) {
				t.Fatalf("turn %d: got %d %s, %v", turn, a.status, a.body, err)
			}
		}
		if pick(2) == 0 {
			readers[pick(len(readers))].reopen() // in the middle of the answer
		}
		if pick(2) == 0 {
			key := fmt.Sprint("k", pick(turn+1))
			rating := []string{"up", "down", ""}[pick(3)]
			somewhere().insistsOn(key, rating)
			if rated[key] = rating; rating == "" {
				delete(rated, key)
			}
		}
		// A message in the middle of an answer with unnumbered deltas cuts them in two; a
		// stream that opens after the first part has been dropped gets only the second.
		// Where AnyFrame shows no messages, a message in the middle of an answer that is
		// then interrupted leaves the past with nothing between that answer and the next.
		if pick(3) > 0 || (unnumbered && kept < 2000) || !echo {
			r.plane.WaitFor(t, func() bool { s, _ := r.plane.Session(r.inUse()); return !s.Busy })
		}
	}
	r.plane.ClearFaults()
	id := r.inUse()
	r.plane.WaitFor(t, func() bool { s, _ := r.plane.Session(id); return !s.Busy })
	r.plane.CutStreams() // an event hidden by a dropped one arrives with the next connection
	sent := turns
	for _, s := range spares {
		sent += s.settled(r, somewhere())
	}
	r.plane.WaitFor(t, func() bool { s, _ := r.plane.Session(id); return !s.Busy })
	if got := r.taken(id); len(got) != sent {
		t.Errorf("messages that AnyFrame took: got %q, want %d", got, sent)
	}
	want := r.oracle(1, id)
	readers = append(readers, &reader{v: somewhere()})
	readers[len(readers)-1].reopen()
	for i, o := range readers {
		if o.x == nil {
			o.reopen()
		}
		o.x.until(fmt.Sprintf("reader %d, which had\n%s\nall of the log", i, lines(o.kept)), func([]event) bool {
			all := o.chat() // a message with a late response follows the agent's answer, without a number
			n := numbered(all)
			return len(n) > 0 && n[len(n)-1].id == want[len(want)-1].id && count(all, "user") >= sent
		})
		chat := o.chat()
		what := fmt.Sprintf("reader %d", i)
		same(t, what, numbered(chat), want)
		var users []string
		for _, e := range chat {
			if e.kind == "user" {
				users = append(users, e.str("text"))
			}
		}
		if len(users) != sent {
			t.Errorf("%s: got messages %q, want %d\n%s", what, users, sent, lines(chat))
		}
		if i == len(readers)-1 { // the others may have received them earlier
			o.x.until(fmt.Sprint("the ratings ", rated), func([]event) bool {
				shown := map[string]string{}
				for _, e := range o.chat() {
					if e.kind != "feedback" {
						continue
					}
					if shown[e.str("turn")] = e.str("rating"); e.str("rating") == "" { // another replica removed it
						delete(shown, e.str("turn"))
					}
				}
				return maps.Equal(shown, rated)
			})
		}
		all := onScreen(chat, unnumbered)
		for turn := range turns {
			for _, once := range []string{fmt.Sprintf("all, number %d. ", turn), fmt.Sprintf("%d, and so it is", turn)} {
				if n := strings.Count(all, once); n > 1 {
					t.Errorf("%s: got %q %d times in %q", what, once, n, all)
				}
			}
		}
	}
	for _, r := range rigs {
		r.runs()
	}
	somewhere().erases("/v1/visitor?erase=true")
	eventually(t, "nothing that was said is left at AnyFrame", func() bool {
		return !slices.ContainsFunc(r.plane.Sessions(), func(s anyframetest.SessionInfo) bool { return len(r.taken(s.ID)) > 0 })
	})
	for _, r := range rigs {
		refused(t, "the token", v.at(r).do("GET", "/v1/session", ""), 401, "visitor_unknown")
	}
}

// insistsOn rates a turn, retrying until the rating is accepted.
func (b *browser) insistsOn(turn, rating string) {
	b.r.t.Helper()
	word := quote(rating)
	if rating == "" {
		word = "null"
	}
	for deadline := time.Now().Add(patience); ; {
		a := b.rate(turn, word, "")
		if a.status == 202 {
			return
		}
		if a.status < 500 || time.Now().After(deadline) {
			b.r.t.Fatalf("rate %s: got %d %s", turn, a.status, a.body)
		}
	}
}

// spare is a turn that is stopped while in flight.
type spare struct{ text, key string }

// stopMeanwhile sends a message and immediately stops its turn, possibly at another
// replica. It returns when both requests have been answered.
func stopMeanwhile(here, there *browser, turn int) *spare {
	s := &spare{fmt.Sprintf("spare %c", 'a'+turn), fmt.Sprint("spare", turn)}
	posted := make(chan struct{})
	go func() {
		defer close(posted)
		_, _ = here.try(here.r.t.Context(), s.text, s.key)
	}()
	for {
		a := there.do("POST", "/v1/turns/"+s.key+"/stop", "")
		if a.status == 202 || a.code() == "turn_over" {
			break
		}
		select {
		case <-posted: // it was refused, and is therefore unknown
		case <-time.After(5 * time.Millisecond):
			continue
		}
		break
	}
	<-posted
	return s
}

// settled retries the turn's request until it is answered, and returns how many messages
// AnyFrame must have of it. Only an accepted message may be answered as sent.
func (s *spare) settled(r *harness, v *browser) (sent int) {
	r.t.Helper()
	for deadline := time.Now().Add(patience); ; {
		a, err := v.try(r.t.Context(), s.text, s.key)
		switch {
		case err == nil && a.status == 202:
			return 1
		case err == nil && a.code() == "turn_stopped":
			return 0
		case err != nil || a.status < 500 || time.Now().After(deadline):
			r.t.Fatalf("%s: got %d %s, %v", s.text, a.status, a.body, err)
		}
	}
}

// onScreen returns all the agent's text as a browser shows it: pieces are closed by what
// comes between them, and a block replaces the pieces since the last block whose text it
// is. With torn, pieces may lack their beginning, because lost unnumbered events stay
// lost. Of a block during which the sandbox went to sleep, they may lack the end.
func onScreen(events []event, torn bool) string {
	var text, pieces []string
	open, slept := false, false
	for _, e := range events {
		delta, _ := e.json["delta"].(bool)
		switch {
		case e.kind == "session":
			slept = slept || e.str("status") == "sleeping"
		case e.kind == "user" || e.kind == "turn_end":
			open = false
		case e.kind == "text" && delta && open:
			pieces[len(pieces)-1] += e.str("text")
		case e.kind == "text" && delta:
			pieces, open = append(pieces, e.str("text")), true
		case e.kind == "text":
			for n := range pieces { // earlier pieces may belong to an interrupted answer
				if said := strings.Join(pieces[n:], ""); said == e.str("text") || torn && (strings.HasSuffix(e.str("text"), said) || slept && strings.HasPrefix(e.str("text"), said)) {
					pieces = pieces[:n]
					break
				}
			}
			text = append(append(text, pieces...), e.str("text"))
			pieces, open, slept = nil, false, false
		}
	}
	return strings.Join(append(text, pieces...), "|")
}

// inUse returns the session of an epoch. On a busy machine the response to its creation
// may be too late; then there is another session, which the relay ends.
func (r *harness) inUse() string {
	r.t.Helper()
	id := r.upstream()
	for _, s := range r.plane.Sessions() {
		if len(r.taken(s.ID)) > len(r.taken(id)) {
			id = s.ID
		}
	}
	return id
}
