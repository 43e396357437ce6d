package relay

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/eventlog"
	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/upstream"
	"github.com/anyframe-relay/relay/relay/store"
)

const (
	// placeWait is how long events wait for AnyFrame's answer to a message, so
	// that the message comes before what the agent says to it.
	placeWait = 5 * time.Second
	// trustSkips is after how many holes of one width that AnyFrame left itself
	// we stop asking its transcript for what is missing in others like them.
	trustSkips = 16
)

// startPump starts the session's pump if none runs. With wake it brings the
// sandbox up first, and the flight to wait for is returned.
func (s *session) startPump(wake bool, addr string) *flight {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hub.closed {
		f := &flight{done: make(chan struct{}), err: problem.Draining}
		close(f.done)
		return f
	}
	if wake && s.flight == nil {
		s.flight = &flight{addr: addr, done: make(chan struct{})}
		if s.pump != nil {
			s.pump.cancel() // it reads a stream that says nothing any more: begin anew
			s.pump = nil
		}
	}
	if wake && addr != "" {
		s.flight.addr = addr
	}
	if s.pump == nil {
		p := &pump{sess: s, done: make(chan struct{}), connected: make(chan struct{})}
		p.ctx, p.cancel = context.WithCancel(s.hub.ctx)
		s.pump = p
		s.hub.wg.Add(1)
		go p.work()
	}
	return s.flight
}

// Guard keeps a fault of ours in one visitor's conversation from ending all the
// others': without it a panic here would be the end of the relay. It reports
// whether do came to its end.
func (s *session) guard(do func()) (ended bool) {
	defer func() {
		if cause := recover(); cause != nil {
			s.hub.metrics.Panics.Inc()
			s.logger().Error("panic", "cause", cause, "stack", string(debug.Stack()))
		}
	}()
	do()
	return true
}

// stopPump ends the pump and waits for it.
func (s *session) stopPump() {
	s.mu.Lock()
	p := s.pump
	s.mu.Unlock()
	if p == nil {
		return
	}
	p.cancel()
	<-p.done
}

// connected returns a channel that is closed once the stream is open; nil when
// no pump runs.
func (s *session) connected() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pump == nil {
		return nil
	}
	return s.pump.connected
}

// run is what the pump does: it brings the sandbox up when somebody asked for
// that, reads its stream as long as it runs, and ends when it sleeps or nobody
// needs it.
func (s *session) run(ctx context.Context, p *pump) {
	defer s.persist(ctx)
	for first := true; s.prepare(ctx, p, first); first = false {
		if p.in != nil {
			s.follow(ctx, p)
		}
	}
}

// prepare brings the sandbox up if somebody asked for that, and reports whether the
// pump goes on. If there is a stream to follow, p.in is set.
func (s *session) prepare(ctx context.Context, p *pump, first bool) bool {
	s.mu.Lock()
	f := s.flight
	if s.pump != p || ctx.Err() != nil || (f == nil && s.status != event.StatusRunning && !first) {
		if s.pump == p {
			s.pump = nil
		}
		if f != nil && s.pump == nil {
			s.flight, f.err = nil, problem.Draining
			close(f.done)
		}
		s.mu.Unlock()
		return false
	}
	s.mu.Unlock()
	if f != nil {
		err := s.wake(ctx)
		s.mu.Lock()
		s.flight, f.err = nil, err
		close(f.done)
		s.mu.Unlock()
		if err != nil {
			return true
		}
	}
	p.in = &inflow{id: s.upstreamID(), log: s.view().log, stumbled: -1}
	s.hub.metrics.UpstreamOpen.Inc()
	return true
}

// persist saves how far the log got, so that the next stream begins there.
func (s *session) persist(ctx context.Context) {
	v := s.view()
	if v.epoch == 0 || v.voided {
		return
	}
	s.mu.Lock()
	mid := s.busy || s.midway // then the stream must begin before the turn that runs
	s.mu.Unlock()
	err := s.save(ctx, func(rec *store.Session) {
		rec.State = string(v.status)
		if head := v.log.Head(); !mid && head > rec.LastSeq {
			rec.LastSeq = head
		}
	})
	if err != nil && !errors.Is(err, store.ErrConflict) {
		s.logger().Warn("save the session", "error", err)
	}
}

// again waits before a stream that broke is tried anew.
func (s *session) again(ctx context.Context, err error, attempt int) {
	s.logger().Warn("read the stream", "error", err, "attempt", attempt)
	pause(ctx, backoff(attempt, 10*time.Second))
}

