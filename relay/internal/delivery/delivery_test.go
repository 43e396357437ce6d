package delivery_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay/internal/conversation"
	"github.com/anyframe-relay/relay/relay/internal/delivery"
	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/eventlog"
	"github.com/anyframe-relay/relay/relay/internal/ledger"
	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/redact"
	"github.com/anyframe-relay/relay/relay/internal/store"
	"github.com/anyframe-relay/relay/relay/internal/store/memory"
	"github.com/anyframe-relay/relay/relay/internal/telemetry"
	"github.com/anyframe-relay/relay/relay/internal/upstream"
	"github.com/anyframe-relay/relay/relay/internal/visitorctx"
	"github.com/anyframe-relay/relay/tools/ports"
)

// desk is a courier for one conversation with a running sandbox of the scripted control
// plane. AnyFrame's stream is not read.
type desk struct {
	*delivery.Courier
	t        *testing.T
	plane    *anyframetest.Server
	notes    store.NoteStore
	c        *conversation.Conversation
	accepted []ledger.Turn
}

// unlimited is a budget that counts nothing.
type unlimited struct{}

func (unlimited) CountTurn(context.Context, bool) (int64, error) { return 1, nil }
func (unlimited) UncountTurn(context.Context, int64) error       { return nil }

func newDesk(t *testing.T, opts ...anyframetest.Option) *desk {
	t.Helper()
	d := &desk{t: t, plane: anyframetest.New(opts...), notes: memory.New()}
	t.Cleanup(d.plane.Close)
	d.must(ports.Try(t.Context(), d.plane.Listen)) // no other server may take its port while it is down
	client, err := anyframe.New(
		anyframe.WithAPIKey(d.plane.Key()), anyframe.WithBaseURL(d.plane.URL()), anyframe.WithDotEnv(""), anyframe.WithTimeout(5*time.Second),
	)
	d.must(err)
	t.Cleanup(client.CloseIdleConnections)
	up, err := client.Sessions.Create(t.Context(), anyframe.CreateSessionParams{AgentID: d.plane.AgentID()})
	d.must(err)
	_, err = client.Sessions.WaitUntilRunning(t.Context(), up.ID, anyframe.WaitOptions{})
	d.must(err)
	log := slog.New(slog.DiscardHandler)
	l := ledger.New(ledger.Options{Notes: d.notes, TTL: time.Hour}, "visitor", 1, 0, log)
	d.c = conversation.New(&conversation.Options{
		Visibility: event.VisibilityChat, Approvals: true, Patterns: redact.KeyPatterns("afm_key_of_nobody"), Limits: eventlog.Limits{Events: 100, Bytes: 1 << 20},
	}, 1, up.ID, 0, l, func() {}, &telemetry.AnswerSpan{})
	d.Courier = &delivery.Courier{
		Client: client, Budget: unlimited{},
		Contexts: func() *visitorctx.Keeper { return nil },
		Log:      func() *slog.Logger { return log },
		Rows: func(c *conversation.Conversation) conversation.RowReader {
			return func(ctx context.Context, since int64, limit int) ([]anyframe.ChatEvent, error) {
				return client.Sessions.Transcript(ctx, c.ID(), since, limit)
			}
		},
		Accepted: func(_ context.Context, _ *conversation.Conversation, turn *ledger.Turn) {
			d.accepted = append(d.accepted, *turn)
		},
	}
	return d
}

