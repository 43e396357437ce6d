package capacity

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/group"
	"github.com/anyframe-relay/relay/relay/internal/limits"
	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/redact"
	"github.com/anyframe-relay/relay/relay/internal/store"
	"github.com/anyframe-relay/relay/relay/internal/telemetry"
	"github.com/anyframe-relay/relay/relay/internal/upstream"
)

// Sandboxes are ranked by the millisecond of their last use. Those with an open event
// stream rank above all others, and those whose agent is working rank above these.
const (
	Listening = 1 << 42
	Busy      = 1 << 43
)

const (
	// renewBusy is the age at which the count of a sandbox whose agent works is renewed.
	renewBusy = 30 * time.Second
	// renewIdle is the same for any other sandbox. Renewing also corrects a rank that
	// another process has written.
	renewIdle = 2 * time.Minute
	// rankAfter is how long the store's update is delayed after the first stream of a
	// session opens or the last one closes.
	rankAfter = 2 * time.Second
	// maxRanks is the maximum number of ranks per call to the store.
	maxRanks = 256
	// fullFor is how long the gate counts as full without asking the store again.
	fullFor = time.Second
	// roomTries is how often room is made for a sandbox before its visitor is refused.
	// Each time, another visitor may take the room.
	roomTries = 3
	// maxMaking is for how many sandboxes room may be made concurrently, and maxIdlest
	// how many of the idlest each attempt considers.
	maxMaking = 32
	maxIdlest = 2 * maxMaking

	storeTimeout = 5 * time.Second
)

// makingBounds keep one visitor, address or network that wakes sandboxes as fast as it
// can from blocking others.
var makingBounds = limits.Bounds{Total: maxMaking, PerVisitor: 1, PerAddr: maxMaking / 4, PerNetwork: maxMaking / 2}

// Options configures a Gate.
type Options struct {
	Store store.AdmissionStore
	// Max is the maximum number of sandboxes awake at once, over all sites.
	Max int
	// Own is the maximum for this site. 0 is no separate limit.
	Own int
	// CountFor is how long a sandbox stays counted without renewal: longer than it may stay
	// awake unused.
	CountFor time.Duration
	// Sleep puts a sandbox to sleep unless it is in use, and reports whether it did.
	Sleep func(context.Context, store.Awake) (bool, error)

	Metrics *telemetry.Metrics
	Log     *slog.Logger
}

// Gate admits sandboxes. It is safe for concurrent use.
type Gate struct {
	Options

	ctx     context.Context // of the gate's own work
	members *group.Group
	making  *limits.Share // a slot for each sandbox that room is being made for

	own       atomic.Int64 // as Options.Own
	fullUntil atomic.Int64 // in Unix nanoseconds; until then no sandbox is woken

	mu       sync.Mutex // while unranked is not empty, a call of RankNow is scheduled
	unranked map[*Seat]bool
}

// New returns a gate. Its own work ends with ctx and is a member of g.
func New(ctx context.Context, g *group.Group, o Options) *Gate {
	gate := &Gate{Options: o, ctx: ctx, members: g, making: limits.NewShare(makingBounds), unranked: map[*Seat]bool{}}
	gate.SetOwn(o.Own)
	return gate
}

// SetOwn sets the maximum number of this site's sandboxes awake at once; 0 is no separate
// limit. Sandboxes that are awake stay awake.
func (g *Gate) SetOwn(n int) {
	g.own.Store(int64(n))
	g.fullUntil.Store(0)
}

// CountStray counts a sandbox that may be awake and belongs to no session.
func (g *Gate) CountStray(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	if _, _, err := g.Store.Admit(ctx, "stray:"+rand.Text(), Busy, 0, g.CountFor); err != nil {
		g.Log.Warn("failed to count a sandbox", "error", err)
	}
}

// MayBegin refuses a new sandbox, before anything is written, if there is no room and
// none can be made. A nil result is no guarantee.
func (g *Gate) MayBegin(ctx context.Context) error {
	if time.Now().UnixNano() < g.fullUntil.Load() {
		return g.full()
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	n, err := g.Store.CountAwake(ctx)
	if err != nil {
		return err
	}
	over, err := g.ownFull(ctx)
	if err != nil || n < g.Max && !over {
		return err
	}
	return g.anyIdle(ctx)
}

// over reports whether more sandboxes are counted than allowed, over all sites or for
// this site.
func (g *Gate) over(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	n, err := g.Store.CountAwake(ctx)
	if own := int(g.own.Load()); err == nil && n <= g.Max && own > 0 {
		ours, err := g.awakeOwn(ctx)
		return len(ours) > own, err
	}
	return n > g.Max, err
}

// Short reports whether so many sandboxes are awake, over all sites or of this site, that
// a new session requires a challenge.
func (g *Gate) Short(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	n, err := g.Store.CountAwake(ctx)
	if err != nil || limits.Short(n, g.Max) {
		return err == nil, err
	}
	own := int(g.own.Load())
	if own == 0 {
		return false, nil
	}
	ours, err := g.awakeOwn(ctx)
	return err == nil && limits.Short(len(ours), own), err
}

// anyIdle returns the refusal if no sandbox can be put to sleep to make room.
func (g *Gate) anyIdle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	g.RankNow()
	idle, err := g.idlest(ctx, 1)
	if err != nil || len(idle) > 0 {
		return err
	}
	g.fullUntil.Store(time.Now().Add(fullFor).UnixNano())
	return g.full()
}

