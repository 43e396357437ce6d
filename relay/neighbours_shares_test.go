package relay_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
	"github.com/anyframe-relay/relay/relay/internal/session"
	"github.com/anyframe-relay/relay/relay/internal/store"
)

func TestMessageBody_AnnouncedAndNotSent_NeighbourAttachmentAccepted(t *testing.T) {
	t.Parallel()
	for origin, addr := range attackers {
		t.Run(origin, func(t *testing.T) {
			t.Parallel()
			n := newNeighbour(t, func(c *relay.Config) { c.MaxAttachment = 64 << 20 }, longTalk)
			v := n.r.visitor()
			for i := range 16 {
				v.dial(fmt.Sprintf("POST /v1/messages HTTP/1.1\r\nContent-Length: %d", 256<<20), addr(i/4), '{')
			}
			n.attaches("while 4 GiB are announced")
		})
	}
}

// attaches posts attachments that are accepted only if there is room for them.
func (n *neighbour) attaches(when string) {
	n.r.t.Helper()
	n.chats(when)
	n.turns++
	body := withAttachments(attachment("a.txt", "text/plain", []byte(strings.Repeat("words ", 500_000))))
	if a := n.do("POST", "/v1/messages", body, "X-Forwarded-For", neighbourAddr); a.status != http.StatusAccepted {
		n.r.t.Fatalf("%s, the neighbour's attachment: got %d %s, want 202", when, a.status, a.body)
	}
	n.x.turnEnds(n.turns)
}

func TestStreams_OneNetworkOpensAllItMay_NeighbourServed(t *testing.T) {
	t.Parallel()
	for origin, addr := range attackers {
		t.Run(origin, func(t *testing.T) {
			t.Parallel()
			n := newNeighbour(t, func(c *relay.Config) { c.StreamsPerVisitor, c.StreamsPerIP, c.MaxStreams = 3, 4, 80 }, longTalk)
			open, refusals := 0, 0
			for i := range 90 {
				v := n.r.visitor()
				x, refusal := v.tryOpenAt("/v1/events", "X-Forwarded-For", addr(i))
				if x != nil {
					open++
					continue
				}
				refusals++
				refused(t, "one more", refusal, 429, "too_many_streams")
			}
			if want := map[string]int{"one address": 4, "one /48": 64}[origin]; open != want {
				t.Errorf("got %d open, want %d", open, want)
			}
			n.chats("while they listen")
			n.openAt("/v1/events", "X-Forwarded-For", neighbourAddr).turnEnds(n.turns)
		})
	}
}

// At the limit, each new sandbox needs one to be put to sleep, and AnyFrame does not
// respond to that call.
func TestCapacity_OneNetworkWakesAllItMay_NeighbourServed(t *testing.T) {
	t.Parallel()
	for origin, addr := range attackers {
		t.Run(origin, func(t *testing.T) {
			t.Parallel()
			n := newNeighbour(t, func(c *relay.Config) { c.MaxSessions, c.SendWait = 41, patience }, longTalk)
			own := n.r.upstream()
			n.begun(40, addr)
			n.r.plane.Sleep(own)
			n.x.status("sleeping")
			n.r.visitor().from("192.0.2.1", "hi") // takes the neighbor's place
			var sleepers []string
			for _, s := range n.r.plane.Sessions() {
				if s.ID != own {
					sleepers = append(sleepers, s.ID)
				}
			}
			for _, id := range sleepers[:len(sleepers)-1] {
				n.r.plane.Inject(anyframetest.Fault{Kind: anyframetest.Late, Delay: time.Second, Op: anyframetest.OpTerminate, Session: id})
			}
			for i := range 40 {
				n.r.visitor().dial("POST /v1/messages HTTP/1.1\r\nContent-Length: 13", addr(i), []byte(`{"text":"hi"}`)...)
			}
			n.r.plane.WaitFor(t, func() bool { return n.r.plane.FaultsHit() > 0 })
			n.insistFrom("hi")
		})
	}
}

// insistFrom posts a message from the neighbor until it is accepted.
func (n *neighbour) insistFrom(text string) {
	n.r.t.Helper()
	n.turns++
	eventually(n.r.t, "the neighbour's turn", func() bool {
		a := n.from(neighbourAddr, text)
		if a.status != http.StatusAccepted && a.code() != "at_capacity" {
			n.r.t.Fatalf("the neighbour's turn: got %d %s, want 202", a.status, a.body)
		}
		return a.status == http.StatusAccepted
	})
	n.x.turnEnds(n.turns)
}

// slowSpy is a store that delays its responses about some visitors' sessions until
// released.
type slowSpy struct {
	store.Store
	mu    sync.Mutex
	asked map[string]int
	slow  func(visitor string) <-chan struct{}

	generation atomic.Int64
}

func (s *slowSpy) Session(ctx context.Context, visitor string) (store.Session, error) {
	s.mu.Lock()
	s.asked[visitor]++
	var wait <-chan struct{}
	if s.slow != nil {
		wait = s.slow(visitor)
	}
	s.mu.Unlock()
	if wait != nil {
		<-wait
	}
	return s.Store.Session(ctx, visitor)
}

// Changed reports that everything has changed, so that all sessions are reread
// constantly.
func (s *slowSpy) Changed(_ context.Context, marks []store.Mark) (all []int, err error) {
	for i := range marks {
		all = append(all, i)
	}
	return all, nil
}

// Generation returns a different number each time, as for a store that others write to.
func (s *slowSpy) Generation(context.Context) (int64, error) { return s.generation.Add(1), nil }

// times returns how often the store was asked about visitors that satisfy which.
func (s *slowSpy) times(which func(visitor string) bool) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for visitor, times := range s.asked {
		if which(visitor) {
			n += times
		}
	}
	return n
}

// Open streams make the relay reread their sessions from the store periodically.
func TestStreams_StoreSlowForOneNetwork_NeighbourSessionStillRead(t *testing.T) {
	t.Parallel()
	for origin, most := range map[string]int{"one address": 8, "one /48": 16} {
		t.Run(origin, func(t *testing.T) {
			t.Parallel()
			spy := &slowSpy{asked: map[string]int{}}
			trust := trusting("", "127.0.0.0/8", "::1/128")
			r := newHarness(t, func(c *relay.Config) {
				trust(c)
				c.Tune(relay.Tuning{
					Session: session.Tuning{Resync: 20 * time.Millisecond},
					Store:   func(s store.Store) session.Store { spy.Store = s; return spy },
				})
			})
			r.visitor().openAt("/v1/events", "X-Forwarded-For", neighbourAddr)
			var own string
			spy.times(func(visitor string) bool { own = visitor; return true })
			for i := range 40 {
				r.visitor().openAt("/v1/events", "X-Forwarded-For", attackers[origin](i))
			}
			others := func(visitor string) bool { return visitor != own }
			answer := make(chan struct{})
			defer close(answer)
			spy.mu.Lock()
			clear(spy.asked)
			spy.slow = func(visitor string) <-chan struct{} {
				if visitor == own {
					return nil
				}
				return answer
			}
			spy.mu.Unlock()
			eventually(t, "the store is asked about the others", func() bool { return spy.times(others) >= most })
			before := spy.times(func(visitor string) bool { return visitor == own })
			eventually(t, "the store is asked about the neighbour", func() bool {
				return spy.times(func(visitor string) bool { return visitor == own }) > before+2
			})
			if got := spy.times(others); got != most {
				t.Errorf("got %d of %s asked about at once, want %d", got, origin, most)
			}
		})
	}
}
