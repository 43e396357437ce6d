package conversation

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/eventlog"
	"github.com/anyframe-relay/relay/relay/internal/ledger"
	"github.com/anyframe-relay/relay/relay/internal/redact"
	"github.com/anyframe-relay/relay/relay/internal/store"
	"github.com/anyframe-relay/relay/relay/internal/store/memory"
	"github.com/anyframe-relay/relay/relay/internal/telemetry"
	"github.com/anyframe-relay/relay/relay/internal/upstream"
)

// chat is a conversation in which each turn has three events: the message, unless
// AnyFrame shows none, a block of text, and the end.
type chat struct {
	tb     testing.TB
	notes  store.NoteStore
	c      *Conversation
	text   string
	silent bool // AnyFrame shows no messages
	seq    int64
	rows   []anyframe.ChatEvent
}

var chatOptions = &Options{
	Visibility: event.VisibilityChat, Patterns: redact.KeyPatterns(canary),
	Limits: eventlog.Limits{Events: 2000, Bytes: 1 << 20, Compact: event.CompactDeltas},
}

func newChat(tb testing.TB, notes store.NoteStore, size int) *chat {
	c := &chat{tb: tb, notes: notes, text: strings.Repeat("x", size)}
	c.open(0)
	return c
}

// open creates another process's conversation of it, whose log begins after base.
func (c *chat) open(base int64) {
	c.tb.Helper()
	l := ledger.New(ledger.Options{Notes: c.notes, TTL: time.Hour}, "visitor", 1, base, slog.New(slog.DiscardHandler))
	if err := l.Load(c.tb.Context()); err != nil {
		c.tb.Fatal(err)
	}
	c.c = New(chatOptions, 1, "session", base, l, func() {}, &telemetry.AnswerSpan{})
}

// turn does everything for one message, from its arrival to its end.
func (c *chat) turn(key string) {
	c.send(key)
	c.event(`{"type":"assistant","content":[{"type":"text","text":"yes"}]}`)
	c.event(`{"type":"result","subtype":"success"}`)
}

// send sends a message, and shows it unless AnyFrame shows none.
func (c *chat) send(key string) {
	ctx, l := context.Background(), c.c.Ledger()
	_, err := l.Begin(ctx, ledger.Turn{Key: key, Hash: key, Text: c.text + key})
	c.must(err)
	_, err = c.c.Refresh(ctx)
	c.must(err)
	t, err := l.Stored(ctx, key)
	c.must(err)
	t.After = c.c.Log().Head()
	c.must(l.Send(ctx, &t))
	t.Seq = c.seq + 1
	t.Answered = t.Seq
	c.c.Accepted(ctx, t, time.Now())
	c.must(l.Persist(ctx, key))
	if c.silent {
		c.seq++ // of a message that no event shows
	} else {
		c.event(`{"type":"user","text":"` + t.Text + `"}`)
	}
}

// interrupt ends the unfinished turns without an event.
func (c *chat) interrupt(stopped bool) { c.persist(c.c.Interrupt(stopped)) }

func (c *chat) event(data string) {
	c.seq++
	ev := upstream.Decode(anyframe.Event{Seq: c.seq, Data: json.RawMessage(data)})
	c.persist(c.c.Apply(context.Background(), &ev))
	if c.rows != nil {
		c.rows = append(c.rows, anyframe.ChatEvent{Seq: c.seq, Payload: json.RawMessage(data)})
	}
}

func (c *chat) persist(e Effect) {
	for _, end := range e.Ends {
		c.must(c.c.Ledger().PersistEnd(context.Background(), end))
	}
	for _, key := range e.Turns {
		c.must(c.c.Ledger().Persist(context.Background(), key))
	}
}

func (c *chat) must(err error) {
	if err != nil {
		c.tb.Helper()
		c.tb.Fatal(err)
	}
}

func (c *chat) turns(n int) {
	for range n {
		c.turn(fmt.Sprint("k", c.seq))
	}
}

