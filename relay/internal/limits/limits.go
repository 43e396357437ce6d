package limits

import (
	"context"
	"errors"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/clientip"
	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/telemetry"
)

// wideFactor is how many times the limit of one address its whole network is allowed. An
// IPv6 address is counted by its /64, which is one household's. Many customers have a /48
// with 65,536 of those, so all of a /48 together count as this many addresses.
const wideFactor = 16

// The parts of the shared resources that are not configurable.
const (
	// maxAnswers is how many transcripts may be in memory at once, while they are read
	// from AnyFrame or by clients. Each takes about the memory of one page.
	maxAnswers = 64
	// readsPerVisitor is how many transcripts a visitor may read at once.
	readsPerVisitor = 2
	// answerWait is how long a transcript waits for its place among maxAnswers.
	answerWait = 10 * time.Second
	// answerRetry is the Retry-After of a refused transcript.
	answerRetry = 2 * time.Second
)

// Options are the values of the limits.
type Options struct {
	RateMessages Rates // per visitor
	RateIP       Rates // requests, per address
	RateSessions Rates // new sessions per address

	TurnsPerDay       int // of all visitors; 0 is no limit
	SessionsPerDay    int // new sessions; 0 is no limit
	MaxStreams        int
	StreamsPerVisitor int
	StreamsPerIP      int

	MaxBody int // largest body, in bytes

	// Spent is called with the used part of a day's budget, of turns or sessions,
	// whenever it is counted or read. It may be nil.
	Spent func(ctx context.Context, budget string, used, limit int)

	// Secret makes the store's keys of addresses unguessable, so that no address can be
	// derived from them. Processes with different secrets count addresses separately.
	Secret string
}

// Store counts for all processes together. It is part of [store.Store].
type Store interface {
	Take(ctx context.Context, key string, n, limit int, window time.Duration) (wait time.Duration, err error)
	Look(ctx context.Context, key string, n, limit int, window time.Duration) (wait time.Duration, err error)
	GiveBack(ctx context.Context, key string, n int, window time.Duration) error
	Count(ctx context.Context, key string, n, limit int, until time.Time) (total int, ok bool, err error)
	Shared() bool
}

// Limits counts and refuses. It is safe for concurrent use.
type Limits struct {
	options    Options
	metrics    *telemetry.Metrics
	quotas     *quotas
	turns      *budget
	shared     bool      // requests are also counted in the store
	perAddr    []*window // requests, by address
	perNetwork []*window // requests, by network

	streams *Share // open event streams, over all sites
	own     *Share // open event streams of this site
	bodies  *Share // bytes of large bodies in memory
	readers *Share // transcripts, by visitor
	answers *Share // transcripts, by address and in total
}

// New returns limits that use st for the counts that apply over all processes.
func New(o Options, st Store, m *telemetry.Metrics) *Limits {
	q := newQuotas(o.Secret, st)
	q.of(&o)
	return &Limits{
		options: o, metrics: m, quotas: q, turns: &budget{quotas: q, limit: o.TurnsPerDay}, shared: st.Shared(),
		perAddr: newWindows(o.RateIP, 1), perNetwork: newWindows(o.RateIP, wideFactor),
		streams: NewShare(Bounds{Total: o.MaxStreams, PerAddr: o.StreamsPerIP, PerNetwork: wideFactor * o.StreamsPerIP}),
		own:     NewShare(Bounds{Total: o.MaxStreams, PerVisitor: o.StreamsPerVisitor}),
		bodies:  NewShare(bodyBounds(o.MaxBody)),
		readers: NewShare(Bounds{PerVisitor: readsPerVisitor}),
		answers: NewShare(Bounds{Total: maxAnswers, PerAddr: maxAnswers / 4, PerNetwork: maxAnswers / 2}),
	}
}

// ForSite returns the limits of another site. The sites share the request limits of
// addresses and the resources of the process. Everything else is counted in st for this
// site.
func (l *Limits) ForSite(o Options, st Store, m *telemetry.Metrics) *Limits {
	of := l.with(o, st)
	of.metrics = m
	of.own = NewShare(Bounds{Total: o.MaxStreams, PerVisitor: o.StreamsPerVisitor})
	return of
}

// With returns the limits of the same site with other values. Units in use stay counted.
func (l *Limits) With(o Options, st Store) *Limits {
	of := l.with(o, st)
	of.own.rebound(Bounds{Total: o.MaxStreams, PerVisitor: o.StreamsPerVisitor})
	return of
}

