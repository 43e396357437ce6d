package relay

import (
	"context"
	"errors"
	"time"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/telemetry"
	"github.com/anyframe-relay/relay/relay/internal/upstream"
	"github.com/anyframe-relay/relay/relay/store"
)

const (
	// connectWait is how long a turn waits for the upstream stream to be open:
	// deltas that nobody numbers would be lost before it is.
	connectWait = 3 * time.Second
	// proofWait is how long AnyFrame's transcript is asked for a message whose
	// fate is not known.
	proofWait = 3 * time.Second
	// showWait is how long AnyFrame has to show a message by itself before the
	// relay looks, and shows it if AnyFrame does not.
	showWait = 500 * time.Millisecond
)

// answer is the body of a 202: AnyFrame has the turn.
type answer struct {
	Turn  string `json:"turn"`
	Epoch int64  `json:"epoch"`
	Seq   *int64 `json:"seq"`
}

// send gets a message into AnyFrame once, however often it is called with the
// same key, and returns what the first call was answered.
func (s *session) send(ctx context.Context, addr, key string, m message) (got answer, repeated bool, err error) {
	// The visitor may leave; a turn that has come this far goes on.
	ctx = context.WithoutCancel(ctx)
	turn, err := s.beginTurn(ctx, addr, key, m)
	if err != nil {
		return got, false, err
	}
	if turn.note.State == turnSent {
		return turn.answer(), true, nil
	}

	// One at a time and in order, here and on every replica.
	wait, cancel := context.WithTimeout(ctx, s.hub.config.SendWait)
	defer cancel()
	select {
	case s.order <- struct{}{}:
		defer func() { <-s.order }()
	case <-wait.Done():
		return got, false, problem.Booting
	case <-s.hub.draining:
		return got, false, problem.Draining
	}
	release, err := s.hub.lease(wait, "turn:"+s.visitor)
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
	lost, err := s.learn(ctx)
	if err != nil {
		return got, false, err
	}
	s.putBack(ctx, lost)
	n, err := s.hub.store.Note(ctx, s.visitor, noteTurn, key)
	if err != nil {
		return got, false, err
	}
	if turn = readTurn(n); turn.note.State == turnSent { // another tab's try with this key got through
		return turn.answer(), true, nil
	}
	if turn.note.State == turnSending { // an earlier try ended without an answer
		found, err := s.prove(ctx, &turn, 0)
		if err != nil {
			return got, false, err
		}
		if found {
			return turn.answer(), true, nil
		}
	}
	got, err = s.deliver(ctx, wait, addr, turn, m)
	return got, false, err
}

// beginTurn notes the turn in the store, or finds it there. Only a new one
// counts against how many a visitor may send, and is refused before it is
// noted if it is known that there would be no session for it.
func (s *session) beginTurn(ctx context.Context, addr, key string, m message) (turnNote, error) {
	turn := turnNote{Text: m.text, Attachments: m.names()}
	turn.note = store.Note{
		Visitor: s.visitor, Kind: noteTurn, Key: key, Epoch: s.view().epoch, State: turnHeld, Hash: m.hash(),
		ExpiresAt: time.Now().Add(s.hub.config.VisitorTTL),
	}
	n, err := s.hub.store.Note(ctx, s.visitor, noteTurn, key)
	if errors.Is(err, store.ErrNotFound) {
		if err := s.mayTake(ctx, addr); err != nil {
			return turn, err
		}
		n, _, err = s.hub.store.BeginNote(ctx, turn.stored())
	}
	if err != nil {
		return turn, err
	}
	if n.Hash != turn.note.Hash {
		return turn, problem.TurnConflict
	}
	return readTurn(n), nil
}

