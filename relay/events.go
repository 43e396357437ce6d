package relay

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/clientip"
	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/eventlog"
	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/telemetry"
	"github.com/anyframe-relay/relay/relay/internal/upstream"
)

const (
	// heartbeat is the longest silence on an event stream; keep it under the
	// idle timeout of any proxy in front of the relay.
	heartbeat = 12 * time.Second
	// writeTimeout is how long a reader may block one write.
	writeTimeout = 10 * time.Second
	// drainSpread is over how long the streams end when the relay does.
	drainSpread = 5 * time.Second
	// batch is how many events are written between two looks at the clock.
	batch = 64
)

// subscriber is one open event stream: a place in the session's log and the
// connection to write to. It is its request's goroutine; where the connection was
// taken over it is none while nothing happens.
type subscriber struct {
	server *Server
	sess   *session
	device *device // nil unless the website said who the visitor is
	buf    []eventlog.Entry

	// The connection: net/http's, or one that was taken over.
	w     http.ResponseWriter
	rc    *http.ResponseController
	line  *line
	at    int // in the session's tabs
	bytes int // written to the line
	trail *telemetry.RequestInfo
	leave func() // is called when the stream has ended, and over after that
	over  func()

	view   view  // what was last looked at
	told   view  // what the browser has been told; no log means nothing yet
	pos    int64 // in the view's log; -1 before a place was found
	seq    int64 // the last numbered event written, or named by the browser
	dirty  bool  // unnumbered events were written since
	ahead  bool  // the browser has seen events that the log has yet to get
	resume event.ID
	asked  bool // the browser named a last event id
	warned bool // the browser knows that AnyFrame cannot be reached
}

// streamEvents sends the session's events, from where the browser left off:
// GET /v1/events.
func (s *Server) streamEvents(w http.ResponseWriter, r *http.Request) error {
	v := visitorOf(r)
	if s.hub.isDraining() {
		return problem.Draining
	}
	release, err := s.limits.Stream(v.ID, clientip.Of(r))
	if err != nil {
		return err
	}
	var undo []func() // what is to be done in the end, last first
	leave := func() {
		for _, f := range slices.Backward(undo) {
			f()
		}
	}
	goesOn := false
	defer func() {
		if !goesOn {
			leave()
		}
	}()
	undo = append(undo, release)
	sess, err := s.hub.open(r.Context(), v.ID)
	if err != nil {
		return err
	}
	undo = append(undo, sess.close, sess.listen())

	sub := &subscriber{server: s, sess: sess, pos: -1}
	sub.readLastEventID(r)
	if v.Identified {
		token := v.Token
		sub.device = sess.attach(token)
		undo = append(undo, func() { sess.detach(token) })
		if _, err := s.api.visitor(r); err != nil {
			return err // logged out before anybody could tell this stream
		}
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream; charset=utf-8")
	h.Set("Cache-Control", "no-store, no-transform")
	h.Set("X-Accel-Buffering", "no")
	t := telemetry.FromContext(r.Context())
	s.metrics.StreamsOpen.Inc()
	undo = append(undo, func() {
		s.metrics.StreamsOpen.Dec()
		s.metrics.StreamsEnded.WithLabelValues(t.Ended).Inc()
	})
	t.Ended = telemetry.EndGone
	if sub.line, err = takeLine(w, r); err != nil {
		return nil // nobody is left to be told
	}
	if sub.line != nil {
		sess.park(sub)
		undo = append(undo, func() { sess.unpark(sub) })
		goesOn = true
		sub.trail, sub.leave = t, leave
		s.hub.start(sub, t.Detach())
		return nil
	}
	w.WriteHeader(http.StatusOK)
	sub.w, sub.rc, sub.buf = w, http.NewResponseController(w), make([]eventlog.Entry, batch)
	t.Ended = sub.serve(r.Context())
	return nil
}

// look returns where the session stands, for this stream.
func (sub *subscriber) look() view {
	v := sub.sess.view()
	v.voided = v.voided || sub.device.isVoid()
	return v
}

// readLastEventID takes the header before the query. An id that nobody could
// have got from us counts as one that is not known.
func (sub *subscriber) readLastEventID(r *http.Request) {
	raw := r.Header.Get("Last-Event-ID")
	if raw == "" {
		raw = r.URL.Query().Get("last_event_id")
	}
	if raw != "" {
		sub.asked = true
		sub.resume, _ = event.ParseID(raw)
	}
}

// ready is a channel that is always ready.
var ready = func() <-chan struct{} { c := make(chan struct{}); close(c); return c }()

// serve writes until the stream ends and returns why it did.
func (sub *subscriber) serve(ctx context.Context) (reason string) {
	s := sub.server
	over := time.NewTimer(s.config.StreamLifetime - jitter(s.config.StreamLifetime/5))
	defer over.Stop()
	quiet := time.NewTimer(s.hub.heartbeat)
	defer quiet.Stop()
	draining := (<-chan struct{})(s.hub.draining)
	var drained <-chan time.Time

	if err := sub.write([]byte(": hello\n" + retryField(3*time.Second))); err != nil {
		return endOf(err)
	}
	s.api.lookBriefly(ctx, sub.sess)
	for {
		sub.view = sub.look()
		changed := sub.view.log.Changed() // before reading, so that nothing is missed
		wrote, err := sub.advance(ctx)
		var again <-chan time.Time
		switch {
		case errors.Is(err, errWrite): // first: net/http takes who is too slow for one who is gone
			return endOf(err)
		case ctx.Err() != nil:
			return telemetry.EndGone
		case errors.Is(err, problem.VisitorUnknown):
			return telemetry.EndVoided
		case err != nil: // AnyFrame cannot be asked for what is missing
			if err := sub.warn(err); err != nil {
				return endOf(err)
			}
			again = time.After(time.Second + jitter(2*time.Second))
			changed = nil
		case wrote:
			quiet.Reset(s.hub.heartbeat)
			changed = ready // there may be more
		}
		select {
		case <-changed:
		case <-again:
		case <-quiet.C:
			if err := sub.write(beat); err != nil {
				return endOf(err)
			}
			quiet.Reset(s.hub.heartbeat)
		case <-draining:
			draining = nil
			drained = time.After(jitter(drainSpread))
		case <-drained:
			_ = sub.write([]byte(retryField(10 * time.Second))) // ends either way
			return telemetry.EndDrained
		case <-over.C:
			return telemetry.EndLifetime
		case <-ctx.Done():
			return telemetry.EndGone
		}
	}
}

// endOf is why a stream ended that could not be written to.
func endOf(err error) string {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return telemetry.EndSlow
	}
	return telemetry.EndGone
}

