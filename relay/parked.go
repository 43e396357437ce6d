package relay

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/telemetry"
)

// Begin runs the stream until over is called, in steps of which this is the
// first. It returns when there is nothing to do at the moment.
func (sub *subscriber) begin(over func()) {
	s, l := sub.server, sub.line
	sub.over = over
	sub.run(func() (ended string) {
		l.silence = s.hub.heartbeat - jitter(s.hub.heartbeat/12) // so that not all are due at once
		l.ends = time.Now().Add(s.config.StreamLifetime - jitter(s.config.StreamLifetime/5))
		sub.listen()
		if err := sub.write([]byte(": hello\n" + retryField(3*time.Second))); err != nil {
			return endOf(err)
		}
		s.api.lookBriefly(s.hub.ctx, sub.sess)
		return sub.step()
	})
}

// start begins a stream whose connection was taken over, in a goroutine of its own
// that the hub waits for. Finish is called when the stream has ended.
func (h *hub) start(sub *subscriber, finish func()) {
	if !h.join() { // the hub has ended: the stream has little left to do
		sub.begin(finish)
		return
	}
	go sub.begin(func() {
		defer h.wg.Done()
		finish()
	})
}

// run runs a step, and ends the stream if that says why. A panic ends this
// stream and no other.
func (sub *subscriber) run(step func() (ended string)) {
	ended := telemetry.EndGone
	defer func() {
		if cause := recover(); cause != nil {
			sub.panicked(cause)
		}
		if ended != "" {
			sub.end(ended)
		}
	}()
	ended = step()
}

// End is called by the last step, which nothing comes after: the line's state
// stays as it is.
func (sub *subscriber) end(reason string) {
	defer sub.over()
	if sub.line.watch != nil {
		sub.line.watch.Remove()
	}
	_ = sub.line.conn.Close() // ends either way
	sub.server.hub.clock.forget(sub)
	sub.trail.Ended, sub.trail.Bytes = reason, sub.bytes
	sub.leave()
}

func (sub *subscriber) panicked(cause any) {
	sub.server.metrics.Panics.Inc()
	sub.server.log.Error("panic", "request", sub.trail.ID, "cause", fmt.Sprint(cause), "stack", string(debug.Stack()))
}

// StartSpan does what there is to do, until the line is parked or the stream is to
// end, and then says why.
func (sub *subscriber) step() (ended string) {
	s, l, ctx := sub.server, sub.line, sub.server.hub.ctx
	for {
		l.mu.Lock()
		gone := l.gone
		l.poked = false
		l.mu.Unlock()
		if gone {
			return telemetry.EndGone
		}
		if err := l.flush(); err != nil { // what somebody else could not
			return endOf(err)
		}
		again, wrote, err := sub.turn(ctx)
		if err != nil {
			return sub.hangUp(err)
		}
		now := time.Now()
		switch {
		case ctx.Err() != nil:
			return telemetry.EndGone
		case !l.drained.IsZero() && !now.Before(l.drained):
			return sub.hangUp(problem.Draining)
		case !now.Before(l.ends):
			return sub.hangUp(nil)
		case l.drained.IsZero() && s.hub.isDraining():
			l.drained = now.Add(jitter(drainSpread - tick))
		case !wrote && l.tooQuiet(now):
			if err := sub.write(beat); err != nil {
				return endOf(err)
			}
		}
		if wrote {
			continue // there may be more
		}
		due, state := l.ends, parked
		if !l.drained.IsZero() && l.drained.Before(due) {
			due = l.drained
		}
		if !again.IsZero() {
			state = resting
			if again.Before(due) {
				due = again
			}
		}
		if sub.settle(state, due) {
			return ""
		}
	}
}

// turn writes what there is to write now. When AnyFrame cannot be asked for
// what is missing, it says when to try again.
func (sub *subscriber) turn(ctx context.Context) (again time.Time, wrote bool, err error) {
	c := scratches.Get().(*scratch)
	sub.buf, sub.line.out = c.entries[:], c.out[:0]
	defer func() {
		c.out = sub.line.out
		sub.buf, sub.line.out = nil, nil
		c.giveBack()
	}()
	sub.view = sub.look()
	wrote, err = sub.advance(ctx)
	if err == nil || errors.Is(err, errWrite) || errors.Is(err, problem.VisitorUnknown) || ctx.Err() != nil {
		return again, wrote, err
	}
	return time.Now().Add(time.Second + jitter(2*time.Second)), false, sub.warn(err)
}

// hangUp ends the answer and returns why the stream ended: no error is that its
// time was over.
func (sub *subscriber) hangUp(err error) (reason string) {
	reason = telemetry.EndLifetime
	switch {
	case errors.Is(err, errWrite):
		return endOf(err)
	case errors.Is(err, problem.VisitorUnknown):
		reason = telemetry.EndVoided
	case errors.Is(err, problem.Draining):
		reason = telemetry.EndDrained
		_ = sub.write([]byte(retryField(10 * time.Second))) // ends either way
	case err != nil:
		return telemetry.EndGone
	}
	sub.line.rest = append(sub.line.rest, "0\r\n\r\n"...)
	_ = sub.line.flush() // as above
	return reason
}

// settle ends a step: the line waits, until due if nothing comes before. It
// reports false when there is more to do already.
func (sub *subscriber) settle(state lineState, due time.Time) bool {
	l := sub.line
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.poked || l.gone {
		return false
	}
	l.due = due
	sub.server.hub.clock.put(sub, l.next())
	l.state = state // last, for whoever sees it may begin a step
	return true
}

