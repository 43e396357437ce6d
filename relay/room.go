package relay

import (
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/redact"
	"github.com/anyframe-relay/relay/relay/internal/upstream"
	"github.com/anyframe-relay/relay/relay/store"
)

// How many sandboxes are awake is counted in the store, for all processes
// together. A sandbox is counted before it is woken and until AnyFrame says that
// it is down, so that there are never more than RELAY_MAX_SESSIONS. When all
// places are taken, the sandbox that was idle the longest is put to sleep; its
// visitor's next turn resumes it.

const (
	// Sandboxes rank by the millisecond in which they were last used, those
	// that somebody listens to after all others, and those whose agent is at
	// work after these.
	rankListening = 1 << 42
	rankBusy      = 1 << 43

	// countedFor is how much longer than its idle time a sandbox is counted if
	// nobody renews that: the process that woke it may have died.
	countedFor = time.Minute
	// renewAfter is how long the store is not told again of a sandbox that runs.
	renewAfter = 30 * time.Second
	// rankAfter is how long the store is not told that the first stream of a
	// session was opened, or the last closed.
	rankAfter = 2 * time.Second
	// maxRanks bounds of how many the store is told at once.
	maxRanks = 256
	// fullFor is how long the relay counts as full without asking again.
	fullFor = time.Second
	// sleepWait is how long a pump may take to find its sandbox down.
	sleepWait = 3 * time.Second
	// roomTries is how often room is made for a sandbox before its visitor is
	// refused: each time somebody else may take it.
	roomTries = 3
	// maxMaking bounds for how many sandboxes room is made at once, and
	// maxIdlest how many of the idlest each looks at.
	maxMaking = 32
	maxIdlest = 2 * maxMaking
)

// rank is how late the session's sandbox is put to sleep to make room.
func (s *session) rank() int64 {
	s.hub.mu.Lock()
	listened := s.listeners > 0
	s.hub.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	used := s.opened
	if s.active.After(used) {
		used = s.active
	}
	switch rank := used.UnixMilli(); {
	case s.busy || s.flight != nil:
		return rank + rankBusy
	case listened:
		return rank + rankListening
	default:
		return rank
	}
}

// countAwake counts the session's sandbox as awake, or renews that. It reports
// false when limit are counted already.
func (s *session) countAwake(ctx context.Context, limit int) (ok bool, err error) {
	s.countMu.Lock()
	defer s.countMu.Unlock()
	return s.count(ctx, limit)
}

// count is countAwake for a caller who holds countMu.
func (s *session) count(ctx context.Context, limit int) (ok bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	rank := s.rank()
	ticket, ok, err := s.hub.store.Admit(ctx, s.visitor, rank, limit, s.hub.countFor())
	if ok {
		s.ticket, s.counted, s.ranked = ticket, time.Now(), rank
	}
	return ok, err
}

// countFor is how long a sandbox is counted unless that is renewed.
func (h *hub) countFor() time.Duration {
	return max(h.config.IdleTimeout, h.config.BootTimeout) + countedFor
}

// countStray counts a sandbox that may be awake and that nobody can answer for.
func (h *hub) countStray(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	if _, _, err := h.store.Admit(ctx, "stray:"+rand.Text(), rankBusy, 0, h.countFor()); err != nil {
		h.log.Warn("count a sandbox", "error", err)
	}
}

// renew is stayAwake, but not more often than needed to be counted.
func (s *session) renew(ctx context.Context) {
	s.countMu.Lock()
	due := time.Since(s.counted) > renewAfter
	s.countMu.Unlock()
	if due {
		s.stayAwake(ctx)
	}
}

// stayAwake renews the count of a sandbox that runs, whose rank may be another
// now. One that runs is counted even if there are too many.
func (s *session) stayAwake(ctx context.Context) {
	s.countMu.Lock()
	defer s.countMu.Unlock()
	if s.view().status != event.StatusRunning {
		return
	}
	if _, err := s.count(ctx, 0); err != nil && s.hub.ctx.Err() == nil {
		s.logger().Warn("count a sandbox", "error", err)
	}
}

// leave ends the count of the session's sandbox, which is down, unless it was
// renewed since.
func (s *session) leave(since time.Time) {
	s.countMu.Lock()
	defer s.countMu.Unlock()
	ticket := s.ticket
	if ticket == 0 || s.counted.After(since) {
		return
	}
	s.ticket = 0
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.hub.ctx), storeTimeout)
	defer cancel()
	if err := s.hub.store.Leave(ctx, s.visitor, ticket); err != nil {
		s.logger().Warn("no longer count a sandbox", "error", err) // its time ends by itself
	}
	s.hub.fullUntil.Store(0)
}

