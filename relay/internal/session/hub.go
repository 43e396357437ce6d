package session

import (
	"context"
	"crypto/rand"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/capacity"
	"github.com/anyframe-relay/relay/relay/internal/clientip"
	"github.com/anyframe-relay/relay/relay/internal/group"
	"github.com/anyframe-relay/relay/relay/internal/intake"
	"github.com/anyframe-relay/relay/relay/internal/lease"
	"github.com/anyframe-relay/relay/relay/internal/limits"
	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/resync"
	"github.com/anyframe-relay/relay/relay/internal/roster"
	"github.com/anyframe-relay/relay/relay/internal/sandbox"
	"github.com/anyframe-relay/relay/relay/internal/stop"
	"github.com/anyframe-relay/relay/relay/internal/telemetry"
)

const (
	// countedFor is how much longer than its idle timeout a sandbox stays counted without
	// renewal, because the process that woke it may have crashed.
	countedFor   = time.Minute
	storeTimeout = 5 * time.Second
)

// Hub holds the sessions in memory, by visitor. It owns their goroutines.
type Hub struct {
	Options

	leases    lease.Holder
	gate      *capacity.Gate
	sandboxes sandbox.Operator
	stops     stop.Desk
	live      atomic.Pointer[Live]
	retired   atomic.Bool // the site was removed

	ctx      context.Context // of every pump, instead of the context of the request that started it
	cancel   context.CancelFunc
	members  group.Group
	intake   intake.Options
	reads    *limits.Share          // a slot for each upstream read in progress
	resync   *resync.Loop[*Session] // checks the sessions in memory
	draining chan struct{}          // closed when the relay starts to shut down
	drain    sync.Once

	sessions *roster.Roster[*Session] // by visitor
}

// NewHub returns a hub without sessions. It starts nothing; the caller must close it.
func NewHub(o Options) *Hub {
	ctx, cancel := context.WithCancel(context.Background())
	h := &Hub{
		Options: o, ctx: ctx, cancel: cancel, intake: intake.Options{Client: o.Client, Metrics: o.Metrics},
		reads: limits.NewShare(limits.ReadBounds), draining: make(chan struct{}),
	}
	h.Tuning = o.Tuning.withDefaults()
	h.live.Store(&Live{AgentID: o.AgentID, MaxOwn: o.MaxOwn, Conversation: o.Conversation, Contexts: o.Contexts})
	h.leases = lease.Holder{Store: o.Store, Owner: rand.Text(), TTL: h.Tuning.Lease, Log: o.Log}
	h.sandboxes = sandbox.Operator{Client: o.Client, AgentID: h.agent, IdleTimeout: o.IdleTimeout, Timeout: o.UpstreamTimeout}
	h.stops = stop.Desk{
		Store: o.Store, Fulfil: h.fulfil, Hold: h.holdStop, Go: h.members.Go, Context: ctx, Log: o.Log,
		Seconds: o.Metrics.StopSeconds, Failed: o.Metrics.StopsFailed,
	}
	h.gate = capacity.New(ctx, &h.members, capacity.Options{
		Store: o.Store, Max: o.MaxSessions, Own: o.MaxOwn, CountFor: h.countFor(), Sleep: h.putToSleep, Metrics: o.Metrics, Log: o.Log,
	})
	h.resync = resync.New(ctx, &h.members, resync.Options[*Session]{
		Store: o.Store, Every: h.Tuning.Resync, Log: o.Log,
		Swept: func(all []*Session) {
			h.gate.RenewDue(len(all), func(i int) *capacity.Seat { return all[i].seat })
		},
	})
	h.sessions = roster.New(roster.Options[*Session]{
		Linger: h.Tuning.Linger, New: func(visitor string) *Session { return newSession(h, visitor) },
		Held: h.resync.Join, Free: h.resync.Leave, Size: func(n int) { h.Metrics.SessionsLive.Set(float64(n)) },
	})
	return h
}