// advance writes what there is to write now: first where the session stands,
// then events from the subscriber's place on. It reports whether it wrote.
func (sub *subscriber) advance(ctx context.Context) (wrote bool, err error) {
	v := sub.view
	if v.voided {
		doc := problem.VisitorUnknown.Document()
		doc.Fatal = new(true)
		if err := sub.send("problem", doc); err != nil {
			return false, err
		}
		return true, problem.VisitorUnknown
	}
	first := sub.told.log == nil
	if first || v.status != sub.told.status || v.epoch != sub.told.epoch {
		if err := sub.send("session", event.SessionData{Status: v.status, Epoch: v.epoch}); err != nil {
			return false, err
		}
		if !first && v.epoch != sub.told.epoch {
			sub.asked = false
			if err := sub.restart("new_session", sub.told.epoch != 0); err != nil {
				return false, err
			}
		}
		sub.told = v
		wrote = true
	}
	if sub.asked {
		if err := sub.place(ctx); err != nil {
			return wrote, err
		}
		wrote = true
	}
	if sub.pos < 0 {
		pos, err := v.log.Cursor(sub.seq)
		if errors.Is(err, eventlog.ErrTrimmed) {
			return true, sub.catchUp(ctx)
		}
		sub.pos = pos
	}
	n, next, err := v.log.Read(sub.pos, sub.buf)
	switch {
	case errors.Is(err, eventlog.ErrTrimmed) && sub.dirty:
		// It has part of a run of events that have no number, and the rest is
		// gone: only from the start can it get a whole again.
		return true, sub.restart("trimmed", true)
	case errors.Is(err, eventlog.ErrTrimmed):
		sub.pos = -1
		return true, nil
	case err != nil: // the epoch is over: the next look finds the new one
		return wrote, nil
	case n == 0:
		return wrote, nil
	}
	sub.pos = next
	return true, sub.writeEntries(sub.buf[:n])
}

// restart begins again from the session's first event, telling the browser to
// forget what it shows if it shows anything.
func (sub *subscriber) restart(reason string, tell bool) error {
	sub.pos, sub.seq, sub.dirty, sub.ahead = -1, 0, false, false
	if !tell {
		return nil
	}
	if reason == "trimmed" {
		sub.server.metrics.Resumes.WithLabelValues(telemetry.FromReset).Inc()
	}
	return sub.send("reset", event.ResetData{Reason: reason})
}

// place finds the place that the browser named, or resets it.
func (sub *subscriber) place(ctx context.Context) error {
	v := sub.view
	known := sub.resume.Epoch == v.epoch && v.epoch > 0
	if head := v.log.Head(); known && sub.resume.Seq > head {
		// Not seen here, which a relay that has just started need not have.
		rows, err := sub.sess.rows(ctx, sub.resume.Seq-1, 1)
		if err != nil {
			return err
		}
		known = len(rows) > 0
		sub.ahead = known
	}
	sub.asked = false
	if known {
		sub.seq = sub.resume.Seq
		from := telemetry.FromMemory
		if sub.seq < v.log.Base() || sub.ahead {
			from = telemetry.FromUpstream
		}
		sub.server.metrics.Resumes.WithLabelValues(from).Inc()
		return nil
	}
	sub.server.metrics.Resumes.WithLabelValues(telemetry.FromReset).Inc()
	reason := "unknown_event_id"
	if 0 < sub.resume.Epoch && sub.resume.Epoch < v.epoch {
		reason = "new_session"
	}
	return sub.restart(reason, true)
}

