package relay

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/clientip"
	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/telemetry"
	"github.com/anyframe-relay/relay/relay/store"
)

// wideFactor is how many times what one address may is allowed to its whole
// network. IPv6 is counted by /64, what one household has, and many have a /48,
// which is 65,536 of those: all of a /48 together count as this many addresses.
const wideFactor = 16

const (
	// largeBody is how many bytes a body has that is counted while it is in
	// hand, and maxBodies how many all of those may have together; those of one
	// address, a quarter. One body is taken in any case.
	largeBody = 64 << 10
	maxBodies = 256 << 20
)

// limits are who may do how much. Requests and streams are counted in this
// process, what costs money in the store, for all processes together.
type limits struct {
	config  *Config
	metrics *telemetry.Metrics
	quotas  *quotas
	shared  bool     // requests are counted in the store too
	narrow  *limiter // requests, by address
	wide    *limiter // requests, by network

	mu        sync.Mutex // held only to look or set
	streams   int
	byVisitor map[string]int
	byAddr    map[string]int // and by network
	bodies    int            // bytes of large bodies in hand
	bodiesOf  map[string]int // the same by address
}

func newLimits(c *Config, st store.Store, m *telemetry.Metrics) *limits {
	return &limits{
		config: c, metrics: m, quotas: newQuotas(c, st), shared: st.Shared(),
		narrow: newLimiter(c.RateIP), wide: newLimiter(widened(c.RateIP)),
		byVisitor: map[string]int{}, byAddr: map[string]int{}, bodiesOf: map[string]int{},
	}
}

func widened(r Rate) Rate { return Rate{wideFactor * r.Limit, r.Window} }

// ID counts one more request of addr. What this process knows to be too
// much costs no call; a store that cannot be asked refuses nobody.
func (l *limits) request(ctx context.Context, addr string) error {
	network := clientip.Network(addr)
	if err := l.narrow.take(addr); err != nil {
		return err
	}
	if network != "" {
		if err := l.wide.take(network); err != nil {
			return err
		}
	}
	if !l.shared {
		return nil
	}
	for _, q := range l.byAddress("requests", addr, l.config.RateIP, problem.RateLimited) {
		if p, full := errors.AsType[*problem.Problem](l.quotas.ask(ctx, q, true)); full {
			return p
		}
	}
	return nil
}

// Message counts one more turn or answer of the visitor.
func (l *limits) Message(ctx context.Context, visitor string) error {
	return l.quotas.ask(ctx, l.messages(visitor), true)
}

// mayMessage returns the refusal that message would, and counts nothing.
func (l *limits) mayMessage(ctx context.Context, visitor string) error {
	return l.quotas.ask(ctx, l.messages(visitor), false)
}

func (l *limits) messages(visitor string) quota {
	return quota{"messages", l.config.RateMessages, visitor, problem.RateLimited}
}

// byAddress is what addr and its network may do at that rate.
func (l *limits) byAddress(name, addr string, r Rate, refusal *problem.Problem) []quota {
	all := []quota{{name, r, addr, refusal}}
	if network := clientip.Network(addr); network != "" {
		all = append(all, quota{name, widened(r), network, refusal})
	}
	return all
}

// sessions are the quotas that a new session of addr counts against.
func (l *limits) sessions(addr string) []quota {
	return append(l.byAddress("sessions", addr, l.config.RateSessions, problem.SessionQuota),
		quota{"sessions", Rate{l.config.SessionsPerDay, 24 * time.Hour}, "", problem.Budget})
}

// NewSession returns the refusal if addr, or everybody together, has begun as
// many sessions as it may. A store that cannot be asked is one too.
func (l *limits) NewSession(ctx context.Context, addr string) error {
	for _, q := range l.sessions(addr) {
		if err := l.quotas.ask(ctx, q, false); err != nil {
			return l.spent(err)
		}
	}
	return nil
}

// BeginSession counts a session that addr is about to begin, before it is made,
// so that many at once cannot slip past. The caller calls undo if none was made.
func (l *limits) BeginSession(ctx context.Context, addr string) (undo func() error, err error) {
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
func (l *limits) spent(err error) error {
	if errors.Is(err, problem.Budget) {
		l.metrics.Capacity.WithLabelValues("budget").Inc()
	}
	return err
}

// stream counts one more event stream, until release is called.
func (l *limits) stream(visitor, addr string) (release func(), err error) {
	network := clientip.Network(addr)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.streams >= l.config.MaxStreams:
		l.metrics.Capacity.WithLabelValues("streams").Inc()
		return nil, problem.Capacity
	case l.byVisitor[visitor] >= l.config.StreamsPerVisitor, l.byAddr[addr] >= l.config.StreamsPerIP,
		network != "" && l.byAddr[network] >= wideFactor*l.config.StreamsPerIP:
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

// body makes room for a large body of n bytes, until release is called. What is
// told of its length counts: nobody sends more.
func (l *limits) body(addr string, n int64) (release func(), err error) {
	if n <= largeBody {
		return func() {}, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if size := int(n); l.bodies+size > max(maxBodies, size) || l.bodiesOf[addr]+size > max(maxBodies/4, size) {
		l.metrics.Capacity.WithLabelValues("bodies").Inc()
		return nil, problem.Capacity.After(bodyTimeout)
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
