package session

import (
	"context"
	"errors"
	"time"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/admission"
	"github.com/anyframe-relay/relay/relay/internal/backoff"
	"github.com/anyframe-relay/relay/relay/internal/conversation"
	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/ledger"
	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/pump"
	"github.com/anyframe-relay/relay/relay/internal/stop"
	"github.com/anyframe-relay/relay/relay/internal/store"
	"github.com/anyframe-relay/relay/relay/internal/telemetry"
	"github.com/anyframe-relay/relay/relay/internal/turnqueue"
	"github.com/anyframe-relay/relay/relay/internal/visitorctx"
)

const (
	// ConnectWait is how long a turn waits for the upstream stream to open. Unnumbered
	// deltas sent before that are lost.
	ConnectWait = 3 * time.Second
	// showWait is how long the relay waits for AnyFrame's stream to show a message. After
	// that it reads the transcript and, if the message is not there, shows it itself.
	showWait = 500 * time.Millisecond
)

// The leases, each with what only its holder may do, over all replicas.
const (
	leaseWake = "wake:" // get the visitor's sandbox running, or put it to sleep
	leaseTurn = "turn:" // send the visitor's turns
	leaseStop = "stop:" // stop unfinished work at AnyFrame
)

// Enqueue takes the next ticket in the visitor's queue of turns. It makes no call. The
// caller must take the ticket as soon as the turn's body has been read, before any other
// slow step, and must call Leave.
func (h *Hub) Enqueue(visitor string) (*turnqueue.Ticket, error) {
	s, err := h.hold(visitor)
	if err != nil {
		return nil, err
	}
	return s.queue.Enter(s.Close), nil
}

// Message is one message from a visitor.
type Message struct {
	Text        string
	Attachments []anyframe.Attachment
	Names       []event.Attachment // the attachments as other tabs show them
	Context     visitorctx.Both    // context about the visitor; not part of Hash
	Solution    string             // the challenge's solution, unparsed; not part of Hash
	Hash        string             // distinguishes a repeated message from a different one under the same key
}

// Accepted is the response to a turn that AnyFrame has accepted.
type Accepted struct {
	Turn  string `json:"turn"`
	Epoch int64  `json:"epoch"`
	Seq   *int64 `json:"seq"`
}

func answerFor(t ledger.Turn) Accepted {
	a := Accepted{Turn: t.Key, Epoch: t.Epoch}
	if t.Answered > 0 {
		a.Seq = &t.Answered
	}
	return a
}

// Noted reports whether a turn with this key is stored.
func (s *Session) Noted(ctx context.Context, key string) bool {
	_, err := s.standing.Conversation().Ledger().Stored(ctx, key)
	return err == nil
}

// Send posts a message to AnyFrame at most once per key, however often it is called, and
// returns the first call's result. A new sandbox counts against addr. The ticket
// determines when it is this turn's time.
func (s *Session) Send(ctx context.Context, t *turnqueue.Ticket, addr, key string, m Message) (got Accepted, repeated bool, err error) {
	// The client may disconnect; the turn continues from here.
	ctx = s.calls(context.WithoutCancel(ctx))
	claim := admission.Claim{Addr: addr, Turn: key, Solution: m.Solution}
	turn, grant, err := s.note(ctx, claim, m)
	if err != nil {
		return got, false, err
	}
	defer grant.Release()
	switch turn.State { //nolint:exhaustive // the others are not over
	case ledger.Sent:
		return answerFor(turn), true, nil
	case ledger.Stopped:
		return got, false, problem.TurnStopped
	}

	// One turn at a time and in order, on this and all other replicas.
	wait, cancel := s.hub.holding(ctx)
	defer cancel()
	wait, stopped := context.WithCancelCause(wait)
	defer stopped(nil)
	defer s.stopper.Watch(wait, s.standing.Conversation().Ledger(), key, stopped)()
	defer func() {
		if err != nil && errors.Is(context.Cause(wait), problem.TurnStopped) { // a stop while it waited: it was never sent
			err = problem.TurnStopped
		}
	}()
	if err := t.Wait(wait, s.hub.draining); err != nil {
		return got, false, err
	}
	release, err := s.hub.leases.Wait(wait, leaseTurn+s.visitor)
	if err != nil {
		if wait.Err() != nil {
			return got, false, problem.OfWait(wait)
		}
		return got, false, err
	}
	defer release()
	if err := s.refresh(ctx); err != nil { // apply what another replica did during the wait
		return got, false, err
	}
	c := s.standing.Conversation()
	lost, err := c.Refresh(ctx)
	if err != nil {
		return got, false, err
	}
	c.Ledger().Restore(ctx, lost)
	held := turn
	if turn, err = c.Ledger().Stored(ctx, key); errors.Is(err, store.ErrNotFound) {
		turn, err = c.Ledger().Begin(ctx, held) // the epoch that it was stored under has been erased
	}
	if err != nil {
		return got, false, err
	}
	switch turn.State { //nolint:exhaustive // the others are yet to be sent
	case ledger.Sent: // another tab's attempt with this key succeeded
		return answerFor(turn), true, nil
	case ledger.Stopped:
		return got, false, problem.TurnStopped
	case ledger.SendingElsewhere: // an earlier attempt ended without a response
		found, err := s.courier.Settle(ctx, c, &turn)
		if err != nil {
			return got, false, err
		}
		if found {
			return answerFor(turn), true, nil
		}
	}
	claim.Solved = turn.Solved
	got, err = s.deliver(ctx, wait, claim, turn, m, grant)
	return got, false, err
}

