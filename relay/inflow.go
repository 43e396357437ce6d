package relay

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/eventlog"
	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/upstream"
)

// Most streams are silent at any time, and of what comes on the others nearly all
// is pieces of text. So a pump has a goroutine only when it has something to do
// that may take time. Else it is parked, and the poller reads what comes, feeds
// what needs no waiting to the log, and starts the goroutine for the rest.

// manyTabs is up to how many streams of one session the poller's goroutine writes to: many
// sessions wait for their turn there.
const manyTabs = 32

// pump brings the sandbox up and reads its stream. It is one goroutine, or none
// while it is parked; the hub waits for it.
type pump struct {
	sess      *session
	ctx       context.Context
	cancel    context.CancelFunc
	done      chan struct{} // closed when it has ended
	connected chan struct{} // closed once the stream is open for the first time
	wake      func()        // wakeUp

	faults int     // of ours, that ended the goroutine
	in     *inflow // the stream that is followed, which is flow; nil when none is
	flow   inflow
}

// inflow is a stream of AnyFrame's.
type inflow struct {
	id       string
	log      *eventlog.Log
	follower *anyframe.Follower // nil until it is opened, and after it has ended
	opening  func()             // gives back the slot for one that is being opened; nil when that is done

	again    bool // it was open before
	attempt  int
	holes    holes
	read     time.Time       // when the event came; those that come together are read one after the other
	next     *upstream.Event // that the poller could not take; nil when there is none
	fell     bool            // and at which our own code failed just now
	stumbled int64           // the event at which it failed last
}

// work is the pump's goroutine.
func (p *pump) work() {
	s := p.sess
	for ; ; p.faults++ {
		parked := false
		if s.guard(func() { parked = s.run(p.ctx, p) }) {
			if parked {
				return // p is somebody else's now
			}
			break
		}
		s.unfollow(p)
		pause(p.ctx, backoff(p.faults, 10*time.Second))
	}
	p.cancel()
	close(p.done)
	s.hub.wg.Done()
}

// follow reads the stream until the session sleeps, is gone, or ctx ends. It
// returns true when the pump is parked.
func (s *session) follow(ctx context.Context, p *pump) (parked bool) {
	in := p.in
	for ; ctx.Err() == nil; in.attempt++ {
		if in.follower == nil && s.begin(ctx, p) != nil {
			break
		}
		parked, err := s.read(ctx, p)
		if parked {
			return true
		}
		in.end()
		if large, ok := errors.AsType[*anyframe.EventTooLargeError](err); ok {
			if seq, _ := strconv.ParseInt(large.ID, 10, 64); seq > 0 {
				err = s.leaveOut(ctx, in, seq, large)
			}
			if err == nil {
				continue
			}
		}
		if ctx.Err() != nil || s.over(ctx, err) {
			break
		}
		s.again(ctx, err, in.attempt)
	}
	s.unfollow(p)
	return false
}

// unfollow ends what the pump followed, if it did.
func (s *session) unfollow(p *pump) {
	if p.in != nil {
		p.in.end()
		p.in = nil
		s.hub.metrics.UpstreamOpen.Dec()
	}
}

// Begin begins to follow, once there is a slot for it.
func (s *session) begin(ctx context.Context, p *pump) (err error) {
	in := p.in
	if in.opening, err = s.hub.reading(ctx); err != nil {
		return err
	}
	opts := anyframe.StreamOptions{
		MaxStalls:    -1,
		MaxEventSize: upstream.MaxEventBytes,
		LendData:     true,
		OnOpen: func() {
			in.opened()
			s.join(ctx, in.id, in.log, in.again)
			in.again = true
			closeOnce(p.connected)
		},
		OnReconnect: func(r anyframe.Reconnect) {
			in.log.Release()
			s.hub.metrics.UpstreamReopen.WithLabelValues(upstream.Broke(r.Cause)).Inc()
			s.logger().Debug("stream broke", "attempt", r.Attempt, "error", r.Cause)
		},
	}
	if head := in.log.Head(); head > 0 {
		opts.LastEventID = strconv.FormatInt(head, 10)
	}
	in.follower = s.hub.client.Sessions.Follower(ctx, in.id, opts)
	return nil
}

// opened gives the slot back.
func (in *inflow) opened() {
	if in.opening != nil {
		in.opening()
		in.opening = nil
	}
}

// End is the end of one follower.
func (in *inflow) end() {
	in.log.Release()
	in.opened()
	in.next, in.fell = nil, false
	if in.follower != nil {
		in.follower.Close()
		in.follower = nil
	}
}

// ReadAt takes what comes, until nothing does and the pump is parked, or AnyFrame
// is to be asked again.
func (s *session) read(ctx context.Context, p *pump) (parked bool, err error) {
	in := p.in
	for {
		var ev upstream.Event
		if in.next != nil {
			ev, in.next = *in.next, nil
		} else {
			raw, ok := in.follower.Try()
			if !ok {
				in.rest()
				if in.follower.Park(p.wake) {
					return true, nil
				}
				if err := in.follower.Connect(); err != nil {
					return false, err
				}
				continue
			}
			ev = in.hear(s.hub, raw)
		}
		if in.fell || !s.guard(func() { err = s.take(ctx, in, ev) }) {
			in.fell = false
			err = s.stumble(ctx, in, ev.Seq)
		}
		if err != nil {
			return false, err // AnyFrame can't tell what is missing: ask its stream again
		}
		in.taken(s.hub)
	}
}