// leaveOnceDown ends the count when AnyFrame says that the sandbox is down,
// which takes as long as its snapshot. It looks once before it returns.
func (s *session) leaveOnceDown(ctx context.Context, id string) {
	s.countMu.Lock()
	ticket, since := s.ticket, s.counted
	s.countMu.Unlock()
	if ticket == 0 {
		return
	}
	if down, err := s.hub.isDown(ctx, id); err == nil && down {
		s.leave(since)
		return
	}
	s.hub.wg.Go(func() {
		ctx, cancel := context.WithTimeout(s.hub.ctx, s.hub.config.IdleTimeout)
		defer cancel()
		if err := s.hub.waitDown(ctx, id); err == nil {
			s.leave(since)
		}
	})
}

// isDown reports whether AnyFrame has no sandbox up for this session.
func (h *hub) isDown(ctx context.Context, id string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, h.config.UpstreamTimeout)
	defer cancel()
	up, err := h.client.Sessions.Get(ctx, id)
	if errors.Is(err, anyframe.ErrNotFound) {
		return true, nil
	}
	return err == nil && (up.Status.Resumable() || up.Status == anyframe.StatusError), err
}

// waitDown returns nil once the sandbox is down.
func (h *hub) waitDown(ctx context.Context, id string) error {
	for attempt := 0; ; attempt++ {
		if down, err := h.isDown(ctx, id); down || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		pause(ctx, min(100*time.Millisecond<<min(attempt, 10), 2*time.Second))
	}
}

// listen counts one more event stream of the session, until the function that
// it returns is called.
func (s *session) listen() (leave func()) {
	change := func(n int) {
		s.hub.mu.Lock()
		was := s.listeners
		s.listeners += n
		edge := was == 0 || s.listeners == 0
		s.hub.mu.Unlock()
		if edge {
			s.hub.rankLater(s)
		}
	}
	change(1)
	return func() { change(-1) }
}

// rankLater tells the store of the session's rank in a while, if it is another
// one then: of thousands of streams that drop and come back it need not hear.
func (h *hub) rankLater(s *session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return
	}
	if len(h.unranked) == 0 {
		time.AfterFunc(rankAfter, h.rankNow)
	}
	h.unranked[s] = true
}

// rankNow tells the store of the ranks that it has yet to hear of.
func (h *hub) rankNow() {
	h.mu.Lock()
	if h.closed || len(h.unranked) == 0 {
		h.mu.Unlock()
		return
	}
	sessions := h.unranked
	h.unranked = map[*session]bool{}
	h.wg.Add(1)
	h.mu.Unlock()
	defer h.wg.Done()
	for some := range slices.Chunk(slices.Collect(maps.Keys(sessions)), maxRanks) {
		for _, s := range h.rankAll(some) {
			s.stayAwake(h.ctx)
		}
	}
}

// rankAll is stayAwake for many, in one call to the store, of those whose rank
// is another than it was told. It leaves out and returns those of which the
// store is being told just now: who holds many countMu must not wait for one.
func (h *hub) rankAll(sessions []*session) (left []*session) {
	var told []*session
	var all []store.Awake
	for _, s := range sessions {
		if !s.countMu.TryLock() {
			left = append(left, s)
			continue
		}
		// Also of one that was and is at work: another process may have told the
		// store otherwise since, and it would be put to sleep in its turn.
		if rank := s.rank(); rank != s.ranked && s.view().status == event.StatusRunning {
			told, all = append(told, s), append(all, store.Awake{Visitor: s.visitor, Rank: rank})
			defer s.countMu.Unlock()
		} else {
			s.countMu.Unlock()
		}
	}
	if len(all) == 0 {
		return left
	}
	ctx, cancel := context.WithTimeout(h.ctx, storeTimeout)
	defer cancel()
	tickets, err := h.store.AdmitAll(ctx, all, h.countFor())
	if err != nil {
		if h.ctx.Err() == nil {
			h.log.Warn("count a sandbox", "others", len(all)-1, "error", err)
		}
		return left
	}
	for i, s := range told {
		s.ticket, s.counted, s.ranked = tickets[i], time.Now(), all[i].Rank
	}
	return left
}

// anyIdle returns the refusal if no sandbox can be put to sleep to make room.
func (h *hub) anyIdle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	h.rankNow()
	idle, err := h.store.Idlest(ctx, rankBusy, 1)
	if err != nil || len(idle) > 0 {
		return err
	}
	h.fullUntil.Store(time.Now().Add(fullFor).UnixNano())
	return h.full()
}

func (h *hub) full() error {
	h.metrics.Capacity.WithLabelValues("awake").Inc()
	return problem.Capacity
}

// takeRoom counts the session's sandbox, which is about to be woken, and makes
// room for it if need be.
func (s *session) takeRoom(ctx context.Context) error {
	for range roomTries {
		ok, err := s.countAwake(ctx, s.hub.config.MaxSessions)
		if ok || err != nil {
			return err
		}
		if !s.hub.makeRoom(ctx, s.visitor) {
			break
		}
	}
	return s.hub.full()
}

