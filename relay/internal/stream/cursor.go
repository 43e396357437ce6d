package stream

import (
	"context"
	"errors"
	"fmt"

	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/eventlog"
	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/telemetry"
)

var (
	// errWrite means that the browser has disconnected or is too slow.
	errWrite = errors.New("write to the stream")
	// errRevoked means that the visitor may no longer see the conversation.
	errRevoked = errors.New("the visitor's access was revoked")
	// errRefused means that the visitor may no longer be served.
	errRefused = errors.New("the visitor is refused")
)

// cursor is a stream's position: what the browser has received, and its last event id.
type cursor struct {
	view   View  // the latest state that was read
	told   View  // the state that the browser has received; without a log, none yet
	pos    int64 // in the view's log; -1 before a position was determined
	seq    int64 // the last numbered event that was sent, or the browser's last event id
	dirty  bool  // unnumbered events were sent since
	ahead  bool  // the browser has seen events that the log does not have yet
	resume event.ID
	asked  bool // the browser sent a last event id that has not been processed yet
	warned bool // the browser was notified that something is missing
	went   bool // the browser resumed after its last event id, with the state it had then
}

// newCursor parses the browser's last event id. An invalid id counts as an unknown one.
func newCursor(lastEventID string) cursor {
	c := cursor{pos: -1}
	if lastEventID != "" {
		c.asked = true
		c.resume, _ = event.ParseID(lastEventID)
	}
	return c
}

// advance writes what can be written now: first the session's state, if it has changed,
// then events from the cursor on. It reports whether it wrote anything.
func (s *stream) advance(ctx context.Context) (wrote bool, err error) {
	s.view = s.src.View()
	v := s.view
	if v.Revoked {
		if v.Erased && s.told.Log != nil {
			if err := s.tell(); err != nil {
				return false, err
			}
		}
		doc := problem.VisitorUnknown.Document()
		doc.Fatal = new(true)
		return true, errors.Join(s.sendEvent("problem", doc), errRevoked)
	}
	if v.Refused != nil {
		doc := v.Refused.Document()
		doc.Fatal = new(true)
		return true, errors.Join(s.sendEvent("problem", doc), errRefused)
	}
	if s.told.Log == nil || v.Status != s.told.Status || v.Epoch != s.told.Epoch || v.Erased != s.told.Erased {
		if err := s.tell(); err != nil {
			return false, err
		}
		wrote = true
	}
	if v.Notice != s.told.Notice {
		if err := s.sendEvent("notice", event.NoticeOf(v.Notice)); err != nil {
			return false, err
		}
		s.told.Notice = v.Notice
		wrote = true
	}
	if s.asked {
		if err := s.place(ctx); err != nil {
			return wrote, err
		}
		wrote = true
	}
	if s.pos < 0 {
		pos, err := s.position(v.Log)
		if errors.Is(err, eventlog.ErrTrimmed) {
			return true, s.catchUp(ctx)
		}
		s.pos = pos
	}
	entries := s.conn.scratch.entries[:]
	n, next, err := v.Log.Read(s.pos, entries)
	switch {
	case errors.Is(err, eventlog.ErrTrimmed) && s.dirty:
		// The browser has part of a run of unnumbered events, and the rest has been
		// dropped: it can get the whole run only from the start.
		return true, s.restart("trimmed", true)
	case errors.Is(err, eventlog.ErrTrimmed):
		s.pos = -1
		return true, nil
	case err != nil: // the epoch has ended: the next View has the new one
		return wrote, nil
	case n == 0:
		rated, err := s.tellRatings()
		return wrote || rated, err
	}
	some := oneWrite(entries[:n])
	s.pos = next - int64(n-len(some))
	return true, s.writeEntries(some)
}

// tell sends the session's state, and resets the browser if what it shows is outdated.
func (s *stream) tell() error {
	v := s.view
	first, anew := s.told.Log == nil, v.Epoch != s.told.Epoch
	if first || anew || v.Status != s.told.Status {
		if err := s.sendEvent("session", event.SessionData{Status: v.Status, Epoch: v.Epoch}); err != nil {
			return err
		}
	}
	var err error
	switch {
	case first:
	case anew:
		s.asked = false
		err = s.restart("new_session", s.told.Epoch != 0)
	case v.Erased && !s.told.Erased:
		s.asked = false
		err = s.restart("erased", true)
	}
	notice, ratings := s.told.Notice, s.told.Ratings
	s.told = v
	s.told.Notice, s.told.Ratings = notice, ratings
	return err
}

// position returns where the stream continues in the log, and whether the browser is
// ahead of the log. The log may catch up with the browser during the call.
func (c *cursor) position(log *eventlog.Log) (pos int64, err error) {
	for {
		reached := log.Head() >= c.seq
		pos, err = log.Cursor(c.seq)
		if reached == (log.Head() >= c.seq) {
			c.ahead = c.ahead && !reached
			return pos, err
		}
	}
}

// oneWrite returns as many of entries as may be held during a write: a browser that reads
// nothing must not keep much of what the log has dropped. Entries of one event stay
// together, because the log may drop the rest of them during the write.
func oneWrite(entries []eventlog.Entry) []eventlog.Entry {
	size, numbered := 0, false // numbered: the previous entry was
	for i, e := range entries {
		if size += len(e.Frame); numbered && size > maxPiece {
			clear(entries[i:])
			return entries[:i]
		}
		numbered = e.Seq != 0
	}
	return entries
}

