package stream

import "time"

// This file contains what other goroutines do for a stream: the one that appends to the
// log, the wheel's, and the poller's. None of it blocks.

// OnAppend implements [eventlog.Watcher]. It writes what is new in the log if there is
// nothing else to do and the connection accepts it without blocking. Otherwise it starts
// a step.
func (s *stream) OnAppend() {
	s.locked(func() {
		switch {
		case s.state == idle && s.conn.raw != nil && s.tryAppend():
		case s.state == backingOff:
			s.changed = true
		default:
			s.schedule()
		}
	})
}

// tryAppend writes what is new in the log, and returns false if a step must continue. The
// caller holds mu, and the stream is idle.
func (s *stream) tryAppend() bool {
	if s.src.View() != s.view || s.pos < 0 || s.asked || s.ahead {
		return false
	}
	c := s.conn.borrow()
	defer s.conn.giveBack()
	n, next, err := s.view.Log.Read(s.pos, c.entries[:])
	if err != nil || n == batch {
		return false
	}
	size := 0
	for _, e := range c.entries[:n] {
		size += len(e.Frame)
	}
	if size > maxPiece {
		return false // more than the connection accepts without blocking, and no copy may be kept
	}
	frames := 0
	for _, e := range c.entries[:n] {
		if s.passes(e) {
			c.add(e.Frame)
			frames++
		}
	}
	s.pos = next
	if frames == 0 {
		return true
	}
	s.count(frames, c.size())
	if !s.conn.try() {
		return false
	}
	s.src.Wrote()
	return true
}

// heartbeat is a comment, which a browser ignores. It is a line and not a frame.
var heartbeat = []byte(":\n")

// tooQuiet reports whether a heartbeat is due, or would be late at the next tick.
func (s *stream) tooQuiet(now time.Time) bool { return now.Sub(s.conn.wrote) > s.silence-tick }

// nextHeartbeat is when a heartbeat is due, if nothing is written before.
func (s *stream) nextHeartbeat() time.Time { return s.conn.wrote.Add(s.silence) }

// nextDue is when the wheel must call the stream while it waits.
func (s *stream) nextDue() time.Time { return earlier(s.due, s.nextHeartbeat()) }

// onTick is called by the wheel when nextDue has passed, or is less than a tick away;
// force says that there is more to do. It writes a heartbeat if the connection accepts it
// without blocking.
func (s *stream) onTick(now time.Time, force bool) {
	s.locked(func() {
		early := now.Before(s.due) && !force
		switch {
		case s.state == running: // it returns to the wheel by itself
		case early && (!s.tooQuiet(now) || s.state == idle && s.writeHeartbeat()) && s.putInWheel():
		default:
			s.schedule()
		}
	})
}

// writeHeartbeat returns false if a step must write it. The caller holds mu, and the
// stream is idle.
func (s *stream) writeHeartbeat() bool {
	if s.conn.raw == nil {
		return false
	}
	c := s.conn.borrow()
	defer s.conn.giveBack()
	c.add(heartbeat)
	s.count(1, c.size())
	return s.conn.try()
}

// watchConn arranges that the browser's disconnection is detected: by the poller, or if
// that is not possible, by a goroutine. For a stream in its handler, Serve has done so.
func (s *stream) watchConn() {
	if s.conn.response != nil {
		return
	}
	if s.conn.raw != nil {
		if w, err := s.server.options.Watch(s.conn.net, s); err == nil {
			s.conn.watch = w
			s.Ready()
			return
		}
	}
	// If the group is closed, the stream is about to end.
	s.server.group.Go(func() {
		s.conn.readUntilGone()
		s.leave()
	})
}

// leave ends the stream because the browser has disconnected.
func (s *stream) leave() {
	s.locked(s.lose)
}

// Ready implements [poll.Waiter]: the browser has disconnected or sent something.
func (s *stream) Ready() {
	s.locked(func() {
		for w := s.conn.watch; ; {
			if w.Seen(); !s.conn.readAvailable() {
				s.lose()
				return
			}
			if w.Park() {
				return
			}
		}
	})
}
