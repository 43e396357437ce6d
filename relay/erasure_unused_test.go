package relay_test

import (
	"context"
	"database/sql"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
	"github.com/anyframe-relay/relay/relay/internal/session"
	"github.com/anyframe-relay/relay/relay/internal/store"
)

// expiring are the tables of a SQLite store whose rows expire.
var expiring = []string{"tokens", "sessions", "notes", "leases", "quotas", "awake", "records"}

// rowsAfter returns how many rows of each table of a SQLite store expire after a time.
// Tables without such rows are left out.
func rowsAfter(t *testing.T, path string, after time.Time) map[string]int {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	found := map[string]int{}
	for _, table := range expiring {
		var n int
		if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM "+table+" WHERE expires_at > ?", after.UnixMilli()).Scan(&n); err != nil {
			t.Fatal(err)
		}
		if n > 0 {
			found[table] = n
		}
	}
	return found
}

// Anybody can request any number of such erasures, so they leave nothing for long. No
// worker runs here: there is nothing left for it to do.
func TestErase_NothingSent_DoneAtOnceAndLeavesNothing(t *testing.T) {
	t.Parallel()
	disk := sqliteFile(t)
	to := newHook(t)
	r := newHarness(t, func(c *relay.Config) {
		disk(c)
		to.use(c)
	}, anyframetest.WithAgent(1, talk))
	watched := r.visitor()
	x := watched.open("")
	var id string
	for range 50 {
		v := r.visitor()
		id = v.erases("/v1/visitor?erase=true")
		refused(t, "the token", v.do("GET", "/v1/session", ""), 401, "visitor_unknown")
		if again := v.do("POST", "/v1/visitor", `{"carrier":"bearer"}`); again.token() == v.token {
			t.Error("got the token of the erased visitor again, want another visitor")
		}
	}
	watched.erases("/v1/visitor?erase=true")
	if es := x.ended(); es[len(es)-1].str("code") != "visitor_unknown" {
		t.Errorf("got %v, want the stream ended", es)
	}
	if a := r.admin("GET", "/api/erasures/"+id, ""); a.json["done_at"] == nil {
		t.Errorf("its progress: got %d %s, want it done", a.status, a.body)
	}
	if late := rowsAfter(t, r.file(), time.Now().Add(2*time.Hour)); len(late) != 0 {
		t.Errorf("got rows that expire after more than two hours: %v, want none", late)
	}
	if got := r.metric("relay_erasures_pending"); got != 0 {
		t.Errorf("got %v erasures pending, want none", got)
	}

	// The same request of a visitor who has sent something is a whole erasure.
	v := r.visitor()
	v.say("hello", "k")
	v.erases("/v1/visitor?erase=true")
	if got := r.metric("relay_erasures_pending"); got != 1 {
		t.Errorf("got %v erasures pending, want one", got)
	}
}

// interrupted is a store that calls a function once when a visitor's first message is at
// a certain point.
type interrupted struct {
	session.Store
	at   string
	then func()
}

func (s interrupted) BeginNote(ctx context.Context, n store.Note) (store.Note, bool, error) {
	if s.at == "before it is stored" {
		s.then()
	}
	stored, fresh, err := s.Store.BeginNote(ctx, n)
	if s.at == "after it is stored" {
		s.then()
	}
	return stored, fresh, err
}

func (s interrupted) SaveSession(ctx context.Context, row store.Session) (store.Session, error) {
	if row.Epoch == 1 && s.at == "before its conversation is stored" {
		s.then()
	}
	saved, err := s.Store.SaveSession(ctx, row)
	if row.Epoch == 1 && s.at == "after its conversation is stored" {
		s.then()
	}
	return saved, err
}

// A visitor sends a first message in one tab and erases everything in another, which is
// connected to another replica.
func TestErase_WhileFirstMessageArrives_MessageErased(t *testing.T) {
	t.Parallel()
	for _, at := range []string{
		"before it is stored", "after it is stored", "before its conversation is stored", "after its conversation is stored",
	} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			plane, disk := startPlane(t, anyframetest.WithAgent(1, talk)), sqliteFile(t)
			both := func(c *relay.Config) {
				disk(c)
				eraseSoon(c)
			}
			b := harnessFor(t, plane, both)
			var here *browser
			var erase sync.Once
			a := harnessFor(t, plane, func(c *relay.Config) {
				both(c)
				c.Tune(relay.Tuning{EraseAgain: 50 * time.Millisecond, Store: func(s store.Store) session.Store {
					return interrupted{s, at, func() { erase.Do(func() { here.at(b).erases("/v1/visitor?erase=true") }) }}
				}})
			})
			here = a.visitor()
			if got := here.do("POST", "/v1/messages", `{"text":"the first message"}`, "Idempotency-Key", "k"); got.status == http.StatusAccepted {
				t.Errorf("got %d %s, want it refused", got.status, got.body)
			}
			b.runs()
			b.erased()
			refused(t, "the token", here.do("GET", "/v1/session", ""), 401, "visitor_unknown")
			plane.WaitFor(t, func() bool {
				for _, s := range plane.Sessions() {
					if s.Status != anyframetest.StatusTerminated {
						return false
					}
				}
				return true
			})
			if n := plane.Count(anyframetest.OpMessage); n != 0 {
				t.Errorf("got %d messages at AnyFrame, want none", n)
			}
			wantInNoFile(t, a.file(), "the first message")
			if notes := rowsAfter(t, a.file(), time.Now())["notes"]; notes != 0 {
				t.Errorf("got %d messages in the store, want none", notes)
			}
		})
	}
}
