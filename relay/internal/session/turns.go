package session

import (
	"context"
	"errors"
	"time"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/backoff"
	"github.com/anyframe-relay/relay/relay/internal/conversation"
	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/intake"
	"github.com/anyframe-relay/relay/relay/internal/ledger"
	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/store"
	"github.com/anyframe-relay/relay/relay/internal/telemetry"
	"github.com/anyframe-relay/relay/relay/internal/turnqueue"
	"github.com/anyframe-relay/relay/relay/internal/upstream"
)

const (
	// ConnectWait is how long a turn waits for the upstream stream to be open: deltas
	// that nobody numbers would be lost before it is.
	ConnectWait = 3 * time.Second
	// proofWait is how long AnyFrame's transcript is asked for a message whose fate is
	// not known.
	proofWait = 3 * time.Second
	// showWait is how long AnyFrame has to show a message by itself before the relay
	// looks, and shows it if AnyFrame does not.
	showWait = 500 * time.Millisecond
)

// The leases, by what their holder alone may do, over all replicas.
const (
	leaseWake = "wake:" // get the visitor's sandbox running, or put it to sleep
	leaseTurn = "turn:" // send the visitor's turns
)

// Enqueue takes the next place among the visitor's turns. It makes no call. The caller
// takes it when the turn's body has been read, before anything else about the turn takes
// time, and calls Leave in the end.
func (h *Hub) Enqueue(visitor string) (*turnqueue.Ticket, error) {
	s, err := h.hold(visitor)
	if err != nil {
		return nil, err
	}
	return s.queue.Enter(s.Close), nil
}

// Message is one message of a visitor's.
type Message struct {
	Text        string
	Attachments []anyframe.Attachment
	Names       []event.Attachment // the attachments as other tabs are shown them
	Hash        string             // tells a repeated message from another under the same key
}

// Accepted is what a visitor is answered when AnyFrame has the turn.
type Accepted struct {
	Turn  string `json:"turn"`
	Epoch int64  `json:"epoch"`
	Seq   *int64 `json:"seq"`
}

func accepted(t ledger.Turn) Accepted {
	a := Accepted{Turn: t.Key, Epoch: t.Epoch}
	if t.Answered > 0 {
		a.Seq = &t.Answered
	}
	return a
}

// Noted reports whether there is a turn with this key.
func (s *Session) Noted(ctx context.Context, key string) bool {
	_, err := s.conv.Load().Ledger().Stored(ctx, key)
	return err == nil
}

// Send gets a message into AnyFrame once, however often it is called with the same key,
// and returns what the first call was answered. Addr is who wants a sandbox for it. The
// ticket says when it is its turn.
func (s *Session) Send(ctx context.Context, t *turnqueue.Ticket, addr, key string, m Message) (got Accepted, repeated bool, err error) {
	// The visitor may leave; a turn that has come this far goes on.
	ctx = s.calls(context.WithoutCancel(ctx))
	turn, err := s.note(ctx, addr, key, m)
	if err != nil {
		return got, false, err
	}
	if turn.State == ledger.Sent {
		return accepted(turn), true, nil
	}

	// One at a time and in order, here and on every replica.
	wait, cancel := context.WithTimeout(ctx, s.hub.SendWait)
	defer cancel()
	if err := t.Wait(wait, s.hub.draining); err != nil {
		return got, false, err
	}
	release, err := s.hub.leases.Wait(wait, leaseTurn+s.visitor)
	if err != nil {
		if wait.Err() != nil {
			return got, false, problem.Booting
		}
		return got, false, err
	}
	defer release()
	if err := s.refresh(ctx); err != nil { // what another replica did while we waited
		return got, false, err
	}
	c := s.conv.Load()
	lost, err := c.Refresh(ctx)
	if err != nil {
		return got, false, err
	}
	c.Ledger().Restore(ctx, lost)
	if turn, err = c.Ledger().Stored(ctx, key); err != nil {
		return got, false, err
	}
	if turn.State == ledger.Sent { // another tab's try with this key got through
		return accepted(turn), true, nil
	}
	if turn.State == ledger.SendingElsewhere { // an earlier try ended without an answer
		found, err := s.prove(ctx, c, &turn, 0)
		if err != nil {
			return got, false, err
		}
		if found {
			return accepted(turn), true, nil
		}
	}
	got, err = s.deliver(ctx, wait, addr, turn, m)
	return got, false, err
}

