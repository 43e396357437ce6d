package relay

import (
	"context"
	"errors"
	"time"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/store"
)

// Replicas share nothing but the store. What another one did to a visitor's
// session is read from there: at each request, at intervals for as long as a
// stream is open, when AnyFrame's stream tells of a turn or an answer that
// nobody here knows of, and at once when the store can pass on a hint.

const (
	// watchQuiet is after how long a session that somebody listens to is read
	// from the store again while nothing comes from AnyFrame for it.
	watchQuiet = 10 * time.Second
	// watchLive is the same for a session whose stream is open upstream.
	watchLive = 15 * time.Second
	// watchSilent is after how long without a word from AnyFrame it is asked
	// whether the sandbox still runs: its stream may stay open when it does not.
	watchSilent = time.Minute
	// maxChecks bounds how many sessions are read at once for that.
	maxChecks = 32
	// notesPause is how long to wait for another replica's note to change.
	notesPause = 50 * time.Millisecond
	// tombFor is how long the store remembers that a visitor was forgotten,
	// beyond the longest life of a stream.
	tombFor = time.Minute
)

// stateVoid marks the record of a visitor who was forgotten, for the replicas
// that have a stream open.
const stateVoid = "void"

// untilCheck is when the session's record is to be read again, less up to a
// fifth so that sessions do not move together.
func (s *session) untilCheck() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.hub.watchQuiet
	if s.pump != nil {
		d = s.hub.watchLive
	}
	return d - jitter(d/5)
}

// check reads the session's record again and takes over what changed, as long
// as somebody has the session open.
func (s *session) check() {
	h := s.hub
	h.mu.Lock()
	if s.refs == 0 || h.closed {
		h.mu.Unlock()
		return
	}
	h.wg.Add(1)
	h.mu.Unlock()
	defer h.wg.Done()
	select {
	case h.checks <- struct{}{}:
		s.catchOn()
		<-h.checks
	default: // the store has enough to do
	}
	next := s.untilCheck()
	h.mu.Lock()
	defer h.mu.Unlock()
	if s.refs > 0 && !h.closed {
		s.watch.Reset(next)
	}
}

// tell lets other replicas know that something of the visitor's has changed. If
// that fails they find out when they read it again.
func (h *hub) tell(ctx context.Context, visitor string) {
	if h.notifier == nil {
		return
	}
	if err := h.notifier.Publish(context.WithoutCancel(ctx), visitor); err != nil {
		h.log.Debug("tell other replicas", "error", err)
	}
}

// heard lets the visitor's session be read again now, if somebody has it open.
func (h *hub) heard(visitor string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s := h.sessions[visitor]; s != nil && s.refs > 0 && !h.closed {
		s.watch.Reset(0)
	}
}

func (s *session) catchOn() {
	ctx, cancel := context.WithTimeout(s.hub.ctx, storeTimeout)
	s.checkDevices(ctx)
	err := s.refresh(ctx)
	if err == nil && len(s.notes().openPrompts(1<<62)) > 0 {
		_, err = s.learn(ctx) // answered elsewhere, and the agent is silent
	}
	cancel()
	if err == nil {
		ctx, cancel = context.WithTimeout(s.hub.ctx, s.hub.config.UpstreamTimeout)
		if err = s.look(ctx); err == nil {
			err = s.probe(ctx)
		}
		s.renew(ctx)
		cancel()
	}
	if err != nil {
		s.logger().Debug("read the session again", "error", err)
	}
}

// probe asks AnyFrame whether the sandbox of a silent session still runs, and
// ends the pump of one that does not.
func (s *session) probe(ctx context.Context) error {
	s.mu.Lock()
	p, id := s.pump, s.record.UpstreamID
	silent := p != nil && s.flight == nil && s.status == statusRunning && time.Since(s.confirmed) > s.hub.watchSilent
	s.mu.Unlock()
	if !silent {
		return nil
	}
	up, err := s.hub.client.Sessions.Get(ctx, id)
	switch {
	case err == nil && (up.Status == anyframe.StatusRunning || up.Status == anyframe.StatusBooting):
		s.mu.Lock()
		s.confirmed = time.Now()
		s.mu.Unlock()
		return nil
	case err == nil:
		err = &anyframe.SessionStateError{Session: up}
	case !errors.Is(err, anyframe.ErrNotFound):
		return err
	}
	p.cancel()
	<-p.done
	s.over(ctx, err)
	s.persist(ctx)
	return nil
}

// refresh reads the session's record and takes over what another replica
// changed. A visitor who was forgotten is errVisitorUnknown.
func (s *session) refresh(ctx context.Context) error {
	s.loadMu.Lock()
	rec, err := s.hub.store.Session(ctx, s.visitor)
	if err == nil && rec.State != stateVoid {
		err = s.takeOver(ctx, rec)
	}
	s.loadMu.Unlock()
	if err == nil && rec.State == stateVoid {
		s.hub.void(s.visitor)
		return errVisitorUnknown
	}
	return err
}

