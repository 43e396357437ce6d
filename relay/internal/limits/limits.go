package limits

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/clientip"
	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/telemetry"
)

// wideFactor is how many times what one address may is allowed to its whole
// network. IPv6 is counted by /64, what one household has, and many have a /48,
// which is 65,536 of those: all of a /48 together count as this many addresses.
const wideFactor = 16

const (
	// LargeBody is how many bytes a body has that is counted while it is in
	// hand, and maxBodies how many all of those may have together; those of one
	// address, a quarter. One body is taken in any case.
	LargeBody = 64 << 10
	maxBodies = 256 << 20
)

// bodyRetry is when a body that found no room may come again: by then, those
// that are being read have arrived or were cut off.
const bodyRetry = 15 * time.Second

// Rate is so many times per window. The zero Rate is no limit.
type Rate struct {
	Limit  int
	Window time.Duration
}

// Options are the limits' values.
type Options struct {
	RateMessages Rate // per visitor
	RateIP       Rate // requests per address
	RateSessions Rate // new sessions per address

	SessionsPerDay    int // new ones; 0 is no limit
	MaxStreams        int
	StreamsPerVisitor int
	StreamsPerIP      int

	// Secret makes the store's keys unguessable, so that no address can be read
	// from them. All processes that share a store have the same.
	Secret string
}

// Store counts for all processes together. It is part of [store.Store].
type Store interface {
	Take(ctx context.Context, key string, n, limit int, window time.Duration) (wait time.Duration, err error)
	Look(ctx context.Context, key string, n, limit int, window time.Duration) (wait time.Duration, err error)
	GiveBack(ctx context.Context, key string, n int, window time.Duration) error
	Shared() bool
}

// Limits counts and refuses. It is safe for concurrent use.
type Limits struct {
	options    Options
	metrics    *telemetry.Metrics
	quotas     *quotas
	shared     bool    // requests are counted in the store too
	perAddr    *window // requests, by address
	perNetwork *window // requests, by network

	mu        sync.Mutex // guards what follows; the counts agree with each other
	streams   int
	byVisitor map[string]int
	byAddr    map[string]int // and by network
	bodies    int            // bytes of large bodies in hand
	bodiesOf  map[string]int // the same by address
}

// New returns limits that count in st what must hold for all processes.
func New(o Options, st Store, m *telemetry.Metrics) *Limits {
	return &Limits{
		options: o, metrics: m, quotas: newQuotas(o.Secret, st), shared: st.Shared(),
		perAddr: newWindow(o.RateIP), perNetwork: newWindow(widened(o.RateIP)),
		byVisitor: map[string]int{}, byAddr: map[string]int{}, bodiesOf: map[string]int{},
	}
}

func widened(r Rate) Rate { return Rate{wideFactor * r.Limit, r.Window} }

// Request counts one more request of addr. What this process knows to be too
// much costs no call; a store that cannot be asked refuses nobody.
func (l *Limits) Request(ctx context.Context, addr string) error {
	network := clientip.Network(addr)
	if err := l.perAddr.take(addr); err != nil {
		return err
	}
	if network != "" {
		if err := l.perNetwork.take(network); err != nil {
			return err
		}
	}
	if !l.shared {
		return nil
	}
	for _, q := range l.byAddress("requests", addr, l.options.RateIP, problem.RateLimited) {
		if p, full := errors.AsType[*problem.Problem](l.quotas.ask(ctx, q, true)); full {
			return p
		}
	}
	return nil
}

// Message counts one more turn or answer of the visitor.
func (l *Limits) Message(ctx context.Context, visitor string) error {
	return l.quotas.ask(ctx, l.messages(visitor), true)
}

// MayMessage returns the refusal that Message would, and counts nothing.
func (l *Limits) MayMessage(ctx context.Context, visitor string) error {
	return l.quotas.ask(ctx, l.messages(visitor), false)
}

func (l *Limits) messages(visitor string) quota {
	return quota{"messages", l.options.RateMessages, visitor, problem.RateLimited}
}

