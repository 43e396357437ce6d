package relay

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/store"
)

const (
	// placeWait is how long events wait for AnyFrame's answer to a message, so
	// that the message comes before what the agent says to it.
	placeWait = 5 * time.Second
	// trustSkips is after how many seqs in a row that AnyFrame truly skipped we
	// stop asking its transcript for what is missing.
	trustSkips = 16
)

// startPump starts the session's pump if none runs. With wake it brings the
// sandbox up first, and the flight to wait for is returned.
func (s *session) startPump(wake bool) *flight {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hub.closed {
		f := &flight{done: make(chan struct{}), err: errDraining}
		close(f.done)
		return f
	}
	if wake && s.flight == nil {
		s.flight = &flight{done: make(chan struct{})}
		if s.pump != nil {
			s.pump.cancel() // it reads a stream that says nothing any more: begin anew
			s.pump = nil
		}
	}
	if s.pump == nil {
		ctx, cancel := context.WithCancel(s.hub.ctx)
		p := &pump{cancel: cancel, done: make(chan struct{}), connected: make(chan struct{})}
		s.pump = p
		s.hub.wg.Go(func() {
			defer cancel()
			s.run(ctx, p)
		})
	}
	return s.flight
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

// run is the pump: it brings the sandbox up when somebody asked for that, reads
// its stream as long as it runs, and ends when it sleeps or nobody needs it.
func (s *session) run(ctx context.Context, p *pump) {
	defer close(p.done)
	defer s.persist(ctx)
	for first := true; ; first = false {
		s.mu.Lock()
		f := s.flight
		if s.pump != p || ctx.Err() != nil || (f == nil && s.status != statusRunning && !first) {
			if s.pump == p {
				s.pump = nil
			}
			if f != nil && s.pump == nil {
				s.flight, f.err = nil, errDraining
				close(f.done)
			}
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		if f != nil {
			err := s.wake(ctx)
			s.mu.Lock()
			s.flight, f.err = nil, err
			close(f.done)
			s.mu.Unlock()
			if err != nil {
				continue
			}
		}
		s.follow(ctx, p)
	}
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

// follow reads the stream until the session sleeps, is gone, or ctx ends.
func (s *session) follow(ctx context.Context, p *pump) {
	id, log := s.upstreamID(), s.view().log
	for attempt := 0; ctx.Err() == nil; attempt++ {
		done, err := s.hub.reading(ctx)
		if err != nil {
			return
		}
		opened := false
		leave := func() {
			if !opened {
				opened = true
				done()
			}
		}
		opts := anyframe.StreamOptions{
			MaxStalls: -1,
			OnOpen: func() {
				leave()
				s.join(ctx, id)
				closeOnce(p.connected)
			},
			OnReconnect: func(r anyframe.Reconnect) {
				s.hub.metrics.upstreamReopen.Inc()
				s.logger().Debug("stream broke", "attempt", r.Attempt, "error", r.Cause)
			},
		}
		if head := log.Head(); head > 0 {
			opts.LastEventID = strconv.FormatInt(head, 10)
		}
		skips := 0
		for ev, followErr := range s.hub.client.Sessions.Follow(ctx, id, opts) {
			if err = followErr; err != nil {
				break
			}
			if err = s.take(ctx, id, ev, &skips); err != nil {
				break // AnyFrame can't tell what is missing: ask its stream again
			}
			attempt = 0
		}
		leave()
		if ctx.Err() != nil || s.over(err) {
			return
		}
		s.logger().Warn("read the stream", "error", err, "attempt", attempt)
		pause(ctx, backoff(attempt, 10*time.Second))
	}
}

// over sets the session's status by how its stream ended. It reports false when
// the stream should be tried again.
func (s *session) over(err error) bool {
	state, ok := errors.AsType[*anyframe.SessionStateError](err)
	switch {
	case ok && state.Session != nil && state.Session.Status == anyframe.StatusError:
		s.interrupt()
		s.setStatus(statusFailed)
	case ok:
		s.interrupt()
		s.setStatus(statusSleeping)
	case errors.Is(err, anyframe.ErrNotFound):
		s.interrupt()
		s.setStatus(statusEnded)
	case errors.Is(err, anyframe.ErrStreamEnded):
		s.interrupt()
		s.setStatus(statusSleeping)
	default:
		return false
	}
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
	if busy {
		s.append(s.view(), []item{{kind: "turn_end", data: turnEndData{Reason: "interrupted"}}})
	}
}

// join is called whenever the stream has been opened. If the agent may be in
// the middle of something, deltas without a number may be missing, and
// AnyFrame's transcript tells up to where.
func (s *session) join(ctx context.Context, id string) {
	s.mu.Lock()
	unsure := s.busy || s.midway
	s.mu.Unlock()
	s.showMissing(ctx)
	if !unsure {
		return
	}
	head := s.view().log.Head()
	tail, idle := head, head == 0
	for row, err := range s.hub.client.Sessions.TranscriptAll(ctx, id, max(head-1, 0)) {
		if err != nil {
			idle = false
			break
		}
		tail = row.Seq
		kind := row.Event().Type()
		idle = kind == "result" || kind == "_error"
	}
	s.feedMu.Lock()
	defer s.feedMu.Unlock()
	s.mu.Lock()
	s.midway, s.busy = !idle, !idle
	s.mu.Unlock()
	if !idle {
		s.translator.tear(tail)
	}
}

// take is what happens to one event from the stream before it is fed to the
// log: holes before it are filled, and a message that is on its way goes first.
func (s *session) take(ctx context.Context, id string, ev anyframe.Event, skips *int) error {
	s.mu.Lock()
	book, log, busy := s.book, s.log, s.busy
	s.mu.Unlock()
	if book.sending() && (!busy || isUserEvent(ev)) {
		book.waitPlaced(ctx, placeWait)
	}
	if ev.Seq == 0 {
		s.showMissing(ctx)
		s.feed(ev)
		return nil
	}
	if head := log.Head(); ev.Seq > head+1 && *skips < trustSkips && !book.explains(head, ev.Seq) {
		filled, err := s.fill(ctx, id, head, ev.Seq)
		if err != nil {
			return err
		}
		*skips++
		if filled > 0 {
			*skips = 0
			s.hub.metrics.holesFilled.Add(float64(filled))
			s.logger().Warn("filled a hole in the stream", "after", head, "events", filled)
		}
	}
	s.feed(ev)
	return nil
}

// fill feeds the events between two seqs that the stream left out, as far as
// AnyFrame's transcript has them: seqs may also be skipped.
func (s *session) fill(ctx context.Context, id string, from, to int64) (filled int, err error) {
	for row, err := range s.hub.client.Sessions.TranscriptAll(ctx, id, from) {
		if err != nil {
			return filled, err
		}
		if row.Seq >= to {
			break
		}
		s.feed(row.Event())
		filled++
	}
	return filled, nil
}

// showMissing shows the visitor's messages that AnyFrame took and has no event
// for. One that its transcript has comes by the stream, in its place.
func (s *session) showMissing(ctx context.Context) {
	s.feedMu.Lock()
	ahead := s.translator.ahead()
	s.feedMu.Unlock()
	missing := map[string]bool{}
	for _, own := range ahead {
		rows, err := s.rows(ctx, max(own.note.Seq-1, own.After), 1)
		if err != nil {
			s.logger().Warn("look for a message", "error", err)
			return // not shown yet is better than shown twice
		}
		if len(rows) == 0 || !isUserEvent(rows[0].Event()) {
			missing[own.note.Key] = true
		}
	}
	if len(missing) > 0 {
		s.showOwn(missing)
	}
}

func isUserEvent(ev anyframe.Event) bool {
	t := ev.Type()
	return t == "user" || t == "user_message"
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