func (d *desk) must(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

// note stores a new turn.
func (d *desk) note(key, text string) *ledger.Turn {
	d.t.Helper()
	turn, err := d.c.Ledger().Begin(d.t.Context(), ledger.Turn{Key: key, Text: text, Hash: text})
	d.must(err)
	return &turn
}

func (d *desk) post(turn *ledger.Turn) error {
	return d.Post(d.t.Context(), d.c, turn, anyframe.Message{Prompt: turn.Text})
}

// want fails the test unless the store has the turn k1 in this state, and AnyFrame has
// this number of messages.
func (d *desk) want(state ledger.TurnState, messages int) {
	d.t.Helper()
	turn, err := d.c.Ledger().Stored(d.t.Context(), "k1")
	d.must(err)
	if turn.State != state {
		d.t.Errorf("got state %v in the store, want %v", turn.State, state)
	}
	if got := len(d.plane.Messages(d.c.ID())); got != messages {
		d.t.Errorf("got %d messages at AnyFrame, want %d", got, messages)
	}
}

func TestPost_Answered_SentWithItsSeq(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	turn := d.note("k1", "hello")
	d.must(d.post(turn))
	d.want(ledger.Sent, 1)
	if len(d.accepted) != 1 || d.accepted[0].Seq == 0 || turn.Answered != d.accepted[0].Seq {
		t.Errorf("got %+v accepted, want the turn with AnyFrame's seq, once", d.accepted)
	}
}

func TestPost_NeverArrived_HeldAgain(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	turn := d.note("k1", "hello")
	d.c.Log().Advance(1) // so that the end of AnyFrame's log is not read first
	d.plane.Down()
	d.Client.CloseIdleConnections() // otherwise a request may be half sent on a broken connection
	if err := d.post(turn); !upstream.NeverSent(err) {
		t.Fatalf("got %v, want an error that says that nothing was sent", err)
	}
	d.must(d.plane.Up())
	d.want(ledger.Held, 0)
	if len(d.accepted) != 0 {
		t.Errorf("got %+v accepted, want nothing", d.accepted)
	}
}

// AnyFrame's response is lost: its transcript has the message.
func TestPost_AnswerLost_FoundInTranscript(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.plane.Inject(anyframetest.Fault{Kind: anyframetest.LoseAnswer, Op: anyframetest.OpMessage, Times: 1})
	d.must(d.post(d.note("k1", "hello")))
	d.want(ledger.Sent, 1)
}

// The message itself was lost: nothing proves that AnyFrame has it, but a later look may.
func TestPost_MessageLost_UnresolvedUntilProven(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.plane.Inject(anyframetest.Fault{Kind: anyframetest.Refuse, Op: anyframetest.OpMessage, Times: 1})
	turn := d.note("k1", "hello")
	if err := d.post(turn); err == nil {
		t.Fatal("got no error, want AnyFrame's")
	}
	if turn.State != ledger.Unresolved {
		t.Errorf("got state %v, want it not resolved", turn.State)
	}
	d.want(ledger.SendingElsewhere, 0) // as other processes see it
	if found, err := d.Prove(t.Context(), d.c, turn, 0); found || err != nil {
		t.Errorf("got found %v, %v, want no message there", found, err)
	}
	d.plane.UserMessage(d.c.ID(), "hello") // it arrives late
	if found, err := d.Prove(t.Context(), d.c, turn, 0); !found || err != nil {
		t.Errorf("got found %v, %v, want the message that came late", found, err)
	}
	d.want(ledger.Sent, 0) // it is in the transcript, by another route
}

// A message with the same text as another turn's proves nothing.
func TestProve_SameWordsOfAnotherTurn_NotTaken(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.must(d.post(d.note("k1", "yes")))
	second := d.note("k2", "yes")
	second.After = 0
	if found, err := d.Prove(t.Context(), d.c, second, 0); found || err != nil {
		t.Errorf("got found %v, %v, want the other turn's message left to it", found, err)
	}
}

// A turn of an earlier conversation was lost with its sandbox. One of a later conversation
// may have been accepted there.
func TestProve_OtherConversation_OnlyEarlierOnesAreLost(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	turn := d.note("k1", "hi")
	turn.State = ledger.SendingElsewhere
	turn.Epoch = d.c.Epoch() - 1
	if found, err := d.Settle(t.Context(), d.c, turn); found || err != nil {
		t.Errorf("earlier: got %t, %v, want not found", found, err)
	}
	turn.Epoch, turn.Stop = d.c.Epoch()+1, true
	if found, err := d.Settle(t.Context(), d.c, turn); found || !errors.Is(err, store.ErrConflict) {
		t.Errorf("later: got %t, %v, want ErrConflict", found, err)
	}
}

// Where AnyFrame shows messages, what the agent does meanwhile proves nothing: a message
// that AnyFrame has is in the transcript. Elsewhere it is the only proof.
func TestProve_OtherWorkWhereMessagesAreShown_NoProof(t *testing.T) {
	t.Parallel()
	for name, shown := range map[string]bool{"AnyFrame shows messages": true, "it shows none": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var opts []anyframetest.Option
			if !shown {
				opts = append(opts, anyframetest.WithoutUserEcho())
			}
			d := newDesk(t, opts...)
			d.must(d.post(d.note("k1", "first")))
			d.plane.WaitFor(t, func() bool { info, _ := d.plane.Session(d.c.ID()); return !info.Busy })
			last := int64(0)
			for row, err := range d.Client.Sessions.TranscriptAll(t.Context(), d.c.ID(), 0) {
				d.must(err)
				ev := upstream.Decode(row.Event())
				d.c.Apply(t.Context(), &ev)
				last = row.Seq
			}
			lost := d.note("k2", "second")
			lost.After = last - 1 // it was sent before the first turn's last event
			found, err := d.Prove(t.Context(), d.c, lost, 0)
			if err != nil || found == shown {
				t.Errorf("got found %v, %v, want %v", found, err, !shown)
			}
		})
	}
}

