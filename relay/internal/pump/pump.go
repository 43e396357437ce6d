package pump

import (
	"context"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/backoff"
)

// Pump gets the sandbox running and reads its stream into the conversation's log. It is a
// member of the owner's group, and the only reader of AnyFrame's stream.
type Pump struct {
	reader    *Reader
	ctx       context.Context
	cancel    context.CancelFunc
	done      chan struct{} // closed when it has ended
	connected chan struct{} // closed once the stream is open for the first time

	// The rest is for the goroutine that runs the pump: its own, or the one that brings
	// the bytes of a stream that was silent.
	wake     func()   // woken, made once
	follower Follower // nil while it reads no stream
	begun    bool     // it has found something to do
	faults   int      // of the relay's own
}

// Stop ends the pump and waits for it.
func (p *Pump) Stop() {
	p.cancel()
	<-p.done
}

// Done is closed when the pump has ended.
func (p *Pump) Done() <-chan struct{} { return p.done }

// work is the pump's goroutine. A fault of the relay's own makes it begin again.
func (p *Pump) work() {
	h := &p.reader.hooks
	for ; ; p.faults++ {
		var parked bool
		ended := h.Guard(func() { parked = p.run() })
		if parked {
			return // p belongs to another goroutine now
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

// woken is called when there is more to do on a stream that was silent, by a goroutine that
// brings the bytes of other sessions too.
func (p *Pump) woken() {
	var parked bool
	p.reader.hooks.Guard(func() { parked = p.follower.Resume(p.wake) })
	if !parked {
		go p.work()
	}
}

// run gets the sandbox running when that was requested, reads its stream as long as it
// runs, and ends when it sleeps or is not needed. It returns true when the stream is
// silent.
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

// drop reads the stream no longer.
func (p *Pump) drop() {
	if p.follower != nil {
		p.follower.Close()
		p.follower = nil
	}
}

// opened says that a stream is open.
func (p *Pump) opened() {
	select {
	case <-p.connected:
	default:
		close(p.connected)
	}
}