// read returns AnyFrame's transcript.
func (c *chat) read(_ context.Context, since int64, limit int) ([]anyframe.ChatEvent, error) {
	at, _ := slices.BinarySearchFunc(c.rows, since+1, func(row anyframe.ChatEvent, seq int64) int { return int(row.Seq - seq) })
	return c.rows[at:min(at+limit, len(c.rows))], nil
}

// history returns what a reader who resumes after an event gets.
func (c *chat) history(after int64) (items []event.Item) {
	c.tb.Helper()
	for it, err := range c.c.History(c.tb.Context(), c.read, after, c.seq) {
		c.must(err)
		if it.Kind != "" {
			items = append(items, it)
		}
	}
	return items
}

// lastNote is a store with a single note: the last one written.
type lastNote struct {
	store.NoteStore
	note store.Note
}

func (s *lastNote) BeginNote(_ context.Context, n store.Note) (store.Note, bool, error) {
	n.Version = store.NewVersion()
	s.note = n
	return n, true, nil
}

func (s *lastNote) SaveNote(_ context.Context, n store.Note) (store.Note, error) {
	n.Version = store.NewVersion()
	s.note = n
	return n, nil
}

func (s *lastNote) Note(context.Context, string, string, string) (store.Note, error) {
	return s.note, nil
}

// Notes that are no longer in memory are read from the store for readers of the past.
func TestHistory_TurnsNotInMemory_ReadFromStore(t *testing.T) {
	const n = 300
	for name, silent := range map[string]bool{"AnyFrame shows messages": false, "AnyFrame shows no messages": true} {
		for who, reopen := range map[string]bool{"the process that sent them": false, "another": true} {
			t.Run(name+", "+who, func(t *testing.T) {
				c := newChat(t, memory.New(), 1)
				c.silent, c.rows = silent, []anyframe.ChatEvent{}
				var want []string
				for i := range n {
					key := fmt.Sprint("k", i)
					c.turn(key)
					want = append(want, "x"+key+"/"+key)
				}
				if reopen {
					c.open(c.seq)
				}
				if kept := len(c.c.Ledger().Recent()); kept > 64 {
					t.Errorf("got %d turns in memory, want 64 at most", kept)
				}
				var got []string
				for it, err := range c.c.History(t.Context(), c.read, 0, 1<<40) {
					c.must(err)
					if user, ok := it.Data.(event.UserData); ok {
						got = append(got, user.Text+"/"+user.Turn)
					}
				}
				if !slices.Equal(got, want) {
					t.Errorf("got %d messages %.300q, want %d in order", len(got), got, n)
				}
				got = nil
				_, err := c.c.Page(t.Context(), c.read, c.seq-9, 100, func(items []event.Item) bool {
					for _, it := range items {
						if user, ok := it.Data.(event.UserData); ok {
							got = append(got, user.Text+"/"+user.Turn)
						}
					}
					return true
				})
				c.must(err)
				if !slices.Equal(got, want[n-3:]) {
					t.Errorf("a page: got messages %q, want %q", got, want[n-3:])
				}
			})
		}
	}
}

func BenchmarkTurn(b *testing.B) {
	for _, past := range []int{10, 1000, 10000} {
		b.Run(fmt.Sprint("past-", past), func(b *testing.B) {
			c := newChat(b, memory.New(), 16)
			c.turns(past)
			b.ReportAllocs()
			for b.Loop() {
				c.turns(1)
			}
		})
	}
}

// BenchmarkSessionState measures GET /v1/session in a process that does not have the
// session in memory.
func BenchmarkSessionState(b *testing.B) {
	for _, past := range []int{10, 1000, 10000} {
		b.Run(fmt.Sprint("past-", past), func(b *testing.B) {
			c := newChat(b, memory.New(), 16)
			c.turns(past)
			b.ReportAllocs()
			for b.Loop() {
				c.open(c.seq)
			}
		})
	}
}
