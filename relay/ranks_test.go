package relay_test

import (
	"strings"
	"testing"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
	"github.com/anyframe-relay/relay/relay/internal/capacity"
	"github.com/anyframe-relay/relay/relay/internal/store"
	"github.com/anyframe-relay/relay/relay/internal/store/stores"
)

// awakeIn returns a function that returns the sandboxes that a store counts as awake,
// lowest rank first.
func awakeIn(t *testing.T, url string) func() []store.Awake {
	t.Helper()
	st, err := stores.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	return func() []store.Awake {
		t.Helper()
		all, err := st.Idlest(t.Context(), 1<<62, 1000)
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
}

// When streams open, the store gets few calls, and only about those whose sandbox runs.
func TestCapacity_ManyStreamsOpened_StoreToldInFewCalls(t *testing.T) {
	t.Parallel()
	disk := sqliteFile(t)
	r := newHarness(t, func(c *relay.Config) {
		disk(c)
		c.Tune(unwatching()) // otherwise ranks would be written again periodically
	}, anyframetest.WithAgent(1, atWork))
	awake := awakeIn(t, r.conf.Store)
	const visitors = 16
	all := make([]*browser, visitors)
	for i := range all {
		all[i], _ = r.begin("hi")
	}
	eventually(t, "the store has been told that all turns are over", func() bool {
		told := awake()
		return len(told) == visitors && told[visitors-1].Rank < capacity.Listening
	})
	sleeper, id := r.begin("hi")
	x := sleeper.open("")
	r.plane.Sleep(id)
	x.status("sleeping")
	x.close()
	eventually(t, "the sandbox that sleeps is not counted", func() bool { return len(awake()) == visitors })
	r.srv.RankNow()
	calls := func() float64 { return metric(t, r.reg, "relay_store_seconds", "op", "admit_all") }
	before := calls()
	sleeper.open("").status("sleeping") // the store needs no rank of a session without a sandbox
	r.visitor().open("")
	parallel(visitors, func(i int) { all[i].open("").turnEnds(1) })
	eventually(t, "all count as listened to", func() bool {
		n := 0
		for _, a := range awake() {
			if capacity.Listening < a.Rank && a.Rank < capacity.Busy {
				n++
			}
		}
		return n == visitors
	})
	if n := calls() - before; n == 0 || n > visitors/2 {
		t.Errorf("got %v calls, want few for %d sandboxes", n, visitors)
	}
	if got := len(awake()); got != visitors {
		t.Errorf("got %d sandboxes counted, want the %d that run", got, visitors)
	}
	if strings.Contains(r.logs.String(), "failed to count a sandbox") {
		t.Error("a sandbox could not be counted, see the log")
	}
}