// catchUp writes, from AnyFrame's transcript, what lies between the
// subscriber's place and what the log keeps.
func (sub *subscriber) catchUp(ctx context.Context) error {
	v := sub.view
	base := v.log.Base()
	t := newTranslator(&sub.server.config, sub.server.hub.marks, v.epoch, sub.seq, sub.sess.notes(), true)
	for {
		rows, err := sub.sess.rows(ctx, t.last, historyPage)
		if err != nil {
			return err
		}
		if t.last == t.start {
			if err := t.joinSpeech(rows, func(since int64, limit int) ([]anyframe.ChatEvent, error) { return sub.sess.rows(ctx, since, limit) }); err != nil {
				return err
			}
		}
		for _, row := range rows {
			if row.Seq > base {
				rows = nil
				break
			}
			if err := sub.writeItems(v.epoch, t.step(upstream.Decode(row.Event())).items); err != nil {
				return err
			}
			sub.seq = row.Seq
		}
		if err := sub.flush(); err != nil {
			return err
		}
		if len(rows) < historyPage {
			break
		}
	}
	if err := sub.writeItems(v.epoch, t.finish(base)); err != nil {
		return err
	}
	sub.seq, sub.dirty = base, false
	return sub.flush()
}

// errWrite says that the reader is gone or too slow.
var errWrite = errors.New("write to the stream")

func (sub *subscriber) writeItems(epoch int64, items []event.Item) error {
	for _, it := range items {
		if err := sub.put(it.Entry(epoch).Frame); err != nil {
			return err
		}
	}
	return nil
}

// writeEntries writes what the log holds, less what the browser has seen.
func (sub *subscriber) writeEntries(entries []eventlog.Entry) error {
	for _, e := range entries {
		if !sub.passes(e) {
			continue
		}
		if err := sub.put(e.Frame); err != nil {
			return err
		}
	}
	err := sub.flush()
	if err == nil {
		sub.sess.firstWord.Sent()
	}
	return err
}

// passes moves the subscriber's place past e. It reports whether the browser
// has yet to see it.
func (sub *subscriber) passes(e eventlog.Entry) bool {
	if e.Seq == 0 {
		if sub.ahead {
			return false // belongs to events that it has seen the end of
		}
		sub.dirty = true
		return true
	}
	if sub.ahead = sub.ahead && e.Seq < sub.seq; e.Seq <= sub.seq {
		return false
	}
	sub.seq, sub.dirty = e.Seq, false
	return true
}

// warn tells the browser, once, that something is missing that AnyFrame cannot
// be asked for at the moment.
func (sub *subscriber) warn(err error) error {
	sub.server.log.Debug("catch up", "error", err)
	if sub.warned {
		return nil
	}
	sub.warned = true
	doc := problem.Unavailable.Document()
	doc.Fatal = new(false)
	return sub.send("problem", doc)
}

// send writes one event that is not from the log.
func (sub *subscriber) send(kind string, data any) error {
	return sub.write(event.Item{Kind: kind, Data: data}.Entry(0).Frame)
}

func (sub *subscriber) write(frame []byte) error {
	if err := sub.put(frame); err != nil {
		return err
	}
	return sub.flush()
}

// put writes one frame, which may stay in the connection's buffer.
func (sub *subscriber) put(frame []byte) (err error) {
	var n int
	if sub.line != nil {
		n, err = sub.line.put(frame)
		sub.bytes += n
	} else {
		if err := sub.rc.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return fmt.Errorf("%w: %w", errWrite, err)
		}
		n, err = sub.w.Write(frame)
	}
	sub.server.metrics.EventsSent.Inc()
	sub.server.metrics.BytesSent.Add(float64(n))
	if err != nil {
		return fmt.Errorf("%w: %w", errWrite, err)
	}
	return nil
}

func (sub *subscriber) flush() (err error) {
	if sub.line != nil {
		err = sub.line.flush()
	} else {
		err = sub.rc.Flush()
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errWrite, err)
	}
	return nil
}

// retryField is the field that sets a browser's reconnection time, at random
// from one second up to limit so that not all come back at once.
func retryField(limit time.Duration) string {
	d := time.Second + jitter(limit-time.Second)
	return "retry: " + strconv.FormatInt(d.Milliseconds(), 10) + "\n\n"
}