// prompted returns a desk whose agent waits for an answer, and our id of its prompt.
func prompted(t *testing.T, say anyframetest.Script) (d *desk, id string) {
	t.Helper()
	d = newDesk(t, anyframetest.WithAgent(1, say))
	d.must(d.post(d.note("k1", "go")))
	d.plane.WaitFor(t, func() bool { info, _ := d.plane.Session(d.c.ID()); return info.Waiting })
	for row, err := range d.Client.Sessions.TranscriptAll(t.Context(), d.c.ID(), 0) {
		d.must(err)
		ev := upstream.Decode(row.Event())
		d.c.Apply(t.Context(), &ev)
	}
	for _, p := range d.c.Ledger().WaitingBy(1 << 62) {
		id = p.ID
	}
	if id == "" {
		t.Fatal("got no prompt that waits")
	}
	return d, id
}

type answering = func(ctx context.Context, c *conversation.Conversation, id, text, decision string) (string, error)

func ask(c *anyframetest.Chat) { c.Say("You said " + c.Ask("Which?", "this", "that")) }

func permit(c *anyframetest.Chat) {
	if c.Permit("Bash", map[string]any{"command": "ls"}) {
		c.Say("Done.")
	}
}

func TestAnswer_Question_AtMostOnce(t *testing.T) {
	t.Parallel()
	d, id := prompted(t, ask)
	outcome, err := d.Answer(t.Context(), d.c, id, "this", "")
	d.must(err)
	if outcome != "answered" {
		t.Errorf("got outcome %q, want answered", outcome)
	}
	if outcome, err := d.Answer(t.Context(), d.c, id, "that", ""); outcome != "" || !errors.Is(err, problem.PromptSettled) {
		t.Errorf("the second time: got %q, %v, want it settled", outcome, err)
	}
	if n := d.plane.Count(anyframetest.OpRespond); n != 1 {
		t.Errorf("got %d answers at AnyFrame, want 1", n)
	}
}

// A browser sends a request again if its connection breaks before the response, and a
// visitor whose response was lost tries again: neither is another answer.
func TestAnswer_Repeated_AnsweredAsBefore(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		agent anyframetest.Script
		how   func(*delivery.Courier) answering
		text  string
		says  string
		other [2]string
	}{
		"an answer":              {ask, func(d *delivery.Courier) answering { return d.Answer }, "this", "", [2]string{"that", ""}},
		"a decision":             {permit, func(d *delivery.Courier) answering { return d.Answer }, "", "deny", [2]string{"", "approve"}},
		"an operator's decision": {permit, func(d *delivery.Courier) answering { return d.Decide }, "", "approve", [2]string{"", "deny"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, id := prompted(t, c.agent)
			d.plane.Inject(anyframetest.Fault{Op: anyframetest.OpRespond, Kind: anyframetest.Late, Delay: 300 * time.Millisecond})
			var all sync.WaitGroup
			for range 3 {
				all.Go(func() {
					if _, err := c.how(d.Courier)(t.Context(), d.c, id, c.text, c.says); err != nil {
						t.Errorf("at the same time: got %v, want no error", err)
					}
				})
			}
			all.Wait()
			if outcome, err := c.how(d.Courier)(t.Context(), d.c, id, c.text, c.says); outcome != "" || err != nil {
				t.Errorf("later: got %q, %v, want nothing and no error", outcome, err)
			}
			if _, err := c.how(d.Courier)(t.Context(), d.c, id, c.other[0], c.other[1]); !errors.Is(err, problem.PromptSettled) {
				t.Errorf("another: got %v, want it settled", err)
			}
			if n := d.plane.Count(anyframetest.OpRespond); n != 1 {
				t.Errorf("got %d answers at AnyFrame, want 1", n)
			}
		})
	}
}