// countFor is how long a sandbox stays counted without renewal.
func (h *Hub) countFor() time.Duration { return max(h.IdleTimeout, h.BootTimeout) + countedFor }

// hold returns the visitor's session and keeps it in memory until it is closed. It makes
// no call.
func (h *Hub) hold(visitor string) (*Session, error) {
	s, ok := h.sessions.Hold(visitor)
	if !ok {
		return nil, problem.Draining
	}
	return s, nil
}

// Open returns the visitor's session with its current record. It stays in memory until
// the caller closes it. The address in ctx becomes the visitor's last address.
func (h *Hub) Open(ctx context.Context, visitor string) (*Session, error) {
	s, err := h.hold(visitor)
	if err != nil {
		return nil, err
	}
	if err := s.refresh(ctx); err != nil {
		s.Close()
		return nil, err
	}
	if addr := limits.AddrOf(ctx); addr != "" {
		s.addr.Store(&addr)
		s.caller.From(clientip.Whole(addr))
	}
	telemetry.FromContext(ctx).Describe(s)
	return s, nil
}

// Close undoes one Open.
func (s *Session) Close() { s.hub.sessions.Release(s) }

// Entry implements [roster.Member], as do the methods below.
func (s *Session) Entry() *roster.Entry { return &s.entry }

// Kept implements [roster.Member]. A session whose turn is running is kept until AnyFrame
// would have put it to sleep.
func (s *Session) Kept() { s.seat.RenewIfDue(s.hub.ctx) }

// Dropped implements [roster.Member]. Only the session's row in the store remains.
func (s *Session) Dropped() {
	s.answer.End("unsent")
	s.reader.Stop()
}

// Listen counts an event stream of the session, until the returned function is called.
func (s *Session) Listen() (leave func()) {
	change := func(n int) {
		if s.hub.sessions.Listen(s, n) {
			s.seat.RankLater()
		}
	}
	change(1)
	return func() { change(-1) }
}

// Revoke ends the visitor's streams: the token is no longer valid.
func (h *Hub) Revoke(visitor string) { h.revoke(visitor, false) }

// revoke is Revoke, also for a visitor whose data was all erased.
func (h *Hub) revoke(visitor string, erased bool) {
	if s, ok := h.sessions.Remove(visitor); ok { // the next session of that name belongs to another visitor
		if erased {
			s.showErased()
		}
		s.standing.Revoke()
		s.reader.Stop()
		s.seat.RankLater()
	}
}

// BeginDrain refuses new work.
func (h *Hub) BeginDrain() { h.drain.Do(func() { close(h.draining) }) }

// Draining reports whether new work is refused.
func (h *Hub) Draining() bool {
	select {
	case <-h.draining:
		return true
	default:
		return false
	}
}

// Close ends all sessions and waits for their goroutines. Sandboxes are left to fall
// asleep by their own timeout.
func (h *Hub) Close() {
	h.BeginDrain()
	h.sessions.Close()
	h.resync.Close()
	h.cancel()
	h.members.Close()
}

// Kept returns how many events and bytes all logs hold.
func (h *Hub) Kept() (events, bytes int) {
	for _, s := range h.sessions.All() {
		n, size := s.View().Log.Size()
		events, bytes = events+n, bytes+size
	}
	return events, bytes
}

// InMemory returns how many sessions are in memory, including those that remain only
// until their rank is written to the store.
func (h *Hub) InMemory() int {
	all := map[*capacity.Seat]bool{}
	for _, seat := range h.gate.Unranked() {
		all[seat] = true
	}
	for _, s := range h.sessions.All() {
		all[s.seat] = true
	}
	return len(all)
}

// Run fulfills stop requests that other processes left, until ctx ends or the hub is
// closed.
func (h *Hub) Run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer context.AfterFunc(h.ctx, cancel)()
	h.stops.Run(ctx)
	cancel()
}

// RankNow writes all changed ranks to the store immediately.
func (h *Hub) RankNow() { h.gate.RankNow() }
