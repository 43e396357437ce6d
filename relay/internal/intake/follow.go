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

// Follow reads AnyFrame's stream into a conversation until ctx ends, or ended says that
// it is over. Connected is called once the stream is open for the first time; ended, with
// what ended the stream, reports false when it should be tried again.
func (in *Intake) Follow(ctx context.Context, c *conversation.Conversation, connected func(), ended func(error) bool) {
	in.Metrics.UpstreamOpen.Inc()
	defer in.Metrics.UpstreamOpen.Dec()
	f := &follower{Intake: in, conv: c, connected: connected, poisoned: -1}
	f.follow(ctx, ended)
}

// follower reads the stream of one conversation.
type follower struct {
	*Intake

	conv      *conversation.Conversation
	connected func() // is called when the stream is open for the first time

	opening  func() // gives back the slot for a stream that is being opened; nil when that is done
	again    bool   // the stream was open before
	attempt  int
	holes    holes
	readAt   time.Time      // when the event came; those that come together are read one after the other
	event    upstream.Event // the one that is processed; here, so that none is allocated for each
	poisoned int64          // the event at which the relay's own code failed last
}

// follow reads the stream until the sandbox sleeps, is gone, or ctx ends.
func (f *follower) follow(ctx context.Context, ended func(error) bool) {
	for ; ctx.Err() == nil; f.attempt++ {
		err := f.read(ctx)
		if large, ok := errors.AsType[*anyframe.EventTooLargeError](err); ok {
			if seq, _ := strconv.ParseInt(large.ID, 10, 64); seq > 0 {
				err = f.leaveOut(ctx, seq, large)
			}
			if err == nil {
				continue
			}
		}
		if ctx.Err() != nil || ended(err) {
			return
		}
		f.Log().Warn("read the stream", "error", err, "attempt", f.attempt)
		backoff.Sleep(ctx, backoff.Delay(f.attempt, 10*time.Second))
	}
}

// read reads the stream once there is a slot for it, until it ends or AnyFrame has to be
// asked again.
func (f *follower) read(ctx context.Context) (err error) {
	log := f.conv.Log()
	if f.opening, err = f.Slot(ctx); err != nil {
		return err
	}
	defer f.opened()
	defer f.flush()
	opts := anyframe.StreamOptions{
		MaxStalls:    -1,
		MaxEventSize: upstream.MaxEventBytes,
		OnOpen: func() {
			f.opened()
			f.joined(ctx, f.conv, f.again)
			if !f.again {
				f.connected()
			}
			f.again = true
		},
		OnReconnect: func(r anyframe.Reconnect) {
			log.Release()
			f.Metrics.UpstreamReopen.WithLabelValues(upstream.Broke(r.Cause)).Inc()
			f.Log().Debug("stream broke", "attempt", r.Attempt, "error", r.Cause)
		},
		OnIdle: f.flush,
	}
	if head := log.Head(); head > 0 {
		opts.LastEventID = strconv.FormatInt(head, 10)
	}
	for raw, err := range f.Client.Sessions.Follow(ctx, f.conv.ID(), opts) {
		if err != nil {
			return err
		}
		if f.readAt.IsZero() {
			f.readAt = time.Now()
		}
		f.event = upstream.Decode(raw).At(f.readAt)
		if !f.Guard(func() { err = f.process(ctx, &f.event) }) {
			err = f.retryPoisoned(ctx, f.event.Seq)
		}
		if err != nil {
			return err // AnyFrame can't tell what is missing: ask its stream again
		}
		now := time.Now()
		f.Metrics.PumpLag.Observe(now.Sub(f.readAt).Seconds())
		f.readAt, f.attempt = now, 0
	}
	return nil
}

// opened gives back the slot for a stream that is being opened.
func (f *follower) opened() {
	if f.opening != nil {
		f.opening()
		f.opening = nil
	}
}

// flush lets the log's readers have what waited for more.
func (f *follower) flush() {
	f.conv.Log().Release()
	f.readAt = time.Time{}
}

// retryPoisoned is what follows when the relay's own code failed at an event: it is
// asked for again, and left out as if it were too large if that happens every time.
func (f *follower) retryPoisoned(ctx context.Context, seq int64) error {
	again := f.poisoned == seq
	f.poisoned = seq
	if again {
		return f.leaveOut(ctx, seq, problem.Internal)
	}
	return problem.Internal
}

// leaveOut takes nothing in the place of the event numbered seq.
func (f *follower) leaveOut(ctx context.Context, seq int64, why error) error {
	f.Log().Warn("left out an event", "seq", seq, "error", why)
	ev := upstream.Decode(anyframe.Event{Seq: seq, Data: []byte("null")})
	return f.process(ctx, &ev)
}