// A visitor and an operator who say the same have not both been heard.
func TestAnswer_SameOfAnother_Settled(t *testing.T) {
	t.Parallel()
	d, id := prompted(t, permit)
	_, err := d.Decide(t.Context(), d.c, id, "", "approve")
	d.must(err)
	if _, err := d.Answer(t.Context(), d.c, id, "", "approve"); !errors.Is(err, problem.PromptSettled) {
		t.Errorf("got %v, want it settled", err)
	}
}

func TestAnswer_WrongKindOrUnknown_PromptUnknown(t *testing.T) {
	t.Parallel()
	d, id := prompted(t, permit)
	for name, try := range map[string][3]string{
		"text for a permission": {id, "yes", ""},
		"an id that nobody has": {"nobody's", "", "deny"},
	} {
		if _, err := d.Answer(t.Context(), d.c, try[0], try[1], try[2]); !errors.Is(err, problem.PromptUnknown) {
			t.Errorf("%s: got %v, want %v", name, err, problem.PromptUnknown)
		}
	}
	outcome, err := d.Answer(t.Context(), d.c, id, "", "deny")
	d.must(err)
	if outcome != "denied" {
		t.Errorf("got outcome %q, want denied", outcome)
	}
}

// A prompt of a later conversation, which another replica has begun, is not unknown.
func TestAnswer_PromptOfOtherConversation_OnlyEarlierOnesUnknown(t *testing.T) {
	t.Parallel()
	for epoch, want := range map[int64]error{0: problem.PromptUnknown, 2: store.ErrConflict} {
		d, id := prompted(t, ask)
		n, err := d.notes.Note(t.Context(), "visitor", "prompt", id)
		d.must(err)
		n.Epoch = epoch
		_, err = d.notes.SaveNote(t.Context(), n)
		d.must(err)
		if _, err := d.Answer(t.Context(), d.c, id, "that", ""); !errors.Is(err, want) {
			t.Errorf("epoch %d: got %v, want %v", epoch, err, want)
		}
	}
}

func TestAnswer_SettledAtAnyFrame_Elsewhere(t *testing.T) {
	t.Parallel()
	d, id := prompted(t, ask)
	d.plane.Answer(d.c.ID(), "that")
	outcome, err := d.Answer(t.Context(), d.c, id, "this", "")
	if outcome != event.OutcomeElsewhere || !errors.Is(err, problem.PromptSettled) {
		t.Errorf("got %q, %v, want it settled elsewhere", outcome, err)
	}
	if _, err := d.Answer(t.Context(), d.c, id, "this", ""); !errors.Is(err, problem.PromptSettled) {
		t.Errorf("repeated: got %v, want it settled, because AnyFrame did not take it", err)
	}
}

func TestAnswer_RefusedForOperator_RepeatRefused(t *testing.T) {
	t.Parallel()
	d, id := prompted(t, ask)
	d.plane.Answer(d.c.ID(), "that")
	for range 2 {
		if _, err := d.Decide(t.Context(), d.c, id, "this", ""); !errors.Is(err, problem.PromptSettled) {
			t.Errorf("got %v, want it settled, because AnyFrame did not take it", err)
		}
	}
}

func TestAnswer_NeverArrived_OpenAgain(t *testing.T) {
	t.Parallel()
	d, id := prompted(t, ask)
	d.plane.Down()
	d.Client.CloseIdleConnections() // otherwise a request may be half sent on a broken connection
	if _, err := d.Answer(t.Context(), d.c, id, "this", ""); !upstream.NeverSent(err) {
		t.Fatalf("got %v, want an error that says that nothing was sent", err)
	}
	d.must(d.plane.Up())
	outcome, err := d.Answer(t.Context(), d.c, id, "this", "")
	d.must(err)
	if outcome != "answered" {
		t.Errorf("got outcome %q, want answered", outcome)
	}
}
