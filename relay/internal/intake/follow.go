package intake

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/backoff"
	"github.com/anyframe-relay/relay/relay/internal/conversation"
	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/upstream"
)

// Follower reads AnyFrame's stream into a conversation. It needs a goroutine only while
// there is something to do that takes time: what can be done at once is done by the
// goroutine that brings the bytes, and a silent stream is parked. It is for one goroutine
// at a time.
type Follower struct {
	*Intake

	ctx       context.Context
	conv      *conversation.Conversation
	connected func()           // is called when the stream is open for the first time
	ended     func(error) bool // see Follow
	over      bool             // it was closed

	stream   *anyframe.Follower // nil when it has to be asked for again
	opening  func()             // gives back the slot for a stream that is being opened; nil when that is done
	again    bool               // the stream was open before
	attempt  int
	holes    holes
	readAt   time.Time      // when the event came; those that come together are read one after the other
	raw      anyframe.Event // the one that is processed
	pending  bool           // raw is still to be processed, by a goroutine that may wait
	event    upstream.Event // raw, decoded; here, so that none is allocated for each
	poisoned int64          // the event at which the relay's own code failed last
}

// Follow returns what reads AnyFrame's stream into a conversation until ctx ends, or ended
// says that it is over. Connected is called once the stream is open for the first time;
// ended, with what ended the stream, reports false when it should be tried again. The
// caller closes it.
func (in *Intake) Follow(ctx context.Context, c *conversation.Conversation, connected func(), ended func(error) bool) *Follower {
	in.Metrics.UpstreamOpen.Inc()
	return &Follower{Intake: in, ctx: ctx, conv: c, connected: connected, ended: ended, poisoned: -1}
}

// Close gives back all that the follower holds. It may be called twice.
func (f *Follower) Close() {
	f.drop()
	if !f.over {
		f.over = true
		f.Metrics.UpstreamOpen.Dec()
	}
}

// errParked says that the stream is silent and that wake will be called.
var errParked = errors.New("parked")

// Run reads until the stream is over and returns false, or until it is silent and returns
// true. In that case wake is called once when there is more to do, perhaps before Run has
// returned, by a goroutine that must not be kept waiting: [Follower.Resume] is made for
// it. Where the transport can't tell, Run waits.
func (f *Follower) Run(wake func()) (parked bool) {
	for ; f.ctx.Err() == nil; f.attempt++ {
		err := f.read(wake)
		if err == errParked { //nolint:errorlint // read never wraps it
			return true
		}
		if large, ok := errors.AsType[*anyframe.EventTooLargeError](err); ok {
			if seq, _ := strconv.ParseInt(large.ID, 10, 64); seq > 0 {
				err = f.leaveOut(f.ctx, seq, large)
			}
			if err == nil {
				continue
			}
		}
		if f.ctx.Err() != nil || f.ended(err) {
			return false
		}
		f.Log().Warn("failed to read AnyFrame's stream", "error", err, "attempt", f.attempt)
		backoff.Sleep(f.ctx, backoff.Delay(f.attempt, 10*time.Second))
	}
	return false
}

// Resume does what can be done at once. It returns true if that is all, and wake will be
// called again; else [Follower.Run] must be.
func (f *Follower) Resume(wake func()) (parked bool) {
	for {
		raw, ok := f.stream.TryNext()
		if !ok {
			return f.stream.Park(wake)
		}
		f.raw, f.pending = raw, true // until it is done
		if len(raw.Data) > quickBytes {
			return false
		}
		f.decode()
		if !f.quick(&f.event) || !f.Guard(func() { f.append(f.ctx, &f.event) }) {
			return false
		}
		f.done()
	}
}

// read reads the stream, once there is a slot for it, until it ends, is silent, or
// AnyFrame has to be asked again.
func (f *Follower) read(wake func()) (err error) {
	if f.stream == nil {
		err = f.open()
	}
	for err == nil {
		if !f.pending {
			var ok bool
			if f.raw, ok = f.stream.TryNext(); !ok {
				if f.stream.Park(wake) {
					return errParked // f belongs to another goroutine now
				}
				f.raw, err = f.stream.Next()
			}
			f.pending = err == nil
			continue
		}
		f.decode()
		if !f.Guard(func() { err = f.process(f.ctx, &f.event) }) {
			err = f.retryPoisoned(f.ctx, f.event.Seq)
		}
		if err == nil {
			f.done()
		} // else AnyFrame can't tell what is missing: ask its stream again
	}
	f.drop()
	return err
}

// open takes the slot for a stream that is being opened. The stream asks for nothing yet.
func (f *Follower) open() (err error) {
	log := f.conv.Log()
	if f.opening, err = f.Slot(f.ctx); err != nil {
		return err
	}
	opts := anyframe.StreamOptions{
		MaxStalls:    -1,
		MaxEventSize: upstream.MaxEventBytes,
		OnOpen: func() {
			f.opened()
			f.joined(f.ctx, f.conv, f.again)
			if !f.again {
				f.connected()
			}
			f.again = true
		},
		OnReconnect: func(r anyframe.Reconnect) {
			log.Release()
			f.Metrics.UpstreamReopen.WithLabelValues(upstream.Broke(r.Cause)).Inc()
			f.Log().Debug("AnyFrame's stream broke", "attempt", r.Attempt, "error", r.Cause)
		},
		OnIdle: f.flush,
	}
	if head := log.Head(); head > 0 {
		opts.LastEventID = strconv.FormatInt(head, 10)
	}
	f.stream = f.Client.Sessions.Follower(f.ctx, f.conv.ID(), opts)
	return nil
}

// drop closes the stream.
func (f *Follower) drop() {
	f.opened()
	if f.stream != nil {
		f.flush()
		f.stream.Close()
		f.stream = nil
	}
	f.raw, f.pending = anyframe.Event{}, false
}

// decode reads the event.
func (f *Follower) decode() {
	if f.readAt.IsZero() {
		f.readAt = time.Now()
	}
	f.event = upstream.Decode(f.raw).At(f.readAt)
}

// done notes that the event is in the log.
func (f *Follower) done() {
	now := time.Now()
	f.Metrics.PumpLag.Observe(now.Sub(f.readAt).Seconds())
	f.readAt, f.attempt = now, 0
	f.raw, f.pending, f.event = anyframe.Event{}, false, upstream.Event{}
}

// opened gives back the slot for a stream that is being opened.
func (f *Follower) opened() {
	if f.opening != nil {
		f.opening()
		f.opening = nil
	}
}

// flush lets the log's readers have what waited for more.
func (f *Follower) flush() {
	f.conv.Log().Release()
	f.readAt = time.Time{}
}

// retryPoisoned is what follows when the relay's own code failed at an event: it is
// asked for again, and left out as if it were too large if that happens every time.
func (f *Follower) retryPoisoned(ctx context.Context, seq int64) error {
	again := f.poisoned == seq
	f.poisoned = seq
	if again {
		return f.leaveOut(ctx, seq, problem.Internal)
	}
	return problem.Internal
}

// leaveOut takes nothing in the place of the event numbered seq.
func (f *Follower) leaveOut(ctx context.Context, seq int64, why error) error {
	f.Log().Warn("skipped an event", "seq", seq, "error", why)
	ev := upstream.Decode(anyframe.Event{Seq: seq, Data: []byte("null")})
	return f.process(ctx, &ev)
}