// restart goes back to the conversation's first event. With tell, it sends a reset to the
// browser.
func (s *stream) restart(reason string, tell bool) error {
	s.pos, s.seq, s.dirty, s.ahead, s.went = -1, 0, false, false, false
	s.told.Ratings = nil
	if !tell {
		return nil
	}
	if reason == "trimmed" {
		s.countResume(telemetry.FromReset)
	}
	return s.sendEvent("reset", event.ResetData{Reason: reason})
}

func (s *stream) countResume(from string) {
	s.server.metrics.Resumes.WithLabelValues(from).Inc()
}

// place goes to the browser's last event id, or resets the browser.
func (s *stream) place(ctx context.Context) error {
	v := s.view
	known := s.resume.Epoch == v.Epoch && v.Epoch > 0
	if known && s.resume.Seq > v.Log.Head() {
		// The log of a relay that has just started may not have reached the event yet.
		var err error
		if known, err = s.known(ctx, s.resume.Seq); err != nil {
			return err
		}
		s.ahead = known
	}
	s.asked = false
	if known {
		s.went = true
		s.seq = s.resume.Seq
		from := telemetry.FromMemory
		if s.seq < v.Log.Base() || s.ahead {
			from = telemetry.FromUpstream
		}
		s.countResume(from)
		return nil
	}
	s.countResume(telemetry.FromReset)
	reason := "unknown_event_id"
	switch {
	case 0 < s.resume.Epoch && s.resume.Epoch < v.Epoch:
		reason = "new_session"
	case v.Erased && s.resume.Epoch == v.Epoch:
		reason = "erased"
	}
	return s.restart(reason, true)
}

// catchUp writes the events between the cursor and what the log keeps. If reading fails
// midway, the cursor is at the last event written, so that the next attempt repeats none.
// Unnumbered events are therefore written only with what follows them.
func (s *stream) catchUp(ctx context.Context) error {
	v := s.view
	base := v.Log.Base()
	var run [][]byte // frames of unnumbered events
	writeUpTo := func(seq int64) error {
		for _, frame := range run {
			if err := s.write(frame); err != nil {
				return err
			}
		}
		run, s.seq, s.dirty = run[:0], seq, false
		return nil
	}
	for it, err := range s.history(ctx, s.seq, base) {
		if err != nil {
			return errors.Join(s.flush(), err)
		}
		if it.Kind != "" {
			run = append(run, it.Entry(v.Epoch).Frame)
		}
		if it.Seq == 0 {
			continue
		}
		if err := writeUpTo(it.Seq); err != nil {
			return err
		}
		if it.Kind == "" { // complete up to here
			if err := s.flush(); err != nil {
				return err
			}
		}
	}
	if err := writeUpTo(base); err != nil {
		return err
	}
	return s.flush()
}

// writeEntries writes entries of the log, except those that the browser has seen.
func (s *stream) writeEntries(entries []eventlog.Entry) error {
	for _, e := range entries {
		if !s.passes(e) {
			continue
		}
		if err := s.write(e.Frame); err != nil {
			return err
		}
	}
	err := s.flush()
	if err == nil {
		s.src.Wrote()
	}
	return err
}

// passes moves the cursor past e. It reports whether the browser has yet to see e.
func (c *cursor) passes(e eventlog.Entry) bool {
	if e.Seq == 0 {
		if c.ahead {
			return false // belongs to a run whose end the browser has seen
		}
		c.dirty = true
		return true
	}
	if c.ahead = c.ahead && e.Seq < c.seq; e.Seq <= c.seq {
		return false
	}
	c.seq, c.dirty = e.Seq, false
	return true
}

// warn notifies the browser, once, that something is temporarily missing.
func (s *stream) warn(err error) error {
	s.server.log.Debug("stream failed to catch up", "error", err)
	if s.warned {
		return nil
	}
	s.warned = true
	doc := problem.Unavailable.Document()
	doc.Fatal = new(false)
	return s.sendEvent("problem", doc)
}

// sendEvent sends one event that is not from the log.
func (s *stream) sendEvent(kind string, data any) error {
	return s.send(event.Item{Kind: kind, Data: data}.Entry(0).Frame)
}

// send writes one frame immediately.
func (s *stream) send(frame []byte) error {
	if err := s.write(frame); err != nil {
		return err
	}
	return s.flush()
}

// write writes one frame, which may stay in the buffer until the next flush.
func (s *stream) write(frame []byte) error {
	s.count(1, len(frame))
	if len(frame) > maxChunk {
		if err := s.flush(); err != nil {
			return err
		}
		if err := s.conn.writeLarge(frame); err != nil {
			return fmt.Errorf("%w: %w", errWrite, err)
		}
		return nil
	}
	s.conn.scratch.add(frame)
	if s.conn.scratch.size() > maxChunk {
		return s.flush()
	}
	return nil
}

func (s *stream) flush() error {
	if err := s.conn.flush(); err != nil {
		return fmt.Errorf("%w: %w", errWrite, err)
	}
	return nil
}

func (s *stream) count(frames, bytes int) {
	s.server.metrics.EventsSent.Add(float64(frames))
	s.server.metrics.BytesSent.Add(float64(bytes))
	s.conn.sent += bytes
}