// over sets the session's status by how its stream ended. It reports false when
// the stream should be tried again.
func (s *session) over(ctx context.Context, err error) bool {
	state, ok := errors.AsType[*anyframe.SessionStateError](err)
	if ok || errors.Is(err, anyframe.ErrStreamEnded) {
		// What a sleeping session still has to tell comes before the end of its
		// turn, not with the next one.
		if err := s.sync(ctx); err != nil {
			s.logger().Warn("read the transcript", "error", err)
		}
	}
	st := event.StatusSleeping
	switch {
	case ok && state.Session != nil && state.Session.Status == anyframe.StatusError:
		st = event.StatusFailed
	case errors.Is(err, anyframe.ErrNotFound):
		st = event.StatusEnded
	case !ok && !errors.Is(err, anyframe.ErrStreamEnded):
		return false
	}
	s.interrupt()
	s.setStatus(st)
	s.leaveOnceDown(ctx, s.upstreamID())
	return true
}

// interrupt tells that the turn that ran will not go on.
func (s *session) interrupt() {
	s.feedMu.Lock()
	defer s.feedMu.Unlock()
	s.mu.Lock()
	busy := s.busy
	s.busy, s.midway = false, false
	s.asked, s.began = time.Time{}, time.Time{}
	s.mu.Unlock()
	s.translator.said.Reset() // no block will come of it
	if busy {
		s.append(s.view(), []event.Item{{Kind: "turn_end", Data: event.TurnEndData{Reason: "interrupted"}}})
	}
}

// join is called whenever the stream has been opened. If the agent may be in
// the middle of something, deltas without a number may be missing, and
// AnyFrame's transcript tells up to where. A stream that was open before may
// have missed the beginning of a turn that nobody here knows of.
func (s *session) join(ctx context.Context, id string, log *eventlog.Log, again bool) {
	s.showMissing(ctx)
	s.mu.Lock()
	s.unheard = true
	unsure := again || s.busy || s.midway || s.book.sending()
	s.mu.Unlock()
	if !unsure {
		return
	}
	head := log.Head()
	tail, idle, err := s.tail(ctx, id, head)
	known := err == nil
	s.feedMu.Lock()
	defer s.feedMu.Unlock()
	if s.view().log != log {
		return
	}
	if known {
		s.mu.Lock()
		s.midway, s.busy = !idle, !idle
		s.mu.Unlock()
	}
	switch {
	case !known:
		s.translator.tear(tornUnknown)
	case !idle:
		s.translator.tear(tail)
	case tail > head: // what is over now may have begun before the stream was open
		s.translator.tear(tail - 1)
	}
}

// fill feeds the events between two seqs that the stream left out, as far as
// AnyFrame's transcript has them: seqs may also be skipped.
func (s *session) fill(ctx context.Context, id string, log *eventlog.Log, from, to int64) (filled int, err error) {
	for row, err := range s.hub.client.Sessions.TranscriptAll(ctx, id, from) {
		if err != nil {
			return filled, err
		}
		if row.Seq >= to {
			break
		}
		ev := upstream.Decode(row.Event())
		s.inform(ctx, ev, s.notes(), true)
		s.feed(log, ev)
		filled++
	}
	return filled, nil
}

// showMissing shows the visitor's messages that AnyFrame took and has no event
// for. One that its transcript has comes by the stream, in its place.
func (s *session) showMissing(ctx context.Context) {
	s.feedMu.Lock()
	t := s.translator
	ahead, last := t.ahead(), t.last
	s.feedMu.Unlock()
	if len(ahead) == 0 {
		return
	}
	rows, err := s.rows(ctx, last, historyPage)
	if err != nil {
		s.logger().Warn("look for a message", "error", err)
		return // not shown yet is better than shown twice
	}
	missing, due := map[string]bool{}, map[string]int64{}
	for _, own := range ahead {
		for _, row := range rows {
			// What comes before it has yet to come, or it does so itself.
			if ev := upstream.Decode(row.Event()); row.Seq <= own.place() ||
				ev.User && (row.Seq == own.note.Seq || (own.note.Seq == 0 && ev.Members.UserText() == own.Text)) {
				due[own.note.Key] = row.Seq
			}
		}
		missing[own.note.Key] = due[own.note.Key] == 0
	}
	s.feedMu.Lock()
	if t.due == nil {
		t.due = due
	}
	maps.Copy(t.due, due)
	s.feedMu.Unlock()
	s.showOwn(missing)
}

// backoff is a random wait, from nothing to a bound that doubles with every
// attempt up to limit.
func backoff(attempt int, limit time.Duration) time.Duration {
	bound := min(limit, 250*time.Millisecond<<min(attempt, 10))
	return jitter(bound) + time.Millisecond
}

// jitter is a random time from nothing to limit, so that many who wait do not
// all come back at once.
func jitter(limit time.Duration) time.Duration {
	return rand.N(limit + 1) //nolint:gosec // nobody gains by guessing it
}

// pause waits for d or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// closeOnce closes c unless that is done. Only one goroutine may call it for c.
func closeOnce(c chan struct{}) {
	select {
	case <-c:
	default:
		close(c)
	}
}