// note stores the turn, or finds it in the store. Only a new one counts against how many
// a visitor may send, and is refused before it is stored if it is known that there would
// be no session for it.
func (s *Session) note(ctx context.Context, addr, key string, m Message) (ledger.Turn, error) {
	l := s.conv.Load().Ledger()
	turn, err := l.Stored(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		if err := s.mayTake(ctx, addr); err != nil {
			return turn, err
		}
		turn, err = l.Begin(ctx, ledger.Turn{Key: key, Hash: m.Hash, Text: m.Text, Attachments: m.Names})
	}
	if err != nil {
		return turn, err
	}
	if turn.Hash != m.Hash {
		return turn, problem.TurnConflict
	}
	return turn, nil
}

// mayTake counts one more message of the visitor, unless it could not be delivered.
func (s *Session) mayTake(ctx context.Context, addr string) error {
	if s.none() && !s.reader.waking() {
		if err := s.mayBegin(ctx, addr); err != nil {
			return err
		}
	}
	return s.hub.Quota.Message(ctx, s.visitor)
}

// deliver waits for a running sandbox and posts the message. A sandbox that turns out to
// sleep is woken, once more.
func (s *Session) deliver(ctx, wait context.Context, addr string, turn ledger.Turn, m Message) (Accepted, error) {
	for try := 0; ; try++ {
		if err := s.awaitSandbox(ctx, wait, addr); err != nil {
			return Accepted{}, err
		}
		err := s.post(ctx, &turn, m)
		switch {
		case err == nil:
			return accepted(turn), nil
		case try == 0 && (errors.Is(err, anyframe.ErrConflict) || errors.Is(err, anyframe.ErrNotFound)):
			// Not running after all, and so not posted.
			if err := s.await(wait, s.wakeUp(addr)); err != nil {
				return Accepted{}, err
			}
		default:
			return Accepted{}, err
		}
	}
}

// awaitSandbox waits until the sandbox runs, as long as wait does.
func (s *Session) awaitSandbox(ctx, wait context.Context, addr string) (err error) {
	ctx, span := telemetry.StartSpan(ctx, "wait for the sandbox")
	defer func() { telemetry.EndSpan(span, problem.CodeOf(err)) }()
	call, err := s.Ensure(ctx, addr)
	if err != nil {
		return err
	}
	if err := s.await(wait, call); err != nil {
		return err
	}
	if connected := s.connected(); connected != nil {
		timer := time.NewTimer(ConnectWait)
		defer timer.Stop()
		select {
		case <-connected:
		case <-timer.C: // the events come late then, none is lost
		case <-s.hub.draining:
		}
	}
	return nil
}

// await waits for a call, nil being one that has ended well.
func (s *Session) await(wait context.Context, call *Call) error {
	if call == nil {
		return nil
	}
	select {
	case <-call.done:
		return call.err
	case <-wait.Done():
		return problem.Booting
	case <-s.hub.draining:
		return problem.Draining
	}
}

// post sends the message. Before and after, the store is told, so that a relay that dies
// in between leaves a trace of it.
func (s *Session) post(ctx context.Context, turn *ledger.Turn, m Message) error {
	c := s.conv.Load()
	l, a := c.Ledger(), c.Activity()
	turn.Busy, turn.After = a.Busy || a.Midway, s.frontier(ctx, c)
	if err := l.Send(ctx, turn); err != nil {
		return err
	}
	result, err := s.hub.Client.Sessions.Message(ctx, c.ID(), anyframe.Message{Prompt: m.Text, Attachments: m.Attachments})
	if err == nil {
		if result.Seq != nil {
			turn.Seq, turn.Answered = *result.Seq, *result.Seq
		}
		s.accept(ctx, c, turn)
		return nil
	}
	if upstream.NeverSent(err) {
		turn.State = ledger.Held
		l.Set(*turn)
		if err := l.Persist(ctx, turn.Key); err != nil {
			s.logger().Warn("keep a turn", "error", err)
		}
		return err
	}
	// AnyFrame may have it: its transcript decides. It stays on its way, for everybody
	// who asks, until then.
	if found, proofErr := s.prove(ctx, c, turn, proofWait); proofErr == nil && found {
		return nil
	}
	turn.State = ledger.Unresolved
	l.Set(*turn)
	return err
}

