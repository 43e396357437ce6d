package pump

import (
	"context"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/backoff"
)

// Pump gets the sandbox running and reads its stream into the conversation's log. It is a
// member of the owner's group and the only reader of AnyFrame's stream.
type Pump struct {
	reader    *Reader
	ctx       context.Context
	cancel    context.CancelFunc
	done      chan struct{} // closed when the pump has ended
	connected chan struct{} // closed when the stream has opened for the first time

	// The fields below belong to the goroutine that runs the pump: its own, or the one
	// that delivers the bytes of a stream that was silent.
	wake     func()   // woken, as a func value created once
	follower Follower // nil while it reads no stream
	begun    bool     // it has had something to do
	faults   int      // panics caught
}

// Stop ends the pump and waits for it.
func (p *Pump) Stop() {
	p.cancel()
	<-p.done
}

// Done returns a channel that is closed when the pump has ended.
func (p *Pump) Done() <-chan struct{} { return p.done }

// work is the pump's goroutine. After a panic it begins again.
func (p *Pump) work() {
	h := &p.reader.hooks
	for ; ; p.faults++ {
		var parked bool
		ended := h.Guard(func() { parked = p.run() })
		if parked {
			return // p now belongs to another goroutine
		}
		if ended {
			break
		}
		h.Guard(p.drop)
		p.begun = false
		backoff.Sleep(p.ctx, backoff.Delay(p.faults, 10*time.Second))
	}
	p.cancel()
	close(p.done)
	h.Leave()
}

// woken is called when a silent stream has more to process, by a goroutine that also
// delivers the bytes of other sessions.
func (p *Pump) woken() {
	var parked bool
	p.reader.hooks.Guard(func() { parked = p.follower.Resume(p.wake) })
	if !parked {
		go p.work()
	}
}

// run gets the sandbox running if that was requested, reads its stream while it runs, and
// ends when the sandbox sleeps or the pump is not needed. It returns true if the stream
// is silent.
func (p *Pump) run() (parked bool) {
	h := &p.reader.hooks
	defer func() {
		if !parked {
			h.Left(p.ctx)
		}
	}()
	for {
		if p.follower == nil {
			call, ok := p.reader.goesOn(p, !p.begun)
			if !ok {
				return false
			}
			p.begun = true
			if call != nil {
				err := h.Wake(p.ctx, call)
				p.reader.called(call, err)
				if err != nil {
					continue
				}
			}
			p.follower = h.Follow(p.ctx, p.opened)
		}
		if p.follower.Run(p.wake) {
			return true
		}
		p.drop()
	}
}

// drop closes the stream.
func (p *Pump) drop() {
	if p.follower != nil {
		p.follower.Close()
		p.follower = nil
	}
}

// opened records that a stream is open.
func (p *Pump) opened() {
	select {
	case <-p.connected:
	default:
		close(p.connected)
	}
}
