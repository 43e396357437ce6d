package session

import (
	"context"
	"sync"

	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/problem"
)

// reader is who reads AnyFrame's stream: at most one pump, which also gets the sandbox
// running when that is asked for. So there is one place that knows whether the sandbox
// runs, and racing tabs wait for one call.
type reader struct {
	mu   sync.Mutex // the pump and the call that it is to make change together
	pump *pump
	call *Call
}

// Call is one attempt to get the sandbox running, shared by all who wait for it.
type Call struct {
	// addr is who wants a sandbox, even if that takes a new one; empty while the call
	// only waits for one that comes up anyway. Guarded by reader.mu.
	addr string
	done chan struct{} // closed when err is set
	err  error
}

// Done is closed when the attempt has ended.
func (c *Call) Done() <-chan struct{} { return c.done }

// Err returns how the attempt ended, once Done is closed.
func (c *Call) Err() error { return c.err }

func (c *Call) finish(err error) {
	c.err = err
	close(c.done)
}

// busy reports whether there is a pump.
func (r *reader) busy() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.pump != nil
}

// waking reports whether the sandbox is being woken.
func (r *reader) waking() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.call != nil
}

// current returns the pump and the call, if any.
func (r *reader) current() (*pump, *Call) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.pump, r.call
}

// join makes a call that is under way also addr's, and returns it; nil if there is none.
// Without an addr it only returns it.
func (r *reader) join(addr string) *Call {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.call != nil && addr != "" {
		r.call.addr = addr
	}
	return r.call
}

// decide returns for whom the sandbox is woken, if that takes a new one. Without anybody,
// the call has given up: it can no longer be joined, and who comes next begins another.
func (r *reader) decide(call *Call) (addr string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if call.addr == "" && r.call == call {
		r.call = nil
	}
	return call.addr
}

// takeAway returns the pump, and with force takes it out, for the caller to stop. It
// reports false, and does nothing, while the sandbox is being woken.
func (r *reader) takeAway(force bool) (p *pump, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.call != nil {
		return nil, false
	}
	p = r.pump
	if force {
		r.pump = nil
	}
	return p, true
}

// follow starts the pump if there is none.
func (s *Session) follow() {
	r := &s.reader
	r.mu.Lock()
	defer r.mu.Unlock()
	s.start()
}

// wakeUp gets the sandbox running, and returns the call to wait for. Addr is who wants
// it; without one, no new sandbox is made.
func (s *Session) wakeUp(addr string) *Call {
	r := &s.reader
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.call == nil {
		r.call = &Call{done: make(chan struct{})}
		if r.pump != nil {
			r.pump.cancel() // it reads a stream that says nothing any more: begin anew
			r.pump = nil
		}
	}
	call := r.call
	if addr != "" {
		call.addr = addr
	}
	if !s.start() {
		r.call = nil
		call.finish(problem.Draining)
	}
	return call
}

// start starts the pump if there is none. It reports false once the hub is closed. The
// caller holds reader.mu.
func (s *Session) start() bool {
	if s.reader.pump != nil {
		return true
	}
	p := &pump{sess: s, done: make(chan struct{}), connected: make(chan struct{})}
	p.ctx, p.cancel = context.WithCancel(s.calls(s.hub.ctx))
	if !s.hub.members.Go(p.work) {
		p.cancel()
		return false
	}
	s.reader.pump = p
	return true
}

// goesOn reports whether a pump has something to do, and returns the call that it is to
// make, if any. A pump that has nothing to do is no longer the session's, and a call
// that nobody will make has ended.
func (s *Session) goesOn(p *pump, first bool) (call *Call, ok bool) {
	r := &s.reader
	r.mu.Lock()
	defer r.mu.Unlock()
	call = r.call
	if r.pump == p && p.ctx.Err() == nil && (call != nil || s.View().Status == event.StatusRunning || first) {
		return call, true
	}
	if r.pump == p {
		r.pump = nil
	}
	if call != nil && r.pump == nil {
		r.call = nil
		call.finish(problem.Draining)
	}
	return nil, false
}

// called ends a call.
func (r *reader) called(call *Call, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.call == call {
		r.call = nil
	}
	call.finish(err)
}

// stopPump ends the pump and waits for it.
func (s *Session) stopPump() {
	if p, _ := s.reader.current(); p != nil {
		p.stop()
	}
}

// connected returns a channel that is closed once AnyFrame's stream is open; nil when
// there is no pump.
func (s *Session) connected() <-chan struct{} {
	if p, _ := s.reader.current(); p != nil {
		return p.connected
	}
	return nil
}