// glance is read for the poller's goroutine: it takes what needs no waiting. If it
// returns false, there is more to do.
func (s *session) glance(p *pump) (parked bool) {
	in := p.in
	for {
		raw, ok := in.follower.Try()
		if !ok {
			in.rest()
			return in.follower.Park(p.wake)
		}
		ev := in.hear(s.hub, raw)
		easy := false
		in.fell = !s.guard(func() { easy = s.takeEasily(in, &ev) })
		if !easy {
			in.next = new(ev)
			return false
		}
		in.taken(s.hub)
	}
}

// wakeUp is called when there is something to read, in a goroutine that must not
// wait.
func (p *pump) wakeUp() {
	parked := false
	if !p.sess.guard(func() { parked = p.sess.glance(p) }) || !parked {
		go p.work()
	}
}

// Decode reads an event.
func (in *inflow) hear(h *hub, ev anyframe.Event) upstream.Event {
	if in.read.IsZero() {
		in.read = time.Now()
	}
	return upstream.Decode(ev).At(in.read)
}

// taken notes that the event that came is in the log.
func (in *inflow) taken(h *hub) {
	now := time.Now()
	h.metrics.PumpLag.Observe(now.Sub(in.read).Seconds())
	in.read, in.attempt = now, 0
}

// rest lets the log's readers have what they were to wait for.
func (in *inflow) rest() {
	in.log.Release()
	in.read = time.Time{}
}

// stumble is what comes of our own code failing at an event: it is asked for
// again, and left out as if it were too large if that happens every time.
func (s *session) stumble(ctx context.Context, in *inflow, seq int64) error {
	again := in.stumbled == seq
	in.stumbled = seq
	if again {
		return s.leaveOut(ctx, in, seq, problem.Internal)
	}
	return problem.Internal
}

// takeEasily is take for an event of which nothing has to be asked or written
// down: part of a turn that is known to run, and words of the agent's. It reports
// whether it was one.
func (s *session) takeEasily(in *inflow, ev *upstream.Event) bool {
	if ev.Delta == "" && ev.Whole == "" || in.holes.before(ev.Seq, in.log) {
		return false
	}
	s.mu.Lock()
	book, known := s.book, s.busy && !s.unheard && s.log == in.log
	s.mu.Unlock()
	if !known || !book.calm() || s.crowded() || !s.feedMu.TryLock() {
		return false
	}
	defer s.feedMu.Unlock()
	if !s.translator.plain() {
		return false
	}
	if ev.Delta == "" {
		in.log.Release()
	} else {
		in.log.Hold()
	}
	s.feedLocked(in.log, *ev)
	return true
}

// crowded reports whether the session has so many streams that to write to all of
// them is not the poller's to do.
func (s *session) crowded() bool { return s.watchers.Len() > manyTabs }

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

// before reports whether events before seq may be missing from the log.
func (h *holes) before(seq int64, log *eventlog.Log) bool {
	width := seq - log.Head() - 1
	return seq != 0 && width > 0 && !h.trust(width)
}

// take is what happens to one event from the stream before it is fed to the
// log: holes before it are filled, one that came garbled is read again, and a
// message that is on its way goes first.
func (s *session) take(ctx context.Context, in *inflow, ev upstream.Event) error {
	log := in.log
	if ev.Delta == "" {
		log.Release() // it may take time, and what came before it need not wait
	}
	s.mu.Lock()
	book, busy := s.book, s.busy
	s.mu.Unlock()
	if book.expected(ev.User) {
		book.waitPlaced(ctx, placeWait)
	}
	s.inform(ctx, ev, book, busy)
	if ev.Seq == 0 {
		s.showMissing(ctx)
		if !ev.Valid { // part of an answer, for all we know
			s.feedMu.Lock()
			s.translator.tear(log.Head())
			s.feedMu.Unlock()
		}
		s.gather(log, ev)
		return nil
	}
	head := log.Head()
	if in.holes.before(ev.Seq, log) {
		filled, err := s.fill(ctx, in.id, log, head, ev.Seq)
		switch {
		case err != nil:
			return err
		case filled == 0:
			in.holes.empties(ev.Seq - head - 1)
		default:
			in.holes = holes{}
			s.hub.metrics.HolesFilled.Add(float64(filled))
			s.logger().Warn("filled a hole in the stream", "after", head, "events", filled)
		}
	}
	if !ev.Valid {
		rows, err := s.rows(ctx, ev.Seq-1, 1)
		if err != nil {
			return err
		}
		if len(rows) > 0 && rows[0].Seq == ev.Seq {
			ev = upstream.Decode(rows[0].Event())
		}
	}
	s.gather(log, ev)
	return nil
}

// leaveOut takes nothing in the place of the event numbered seq.
func (s *session) leaveOut(ctx context.Context, in *inflow, seq int64, why error) error {
	s.logger().Warn("left out an event", "seq", seq, "error", why)
	return s.take(ctx, in, upstream.Decode(anyframe.Event{Seq: seq, Data: []byte("null")}))
}

// gather feeds an event from the stream. Deltas wait for each other, until
// all that have come are in the log.
func (s *session) gather(log *eventlog.Log, ev upstream.Event) {
	if ev.Delta != "" {
		log.Hold()
	}
	s.feed(log, ev)
}