// mayTake counts one more message of the visitor, unless it could not be
// delivered.
func (s *session) mayTake(ctx context.Context, addr string) error {
	s.mu.Lock()
	fresh := s.flight == nil && (s.record.UpstreamID == "" || s.status == event.StatusEnded)
	s.mu.Unlock()
	if fresh {
		if err := s.mayBegin(ctx, addr); err != nil {
			return err
		}
	}
	return s.hub.limits.Message(ctx, s.visitor)
}

func (t turnNote) answer() answer {
	a := answer{Turn: t.note.Key, Epoch: t.note.Epoch}
	if t.Answered > 0 {
		a.Seq = &t.Answered
	}
	return a
}

// deliver waits for a running sandbox and posts the message. A sandbox that
// turns out to sleep is woken, once more.
func (s *session) deliver(ctx, wait context.Context, addr string, turn turnNote, m message) (answer, error) {
	for try := 0; ; try++ {
		if err := s.awake(ctx, wait, addr); err != nil {
			return answer{}, err
		}
		err := s.post(ctx, &turn, m)
		switch {
		case err == nil:
			return turn.answer(), nil
		case try == 0 && (errors.Is(err, anyframe.ErrConflict) || errors.Is(err, anyframe.ErrNotFound)):
			// Not running after all, and so not posted.
			if err := s.await(wait, s.startPump(true, addr)); err != nil {
				return answer{}, err
			}
		default:
			return answer{}, err
		}
	}
}

// awake waits until the sandbox runs, as long as wait does.
func (s *session) awake(ctx, wait context.Context, addr string) (err error) {
	ctx, span := telemetry.StartSpan(ctx, "wait for the sandbox")
	defer func() { telemetry.EndSpan(span, problem.CodeOf(err)) }()
	f, err := s.ensure(ctx, addr)
	if err != nil {
		return err
	}
	if err := s.await(wait, f); err != nil {
		return err
	}
	if connected := s.connected(); connected != nil {
		timer := time.NewTimer(connectWait)
		defer timer.Stop()
		select {
		case <-connected:
		case <-timer.C: // the events come late then, none is lost
		case <-s.hub.draining:
		}
	}
	return nil
}

// await waits for a flight, nil being one that has landed.
func (s *session) await(wait context.Context, f *flight) error {
	if f == nil {
		return nil
	}
	select {
	case <-f.done:
		return f.err
	case <-wait.Done():
		return problem.Booting
	case <-s.hub.draining:
		return problem.Draining
	}
}

// post sends the message. Before and after, the store is told, so that a relay
// that dies in between leaves a trace of it.
func (s *session) post(ctx context.Context, turn *turnNote, m message) error {
	v := s.view()
	id := s.upstreamID()
	s.mu.Lock()
	turn.Busy = s.busy || s.midway
	s.mu.Unlock()
	turn.note.Epoch, turn.note.State, turn.After = v.epoch, turnSending, s.frontier(ctx, id, v)
	if err := s.saveTurn(ctx, turn); err != nil {
		return err
	}
	turn.inFlight, turn.mine = true, true
	s.notes().setTurn(*turn)
	result, err := s.hub.client.Sessions.Message(ctx, id, anyframe.Message{Prompt: m.text, Attachments: m.attachments})
	if err == nil {
		if result.Seq != nil {
			turn.note.Seq, turn.Answered = *result.Seq, *result.Seq
		}
		s.accepted(ctx, turn)
		return nil
	}
	if upstream.NeverSent(err) {
		turn.note.State, turn.inFlight = turnHeld, false
		s.notes().setTurn(*turn)
		if err := s.saveTurn(ctx, turn); err != nil {
			s.logger().Warn("keep a turn", "error", err)
		}
		return err
	}
	// AnyFrame may have it: its transcript decides. It stays on its way, for
	// everybody who asks, until then.
	if found, proofErr := s.prove(ctx, turn, proofWait); proofErr == nil && found {
		return nil
	}
	turn.inFlight = false
	s.notes().setTurn(*turn)
	return err
}

