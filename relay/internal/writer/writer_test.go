package writer_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/conversation"
	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/eventlog"
	"github.com/anyframe-relay/relay/relay/internal/group"
	"github.com/anyframe-relay/relay/relay/internal/ledger"
	"github.com/anyframe-relay/relay/relay/internal/store"
	"github.com/anyframe-relay/relay/relay/internal/store/memory"
	"github.com/anyframe-relay/relay/relay/internal/telemetry"
	"github.com/anyframe-relay/relay/relay/internal/writer"
)

// desk is a writer whose session's record is a list of the saved values.
type desk struct {
	*writer.Writer
	members group.Group
	notes   *memory.Store
	slow    chan struct{} // blocks saving the record; nil does not

	mu    sync.Mutex // guards the fields below
	saved []string   // as epoch-seq
	idle  int
	err   error // the result of saving the record
}

func newDesk(t *testing.T) *desk {
	d := &desk{notes: memory.New()}
	d.Writer = writer.New(writer.Hooks{
		Go: d.members.Go, Context: t.Context(),
		Guard: func(do func()) (ended bool) {
			defer func() { _ = recover() }()
			do()
			return true
		},
		Rest: func(context.Context, *conversation.Conversation) {},
		Ended: func(_ context.Context, epoch, seq int64) error {
			if d.slow != nil {
				<-d.slow
			}
			d.mu.Lock()
			defer d.mu.Unlock()
			d.saved = append(d.saved, fmt.Sprint(epoch, "-", seq))
			return d.err
		},
		Idle: func(context.Context) {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.idle++
		},
		Log: func() *slog.Logger { return slog.New(slog.DiscardHandler) },
	})
	return d
}

// converse returns an epoch's conversation with a turn that AnyFrame has accepted.
func (d *desk) converse(t *testing.T, epoch int64) *conversation.Conversation {
	t.Helper()
	l := ledger.New(ledger.Options{Notes: d.notes, TTL: time.Hour}, "v", epoch, 0, slog.New(slog.DiscardHandler))
	turn, err := l.Begin(t.Context(), ledger.Turn{Key: fmt.Sprint("k", epoch)})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Send(t.Context(), &turn); err != nil {
		t.Fatal(err)
	}
	turn.State, turn.Seq = ledger.Sent, 1
	l.Set(turn)
	o := conversation.Options{Visibility: event.VisibilityChat, Limits: eventlog.Limits{Events: 10, Bytes: 1 << 10}}
	return conversation.New(&o, epoch, "s", 0, l, func() {}, &telemetry.AnswerSpan{})
}

func (d *desk) stored(t *testing.T, c *conversation.Conversation) ledger.TurnState {
	t.Helper()
	turn, err := c.Ledger().Stored(t.Context(), fmt.Sprint("k", c.Epoch()))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		t.Fatal(err)
	}
	return turn.State
}

// What waits while the store is slow is merged: one write for each conversation, with the
// newest values.
func TestAdd_StoreSlow_Merged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		one, two := d.converse(t, 1), d.converse(t, 2)
		d.slow = make(chan struct{})
		for seq := int64(1); seq <= 9; seq++ {
			d.Add(one, conversation.Effect{Seq: seq, Ended: true})
			synctest.Wait() // the first write is in progress, and does not end
		}
		d.Add(two, conversation.Effect{Turns: []string{"k2"}})
		d.Add(one, conversation.Effect{Turns: []string{"k1"}})
		close(d.slow)
		d.members.Close()
		if got, want := fmt.Sprint(d.saved, d.idle), "[1-1 1-9] 2"; got != want {
			t.Errorf("got %s saved, want %s", got, want)
		}
		for _, c := range []*conversation.Conversation{one, two} {
			if got := d.stored(t, c); got != ledger.Sent {
				t.Errorf("epoch %d: got the turn's state %v in the store, want it sent", c.Epoch(), got)
			}
		}
	})
}

// If the store fails, or a panic occurs, only that write is lost, and none that follow.
func TestAdd_WriteFails_NextWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		c := d.converse(t, 1)
		d.err = store.ErrUnavailable
		d.Add(c, conversation.Effect{Seq: 1, Ended: true, Turns: []string{"k1", "nobody's"}})
		synctest.Wait()
		d.Add(c, conversation.Effect{Seq: 2, Ended: true})
		d.members.Close()
		if got, want := fmt.Sprint(d.saved, d.idle), "[1-1 1-2] 2"; got != want {
			t.Errorf("got %s saved, want %s", got, want)
		}
		if got := d.stored(t, c); got != ledger.Sent {
			t.Errorf("got the turn's state %v in the store, want it sent", got)
		}
	})
}

func TestAdd_OwnerClosed_NothingStarted(t *testing.T) {
	d := newDesk(t)
	d.members.Close()
	d.Add(d.converse(t, 1), conversation.Effect{Seq: 1, Ended: true})
	if len(d.saved) != 0 {
		t.Errorf("got %v saved, want nothing", d.saved)
	}
}