func (g *Gate) full() error {
	g.Metrics.Capacity.WithLabelValues("awake").Inc()
	return problem.Capacity
}

// evictIdlest puts the idlest sandbox to sleep that can be, accounted to who, and reports
// whether there was one.
func (g *Gate) evictIdlest(ctx context.Context, who limits.Who) bool {
	if g.making.Take(who, 1) != nil {
		return false // enough such calls to AnyFrame are in progress
	}
	defer g.making.Give(who, 1)
	g.RankNow()
	idle, err := g.idlest(ctx, maxIdlest)
	if err != nil {
		g.Log.Warn("failed to find idle sandboxes", "error", err)
		return false
	}
	for _, a := range idle {
		if a.Visitor == who.Visitor && !a.Foreign {
			continue
		}
		slept, err := g.Sleep(ctx, a)
		if err != nil {
			g.Log.Warn("failed to put a sandbox to sleep", "visitor", redact.ID(a.Visitor), "error", err)
		}
		if slept {
			g.Metrics.Slept.Inc()
			return true
		}
		if ctx.Err() != nil || upstream.Unavailable(err) {
			return false
		}
	}
	return false
}

// rankLater writes a seat's rank to the store after a delay, if it has changed by then.
// The delay spares the store when thousands of streams drop and reconnect.
func (g *Gate) rankLater(s *Seat) {
	if g.ctx.Err() != nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.unranked) == 0 {
		time.AfterFunc(rankAfter, g.RankNow)
	}
	g.unranked[s] = true
}

// Unranked returns the seats whose rank has yet to be written to the store.
func (g *Gate) Unranked() []*Seat {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Collect(maps.Keys(g.unranked))
}

// RankNow writes all changed ranks to the store.
func (g *Gate) RankNow() {
	if !g.members.Add() {
		return
	}
	defer g.members.Done()
	g.mu.Lock()
	seats := slices.Collect(maps.Keys(g.unranked))
	clear(g.unranked)
	g.mu.Unlock()
	for some := range slices.Chunk(seats, maxRanks) {
		for _, s := range g.rankAll(some) {
			s.Renew(g.ctx)
		}
	}
}

// RenewDue renews the counts of those of n seats that are due, many of them per call to
// the store.
func (g *Gate) RenewDue(n int, seat func(i int) *Seat) {
	var due []*Seat
	for i := range n {
		if s := seat(i); s.due() && s.running() {
			due = append(due, s)
		}
	}
	for some := range slices.Chunk(due, maxRanks) {
		g.rankAll(some) // a seat whose rank is being written needs no renewal
	}
}

// rankAll renews, in one call, many seats that are due or whose rank differs from the
// store's. It skips and returns seats that are being written: a caller that holds several
// must not wait for one.
func (g *Gate) rankAll(seats []*Seat) (left []*Seat) {
	held := make([]*Seat, 0, len(seats))
	all := make([]store.Awake, 0, len(seats))
	for _, s := range seats {
		if !s.tryTell() {
			left = append(left, s)
			continue
		}
		// This includes a seat that was and is busy: another process may since have
		// written a lower rank, and the sandbox would be evicted.
		rank := s.rank()
		if rank == s.lastRank() && !s.due() || !s.running() {
			s.told()
			continue
		}
		held, all = append(held, s), append(all, store.Awake{Visitor: s.visitor, Rank: rank})
	}
	if len(all) == 0 {
		return left
	}
	ctx, cancel := context.WithTimeout(g.ctx, storeTimeout)
	defer cancel()
	tickets, err := g.Store.AdmitAll(ctx, all, g.CountFor)
	for i, s := range held {
		if err == nil {
			s.note(tickets[i], all[i].Rank)
		}
		s.told()
	}
	if err != nil && !errors.Is(g.ctx.Err(), context.Canceled) {
		g.Log.Warn("failed to count a sandbox", "others", len(all)-1, "error", err)
	}
	return left
}
