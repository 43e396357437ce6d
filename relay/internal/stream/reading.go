package stream

import (
	"context"
	"fmt"
	"iter"
	"runtime/debug"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/event"
)

// history is the Source's History. See reading.
func (s *stream) history(ctx context.Context, after, upto int64) iter.Seq2[event.Item, error] {
	return reading(ctx, s, func(ctx context.Context) iter.Seq2[event.Item, error] {
		return s.src.History(ctx, after, upto)
	})
}

// known is the Source's Known. See reading.
func (s *stream) known(ctx context.Context, seq int64) (known bool, err error) {
	for answer, failed := range reading(ctx, s, func(ctx context.Context) iter.Seq2[bool, error] {
		return func(yield func(bool, error) bool) { yield(s.src.Known(ctx, seq)) }
	}) {
		known, err = answer, failed
	}
	return known, err
}

// reading yields what read yields. AnyFrame may take longer to answer than a stream may
// be silent, so read runs in a goroutine of its own, and the step writes heartbeats while
// it waits. The step still owns the stream, so that a heartbeat is always between two
// frames; read must not use its fields.
//
// If the browser has disconnected or a heartbeat cannot be written, the context of read
// ends, and the last error is errWrite. Reading returns after read has returned.
func reading[T any](ctx context.Context, s *stream, read func(context.Context) iter.Seq2[T, error]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		ctx, cancel := s.untilGone(ctx)
		results := make(chan result[T])
		defer func() {
			cancel()
			for r := range results { // until read has returned
				if r.panicked != "" {
					s.reportPanic(r.panicked)
				}
			}
		}()
		go send(ctx, results, read)
		quiet := time.NewTimer(time.Until(s.nextHeartbeat()))
		defer quiet.Stop()
		var none T
		for ctx.Err() == nil {
			select {
			case r, more := <-results:
				switch {
				case r.panicked != "":
					panic(r.panicked)
				case ctx.Err() != nil: // read may have ended early, without an error
				case !more || !yield(r.value, r.err):
					return
				}
			case now := <-quiet.C:
				if s.tooQuiet(now) {
					if err := s.send(heartbeat); err != nil {
						yield(none, err)
						return
					}
				}
				quiet.Reset(time.Until(s.nextHeartbeat()))
			case <-ctx.Done():
			}
		}
		yield(none, errWrite)
	}
}

// result is what was read: a value, an error, or a panic and its stack.
type result[T any] struct {
	value    T
	err      error
	panicked string
}

// send sends what read yields until ctx ends. Then it closes the channel.
func send[T any](ctx context.Context, to chan<- result[T], read func(context.Context) iter.Seq2[T, error]) {
	defer close(to)
	defer func() {
		if cause := recover(); cause != nil { // the step's panic, which ends this stream alone
			to <- result[T]{panicked: fmt.Sprintf("%v\n%s", cause, debug.Stack())}
		}
	}()
	for value, err := range read(ctx) {
		if to <- (result[T]{value: value, err: err}); ctx.Err() != nil {
			return
		}
	}
}

// untilGone returns a context that also ends when the browser has disconnected. A step
// has one at a time.
func (s *stream) untilGone(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(parent)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopReading = cancel; s.gone {
		cancel()
	}
	return ctx, func() {
		cancel()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.stopReading = nil
	}
}

// lose ends the stream, because the browser has disconnected. The caller holds mu.
func (s *stream) lose() {
	s.gone = true
	if s.stopReading != nil {
		s.stopReading()
	}
	s.schedule()
}
