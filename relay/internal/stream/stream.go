package stream

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/eventlog"
	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/telemetry"
)

// state determines who owns a stream. Between its steps a stream is in the wheel.
type state uint8

const (
	running    state = iota // a step is in progress, or was the last; it owns the stream
	backingOff              // the stream waits until due, whatever changes
	idle                    // the stream waits for any change; the holder of mu owns it
)

// stream is one open event stream. Its fields belong to the step in progress or, if there
// is none, to the holder of mu.
type stream struct {
	cursor
	server   *Server
	src      Source
	info     *telemetry.RequestInfo
	done     func(reason string)
	finished func() // writes the request's log line; nil if its handler does
	watch    eventlog.Watch
	conn     conn

	silence time.Duration // the longest silence
	ends    time.Time     // when its lifetime ends
	drained time.Time     // when it ends because the server drains; zero if it does not drain

	mu       sync.Mutex // holding it guarantees that no step begins or becomes idle
	state    state
	changed  bool      // something changed since the step in progress last looked
	gone     bool      // the browser has disconnected
	panicked bool      // a panic ends the stream
	due      time.Time // when there is more to do than a heartbeat

	stopReading context.CancelFunc // ends the step's read in progress, nil for none; guarded by mu

	slot  int64 // of the wheel, 0 for none; guarded by timerWheel.mu
	index int   // in that slot; guarded by timerWheel.mu
}

// context returns the context of the stream's request, if the stream runs in its handler,
// otherwise the server's.
func (s *stream) context() context.Context {
	if s.conn.response != nil {
		return s.conn.response.ctx
	}
	return s.server.ctx
}

// begin is the first step.
func (s *stream) begin() (ended string) {
	o := &s.server.options
	now := time.Now()
	// Jitter, so that not all are due at the same time; the wheel may be a tick late.
	s.silence = o.Heartbeat - jitter(o.Heartbeat/12)
	s.ends = now.Add(o.Lifetime - tick - jitter(o.Lifetime/5-tick))
	s.watchConn()
	if err := s.greet(); err != nil {
		return endOf(err)
	}
	s.src.Look(s.context())
	return s.step()
}

func (s *stream) greet() error {
	s.conn.borrow()
	defer s.conn.giveBack()
	return s.send([]byte(": hello\n" + retryField(0, 3*time.Second)))
}

// run runs a step, and ends the stream if the step returns a reason. A panic ends only
// this stream.
func (s *stream) run(step func() (ended string)) (over bool) {
	ended := telemetry.EndGone
	defer func() {
		if cause := recover(); cause != nil {
			s.reportPanic(cause)
			s.mu.Lock()
			s.panicked = true
			s.mu.Unlock()
		}
		if over = ended != ""; over {
			s.end(ended)
		}
	}()
	ended = step()
	return false // the results are set above
}

// end is called by the last step. The stream stays running, so that no other step begins.
func (s *stream) end(reason string) {
	defer s.server.group.Done()
	defer s.server.open.Add(-1) // last, because the server may be shut down after that
	s.src.Watchers().Remove(&s.watch)
	s.server.wheel.remove(s)
	s.conn.close()
	s.server.metrics.StreamsOpen.Dec()
	s.server.metrics.StreamsEnded.WithLabelValues(reason).Inc()
	s.info.Ended = reason
	s.done(reason)
	if s.finished != nil {
		s.info.Bytes = s.conn.sent
		s.finished()
	}
}

func (s *stream) reportPanic(cause any) {
	s.server.metrics.Panics.Inc()
	s.server.log.Error("panic", "request", s.info.ID, "cause", fmt.Sprint(cause), "stack", string(debug.Stack()))
}

// failed reports whether a panic ended the stream.
func (s *stream) failed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.panicked
}

// step does everything there is to do. It returns why the stream ends, or "" when it
// waits; the stream may then already belong to the next step.
func (s *stream) step() (ended string) {
	for {
		s.mu.Lock()
		gone := s.gone
		s.changed = false
		s.mu.Unlock()
		if gone {
			return telemetry.EndGone
		}
		next, due, ended := s.round(s.context())
		if ended != "" {
			return ended
		}
		if next != running && s.suspend(next, due) {
			return ""
		}
	}
}

