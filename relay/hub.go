package relay

import (
	"context"
	"crypto/rand"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/internal/poll"
	"github.com/anyframe-relay/relay/relay/internal/limits"
	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/redact"
	"github.com/anyframe-relay/relay/relay/internal/telemetry"
	"github.com/anyframe-relay/relay/relay/internal/upstream"
	"github.com/anyframe-relay/relay/relay/internal/visitor"
	"github.com/anyframe-relay/relay/relay/store"
)

const (
	// lingerFor is how long a session stays in memory, and its upstream stream
	// open, when nobody listens and no turn runs.
	lingerFor = 30 * time.Second
	// leaseFor is how long a replica that died keeps others from going on.
	leaseFor = 15 * time.Second
	// maxUpstreamReads bounds how many streams are being opened and histories
	// read at once, so that a storm of returning tabs does not become AnyFrame's.
	maxUpstreamReads = 64
)

// hub holds all live sessions, by visitor. It owns their goroutines.
type hub struct {
	config  *Config
	marks   *redact.Patterns // what keys begin with, see mask.go
	store   store.Store
	client  *anyframe.Client
	guard   *upstream.Guard
	limits  *limits.Limits
	metrics *telemetry.Metrics
	log     *slog.Logger
	owner   string // this process, to other replicas
	linger  time.Duration
	leases  time.Duration // how long a lease holds unless renewed
	// holder tells whose token it is, or errVisitorUnknown.
	holder func(ctx context.Context, token string) (visitor.Visitor, error)
	// herald lets other processes know at once; nil where the store cannot.
	herald store.Herald
	// After how long a session is read from the store again, see watch.go.
	watchQuiet, watchLive, watchSilent time.Duration
	heartbeat                          time.Duration // how long a stream may be silent
	// watch tells when a browser leaves, where that takes no goroutine.
	watch func(net.Conn, poll.Waiter) (*poll.Watch, error)
	clock clock

	ctx      context.Context // of every pump; not of the request that happened to need it
	cancel   context.CancelFunc
	wg       sync.WaitGroup
	reads    chan struct{} // a slot for each upstream read under way
	checks   chan struct{} // a slot for each session that is read again
	making   chan struct{} // a slot for each sandbox that room is made for
	draining chan struct{} // closed when the relay begins to end
	drain    sync.Once

	mu       sync.Mutex // held only to look or set
	closed   bool
	sessions map[string]*session
	unranked map[*session]bool // of whose rank the store has yet to hear

	fullUntil atomic.Int64 // in Unix nanoseconds, until when no sandbox is woken
}

func newHub(c *Config, st store.Store, client *anyframe.Client, g *upstream.Guard, l *limits.Limits, m *telemetry.Metrics, log *slog.Logger) *hub {
	ctx, cancel := context.WithCancel(context.Background())
	h := &hub{
		config: c, marks: redact.KeyPatterns(c.APIKey), store: st, client: client, guard: g, limits: l, metrics: m, log: log, owner: rand.Text(), linger: lingerFor, leases: leaseFor,
		watchQuiet: watchQuiet, watchLive: watchLive, watchSilent: watchSilent, checks: make(chan struct{}, maxChecks),
		heartbeat: heartbeat, watch: poll.Of,
		ctx: ctx, cancel: cancel,
		reads:    make(chan struct{}, maxUpstreamReads),
		making:   make(chan struct{}, maxMaking),
		draining: make(chan struct{}),
		sessions: map[string]*session{},
		unranked: map[*session]bool{},
	}
	h.clock.hub = h
	return h
}

// open returns the visitor's session with its record as it is now. Whoever opens it
// must close it; until then it stays in memory.
func (h *hub) open(ctx context.Context, visitor string) (*session, error) {
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return nil, problem.Draining
	}
	s := h.sessions[visitor]
	if s == nil {
		s = newSession(h, visitor)
		h.sessions[visitor] = s
		h.metrics.SessionsLive.Set(float64(len(h.sessions)))
	}
	s.refs++
	if s.refs == 1 {
		s.watch = time.AfterFunc(s.untilCheck(), s.check)
	}
	if s.idle != nil {
		s.idle.Stop()
		s.idle = nil
	}
	h.mu.Unlock()
	if err := s.refresh(ctx); err != nil {
		s.close()
		return nil, err
	}
	telemetry.FromContext(ctx).Describe(s)
	return s, nil
}

// close undoes one open.
func (s *session) close() {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	if s.refs--; s.refs == 0 {
		s.watch.Stop()
	}
	if s.refs == 0 && !s.hub.closed {
		s.idle = time.AfterFunc(s.hub.linger, s.retire)
	}
}