// makeRoom puts the idlest sandbox to sleep that can be, and reports whether
// there was one.
func (h *hub) makeRoom(ctx context.Context, visitor string) bool {
	select {
	case h.making <- struct{}{}:
		defer func() { <-h.making }()
	default:
		return false // AnyFrame has enough to do
	}
	h.rankNow()
	idle, err := h.store.Idlest(ctx, rankBusy, maxIdlest)
	if err != nil {
		h.log.Warn("find idle sandboxes", "error", err)
		return false
	}
	for _, a := range idle {
		if a.Visitor == visitor {
			continue
		}
		slept, err := h.putToSleep(ctx, a)
		if err != nil {
			h.log.Warn("put a sandbox to sleep", "visitor", redact.ID(a.Visitor), "error", err)
		}
		if slept {
			h.metrics.Slept.Inc()
			return true
		}
		if ctx.Err() != nil || upstream.Unavailable(err) {
			return false
		}
	}
	return false
}

// putToSleep puts a sandbox to sleep unless it is in use, and reports whether it
// did. The turn that comes next resumes it.
func (h *hub) putToSleep(ctx context.Context, a store.Awake) (slept bool, err error) {
	rec, err := h.store.Session(ctx, a.Visitor)
	if err != nil {
		return false, err
	}
	if rec.State == stateVoid && rec.UpstreamID != "" { // nobody can use it any more
		if err := h.down(ctx, rec.UpstreamID); err != nil {
			return false, err
		}
		return true, h.store.Leave(ctx, a.Visitor, a.Ticket)
	}
	s, err := h.open(ctx, a.Visitor)
	if err != nil {
		return false, err
	}
	defer s.close()
	// Nobody sends it a turn or wakes it meanwhile, here or elsewhere. Whoever
	// does just now uses it.
	for _, slot := range []chan struct{}{s.order, s.waking} {
		select {
		case slot <- struct{}{}:
			defer func() { <-slot }()
		default:
			return false, nil
		}
	}
	for _, name := range []string{"turn:", "wake:"} {
		release, ok, err := h.tryLease(ctx, name+a.Visitor)
		if err != nil || !ok {
			return false, err
		}
		defer release()
	}
	if err := s.refresh(ctx); err != nil {
		return false, err
	}
	s.mu.Lock()
	id, p, ended := s.record.UpstreamID, s.pump, s.status == event.StatusEnded
	s.mu.Unlock()
	if id == "" {
		return false, nil // it was about to be made by a process that died
	}
	if !ended {
		if rest, err := s.atRest(ctx, id); err != nil || !rest {
			return false, err
		}
	}
	if err := h.down(ctx, id); err != nil {
		return false, err
	}
	s.logger().Info("put to sleep to make room")
	if p != nil { // it finds out by itself; one that wakes the sandbox is another, and waits for us
		select {
		case <-p.done:
		case <-time.After(sleepWait):
			p.cancel()
			<-p.done
		}
	}
	if s.view().status == event.StatusRunning {
		s.over(ctx, &anyframe.SessionStateError{})
		s.persist(ctx)
	}
	return true, h.store.Leave(ctx, a.Visitor, a.Ticket)
}

// down terminates a sandbox and returns nil once AnyFrame says that it is down.
func (h *hub) down(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, h.config.UpstreamTimeout)
	defer cancel()
	_, err := h.client.Sessions.Terminate(ctx, id)
	if err != nil && !errors.Is(err, anyframe.ErrNotFound) && !errors.Is(err, anyframe.ErrConflict) {
		return err
	}
	return h.waitDown(ctx, id)
}

// atRest reports whether the agent is done with all that it was told. What is
// in its transcript decides: another process may have sent the last turn, or
// the operator.
func (s *session) atRest(ctx context.Context, id string) (bool, error) {
	if _, err := s.learn(ctx); err != nil {
		return false, err
	}
	if s.works(s.hub.config.IdleTimeout + countedFor) {
		return false, nil
	}
	_, idle, err := s.tail(ctx, id, s.view().log.Head())
	return idle, err
}

// tail reads AnyFrame's transcript after head, and says where it ends and
// whether the agent is done with all that it was told.
func (s *session) tail(ctx context.Context, id string, head int64) (tail int64, idle bool, err error) {
	tail, idle = head, head == 0
	for row, err := range s.hub.client.Sessions.TranscriptAll(ctx, id, max(head-1, 0)) {
		if err != nil {
			return tail, false, err
		}
		tail = row.Seq
		kind := row.Event().Type()
		idle = kind == "result" || kind == "_error"
	}
	return tail, idle && !s.notes().unanswered(tail), nil
}