// byAddress is what addr and its network may do at that rate.
func (l *Limits) byAddress(name, addr string, r Rate, refusal *problem.Problem) []quota {
	all := []quota{{name, r, addr, refusal}}
	if network := clientip.Network(addr); network != "" {
		all = append(all, quota{name, widened(r), network, refusal})
	}
	return all
}

// sessions are the quotas that a new session of addr counts against.
func (l *Limits) sessions(addr string) []quota {
	return append(l.byAddress("sessions", addr, l.options.RateSessions, problem.SessionQuota),
		quota{"sessions", Rate{l.options.SessionsPerDay, 24 * time.Hour}, "", problem.Budget})
}

// NewSession returns the refusal if addr, or everybody together, has begun as
// many sessions as it may. A store that cannot be asked is one too.
func (l *Limits) NewSession(ctx context.Context, addr string) error {
	for _, q := range l.sessions(addr) {
		if err := l.quotas.ask(ctx, q, false); err != nil {
			return l.spent(err)
		}
	}
	return nil
}

// BeginSession counts a session that addr is about to begin, before it is made,
// so that many at once cannot slip past. The caller calls undo if none was made.
func (l *Limits) BeginSession(ctx context.Context, addr string) (undo func() error, err error) {
	var taken []quota
	undo = func() error {
		var errs []error
		for _, q := range taken {
			errs = append(errs, l.quotas.giveBack(ctx, q))
		}
		return errors.Join(errs...)
	}
	for _, q := range l.sessions(addr) {
		if err := l.quotas.ask(ctx, q, true); err != nil {
			return nil, errors.Join(l.spent(err), undo())
		}
		taken = append(taken, q)
	}
	return undo, nil
}

// spent counts a refusal for want of budget.
func (l *Limits) spent(err error) error {
	if errors.Is(err, problem.Budget) {
		l.metrics.Capacity.WithLabelValues("budget").Inc()
	}
	return err
}

// Stream counts one more event stream, until release is called.
func (l *Limits) Stream(visitor, addr string) (release func(), err error) {
	network := clientip.Network(addr)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.streams >= l.options.MaxStreams:
		l.metrics.Capacity.WithLabelValues("streams").Inc()
		return nil, problem.Capacity
	case l.byVisitor[visitor] >= l.options.StreamsPerVisitor, l.byAddr[addr] >= l.options.StreamsPerIP,
		network != "" && l.byAddr[network] >= wideFactor*l.options.StreamsPerIP:
		return nil, problem.Streams
	}
	count := func(n int) {
		l.streams += n
		add(l.byVisitor, visitor, n)
		add(l.byAddr, addr, n)
		if network != "" {
			add(l.byAddr, network, n)
		}
	}
	count(1)
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		count(-1)
	}, nil
}

// Body makes room for a large body of n bytes, until release is called. What is
// told of its length counts: nobody sends more.
func (l *Limits) Body(addr string, n int64) (release func(), err error) {
	if n <= LargeBody {
		return func() {}, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if size := int(n); l.bodies+size > max(maxBodies, size) || l.bodiesOf[addr]+size > max(maxBodies/4, size) {
		l.metrics.Capacity.WithLabelValues("bodies").Inc()
		return nil, problem.Capacity.After(bodyRetry)
	}
	l.bodies += int(n)
	add(l.bodiesOf, addr, int(n))
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.bodies -= int(n)
		add(l.bodiesOf, addr, -int(n))
	}, nil
}

// add forgets a key that counts nothing.
func add(counts map[string]int, key string, n int) {
	if counts[key] += n; counts[key] == 0 {
		delete(counts, key)
	}
}

// OpenStreams is how many event streams are open.
func (l *Limits) OpenStreams() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.streams
}

// Counted is how many visitors, addresses and refusals something is kept for.
func (l *Limits) Counted() int {
	l.mu.Lock()
	n := len(l.byVisitor) + len(l.byAddr) + len(l.bodiesOf)
	l.mu.Unlock()
	l.quotas.mu.Lock()
	defer l.quotas.mu.Unlock()
	return n + len(l.quotas.refused)
}