// deliver waits for a running sandbox and posts the message. If the sandbox turns out to
// be asleep, it is woken and the post retried once.
func (s *Session) deliver(ctx, wait context.Context, claim admission.Claim, turn ledger.Turn, m Message, grant *admission.Grant) (Accepted, error) {
	for try := 0; ; try++ {
		if err := s.awaitSandbox(ctx, wait, claim); err != nil {
			return Accepted{}, err
		}
		grant.Release() // the post counts the turn from here on
		err := s.courier.Post(ctx, s.standing.Conversation(), &turn, anyframe.Message{Prompt: m.Text, Attachments: m.Attachments})
		switch {
		case err == nil:
			return answerFor(turn), nil
		case try == 0 && (errors.Is(err, anyframe.ErrConflict) || errors.Is(err, anyframe.ErrNotFound)):
			// The sandbox was not running, so the message was not posted.
			if err := s.await(wait, s.reader.Wake(claim)); err != nil {
				return Accepted{}, err
			}
		default:
			return Accepted{}, err
		}
	}
}

// awaitSandbox waits until the sandbox runs or wait ends.
func (s *Session) awaitSandbox(ctx, wait context.Context, claim admission.Claim) (err error) {
	ctx, span := telemetry.StartSpan(ctx, "wait for the sandbox")
	defer func() { telemetry.EndSpan(span, problem.CodeOf(err)) }()
	call, err := s.Ensure(ctx, claim)
	if err != nil {
		return err
	}
	if err := s.await(wait, call); err != nil {
		return err
	}
	if connected := s.reader.Connected(); connected != nil {
		timer := time.NewTimer(ConnectWait)
		defer timer.Stop()
		select {
		case <-connected:
		case <-timer.C: // events are then late, but none is lost
		case <-s.hub.draining:
		}
	}
	return nil
}

// await waits for a call. A nil call has already succeeded.
func (s *Session) await(wait context.Context, call *pump.Call) error {
	if call == nil {
		return nil
	}
	select {
	case <-call.Done():
		return call.Err()
	case <-wait.Done():
		return problem.OfWait(wait)
	case <-s.hub.draining:
		return problem.Draining
	}
}

// accepted does what follows from AnyFrame's acceptance of a turn.
func (s *Session) accepted(ctx context.Context, c *conversation.Conversation, turn *ledger.Turn) {
	s.standing.Confirm()
	s.noteTurn(ctx, c, turn.Key, turn.Text)
	if now, _ := c.Ledger().Turn(turn.Key); now.Stop { // a stop was requested in the meantime
		if err := s.hub.stops.Request(ctx, stop.Wish{Visitor: s.visitor, Epoch: c.Epoch()}); err != nil {
			s.logger().Warn("failed to save a stop", "error", err)
		}
	}
	s.seat.Renew(ctx)
	s.hub.resync.Check(s) // a busy sandbox is due earlier
	s.reader.Follow()
	s.logger().Info("turn accepted", "request", telemetry.FromContext(ctx).ID, "turn", turn.Key, "seq", turn.Seq)
	s.hub.members.Go(func() {
		backoff.Sleep(s.hub.ctx, showWait)
		if s.hub.ctx.Err() == nil {
			s.guard(func() { s.intake.ShowMissing(s.hub.ctx, c) })
		}
	})
}
