package relay

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/eventlog"
	"github.com/anyframe-relay/relay/relay/store"
)

const (
	// placeWait is how long events wait for AnyFrame's answer to a message, so
	// that the message comes before what the agent says to it.
	placeWait = 5 * time.Second
	// trustSkips is after how many holes of one width that AnyFrame left itself
	// we stop asking its transcript for what is missing in others like them.
	trustSkips = 16
	// maxEventBytes is how large an event may be. A larger one is left out.
	maxEventBytes = 16 << 20
)

// startPump starts the session's pump if none runs. With wake it brings the
// sandbox up first, and the flight to wait for is returned.
func (s *session) startPump(wake bool, addr string) *flight {
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
		ctx, cancel := context.WithCancel(s.hub.ctx)
		p := &pump{cancel: cancel, done: make(chan struct{}), connected: make(chan struct{})}
		s.pump = p
		s.hub.wg.Go(func() {
			defer cancel()
			defer close(p.done)
			for attempt := 0; !s.guard(func() { s.run(ctx, p) }); attempt++ {
				pause(ctx, backoff(attempt, 10*time.Second))
			}
		})
	}
	return s.flight
}

// guard keeps a fault of ours in one visitor's conversation from ending all the
// others': without it a panic here would be the end of the relay. It reports
// whether do came to its end.
func (s *session) guard(do func()) (ended bool) {
	defer func() {
		if cause := recover(); cause != nil {
			s.hub.metrics.panics.Inc()
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

// run is the pump: it brings the sandbox up when somebody asked for that, reads
// its stream as long as it runs, and ends when it sleeps or nobody needs it.
func (s *session) run(ctx context.Context, p *pump) {
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
	s.hub.metrics.upstreamOpen.Inc()
	defer s.hub.metrics.upstreamOpen.Dec()
	again := false // it was open before
	var holes holes
	stumbled := int64(-1) // the event at which our own code failed
	var read time.Time    // when the event came; those that come together are read one after the other
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
			MaxStalls:    -1,
			MaxEventSize: maxEventBytes,
			LendData:     true,
			OnOpen: func() {
				leave()
				s.join(ctx, id, log, again)
				again = true
				closeOnce(p.connected)
			},
			OnWait: func() {
				log.Release()
				read = time.Time{}
			},
			OnReconnect: func(r anyframe.Reconnect) {
				log.Release()
				s.hub.metrics.upstreamReopen.WithLabelValues(broke(r.Cause)).Inc()
				s.logger().Debug("stream broke", "attempt", r.Attempt, "error", r.Cause)
			},
		}
		if head := log.Head(); head > 0 {
			opts.LastEventID = strconv.FormatInt(head, 10)
		}
		for ev, followErr := range s.hub.client.Sessions.Follow(ctx, id, opts) {
			if err = followErr; err != nil {
				break
			}
			if read.IsZero() {
				read = time.Now()
			}
			if !s.guard(func() { err = s.take(ctx, id, log, s.hub.forms.hear(ev).at(read), &holes) }) {
				if err = errInternal; stumbled == ev.Seq { // every time: left out as if it were too large
					err = s.leaveOut(ctx, id, log, ev.Seq, &holes, errInternal)
				}
				stumbled = ev.Seq
			}
			if err != nil {
				break // AnyFrame can't tell what is missing: ask its stream again
			}
			now := time.Now()
			s.hub.metrics.pumpLag.Observe(now.Sub(read).Seconds())
			read = now
			attempt = 0
		}
		log.Release()
		leave()
		if large, ok := errors.AsType[*anyframe.EventTooLargeError](err); ok {
			if seq, _ := strconv.ParseInt(large.ID, 10, 64); seq > 0 {
				err = s.leaveOut(ctx, id, log, seq, &holes, large)
			}
			if err == nil {
				continue
			}
		}
		if ctx.Err() != nil || s.over(ctx, err) {
			return
		}
		s.again(ctx, err, attempt)
	}
}

// again waits before a stream that broke is tried anew. As leaveOut, it is none
// of follow's own.
//
//go:noinline
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
	st := statusSleeping
	switch {
	case ok && state.Session != nil && state.Session.Status == anyframe.StatusError:
		st = statusFailed
	case errors.Is(err, anyframe.ErrNotFound):
		st = statusEnded
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
		s.append(s.view(), []item{{kind: "turn_end", data: turnEndData{Reason: "interrupted"}}})
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

// holes is what a pump has learnt about seqs that are missing from the stream.
type holes struct {
	empty int   // how many of the present width were AnyFrame's own
	width int64 // of those; an event that is lost makes another one
}

// trust reports whether a hole of this width needs no more looking into.
func (h *holes) trust(width int64) bool { return h.empty >= trustSkips && width == h.width }

// empties notes that a hole of this width was AnyFrame's own. Now and then one
// of another width is too; of each two that take turns, none is ever trusted.
func (h *holes) empties(width int64) {
	switch {
	case width == h.width:
		h.empty++
	case h.empty > 0 && h.width != 0:
		h.empty--
	default:
		h.empty, h.width = 1, width
	}
}

// take is what happens to one event from the stream before it is fed to the
// log: holes before it are filled, one that came garbled is read again, and a
// message that is on its way goes first.
func (s *session) take(ctx context.Context, id string, log *eventlog.Log, ev heard, h *holes) error {
	if ev.delta == "" {
		log.Release() // it may take time, and what came before it need not wait
	}
	s.mu.Lock()
	book, busy := s.book, s.busy
	s.mu.Unlock()
	if book.expected(ev.user) {
		book.waitPlaced(ctx, placeWait)
	}
	s.inform(ctx, ev, book, busy)
	if ev.Seq == 0 {
		s.showMissing(ctx)
		if !ev.valid { // part of an answer, for all we know
			s.feedMu.Lock()
			s.translator.tear(log.Head())
			s.feedMu.Unlock()
		}
		s.gather(log, ev)
		return nil
	}
	head := log.Head()
	if width := ev.Seq - head - 1; width > 0 && !h.trust(width) {
		filled, err := s.fill(ctx, id, log, head, ev.Seq)
		switch {
		case err != nil:
			return err
		case filled == 0:
			h.empties(width)
		default:
			*h = holes{}
			s.hub.metrics.holesFilled.Add(float64(filled))
			s.logger().Warn("filled a hole in the stream", "after", head, "events", filled)
		}
	}
	if !ev.valid {
		rows, err := s.rows(ctx, ev.Seq-1, 1)
		if err != nil {
			return err
		}
		if len(rows) > 0 && rows[0].Seq == ev.Seq {
			ev = hear(rows[0].Event())
		}
	}
	s.gather(log, ev)
	return nil
}

// leaveOut takes nothing in the place of the event numbered seq. It is none of
// follow's own: the stack of a pump that waits is a third of what a quiet
// visitor costs.
//
//go:noinline
func (s *session) leaveOut(ctx context.Context, id string, log *eventlog.Log, seq int64, h *holes, why error) error {
	s.logger().Warn("left out an event", "seq", seq, "error", why)
	return s.take(ctx, id, log, hear(anyframe.Event{Seq: seq, Data: []byte("null")}), h)
}

// gather feeds an event from the stream. Deltas wait for each other, until
// all that have come are in the log.
func (s *session) gather(log *eventlog.Log, ev heard) {
	if ev.delta != "" {
		log.Hold()
	}
	s.feed(log, ev)
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
		ev := hear(row.Event())
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
			if ev := hear(row.Event()); row.Seq <= own.place() ||
				ev.user && (row.Seq == own.note.Seq || (own.note.Seq == 0 && ev.members.userText() == own.Text)) {
				due[own.note.Key] = row.Seq
			}
		}
		missing[own.note.Key] = due[own.note.Key] == 0
	}
	s.feedMu.Lock()
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
