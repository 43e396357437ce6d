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
// it may block: the goroutine that delivers the bytes does everything that does not
// block, and a silent stream is parked. It must not be used concurrently.
type Follower struct {
	*Intake

	ctx       context.Context
	conv      *conversation.Conversation
	connected func()           // called when the stream is open for the first time
	ended     func(error) bool // see Follow
	over      bool             // it was closed

	stream   *anyframe.Follower // nil if it must be opened again
	opening  func()             // releases the slot for opening a stream; nil once that is done
	again    bool               // the stream was open before
	attempt  int
	holes    holes
	readAt   time.Time      // when the event arrived; events that arrive together are processed one after the other
	raw      anyframe.Event // the one being processed
	pending  bool           // raw must still be processed, by a goroutine that may block
	event    upstream.Event // raw, decoded; a field, to avoid an allocation per event
	poisoned int64          // the last event at which the relay's own code panicked
}

// Follow returns a follower that reads AnyFrame's stream into a conversation until ctx
// ends, or ended returns true. It calls connected when the stream is open for the first
// time, and ended with the error that ended the stream; ended returns false to retry. The
// caller must close the follower.
func (in *Intake) Follow(ctx context.Context, c *conversation.Conversation, connected func(), ended func(error) bool) *Follower {
	in.Metrics.UpstreamOpen.Inc()
	return &Follower{Intake: in, ctx: ctx, conv: c, connected: connected, ended: ended, poisoned: -1}
}

// Close releases everything that the follower holds. It may be called twice.
func (f *Follower) Close() {
	f.drop()
	if !f.over {
		f.over = true
		f.Metrics.UpstreamOpen.Dec()
	}
}

// errParked says that the stream is silent and that wake will be called.
var errParked = errors.New("parked")

// Run reads until the stream has ended and returns false, or until it is silent and
// returns true. In the second case, wake is called once when there is more to do,
// possibly before Run has returned. The goroutine that calls wake must not be blocked; it
// should call [Follower.Resume]. If the transport cannot signal this, Run waits.
func (f *Follower) Run(wake func()) (parked bool) {
	for ; f.ctx.Err() == nil; f.attempt++ {
		err := f.read(wake)
		if err == errParked { //nolint:errorlint // read never wraps it
			return true
		}
		if large, ok := errors.AsType[*anyframe.EventTooLargeError](err); ok {
			if err = f.passLarge(large); err == nil {
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

// Resume does what it can without blocking. It returns true if that is everything, and
// wake will be called again. Otherwise [Follower.Run] must be called.
func (f *Follower) Resume(wake func()) (parked bool) {
	for {
		raw, ok := f.stream.TryNext()
		if !ok {
			return f.stream.Park(wake)
		}
		f.raw, f.pending = raw, true // until it has been processed
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

// read reads the stream, once there is a slot for it, until it ends, is silent, or must
// be opened again.
func (f *Follower) read(wake func()) (err error) {
	if f.stream == nil {
		err = f.open()
	}
	for err == nil {
		if !f.pending {
			var ok bool
			if f.raw, ok = f.stream.TryNext(); !ok {
				if f.stream.Park(wake) {
					return errParked // f now belongs to another goroutine
				}
				f.raw, err = f.stream.Next()
			}
			f.pending = err == nil
			continue
		}
		err = f.take() // on an error the transcript cannot show what is missing: open the stream again
	}
	f.drop()
	return err
}

// take passes the event to the conversation.
func (f *Follower) take() (err error) {
	f.decode()
	if !f.Guard(func() { err = f.process(f.ctx, &f.event) }) {
		err = f.retryPoisoned(f.ctx, f.event.Seq)
	}
	if err == nil {
		f.done()
	}
	return err
}

// open takes the slot for opening a stream. It makes no request yet.
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

// decode decodes the event.
func (f *Follower) decode() {
	if f.readAt.IsZero() {
		f.readAt = time.Now()
	}
	f.event = upstream.Decode(f.raw).At(f.readAt)
}

// done records that the event is in the log.
func (f *Follower) done() {
	now := time.Now()
	f.Metrics.PumpLag.Observe(now.Sub(f.readAt).Seconds())
	f.readAt, f.attempt = now, 0
	f.raw, f.pending, f.event = anyframe.Event{}, false, upstream.Event{}
}

// opened releases the slot for opening a stream.
func (f *Follower) opened() {
	if f.opening != nil {
		f.opening()
		f.opening = nil
	}
}

// flush releases held entries to the log's readers.
func (f *Follower) flush() {
	f.conv.Log().Release()
	f.readAt = time.Time{}
}

// retryPoisoned handles a panic of the relay's own code at an event: the event is
// requested again. If it panics every time, the event is omitted like one that is too
// large.
func (f *Follower) retryPoisoned(ctx context.Context, seq int64) error {
	again := f.poisoned == seq
	f.poisoned = seq
	if again {
		return f.leaveOut(ctx, seq, problem.Internal)
	}
	return problem.Internal
}

// passLarge moves past an event that the stream cannot deliver because it is too large. If
// the limit was reached before its id, the transcript has the number: the event is the
// first row after the log's head, unless it had no number. That row is taken from there.
func (f *Follower) passLarge(large *anyframe.EventTooLargeError) error {
	head := f.conv.Log().Head()
	if seq, _ := strconv.ParseInt(large.ID, 10, 64); seq > head {
		return f.leaveOut(f.ctx, seq, large)
	}
	rows, err := f.rows(f.ctx, f.conv, head, 1)
	switch {
	case err != nil:
		return err
	case len(rows) == 0 || rows[0].Seq <= head:
		return large
	case len(rows[0].Payload) > upstream.MaxEventBytes:
		return f.leaveOut(f.ctx, rows[0].Seq, large)
	}
	f.raw = rows[0].Event()
	return f.take()
}

// leaveOut puts an empty event in the place of the event numbered seq.
func (f *Follower) leaveOut(ctx context.Context, seq int64, why error) error {
	f.Log().Warn("skipped an event", "seq", seq, "error", why)
	ev := upstream.Decode(anyframe.Event{Seq: seq, Data: []byte("null")})
	return f.process(ctx, &ev)
}