func (l *Limits) with(o Options, st Store) *Limits {
	of, q := *l, newQuotas(o.Secret, st)
	q.of(&o)
	of.options, of.quotas, of.turns = o, q, &budget{quotas: q, limit: o.TurnsPerDay}
	of.options.RateIP, of.options.StreamsPerIP = l.options.RateIP, l.options.StreamsPerIP
	of.bodies.widen(bodyBounds(o.MaxBody))
	return &of
}

// Request counts one request of addr. A request that this process's own counts refuse
// costs no call to the store. If the store fails, no request is refused. Daily limits are
// counted in every kind of store, because they must survive the process.
func (l *Limits) Request(ctx context.Context, addr string) error {
	undo, err := takeAll(l.perAddr, addr)
	if err != nil {
		return err
	}
	undoNetwork := func() {}
	if network := clientip.Network(addr); network != "" {
		if undoNetwork, err = takeAll(l.perNetwork, network); err != nil {
			undo()
			return err
		}
	}
	var all []quota
	for _, q := range l.byAddress("requests", addr, l.options.RateIP, whole, problem.RateLimited) {
		if l.shared || q.rate.daily() {
			all = append(all, q)
		}
	}
	_, err = l.quotas.take(ctx, all...)
	if p, full := errors.AsType[*problem.Problem](err); full {
		undoNetwork()
		undo()
		return p
	}
	return nil
}

// Message counts one turn or answer of the visitor. The caller must call undo if it was
// not sent.
func (l *Limits) Message(ctx context.Context, visitor string) (undo func() error, err error) {
	return l.quotas.take(ctx, l.messages(visitor)...)
}

// MayMessage returns the refusal that Message would, and counts nothing.
func (l *Limits) MayMessage(ctx context.Context, visitor string) error {
	return l.quotas.look(ctx, l.messages(visitor)...)
}

func (l *Limits) messages(visitor string) (all []quota) {
	for _, r := range l.options.RateMessages.longestFirst(whole) {
		all = append(all, quota{name: "messages", rate: r, who: visitor, refusal: problem.RateLimited})
	}
	return all
}

// byAddress returns the quotas of addr and its network at part p of these rates.
func (l *Limits) byAddress(name, addr string, rs Rates, p part, refusal *problem.Problem) (all []quota) {
	for _, r := range rs.longestFirst(p) {
		all = append(all, quota{name: name, rate: r, who: addr, refusal: refusal, address: true})
	}
	if network := clientip.Network(addr); network != "" {
		for _, r := range rs.longestFirst(p.times(wideFactor)) {
			all = append(all, quota{name: name, rate: r, who: network, refusal: refusal, address: true})
		}
	}
	return all
}

// Stream counts one event stream, until release is called.
func (l *Limits) Stream(visitor, addr string) (release func(), err error) {
	who := Who{visitor, addr}
	if err = l.own.Take(who, 1); err == nil {
		if err = l.streams.Take(who, 1); err != nil {
			l.own.Give(who, 1)
		}
	}
	full, isFull := errors.AsType[*Full](err)
	switch {
	case isFull && full.Bound == OfAll:
		l.metrics.Capacity.WithLabelValues("streams").Inc()
		return nil, problem.Capacity
	case isFull:
		return nil, problem.Streams
	}
	return func() {
		l.streams.Give(who, 1)
		l.own.Give(who, 1)
	}, nil
}

// Answer counts one transcript, from before it is read until the client has it and
// release is called. A third transcript of the same visitor is refused. With too many of
// an address or in total, Answer waits.
func (l *Limits) Answer(ctx context.Context, visitor, addr string) (release func(), err error) {
	who := Who{visitor, addr}
	if err := l.readers.Take(who, 1); err != nil {
		return nil, problem.RateLimited.After(answerRetry)
	}
	ctx, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	if err := l.answers.Wait(ctx, who); err != nil {
		l.readers.Give(who, 1)
		full, isFull := errors.AsType[*Full](err)
		if !isFull {
			return nil, err
		}
		if full.Bound == OfAll {
			l.metrics.Capacity.WithLabelValues("answers").Inc()
		}
		return nil, full.Problem(answerRetry)
	}
	return func() {
		l.answers.Give(who, 1)
		l.readers.Give(who, 1)
	}, nil
}

// OpenStreams returns how many event streams are open, over all sites.
func (l *Limits) OpenStreams() int { return l.streams.Used() }

// Counted returns how many visitors, addresses and refusals have an entry in memory.
func (l *Limits) Counted() int {
	n := l.streams.Counted() + l.own.Counted() + l.bodies.Counted() + l.readers.Counted() + l.answers.Counted()
	l.quotas.mu.Lock()
	defer l.quotas.mu.Unlock()
	return n + len(l.quotas.refused)
}
