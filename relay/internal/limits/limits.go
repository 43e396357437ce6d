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

	MaxBody int // bytes of the largest body

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

	streams *Share // event streams that are open
	bodies  *Share // bytes of large bodies in memory
	readers *Share // transcripts, by visitor
	answers *Share // transcripts, by address and in all
}

// New returns limits that count in st what must hold for all processes.
func New(o Options, st Store, m *telemetry.Metrics) *Limits {
	return &Limits{
		options: o, metrics: m, quotas: newQuotas(o.Secret, st), shared: st.Shared(),
		perAddr: newWindow(o.RateIP), perNetwork: newWindow(widened(o.RateIP)),
		streams: NewShare(Bounds{o.MaxStreams, o.StreamsPerVisitor, o.StreamsPerIP, wideFactor * o.StreamsPerIP}),
		bodies:  NewShare(bodyBounds(o.MaxBody)),
		readers: NewShare(Bounds{PerVisitor: readsPerVisitor}),
		answers: NewShare(Bounds{Total: maxAnswers, PerAddr: maxAnswers / 4, PerNetwork: maxAnswers / 2}),
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

// GiveBackMessage undoes one Message that came to nothing.
func (l *Limits) GiveBackMessage(ctx context.Context, visitor string) error {
	return l.quotas.giveBack(ctx, l.messages(visitor))
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
	who := Who{visitor, addr}
	err = l.streams.Take(who, 1)
	full, isFull := errors.AsType[*Full](err)
	switch {
	case isFull && full.Bound == OfAll:
		l.metrics.Capacity.WithLabelValues("streams").Inc()
		return nil, problem.Capacity
	case isFull:
		return nil, problem.Streams
	}
	return func() { l.streams.Give(who, 1) }, nil
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

// OpenStreams is how many event streams are open.
func (l *Limits) OpenStreams() int { return l.streams.Used() }

// Counted is how many visitors, addresses and refusals something is kept for.
func (l *Limits) Counted() int {
	n := l.streams.Counted() + l.bodies.Counted() + l.readers.Counted() + l.answers.Counted()
	l.quotas.mu.Lock()
	defer l.quotas.mu.Unlock()
	return n + len(l.quotas.refused)
}
