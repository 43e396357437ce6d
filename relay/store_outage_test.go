package relay_test

import (
	"database/sql"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
	"github.com/anyframe-relay/relay/relay/internal/store/redistest"
)

// away is a way in which a store can be unavailable for a while.
type away struct {
	conf       func(*relay.Config)
	begin, end func()
	readable   bool // stored data can still be read
}

// aways are the ways in which stores can fail.
func aways() map[string]func(t *testing.T) away {
	// With the default timeouts, and on disk so that the data is there again after a
	// kill.
	redis := func(t *testing.T) (*redistest.Server, func(*relay.Config)) {
		server := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
		return server, func(c *relay.Config) { c.Store = "redis://" + server.Addr }
	}
	return map[string]func(t *testing.T) away{
		"Redis is killed": func(t *testing.T) away {
			server, conf := redis(t)
			return away{conf: conf, begin: server.Kill, end: server.Restart}
		},
		"Redis is frozen": func(t *testing.T) away {
			server, conf := redis(t)
			return away{conf: conf, begin: server.Freeze, end: server.Thaw}
		},
		"another program writes to the file": func(t *testing.T) away {
			conf := sqliteFile(t)
			var c relay.Config
			conf(&c)
			db, err := sql.Open("sqlite", "file:"+strings.TrimPrefix(c.Store, "sqlite:")+"?_pragma=busy_timeout(60000)")
			if err != nil {
				t.Fatal(err)
			}
			db.SetMaxOpenConns(1)
			t.Cleanup(func() { _ = db.Close() })
			run := func(statement string) func() {
				return func() {
					if _, err := db.ExecContext(t.Context(), statement); err != nil {
						t.Fatal(err)
					}
				}
			}
			return away{conf: conf, begin: run("BEGIN IMMEDIATE"), end: run("ROLLBACK"), readable: true}
		},
	}
}

// While the store is unreachable, open streams continue and new work is refused
// with a time to retry.
func TestStoreOutage_OpenStreams_ContinueAndNewWorkRefused(t *testing.T) {
	t.Parallel()
	for name, start := range aways() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			away := start(t)
			r := newHarness(t, away.conf, anyframetest.WithAgent(1, speak))
			v := r.visitor()
			x := v.open("")
			v.insist("one", "k1")
			x.turnEnds(1)

			away.begin()
			refused := []answer{
				(&browser{r: r}).do("POST", "/v1/visitor", `{"carrier":"bearer"}`),
				v.do("POST", "/v1/messages", `{"text":"two"}`, "Idempotency-Key", "k2"),
			}
			if !away.readable {
				refused = append(refused, v.do("GET", "/v1/events", ""), v.do("GET", "/v1/session", ""), v.do("POST", "/v1/session", ""))
			}
			for i, got := range refused {
				if got.status != http.StatusServiceUnavailable || got.code() != "at_capacity" || got.header.Get("Retry-After") == "" {
					t.Errorf("refusal %d: got %d %s, Retry-After %q, want 503 at_capacity and when to come back", i, got.status, got.body, got.header.Get("Retry-After"))
				}
			}
			r.plane.UserMessage(r.upstream(), "from the console")
			x.until("what the operator said", func(es []event) bool {
				return slices.ContainsFunc(es, func(e event) bool { return e.str("text") == "from the console" })
			})
			x.turnEnds(2)
			r.becomes(http.StatusServiceUnavailable, "the store cannot be reached")

			away.end()
			r.becomes(http.StatusOK, "[]")
			v.insist("two", "k2")
			x.turnEnds(3)
			x.matches("live", r.oracle(1, r.upstream()))
			r.wantTaken("one", "two")
			if got := resets(x.all()); len(got) != 0 {
				t.Errorf("resets: got %q, want none", got)
			}
		})
	}
}

// becomes waits until the relay reports that it is ready, or that it is not and why.
func (r *harness) becomes(status int, reason string) {
	r.t.Helper()
	eventually(r.t, fmt.Sprint("readyz ", status, " ", reason), func() bool {
		got := (&browser{r: r}).do("GET", "/readyz", "")
		return got.status == status && strings.Contains(got.body, reason)
	})
}