// round does part of a step: it looks once and writes what there is. It returns the state
// to wait in, or running if there may be more to do.
func (s *stream) round(ctx context.Context) (next state, due time.Time, ended string) {
	s.conn.borrow()
	defer s.conn.giveBack()
	if err := s.conn.flush(); err != nil { // what could not be written without blocking
		return 0, due, endOf(err)
	}
	next, due = idle, s.ends
	wrote, err := s.advance(ctx)
	switch {
	case errors.Is(err, errWrite): // first, because net/http treats a slow reader like one that has disconnected
		return 0, due, endOf(err)
	case errors.Is(err, errRevoked):
		return 0, due, s.finish(telemetry.EndVoided)
	case errors.Is(err, errRefused):
		return 0, due, s.finish(s.refusal())
	case ctx.Err() != nil, s.server.ctx.Err() != nil:
		return 0, due, telemetry.EndGone
	case err != nil: // what is missing temporarily cannot be read
		if err := s.warn(err); err != nil {
			return 0, due, endOf(err)
		}
		wrote, next = false, backingOff
		due = earlier(due, time.Now().Add(time.Second+jitter(2*time.Second)))
	}
	now := time.Now()
	switch {
	case !s.drained.IsZero() && !now.Before(s.drained):
		return 0, due, s.finish(telemetry.EndDrained)
	case !now.Before(s.ends):
		return 0, due, s.finish(telemetry.EndLifetime)
	case s.drained.IsZero() && s.server.draining.Load() != nil:
		s.drained = now.Add(jitter(drainSpread - tick))
	case !wrote && s.tooQuiet(now):
		if err := s.send(heartbeat); err != nil {
			return 0, due, endOf(err)
		}
	}
	if wrote {
		return running, due, ""
	}
	if !s.drained.IsZero() {
		due = earlier(due, s.drained)
	}
	return next, due, ""
}

// refusal returns the reason of a stream that ends because its visitor may no longer be
// served.
func (s *stream) refusal() string {
	if errors.Is(s.view.Refused, problem.NotFound) {
		return telemetry.EndRemoved
	}
	return telemetry.EndBlocked
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// finish ends the response cleanly and returns the reason.
func (s *stream) finish(reason string) string {
	if reason == telemetry.EndDrained {
		// Until the drain is over this server refuses new streams, and a refused
		// EventSource gives up for good.
		rest := max(time.Until(*s.server.draining.Load()), 0)
		_ = s.send([]byte(retryField(rest, 10*time.Second))) // the stream ends either way
	}
	_ = s.conn.finish() // as above
	return reason
}

// suspend ends a step: the stream waits, at most until due. It returns false if there is
// already more to do.
func (s *stream) suspend(next state, due time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changed || s.gone {
		return false
	}
	s.due = due
	if !s.putInWheel() {
		return false
	}
	s.state = next
	return true
}

// putInWheel returns false if the server drains or closes and the stream has not seen
// that yet. The caller holds mu. Drain and Close first set their state and then fire the
// wheel, so a stream that checks after put cannot miss both.
func (s *stream) putInWheel() bool {
	s.server.wheel.put(s, s.nextDue())
	return s.server.ctx.Err() == nil && (!s.drained.IsZero() || s.server.draining.Load() == nil)
}

// schedule starts a step. If one is in progress, that step will look again. The caller
// holds mu.
func (s *stream) schedule() {
	s.changed = true
	if s.state == running {
		return
	}
	s.state = running
	if s.conn.response != nil {
		s.conn.response.wake <- struct{}{} // never blocks: each is received before the next suspend
		return
	}
	go s.run(s.step)
}

// locked runs f with mu held, in a goroutine that is not the stream's. A panic in f ends
// only this stream.
func (s *stream) locked(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() {
		if cause := recover(); cause != nil {
			s.reportPanic(cause)
			s.panicked = true
			s.lose()
		}
	}()
	f()
}

// endOf returns the reason of a stream that ends because of a failed write.
func endOf(err error) string {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return telemetry.EndSlow
	}
	return telemetry.EndGone
}

// retryField sets the browser's reconnection time: least plus a random time from one
// second up to limit, so that not all browsers reconnect at the same time. No empty line
// follows, because that would end a frame, and this is not one.
func retryField(least, limit time.Duration) string {
	d := least + time.Second + jitter(limit-time.Second)
	return "retry: " + strconv.FormatInt(d.Milliseconds(), 10) + "\n"
}
