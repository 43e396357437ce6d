package stream

import (
	"context"
	"sync"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/group"
)

const (
	// tick is the wheel's resolution.
	tick = 500 * time.Millisecond
	// slots is how many ticks ahead a stream may be due. It exceeds any heartbeat
	// interval; a stream that is due later is checked too early and put back.
	slots = 64
)

// timerWheel calls waiting streams when they are due, with one ticker for all of them
// instead of a timer each. It has a goroutine only while a stream waits.
type timerWheel struct {
	ctx   context.Context
	group *group.Group

	mu      sync.Mutex // holding it guarantees that slot and index of every stream match due
	running bool
	start   time.Time // when it first ran
	passed  int64     // the last tick processed since then
	due     [slots][]*stream
	count   int // number of streams in due
}

func (w *timerWheel) init(ctx context.Context, g *group.Group) { w.ctx, w.group = ctx, g }

// put makes the wheel call s at that time, up to a tick early or late, unless it will be
// called earlier. Calling a stream removes it from the wheel.
func (w *timerWheel) put(s *stream, at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.running {
		if w.start.IsZero() {
			w.start = time.Now()
		}
		w.passed = w.now()
		w.running = w.group.Go(w.run)
	}
	n := int64(at.Sub(w.start) / tick)
	n = min(max(n, w.passed+1), w.passed+slots-1)
	if s.slot > 0 && s.slot <= n {
		return
	}
	w.take(s)
	slot := &w.due[n%slots]
	s.slot, s.index = n, len(*slot)
	*slot = append(*slot, s)
	w.count++
}

// remove undoes put.
func (w *timerWheel) remove(s *stream) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.take(s)
}

// take removes a stream from its slot, if it is in one. The caller holds mu.
func (w *timerWheel) take(s *stream) {
	if s.slot == 0 {
		return
	}
	slot := &w.due[s.slot%slots]
	last := len(*slot) - 1
	(*slot)[s.index] = (*slot)[last]
	(*slot)[s.index].index = s.index
	(*slot)[last] = nil
	*slot = (*slot)[:last]
	s.slot = 0
	w.count--
}

// now returns the number of the current tick.
func (w *timerWheel) now() int64 { return int64(time.Since(w.start) / tick) }

func (w *timerWheel) run() {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	var called []*stream
	for {
		select {
		case <-ticker.C:
		case <-w.ctx.Done(): // Close fires the remaining streams
			return
		}
		called = w.takeUntil(called[:0], false)
		now := time.Now()
		for _, s := range called {
			s.onTick(now, false)
		}
		clear(called)
		if w.stopIfEmpty() {
			return
		}
	}
}

// fire calls all streams in the wheel immediately, whatever they wait for.
func (w *timerWheel) fire() {
	now := time.Now()
	for _, s := range w.takeUntil(nil, true) {
		s.onTick(now, true)
	}
}

// takeUntil removes the streams whose ticks have passed, or all streams.
func (w *timerWheel) takeUntil(called []*stream, all bool) []*stream {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.count == 0 {
		w.passed = max(w.passed, w.now())
		return called
	}
	until := w.now()
	first := max(w.passed+1, until-slots+1)
	w.passed = max(w.passed, until)
	if all {
		first, until = 0, slots-1
	}
	for n := first; n <= until; n++ {
		slot := &w.due[n%slots]
		for _, s := range *slot {
			s.slot = 0
		}
		w.count -= len(*slot)
		called = append(called, *slot...)
		clear(*slot)
		*slot = (*slot)[:0]
	}
	return called
}

// stopIfEmpty reports whether no stream waits; put then starts the wheel again.
func (w *timerWheel) stopIfEmpty() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.running = w.count > 0
	return !w.running
}