// frontier is the last seq of AnyFrame's log, after which a new message comes.
// It matters where AnyFrame shows no messages, so that the relay says where the
// message belongs: then ours may be shorter just after a reconnect, or when
// another replica answered the visitor before.
func (s *session) frontier(ctx context.Context, id string, v view) int64 {
	s.feedMu.Lock()
	echoed := s.translator.echoed
	s.feedMu.Unlock()
	head := v.log.Head()
	if echoed || (head == 0 && s.notes().silent()) {
		return head
	}
	ctx, cancel := context.WithTimeout(ctx, readWait)
	defer cancel()
	for row, err := range s.hub.client.Sessions.TranscriptAll(ctx, id, head) {
		if err != nil {
			s.logger().Warn("look for the end of the transcript", "error", err)
			break // a message a little out of its place is better than none
		}
		head = row.Seq
	}
	return head
}

// prove looks in AnyFrame's transcript for a turn whose fate is not known, for
// as long as patience. It reports whether AnyFrame has it.
func (s *session) prove(ctx context.Context, turn *turnNote, patience time.Duration) (found bool, err error) {
	v := s.view()
	if turn.note.Epoch != v.epoch {
		return false, nil // it went to a session that is no more
	}
	deadline := time.Now().Add(patience)
	for {
		// Where the transcript shows no messages, an agent that was idle and
		// went to work is proof, unless it was another turn that set it to work.
		silent, worked := !turn.Busy && !s.notes().others(turn), false
		for row, err := range s.hub.client.Sessions.TranscriptAll(ctx, s.upstreamID(), turn.After) {
			if errors.Is(err, anyframe.ErrNotFound) {
				return false, nil
			}
			if err != nil {
				return false, err
			}
			ev := upstream.Decode(row.Event())
			if ev.User && ev.Members.UserText() == turn.Text && !s.notes().claimed(row.Seq, turn.note.Key) {
				turn.note.Seq, turn.Answered = row.Seq, row.Seq
				s.accepted(ctx, turn)
				return true, nil
			}
			silent = silent && !ev.User
			worked = true
		}
		if silent && worked {
			s.feedMu.Lock()
			turn.After = max(turn.After, s.translator.start) // where it can still be shown to all
			s.feedMu.Unlock()
			s.accepted(ctx, turn)
			return true, nil
		}
		if time.Now().After(deadline) {
			return false, nil
		}
		pause(ctx, patience/6)
	}
}

// accepted notes that AnyFrame has the turn.
func (s *session) accepted(ctx context.Context, turn *turnNote) {
	turn.note.State, turn.inFlight = turnSent, false
	now := time.Now()
	s.mu.Lock()
	s.book.setTurn(*turn) // at once with busy: the pump goes by both, and lets events pass now
	s.confirmed, s.active = now, now
	if !s.busy {
		s.asked, s.began = now, now
		s.firstWord.Begin(ctx)
	}
	s.busy = true
	s.mu.Unlock()
	if err := s.saveTurn(ctx, turn); err != nil {
		// AnyFrame has it and so the visitor is told; only after a restart would
		// the transcript have to be asked again.
		s.logger().Error("keep a turn", "error", err)
	}
	s.notes().setTurn(*turn)
	s.stayAwake(ctx)
	s.startPump(false, "")
	s.logger().Info("turn", "request", telemetry.FromContext(ctx).ID, "turn", turn.note.Key, "seq", turn.note.Seq)
	s.hub.wg.Go(func() {
		pause(s.hub.ctx, showWait)
		if s.hub.ctx.Err() == nil {
			s.guard(func() { s.showMissing(s.hub.ctx) })
		}
	})
}

// saveTurn stores the turn and brings its version up to date.
func (s *session) saveTurn(ctx context.Context, turn *turnNote) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	saved, err := s.hub.store.SaveNote(ctx, turn.stored())
	if err != nil {
		return err
	}
	turn.note = saved
	return nil
}