// takeOver makes rec the session's record, if it is newer. The caller holds
// loadMu.
func (s *session) takeOver(ctx context.Context, rec store.Session) error {
	s.mu.Lock()
	was, first := s.record, !s.loaded
	same, flying := rec.Version == was.Version && !first, s.flight != nil
	s.mu.Unlock()
	if same || flying {
		return nil // whoever has a flight under way reads the record himself
	}
	passed := rec.Epoch > was.Epoch
	rec, err := s.reconcile(ctx, rec)
	if err != nil {
		return err
	}
	s.mu.Lock()
	if was = s.record; rec.Version == was.Version && !first || s.flight != nil {
		s.mu.Unlock()
		return nil
	}
	s.loaded = true
	if rec.Epoch == was.Epoch {
		s.record = rec
	}
	st, p := status(rec.State), s.pump
	ends := rec.Epoch == was.Epoch && st == statusEnded && s.status != statusEnded
	if p != nil && rec.Epoch == was.Epoch && !ends {
		s.mu.Unlock()
		return nil // the pump knows better how it stands
	}
	s.pump, s.looked, s.midway = nil, false, true // somebody woke it, to a turn maybe
	alive := passed && p != nil && s.status == statusRunning
	s.mu.Unlock()
	if p != nil { // one without a flight never waits for loadMu
		p.cancel()
		<-p.done
	}
	if alive && rec.UpstreamID != was.UpstreamID { // nothing names it any more, and if the store lost writes nobody has ended it
		s.hub.wg.Go(func() { s.terminate(was.UpstreamID) })
	}
	switch {
	case rec.Epoch > was.Epoch:
		if err := s.adopt(ctx, rec, st, true); err != nil {
			s.mu.Lock()
			s.loaded = false // try again
			s.mu.Unlock()
			return err
		}
	case ends:
		s.interrupt()
		s.setStatus(st)
	case rec.Epoch > 0 && st != statusRunning: // else AnyFrame is asked
		s.setStatus(st)
	}
	return nil
}

// forget deletes all that the store has of a visitor but for a mark that this
// was done, with the sandbox that goes to sleep now, for as long as anybody may
// want to know.
func (h *hub) forget(ctx context.Context, visitor string) error {
	last, err := h.store.Session(ctx, visitor)
	if err != nil {
		return err
	}
	if err := h.store.Forget(ctx, visitor); err != nil {
		return err
	}
	for {
		rec, err := h.store.Session(ctx, visitor)
		if err != nil {
			return err
		}
		rec.State, rec.UpstreamID = stateVoid, last.UpstreamID
		rec.ExpiresAt = time.Now().Add(max(h.config.StreamLifetime, h.countFor()) + tombFor)
		if _, err = h.store.SaveSession(ctx, rec); !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
}

// learn reads the notes that other replicas made, and tells the streams of
// prompts that were settled there. It returns the turns that the store has lost.
func (s *session) learn(ctx context.Context) (lost []turnNote, err error) {
	book, epoch := s.notes(), s.view().epoch
	if epoch == 0 {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	fresh := &notebook{}
	if err := fresh.load(ctx, s.hub.store, s.visitor, epoch); err != nil {
		return nil, err
	}
	s.feedMu.Lock()
	defer s.feedMu.Unlock()
	if s.notes() != book {
		return nil, nil
	}
	v := s.view()
	lost = book.missing(fresh)
	for _, t := range fresh.turns {
		book.learnTurn(t)
	}
	for _, p := range fresh.prompts {
		if !book.learnPrompt(&p, v.log.Head()) {
			continue
		}
		if id, ok := s.translator.visiblePrompt(p); ok {
			s.append(v, []item{{kind: "settled", data: settledData{id, p.Outcome}}})
		}
	}
	return lost, nil
}

// takeUnheard reports whether nothing has been heard yet on a stream that was
// opened while the agent may have been at work, for whom nobody here knows.
func (s *session) takeUnheard() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	unheard := s.unheard
	s.unheard = false
	return unheard
}

// inform learns what other replicas know about an event before it is fed to
// the log: whose turn it is, or who answered the prompt after which the agent
// goes on. A message that another replica is about to have accepted goes before
// what the agent says to it.
func (s *session) inform(ctx context.Context, ev heard, book *notebook, busy bool) {
	unheard := s.takeUnheard()
	user := ev.user
	switch {
	case user:
		if book.turnOf(ev.Seq, ev.members.userText()) != "" {
			return
		}
	case !speaks(ev.kind):
		return
	case busy && !unheard && len(book.openPrompts(1<<62)) == 0:
		return
	}
	for deadline := time.Now().Add(placeWait); ; pause(ctx, notesPause) {
		if _, err := s.learn(ctx); err != nil {
			s.logger().Warn("read the notes again", "error", err)
			return
		}
		if user || !book.elsewhere(time.Now().After(deadline)) {
			return
		}
	}
}
