package relay_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
	"github.com/anyframe-relay/relay/relay/internal/session"
	"github.com/anyframe-relay/relay/relay/internal/store"
)

// noteLoads is a store whose next listing of an epoch's notes can be made to hang. It
// records which visitor's row was read last.
type noteLoads struct {
	*stalling

	mu      sync.Mutex
	visitor string
}

func (s *noteLoads) Session(ctx context.Context, visitor string) (store.Session, error) {
	s.mu.Lock()
	s.visitor = visitor
	s.mu.Unlock()
	return s.stalling.Session(ctx, visitor)
}

func (s *noteLoads) NotesAt(ctx context.Context, visitor, kind string, epoch, from, to int64, limit int) ([]store.Note, int64, error) {
	if epoch == 2 {
		s.begin("NotesAt")
	}
	return s.Store.NotesAt(ctx, visitor, kind, epoch, from, to, limit)
}

// The stream of the previous epoch is opened again while the rows of the next one, which
// has the same sandbox, are read.
func TestReplicas_NextEpochTakenOverWhileStreamReopens_NewConversationFollowed(t *testing.T) {
	t.Parallel()
	rows := &noteLoads{stalling: &stalling{}}
	r := newHarness(t, func(c *relay.Config) {
		c.Tune(relay.Tuning{
			Session: session.Tuning{Resync: 100 * time.Millisecond},
			Store:   func(s store.Store) session.Store { rows.Store = s; return rows },
		})
	}, anyframetest.WithAgent(1, speak))
	v := r.visitor()
	x := v.open("")
	v.say("before", "k1")
	x.turnEnds(1)
	id := r.upstream()
	r.plane.WaitFor(t, func() bool { return r.plane.OpenStreams(id) == 1 })

	rows.mu.Lock()
	visitor := rows.visitor
	rows.mu.Unlock()
	row, err := rows.Store.Session(t.Context(), visitor)
	if err != nil || row.UpstreamID != id {
		t.Fatalf("got a row of %q, error %v, want that of %q", row.UpstreamID, err, id)
	}
	entered, release := rows.stall(t, "NotesAt")
	row.Epoch, row.LastSeq = 2, 0 // as by a replica that had lost it
	opened := r.plane.Count(anyframetest.OpEvents)
	if _, err := rows.Store.SaveSession(t.Context(), row); err != nil {
		t.Fatal(err)
	}
	select {
	case <-entered:
	case <-time.After(patience):
		t.Fatal("the notes of the next epoch were not read")
	}
	r.plane.WaitFor(t, func() bool { return r.plane.Count(anyframetest.OpEvents) > opened })
	release()
	es := x.until("the next epoch", func(es []event) bool { return len(resets(es)) == 1 && count(lastLife(es), "turn_end") == 1 })
	same(t, "live", numbered(lastLife(es)), r.oracle(2, id))
	r.plane.UserMessage(id, "now") // later events are shown too
	es = x.until("what comes then", func(es []event) bool { return count(lastLife(es), "turn_end") == 2 })
	same(t, "live", numbered(lastLife(es)), r.oracle(2, id))
	r.plane.WaitFor(t, func() bool { return r.plane.OpenStreams(id) == 1 })
}