// rouse begins a step, unless one is under way, which then looks again. The
// caller holds the line's mu.
func (sub *subscriber) rouse() {
	l := sub.line
	l.poked = true
	if l.state != working {
		l.state = working
		go sub.run(sub.step)
	}
}

// locked runs f, in somebody else's goroutine, with the line's mu held. A panic
// in it ends this stream and no other.
func (sub *subscriber) locked(f func()) {
	l := sub.line
	l.mu.Lock()
	defer l.mu.Unlock()
	defer func() {
		if cause := recover(); cause != nil {
			sub.panicked(cause)
			l.gone = true
			sub.rouse()
		}
	}()
	f()
}

// poke writes what is new in the log, if there is nothing else to do and the
// connection takes it at once. Else it begins a step.
func (sub *subscriber) poke() {
	sub.locked(func() {
		l := sub.line
		switch {
		case l.state == parked && l.raw != nil && sub.writeOn():
		case l.state == resting:
			l.poked = true
		default:
			sub.rouse()
		}
	})
}

// writeOn reports false when there is more to do. The caller holds the line's
// mu, and no step is under way.
func (sub *subscriber) writeOn() bool {
	if sub.look() != sub.view || sub.pos < 0 || sub.asked || sub.ahead {
		return false
	}
	c := scratches.Get().(*scratch)
	defer c.giveBack()
	n, next, err := sub.view.log.Read(sub.pos, c.entries[:])
	if err != nil || n == batch {
		return false
	}
	c.out = append(c.out[:0], make([]byte, room)...)
	frames := 0
	for _, e := range c.entries[:n] {
		if sub.passes(e) {
			c.out = append(c.out, e.Frame...)
			frames++
		}
	}
	sub.pos = next
	if frames == 0 {
		return true
	}
	if !sub.try(c, frames) {
		return false
	}
	sub.sess.firstWord.Sent()
	return true
}

// try writes the frames in c, and reports false unless the connection takes all
// of them at once. The caller holds the line's mu.
func (sub *subscriber) try(c *scratch, frames int) bool {
	size := len(c.out) - room
	sub.server.metrics.EventsSent.Add(float64(frames))
	sub.server.metrics.BytesSent.Add(float64(size))
	sub.bytes += size
	return sub.line.try(c, seal(&c.out))
}

// beat is what a browser gets when there is nothing else: a comment.
var beat = []byte(":\n\n")

// tooQuiet reports whether a heartbeat is due, or would come too late with the
// next tick.
func (l *line) tooQuiet(now time.Time) bool { return now.Sub(l.wrote) > l.silence-tick }

// Next is when somebody must look after a line that waits.
func (l *line) next() time.Time {
	if quiet := l.wrote.Add(l.silence); quiet.Before(l.due) {
		return quiet
	}
	return l.due
}

// strike is called by the clock when next has come, or soon will have; last, when
// the hub ends. A heartbeat is written at once if the connection takes it.
func (sub *subscriber) strike(now time.Time, last bool) {
	sub.locked(func() {
		l := sub.line
		early := now.Before(l.due) && !last
		switch {
		case l.state == working: // it goes to the clock by itself
		case early && !l.tooQuiet(now), early && l.state == parked && sub.keepUp():
			sub.server.hub.clock.put(sub, l.next())
		default:
			sub.rouse()
		}
	})
}

// keepUp writes a heartbeat. The caller holds the line's mu, and no step is under
// way.
func (sub *subscriber) keepUp() bool {
	if sub.line.raw == nil {
		return false
	}
	c := scratches.Get().(*scratch)
	defer c.giveBack()
	c.out = append(append(c.out[:0], make([]byte, room)...), beat...)
	return sub.try(c, 1)
}

// listen sees to it that somebody notices when the browser leaves: the poller, or
// where that can't be, a goroutine that the hub waits for and that ends with the
// connection.
func (sub *subscriber) listen() {
	h, l := sub.server.hub, sub.line
	if l.raw != nil {
		if w, err := h.watch(l.conn, sub); err == nil {
			l.watch = w
			sub.Ready()
			return
		}
	}
	h.wg.Go(func() {
		var p [16]byte
		for l.chatter <= maxChatter {
			n, err := l.conn.Read(p[:])
			if err != nil {
				break
			}
			l.chatter += n
		}
		sub.locked(func() {
			l.gone = true
			sub.rouse()
		})
	})
}

// Ready is called, by the poller, when the browser has left or sent something.
func (sub *subscriber) Ready() {
	sub.locked(func() {
		for w := sub.line.watch; ; {
			if w.Seen(); !sub.line.hear() {
				sub.line.gone = true
				sub.rouse()
				return
			}
			if w.Park() {
				return
			}
		}
	})
}

// poke tells the session's parked streams of a change.
func (s *session) poke() {
	s.tabsMu.Lock()
	defer s.tabsMu.Unlock()
	for _, sub := range s.tabs {
		sub.poke()
	}
}

// rouse makes the session's streams look again: something else has changed than
// the session.
func (s *session) rouse() {
	s.tabsMu.Lock()
	defer s.tabsMu.Unlock()
	for _, sub := range s.tabs {
		sub.locked(sub.rouse)
	}
}

// park makes the session tell sub of changes, until it leaves.
func (s *session) park(sub *subscriber) {
	s.tabsMu.Lock()
	defer s.tabsMu.Unlock()
	sub.at = len(s.tabs)
	s.tabs = append(s.tabs, sub)
}

func (s *session) unpark(sub *subscriber) {
	s.tabsMu.Lock()
	defer s.tabsMu.Unlock()
	last := len(s.tabs) - 1
	s.tabs[sub.at] = s.tabs[last]
	s.tabs[sub.at].at = sub.at
	s.tabs[last] = nil
	s.tabs = s.tabs[:last]
}
