package relay_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
	"github.com/anyframe-relay/relay/relay/internal/session"
	"github.com/anyframe-relay/relay/relay/internal/store"
)

// stalling is a store that can let one call hang, regardless of its context. All others
// proceed.
type stalling struct {
	store.Store

	mu      sync.Mutex
	op      string        // the next call that begins so hangs; "" for none
	entered chan struct{} // closed when that call has begun
	release chan struct{} // closed to let it continue
}

// stall makes the next call of op hang, for example of "Session", of "BeginNote turn" or of
// "BeginNote turn k1". A turn's end is stored after it is shown: a test that has seen one
// must name the kind of note that it means. It returns a channel that is closed when the
// call has begun, and a function that lets it continue.
func (s *stalling) stall(t *testing.T, op string) (entered <-chan struct{}, release func()) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.op, s.entered, s.release = op, make(chan struct{}), make(chan struct{})
	release = sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.op = ""
		close(s.release)
	})
	t.Cleanup(release)
	return s.entered, release
}

// begin hangs if this call is the one to hang. Its key is the kind and key of a note.
func (s *stalling) begin(op string, key ...string) {
	s.mu.Lock()
	if call := append([]string{op}, key...); s.op == "" || !strings.HasPrefix(strings.Join(call, " ")+" ", s.op+" ") {
		s.mu.Unlock()
		return
	}
	s.op = ""
	close(s.entered)
	release := s.release
	s.mu.Unlock()
	<-release
}

func (s *stalling) Session(ctx context.Context, visitor string) (store.Session, error) {
	s.begin("Session")
	return s.Store.Session(ctx, visitor)
}

func (s *stalling) SaveSession(ctx context.Context, row store.Session) (store.Session, error) {
	s.begin("SaveSession")
	return s.Store.SaveSession(ctx, row)
}

func (s *stalling) Note(ctx context.Context, visitor, kind, key string) (store.Note, error) {
	s.begin("Note", kind, key)
	return s.Store.Note(ctx, visitor, kind, key)
}

func (s *stalling) BeginNote(ctx context.Context, n store.Note) (store.Note, bool, error) {
	s.begin("BeginNote", n.Kind, n.Key)
	return s.Store.BeginNote(ctx, n)
}

func (s *stalling) SaveNote(ctx context.Context, n store.Note) (store.Note, error) {
	s.begin("SaveNote", n.Kind, n.Key)
	return s.Store.SaveNote(ctx, n)
}

func (s *stalling) Admit(ctx context.Context, visitor string, rank int64, limit int, ttl time.Duration) (int64, bool, error) {
	s.begin("Admit")
	return s.Store.Admit(ctx, visitor, rank, limit, ttl)
}

// withStalling starts a relay whose sessions are in a store that can hang. It never
// rereads a session on its own.
func withStalling(t *testing.T, opts ...anyframetest.Option) (*harness, *stalling) {
	t.Helper()
	slow := &stalling{}
	quiet := unwatching()
	quiet.Store = func(s store.Store) session.Store {
		slow.Store = s
		return slow
	}
	return newHarness(t, func(c *relay.Config) { c.Tune(quiet) }, opts...), slow
}

func TestTurn_StoreSlowForTheFirst_SecondDoesNotOvertake(t *testing.T) {
	t.Parallel()
	// The store calls of a turn between reading its body and its place in the queue.
	for _, op := range []string{"Session", "Note turn k1", "BeginNote turn k1"} {
		t.Run(op, func(t *testing.T) {
			t.Parallel()
			r, slow := withStalling(t, anyframetest.WithAgent(1, speak))
			v := r.visitor()
			x := v.open("")
			v.say("before", "k0")
			x.turnEnds(1)

			var turns sync.WaitGroup
			post := func(text, key string) {
				turns.Go(func() {
					if a, err := v.try(t.Context(), text, key); err != nil || a.status != http.StatusAccepted {
						t.Errorf("%s: got %d %s, %v, want 202", text, a.status, a.body, err)
					}
				})
			}
			entered, release := slow.stall(t, op)
			post("first", "k1")
			select {
			case <-entered: // its body was read
			case <-time.After(patience):
				t.Fatalf("%s was not called for the first turn", op)
			}
			post("second", "k2")
			// The second turn must wait. The timeout only bounds how long it could
			// wrongly proceed; nothing has to happen within it.
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_ = r.plane.Wait(ctx, func() bool { return len(r.plane.Messages(r.upstream())) > 1 })
			release()
			turns.Wait()
			r.wantTaken("before", "first", "second")
			x.turnEnds(3)
			x.matches("live", r.oracle(1, r.upstream()))
		})
	}
}

