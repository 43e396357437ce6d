package anyframe

import (
	"io"
	"math"
	"sync/atomic"
	"time"

	"github.com/anyframe-relay/relay/anyframe/internal/sse"
)

// tryReader is a body that can be read without blocking; see [Follower].
type tryReader interface {
	TryRead(p []byte) (n int, err error)
	Notify(ready func()) bool
}

// idleReader detects a read that takes too long. Only reads count, so that a slow
// consumer is not mistaken for a silent server. Its timer runs all the time and
// checks when the current read started, so that a read that does not block sets no
// timer.
type idleReader struct {
	r       io.Reader
	try     tryReader     // r, if it can be read without blocking; Read then returns sse.ErrWait
	idle    time.Duration // 0 means no limit
	stalled func()
	onIdle  func() // may be nil
	batch   bool   // events were yielded since the last call of onIdle

	timer *time.Timer
	made  time.Time
	since atomic.Int64 // when the current read started, in ns after made, plus 1; 0 if none is blocked
	over  atomic.Bool
}

func (r *idleReader) Read(p []byte) (int, error) {
	if r.try != nil {
		return r.tryRead(p)
	}
	r.idleNow()
	if r.idle > 0 {
		r.since.Store(int64(time.Since(r.made)) + 1)
		defer r.since.Store(0)
	}
	return r.r.Read(p)
}

// tryRead reads the available bytes. The server counts as silent from the moment
// when there are none.
func (r *idleReader) tryRead(p []byte) (int, error) {
	n, err := r.try.TryRead(p)
	if n > 0 || err != nil {
		r.since.Store(0)
		return n, err
	}
	r.idleNow()
	if r.idle > 0 && r.since.Load() == 0 {
		r.since.Store(int64(time.Since(r.made)) + 1)
	}
	return 0, sse.ErrWait
}

// wait blocks until a body that can be read without blocking has more.
func (r *idleReader) wait() {
	if r.try == nil {
		return
	}
	ready := make(chan struct{})
	if r.try.Notify(func() { close(ready) }) {
		<-ready
	}
}

// idleNow calls onIdle if events were yielded since its last call.
func (r *idleReader) idleNow() {
	if r.batch = r.batch && r.onIdle != nil; r.batch {
		r.batch = false
		r.onIdle()
	}
}

// watch starts the timer.
func (r *idleReader) watch() {
	if r.idle > 0 {
		r.made = time.Now()
		r.timer = time.AfterFunc(math.MaxInt64, r.look)
		r.timer.Reset(r.idle) // not at once: look needs the timer
	}
}

func (r *idleReader) look() {
	left := r.idle
	if since := r.since.Load(); since > 0 {
		left -= time.Since(r.made) - time.Duration(since-1)
	}
	switch {
	case r.over.Load():
	case left <= 0:
		r.stalled()
	default:
		r.timer.Reset(left)
	}
}

func (r *idleReader) stop() {
	if r.over.Store(true); r.timer != nil {
		r.timer.Stop()
	}
}