// retire forgets a session that nobody needs: its row in the store is all that
// stays. One whose turn runs is kept until AnyFrame would have put it to sleep.
func (s *session) retire() {
	h := s.hub
	h.mu.Lock()
	if s.refs > 0 || h.closed {
		h.mu.Unlock()
		return
	}
	if s.works(h.config.IdleTimeout + countedFor) {
		s.idle = time.AfterFunc(s.hub.linger, s.retire)
		h.mu.Unlock()
		s.renew(h.ctx)
		return
	}
	if h.sessions[s.visitor] == s {
		delete(h.sessions, s.visitor)
		h.metrics.SessionsLive.Set(float64(len(h.sessions)))
	}
	h.mu.Unlock()
	s.firstWord.End("unsent")
	s.stopPump()
}

// void ends the visitor's streams: the token is no longer good.
func (h *hub) void(visitor string) {
	h.mu.Lock()
	s := h.sessions[visitor]
	delete(h.sessions, visitor) // whoever comes next is somebody else
	h.mu.Unlock()
	if s == nil {
		return
	}
	s.mu.Lock()
	s.voided = true
	log := s.log
	s.mu.Unlock()
	log.Notify()
	s.stopPump()
}

// beginDrain refuses new work and tells every stream to end soon.
func (h *hub) beginDrain() {
	h.drain.Do(func() {
		close(h.draining)
		h.rouse()
	})
}

// rouse makes every stream look at the hub again.
func (h *hub) rouse() {
	h.mu.Lock()
	live := slices.Collect(maps.Values(h.sessions))
	h.mu.Unlock()
	for _, s := range live {
		s.rouse()
	}
}

// join makes the hub wait for one more, until wg.Done is called. It reports false
// once the hub is closed.
func (h *hub) join() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.closed {
		h.wg.Add(1)
	}
	return !h.closed
}

func (h *hub) isDraining() bool {
	select {
	case <-h.draining:
		return true
	default:
		return false
	}
}

// close ends all sessions and waits for their goroutines.
func (h *hub) close() {
	h.beginDrain()
	h.mu.Lock()
	h.closed = true
	for _, s := range h.sessions {
		if s.idle != nil {
			s.idle.Stop()
		}
		s.watch.Stop()
	}
	h.cancel() // tells the clock, and that the streams; not later, for who cannot join must see that it's over
	h.mu.Unlock()
	h.wg.Wait()
}

// keptBytes is the size of all logs together.
func (h *hub) keptBytes() float64 {
	h.mu.Lock()
	live := slices.Collect(maps.Values(h.sessions))
	h.mu.Unlock()
	sum := 0
	for _, s := range live {
		_, bytes := s.view().log.Size()
		sum += bytes
	}
	return float64(sum)
}

// reading takes a slot for one upstream read. It returns what gives it back.
func (h *hub) reading(ctx context.Context) (func(), error) {
	select {
	case h.reads <- struct{}{}:
		return func() { <-h.reads }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// lease takes the named lease, waiting for another replica to let go of it or
// die. It is renewed until release is called.
func (h *hub) lease(ctx context.Context, name string) (release func(), err error) {
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, 500*time.Millisecond) {
		release, ok, err := h.tryLease(ctx, name)
		if err != nil || ok {
			return release, err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// tryLease takes the named lease if nobody has it. It is renewed until release
// is called. This process counts as one owner, whoever in it asks.
func (h *hub) tryLease(ctx context.Context, name string) (release func(), ok bool, err error) {
	_, ok, err = h.store.Acquire(ctx, name, h.owner, h.leases)
	if err != nil || !ok {
		return nil, false, err
	}
	var renew *time.Timer
	var mu sync.Mutex // held while renewing, so that release comes after it
	released := false
	mu.Lock()
	renew = time.AfterFunc(h.leases/3, func() {
		mu.Lock()
		defer mu.Unlock()
		if released {
			return
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), h.leases/3)
		defer cancel()
		if _, _, err := h.store.Acquire(ctx, name, h.owner, h.leases); err != nil {
			h.log.Warn("renew lease", "error", err)
		}
		renew.Reset(h.leases / 3)
	})
	mu.Unlock()
	return func() {
		mu.Lock()
		defer mu.Unlock()
		released = true
		renew.Stop()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), h.leases/3)
		defer cancel()
		if err := h.store.Release(ctx, name, h.owner); err != nil {
			h.log.Warn("release lease", "error", err)
		}
	}, true, nil
}
