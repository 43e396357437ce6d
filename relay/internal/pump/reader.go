package pump

import (
	"context"
	"sync"

	"github.com/anyframe-relay/relay/relay/internal/admission"
	"github.com/anyframe-relay/relay/relay/internal/problem"
)

// Hooks are what a Reader needs from its session. Those marked quick are called with the
// reader's lock held: they only read memory or join the owner's group.
type Hooks struct {
	// Join makes a pump a member of the owner's group, until Leave. It returns false once
	// the owner has closed. Quick.
	Join  func() bool
	Leave func()
	// Context returns the context of a pump's calls. Quick.
	Context func() context.Context
	// Running reports whether the sandbox was running when last checked. Quick.
	Running func() bool
	// Guard runs do, recovers from a panic, and reports whether do returned normally.
	Guard func(do func()) (ended bool)
	// Wake gets the sandbox running. It calls [Reader.Decide] to find out whether a
	// caller wants a new one.
	Wake func(context.Context, *Call) error
	// Follow returns a follower that reads the stream until the sandbox sleeps or ctx
	// ends. It calls opened when the stream is open.
	Follow func(ctx context.Context, opened func()) Follower
	// Left is called when a pump has nothing more to do.
	Left func(context.Context)
}

// Follower reads one stream. It must not be used concurrently.
type Follower interface {
	// Run reads until the stream has ended and returns false, or until the stream is
	// silent and returns true. In the second case, wake is called when there is more to
	// do, possibly immediately, by a goroutine that must not be blocked.
	Run(wake func()) (parked bool)
	// Resume does what it can without blocking, after wake was called. It returns true if
	// that is everything, and wake will be called again. Otherwise Run must be called.
	Resume(wake func()) (parked bool)
	Close()
}

// Reader has at most one pump. It is safe for concurrent use.
type Reader struct {
	hooks Hooks

	mu   sync.Mutex // makes changes to the pump and its call atomic
	pump *Pump
	call *Call
}

// NewReader returns a reader without a pump.
func NewReader(h Hooks) *Reader { return &Reader{hooks: h} }

// Call is one attempt to get the sandbox running, shared by all requests that wait for
// it.
type Call struct {
	// claim is the claim of the request that wants a sandbox, even a new one. It is empty
	// while the call only waits for a sandbox that is booting anyway. Guarded by
	// Reader.mu.
	claim admission.Claim
	done  chan struct{} // closed when err is set
	err   error
}

// wants adds a claim to the call. The caller holds Reader.mu.
func (c *Call) wants(claim admission.Claim) {
	if claim.Addr != "" && (claim.Solved || !c.claim.Solved) { // a solved challenge counts for all waiting requests
		c.claim = claim
	}
}

// Done returns a channel that is closed when the attempt has ended.
func (c *Call) Done() <-chan struct{} { return c.done }

// Err returns the attempt's result, once Done is closed.
func (c *Call) Err() error { return c.err }

func (c *Call) finish(err error) {
	c.err = err
	close(c.done)
}

// Busy reports whether there is a pump.
func (r *Reader) Busy() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.pump != nil
}

// Waking reports whether the sandbox is being woken.
func (r *Reader) Waking() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.call != nil
}

// Current returns the pump and the call, each nil if there is none.
func (r *Reader) Current() (*Pump, *Call) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.pump, r.call
}

// Join adds a claim to the call in progress and returns the call, or nil if there is
// none. With an empty claim it only returns the call.
func (r *Reader) Join(claim admission.Claim) *Call {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.call != nil {
		r.call.wants(claim)
	}
	return r.call
}

// Decide returns the claim of the request that wants the sandbox, even a new one. If the
// claim is empty, the call has given up: it can no longer be joined, and the next request
// begins another call.
func (r *Reader) Decide(call *Call) admission.Claim {
	r.mu.Lock()
	defer r.mu.Unlock()
	if call.claim.Addr == "" && r.call == call {
		r.call = nil
	}
	return call.claim
}

// TakeAway returns the pump for the caller to stop and, with force, removes it from the
// reader. While the sandbox is being woken, it does nothing and returns false.
func (r *Reader) TakeAway(force bool) (p *Pump, ok bool) {
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

// Follow starts a pump if there is none.
func (r *Reader) Follow() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.start()
}

// Wake gets the sandbox running, and returns the call to wait for. With an empty claim,
// it creates no new sandbox.
func (r *Reader) Wake(claim admission.Claim) *Call {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.call == nil {
		r.call = &Call{done: make(chan struct{})}
		if r.pump != nil {
			r.pump.cancel() // it reads a stream that has gone silent: start over
			r.pump = nil
		}
	}
	call := r.call
	call.wants(claim)
	if !r.start() {
		r.call = nil
		call.finish(problem.Draining)
	}
	return call
}

// start starts the pump if there is none. It returns false once the owner has closed. The
// caller holds mu.
func (r *Reader) start() bool {
	if r.pump != nil {
		return true
	}
	if !r.hooks.Join() {
		return false
	}
	p := &Pump{reader: r, done: make(chan struct{}), connected: make(chan struct{})}
	p.ctx, p.cancel = context.WithCancel(r.hooks.Context())
	p.wake = p.woken
	r.pump = p
	go p.work()
	return true
}

// goesOn reports whether a pump has something to do, and returns the call that it must
// make, if any. It removes a pump that has nothing to do from the reader, and ends a call
// that no pump will make.
func (r *Reader) goesOn(p *Pump, first bool) (call *Call, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	call = r.call
	if r.pump == p && p.ctx.Err() == nil && (call != nil || r.hooks.Running() || first) {
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
func (r *Reader) called(call *Call, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.call == call {
		r.call = nil
	}
	call.finish(err)
}

// Stop ends the pump and waits for it.
func (r *Reader) Stop() {
	if p, _ := r.Current(); p != nil {
		p.Stop()
	}
}

// Connected returns a channel that is closed once AnyFrame's stream is open, or nil if
// there is no pump.
func (r *Reader) Connected() <-chan struct{} {
	if p, _ := r.Current(); p != nil {
		return p.connected
	}
	return nil
}