// AnyFrame takes a message while the agent is at work, and responds only after the agent has
// ended that turn and begun to answer the message.
func TestTurn_AcceptedLateAfterTheTurnBefore_ShownBeforeItsAnswer(t *testing.T) {
	overTransports(t, func(t *testing.T, via transport) {
		gate := make(chan struct{})
		r := via.newHarness(t, nil, anyframetest.WithoutUserEcho(), anyframetest.WithAgent(1, func(c *anyframetest.Chat) {
			if c.Prompt() == "one" {
				c.Say("Working.")
				select {
				case <-gate:
				case <-c.Context().Done():
				}
			}
			c.Say("Done.")
		}))
		v := r.visitor()
		x := v.open("")
		v.say("one", "k1")
		x.turnBegins("Working.")
		r.plane.Inject(anyframetest.Fault{Kind: anyframetest.Late, Delay: time.Second, Op: anyframetest.OpMessage, Times: 1})
		var second sync.WaitGroup
		second.Go(func() {
			if a, err := v.try(t.Context(), "two", "k2"); err != nil || a.status != http.StatusAccepted {
				t.Errorf("two: got %d %s, %v, want 202", a.status, a.body, err)
			}
		})
		r.plane.WaitFor(t, func() bool { return len(r.plane.Messages(r.upstream())) == 2 })
		close(gate)
		x.turnEnds(1) // does not wait for the response
		if got, want := turnsOf(x.turnEnds(2)), []string{"one/k1", "done", "two/k2", "done"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		second.Wait()
	})
}

func TestStream_StoreSlowAtTurnEnd_EventsKeepFlowing(t *testing.T) {
	for _, op := range []string{"SaveSession", "Admit"} {
		t.Run(op, func(t *testing.T) {
			t.Parallel()
			g := gated{gate: make(chan struct{})}
			r, slow := withStalling(t, anyframetest.WithAgent(1, g.speak))
			v := r.visitor()
			x, y := v.open(""), v.open("")
			v.say("now", "k1")
			x.turnBegins(firstHalf)
			entered, release := slow.stall(t, op)
			close(g.gate)
			x.turnEnds(1)
			select {
			case <-entered:
			case <-time.After(patience):
				t.Fatalf("%s was not called at the turn's end", op)
			}
			r.plane.UserMessage(r.upstream(), "before") // the agent answers that
			x.turnEnds(2)                               // with the call still hanging
			y.turnEnds(2)
			release()
			want := r.oracle(1, r.upstream())
			x.matches("live", want)
			y.matches("on the other tab", want)
			v.open("").matches("from the start", want)
		})
	}
}

func TestStream_StoreSlowWhenPromptIsSettled_EventsKeepFlowing(t *testing.T) {
	t.Parallel()
	r, slow := withStalling(t, anyframetest.WithAgent(1, func(c *anyframetest.Chat) {
		c.Say("You chose " + c.Ask("Which?", "red", "green") + ".")
	}))
	v := r.visitor()
	x := v.open("")
	v.say("ask", "k1")
	x.prompt("question")
	entered, release := slow.stall(t, "SaveNote prompt")
	r.plane.Answer(r.upstream(), "red") // so that the pump stores it
	select {
	case <-entered:
	case <-time.After(patience):
		t.Fatal("SaveNote was not called for the prompt")
	}
	wantAnswers(t, "with the call still hanging", x.turnEnds(1), "You chose red.")
	release()
	x.matches("live", r.oracle(1, r.upstream()))
}

// turnBegins waits until a stream has shown this text of the last answer.
func (x *stream) turnBegins(text string) {
	x.t.Helper()
	x.until("the beginning of the answer", func(es []event) bool {
		all := answers(es)
		return len(all) > 0 && all[len(all)-1] == text
	})
}

// All calls that wait on an HTTP/2 connection fail together if it is reset. That counts
// as one failure, however many they are: AnyFrame is reachable, and the next request must
// not be refused.
func TestUpstream_SharedConnectionReset_CountsAsOneFailure(t *testing.T) {
	t.Parallel()
	const calls = 8
	via := transport{anyframetest.WithTLS(certificate)}
	r := via.newHarness(t, nil, anyframetest.WithAgent(1, speak))
	visitors := make([]*browser, calls+1)
	for i := range visitors {
		visitors[i] = r.visitor()
		visitors[i].say("before", "k0")
	}
	r.plane.Inject(anyframetest.Fault{Kind: anyframetest.Hang, Op: anyframetest.OpMessage, Times: calls})
	var waiting sync.WaitGroup
	for _, v := range visitors[:calls] {
		waiting.Go(func() {
			if a, err := v.try(t.Context(), "hello", "k1"); err != nil || a.status == http.StatusAccepted {
				t.Errorf("got %d %s, %v, want a refusal", a.status, a.body, err)
			}
		})
	}
	r.plane.WaitFor(t, func() bool { return r.plane.FaultsHit() == calls })
	r.plane.CutConnections()
	waiting.Wait()
	if got := r.metric("relay_upstream_breaker_open"); got != 0 {
		t.Errorf("circuit breaker open: got %v, want 0", got)
	}
	visitors[calls].say("hello", "k1") // immediately
	for _, v := range visitors[:calls] {
		v.insist("hello", "k1")
	}
}
