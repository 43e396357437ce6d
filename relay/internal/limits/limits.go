package limits

import (
	"context"
	"errors"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/clientip"
	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/telemetry"
)

// wideFactor is how many times what one address may is allowed to its whole
// network. IPv6 is counted by /64, what one household has, and many have a /48,
// which is 65,536 of those: all of a /48 together count as this many addresses.
const wideFactor = 16

// Of what all visitors share, these are the parts that are not settings.
const (
	// maxAnswers is how many transcripts are in memory at once, being read from AnyFrame or
	// by their clients. Each holds about as much as one page.
	maxAnswers = 64
	// readsPerVisitor is how many transcripts a visitor may read at once.
	readsPerVisitor = 2
	// answerWait is how long a transcript waits for its place among maxAnswers.
	answerWait = 10 * time.Second
	// answerRetry is when a transcript that was refused may be asked for again.
	answerRetry = 2 * time.Second
)

// Options are the limits' values.
type Options struct {
	RateMessages Rates // per visitor
	RateIP       Rates // requests per address
	RateSessions Rates // new sessions per address

	TurnsPerDay       int // of all visitors; 0 is no limit
	SessionsPerDay    int // new ones; 0 is no limit
	MaxStreams        int
	StreamsPerVisitor int
	StreamsPerIP      int

	MaxBody int // bytes of the largest body

	// Spent is told how much of a day's budget, turns or sessions, is used whenever that was
	// counted or looked up. It may be nil.
	Spent func(ctx context.Context, budget string, used, limit int)

	// Secret makes the store's keys unguessable, so that no address can be read
	// from them. All processes that share a store have the same.
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
	shared     bool      // requests are counted in the store too
	perAddr    []*window // requests, by address
	perNetwork []*window // requests, by network

	streams *Share // event streams that are open, of all sites
	own     *Share // those of this site
	bodies  *Share // bytes of large bodies in memory
	readers *Share // transcripts, by visitor
	answers *Share // transcripts, by address and in all
}

// New returns limits that count in st what must hold for all processes.
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

// ForSite returns the limits of another site. What one address may ask for, and what the
// process has room for, both have together; the rest is counted in st for this site.
func (l *Limits) ForSite(o Options, st Store, m *telemetry.Metrics) *Limits {
	of := l.with(o, st)
	of.metrics = m
	of.own = NewShare(Bounds{Total: o.MaxStreams, PerVisitor: o.StreamsPerVisitor})
	return of
}

// With returns the limits of the same site with other values. What is in use counts on.
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

// Request counts one more request of addr. What this process knows to be too
// much costs no call; if the store fails, no request is refused. What a day may bring
// is counted in every store, as it must outlive the process.
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

// Message counts one more turn or answer of the visitor. The caller calls undo if it came
// to nothing.
func (l *Limits) Message(ctx context.Context, visitor string) (undo func() error, err error) {
	return l.quotas.take(ctx, l.messages(visitor)...)
}

// MayMessage returns the refusal that Message would, and counts nothing.
func (l *Limits) MayMessage(ctx context.Context, visitor string) error {
	return l.quotas.look(ctx, l.messages(visitor)...)
}

func (l *Limits) messages(visitor string) (all []quota) {
	for _, r := range l.options.RateMessages.longestFirst(whole) {
		all = append(all, quota{"messages", r, visitor, problem.RateLimited})
	}
	return all
}

// byAddress is what addr and its network may do at that part of these rates.
func (l *Limits) byAddress(name, addr string, rs Rates, p part, refusal *problem.Problem) (all []quota) {
	for _, r := range rs.longestFirst(p) {
		all = append(all, quota{name, r, addr, refusal})
	}
	if network := clientip.Network(addr); network != "" {
		for _, r := range rs.longestFirst(p.times(wideFactor)) {
			all = append(all, quota{name, r, network, refusal})
		}
	}
	return all
}

// Stream counts one more event stream, until release is called.
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

// Answer counts one more transcript, from before it is read until release is called, when
// the client has it. More than two of one visitor are refused. With too many of an address
// or in all, Answer waits.
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

// OpenStreams is how many event streams are open, of all sites.
func (l *Limits) OpenStreams() int { return l.streams.Used() }

// Counted is how many visitors, addresses and refusals something is kept for.
func (l *Limits) Counted() int {
	n := l.streams.Counted() + l.own.Counted() + l.bodies.Counted() + l.readers.Counted() + l.answers.Counted()
	l.quotas.mu.Lock()
	defer l.quotas.mu.Unlock()
	return n + len(l.quotas.refused)
}
