package limits

import (
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/anyframe-relay/relay/relay/internal/challenge"
	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/store"
	"github.com/anyframe-relay/relay/relay/internal/store/memory"
	"github.com/anyframe-relay/relay/relay/internal/telemetry"
)

func inUse() int64 {
	var m runtime.MemStats
	for range 3 { // pools release their memory in the second cycle
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestQuota_ManyRefusals_CacheBounded(t *testing.T) {
	st := memory.New()
	q := newQuotas("afm_test", st)
	for i := range 2*maxRefused + 10 {
		of := quota{name: "messages", rate: Rate{1, time.Hour}, who: fmt.Sprint("v", i), refusal: problem.RateLimited}
		if _, err := q.take(t.Context(), of); err != nil {
			t.Fatal(err)
		}
		if _, err := q.take(t.Context(), of); !errors.Is(err, problem.RateLimited) {
			t.Fatalf("visitor %d: got %v, want its second refused", i, err)
		}
		if n := len(q.refused); n > maxRefused {
			t.Fatalf("got %d refusals remembered, want %d at most", n, maxRefused)
		}
	}
}

func TestQuota_RefusalRepeated_StoreNotAsked(t *testing.T) {
	st := memory.New()
	q := newQuotas("afm_test", st)
	of := quota{name: "sessions", rate: Rate{1, time.Hour}, who: "192.0.2.1", refusal: problem.SessionQuota, address: true}
	undo, err := q.take(t.Context(), of)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = q.take(t.Context(), of) // refused
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := q.take(t.Context(), of); !errors.Is(err, problem.SessionQuota) {
		t.Errorf("got %v, want the refusal again, without the store", err)
	}
	if err := undo(); !errors.Is(err, store.ErrClosed) {
		t.Errorf("got %v, want the store asked", err)
	}
	if _, err := q.take(t.Context(), of); !errors.Is(err, store.ErrClosed) {
		t.Errorf("after one was given back: got %v, want the store asked", err)
	}
}

// remote is a store that many machines share.
type remote struct{ store.Store }

func (remote) Shared() bool { return true }

func TestLimits_StoreFails_NewRefusedReadersServed(t *testing.T) {
	for _, limited := range []bool{true, false} {
		st := remote{memory.New()}
		c := Options{Secret: "afm_test", MaxStreams: 1, StreamsPerVisitor: 1, StreamsPerIP: 1}
		if limited {
			c.RateIP, c.RateMessages, c.RateSessions, c.SessionsPerDay = Rates{{3, time.Hour}}, Rates{{9, time.Hour}}, Rates{{9, time.Hour}}, 9
		}
		l := New(c, st, telemetry.NewMetrics(prometheus.NewRegistry()))
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := l.Stream("v", "192.0.2.1"); err != nil {
			t.Errorf("a stream: got %v, want it opened", err)
		}
		var want error
		if limited {
			want = store.ErrClosed
		}
		if _, err := l.Message(t.Context(), "v"); !errors.Is(err, want) {
			t.Errorf("a message: got %v, want %v", err, want)
		}
		if err := l.NewSession(t.Context(), "192.0.2.1", challenge.Free); !errors.Is(err, want) {
			t.Errorf("a session: got %v, want %v", err, want)
		}
		if _, err := l.BeginSession(t.Context(), "192.0.2.1", challenge.Free); !errors.Is(err, want) {
			t.Errorf("a session begun: got %v, want %v", err, want)
		}
		for i := range 5 {
			err := l.Request(t.Context(), "192.0.2.1")
			if refused := errors.Is(err, problem.RateLimited); refused != (limited && i >= 3) || (err != nil && !refused) {
				t.Errorf("request %d: got %v, want this process's own limit", i+1, err)
			}
		}
	}
}

func TestRequest_SharedStore_CountedOverAllMachines(t *testing.T) {
	st := remote{memory.New()}
	c := Options{Secret: "afm_test", RateIP: Rates{{3, time.Hour}}}
	here := New(c, st, telemetry.NewMetrics(prometheus.NewRegistry()))
	there := New(c, st, telemetry.NewMetrics(prometheus.NewRegistry()))
	for i, l := range []*Limits{here, there, here, there, here} {
		if err := l.Request(t.Context(), "192.0.2.1"); (err != nil) != (i >= 3) {
			t.Errorf("request %d of 3: got %v", i+1, err)
		}
	}
}

func TestQuota_Key_DependsOnSecretAndQuota(t *testing.T) {
	now := time.Now()
	q, other := newQuotas("afm_one", nil), newQuotas("afm_two", nil)
	of := quota{name: "sessions", rate: Rate{1, time.Hour}, who: "192.0.2.1", address: true}
	if q.key(of, now) == other.key(of, now) {
		t.Error("got the same key under another secret, want one that cannot be guessed from the address")
	}
	seen := map[string]bool{}
	for _, of := range []quota{
		of,
		{name: "requests", rate: of.rate, who: of.who, address: true},
		{name: of.name, rate: Rate{1, time.Minute}, who: of.who, address: true},
		{name: of.name, rate: of.rate, who: "192.0.2.2", address: true},
	} {
		seen[q.key(of, now)] = true
	}
	if len(seen) != 4 {
		t.Errorf("got %d keys, want one for each", len(seen))
	}
	if q.key(of, now) != newQuotas("afm_one", nil).key(of, now) {
		t.Error("got another key in another process, want the same")
	}
	for _, of := range []quota{{name: "turns", rate: Rate{1, Day}}, {name: "messages", rate: of.rate, who: "a visitor"}} {
		if q.key(of, now) != other.key(of, now) {
			t.Errorf("%s: got another key under another secret, want the same count", of.name)
		}
	}
}

func TestBody_Arriving_CountedPerVisitorAddressAndNetwork(t *testing.T) {
	l := New(Options{}, memory.New(), telemetry.NewMetrics(prometheus.NewRegistry()))
	var rooms []*Room
	hold := func(visitor, addr string, n int) error {
		room := l.Body(Who{visitor, addr})
		rooms = append(rooms, room)
		return room.Hold(n)
	}
	must := func(visitor, addr string, n int) {
		t.Helper()
		if err := hold(visitor, addr, n); err != nil {
			t.Fatalf("%d bytes of %s at %s: got %v, want room", n, visitor, addr, err)
		}
	}
	full := func(visitor, addr string, n int) {
		t.Helper()
		if err := hold(visitor, addr, n); !errors.Is(err, problem.Capacity) {
			t.Errorf("%d bytes of %s at %s: got %v, want none", n, visitor, addr, err)
		}
	}
	const each = maxBodies / 8 // the maximum of one visitor
	must("a", "2001:db8:1:1::", each)
	full("a", "2001:db8:2:2::", LargeBody+1)
	must("a", "2001:db8:1:1::", LargeBody) // the size of most messages
	must("b", "2001:db8:1:1::", each)
	full("c", "2001:db8:1:1::", LargeBody+1)
	must("c", "2001:db8:1:2::", each)
	must("d", "2001:db8:1:3::", each)
	full("e", "2001:db8:1:4::", LargeBody+1) // the /48 has half of the total
	for i := range 4 {
		must(fmt.Sprint("f", i), fmt.Sprint("192.0.2.", i), each)
	}
	full("g", "192.0.2.9", LargeBody+1)
	rooms[0].Release()
	must("g", "192.0.2.9", each)
	for _, r := range rooms {
		r.Release()
	}
	if n := l.Counted(); n != 0 || l.bodies.Used() != 0 {
		t.Errorf("got %d bytes of %d accounts, want none", l.bodies.Used(), n)
	}
}

func TestBody_LargestOfSettings_AlwaysRoom(t *testing.T) {
	const most = 2 * maxBodies
	l := New(Options{MaxBody: most}, memory.New(), telemetry.NewMetrics(prometheus.NewRegistry()))
	small := l.Body(Who{"a", "192.0.2.1"})
	if err := small.Hold(maxBodies); err != nil {
		t.Fatal(err)
	}
	defer small.Release()
	large := l.Body(Who{"b", "192.0.2.2"})
	defer large.Release()
	for n := LargeBody; n <= most; n *= 2 { // as it arrives
		if err := large.Hold(n); err != nil {
			t.Fatalf("%d bytes: got %v, want room", n, err)
		}
	}
	if err := large.Hold(most + 1); !errors.Is(err, problem.Capacity) {
		t.Errorf("more than any body has: got %v, want none", err)
	}
	if got := l.bodies.Used(); got != most+maxBodies {
		t.Errorf("got %d bytes counted, want %d", got, most+maxBodies)
	}
}