// frontier is the last seq of AnyFrame's log, after which a new message comes. It matters
// where AnyFrame shows no messages, so that the relay says where the message belongs: then
// ours may be shorter just after a reconnect, or when another replica answered the visitor
// before.
func (s *Session) frontier(ctx context.Context, c *conversation.Conversation) int64 {
	head := c.Log().Head()
	if c.Echoed() || (head == 0 && c.Ledger().Silent()) {
		return head
	}
	ctx, cancel := context.WithTimeout(ctx, intake.ReadWait)
	defer cancel()
	for row, err := range s.hub.Client.Sessions.TranscriptAll(ctx, c.ID(), head) {
		if err != nil {
			s.logger().Warn("look for the end of the transcript", "error", err)
			break // a message a little out of its place is better than none
		}
		head = row.Seq
	}
	return head
}

// prove looks in AnyFrame's transcript for a turn whose fate is not known, for as long as
// patience. It reports whether AnyFrame has it.
func (s *Session) prove(ctx context.Context, c *conversation.Conversation, turn *ledger.Turn, patience time.Duration) (found bool, err error) {
	if turn.Epoch != c.Epoch() {
		return false, nil // it went to a session that is no more
	}
	deadline := time.Now().Add(patience)
	for {
		// Where the transcript shows no messages, an agent that was idle and went to work
		// is proof, unless it was another turn that set it to work.
		others, err := c.Ledger().Others(ctx, turn)
		if err != nil {
			return false, err
		}
		silent, worked := !turn.Busy && !others, false
		for row, err := range s.hub.Client.Sessions.TranscriptAll(ctx, c.ID(), turn.After) {
			if errors.Is(err, anyframe.ErrNotFound) {
				return false, nil
			}
			if err != nil {
				return false, err
			}
			ev := upstream.Decode(row.Event())
			if ev.User && ev.Members.UserText() == turn.Text {
				taken, err := c.Ledger().Taken(ctx, row.Seq, turn.Key)
				if err != nil {
					return false, err
				}
				if !taken {
					turn.Seq, turn.Answered = row.Seq, row.Seq
					s.accept(ctx, c, turn)
					return true, nil
				}
			}
			silent = silent && !ev.User
			worked = true
		}
		if silent && worked {
			turn.After = max(turn.After, c.Base()) // where it can still be shown to all
			s.accept(ctx, c, turn)
			return true, nil
		}
		if time.Now().After(deadline) {
			return false, nil
		}
		backoff.Sleep(ctx, patience/6)
	}
}

// accept notes that AnyFrame has the turn.
func (s *Session) accept(ctx context.Context, c *conversation.Conversation, turn *ledger.Turn) {
	turn.State = ledger.Sent
	s.sandbox.confirm()
	c.Accepted(ctx, *turn, time.Now())
	if err := c.Ledger().Persist(ctx, turn.Key); err != nil {
		// AnyFrame has it and so the visitor is told; only after a restart would the
		// transcript have to be asked again.
		s.logger().Error("keep a turn", "error", err)
	}
	s.seat.Renew(ctx)
	s.follow()
	s.logger().Info("turn", "request", telemetry.FromContext(ctx).ID, "turn", turn.Key, "seq", turn.Seq)
	s.hub.members.Go(func() {
		backoff.Sleep(s.hub.ctx, showWait)
		if s.hub.ctx.Err() == nil {
			s.guard(func() { s.intake.ShowMissing(s.hub.ctx, c) })
		}
	})
}
