package session

import (
	"context"
	"crypto/rand"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/capacity"
	"github.com/anyframe-relay/relay/relay/internal/clientip"
	"github.com/anyframe-relay/relay/relay/internal/conversation"
	"github.com/anyframe-relay/relay/relay/internal/group"
	"github.com/anyframe-relay/relay/relay/internal/intake"
	"github.com/anyframe-relay/relay/relay/internal/lease"
	"github.com/anyframe-relay/relay/relay/internal/limits"
	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/store"
	"github.com/anyframe-relay/relay/relay/internal/telemetry"
)

const (
	// countedFor is how much longer than its idle time a sandbox is counted if nobody
	// renews that: the process that woke it may have died.
	countedFor   = time.Minute
	storeTimeout = 5 * time.Second
)

// Store is what the engine needs of the store.
type Store interface {
	store.SessionStore
	store.NoteStore
	store.LeaseStore
	store.AdmissionStore
}

// Quota limits what visitors may do. A refusal is a [problem.Problem].
type Quota interface {
	// NewSession returns the refusal if addr, or everybody together, has begun as many
	// sessions as it may.
	NewSession(ctx context.Context, addr string) error
	// BeginSession counts a session that addr is about to begin. The caller calls undo
	// if none was made.
	BeginSession(ctx context.Context, addr string) (undo func() error, err error)
	// Message counts one more turn of the visitor.
	Message(ctx context.Context, visitor string) error
	// GiveBackMessage undoes one Message that came to nothing.
	GiveBackMessage(ctx context.Context, visitor string) error
}

// Options are what a Hub needs.
type Options struct {
	AgentID int64

	IdleTimeout     time.Duration // AnyFrame's, after which a sandbox sleeps
	BootTimeout     time.Duration // of one attempt to get a sandbox running
	SendWait        time.Duration // how long a turn is held
	UpstreamTimeout time.Duration // of one call to AnyFrame
	VisitorTTL      time.Duration // how long records and notes are kept
	StreamLifetime  time.Duration // of visitors' event streams
	MaxSessions     int           // awake at once

	Conversation conversation.Options
	Store        Store
	Notifier     store.Notifier // nil where the store has none
	Client       *anyframe.Client
	Quota        Quota
	// TokenValid reports whether a token that was good still is.
	TokenValid func(ctx context.Context, token string) (bool, error)

	Metrics *telemetry.Metrics
	Log     *slog.Logger
	Tuning  Tuning
}

// Tuning are times that only tests change. Zero is the default.
type Tuning struct {
	// Linger is how long a session stays in memory, and its upstream stream open, when
	// nobody listens and no turn runs. Default 30s.
	Linger time.Duration
	// Lease is how long a replica that died keeps others from going on. Default 15s.
	Lease time.Duration
	// ResyncQuiet is after how long a session that somebody listens to is read from the
	// store again while nothing comes from AnyFrame for it. Default 10s.
	ResyncQuiet time.Duration
	// ResyncLive is the same for a session whose stream is open upstream. Default 15s.
	ResyncLive time.Duration
	// ProbeAfter is after how long without a word from AnyFrame it is asked whether the
	// sandbox still runs: its stream may stay open when it does not. Default 1m.
	ProbeAfter time.Duration
}

func (t Tuning) withDefaults() Tuning {
	for d, preset := range map[*time.Duration]time.Duration{
		&t.Linger: 30 * time.Second, &t.Lease: 15 * time.Second, &t.ResyncQuiet: 10 * time.Second,
		&t.ResyncLive: 15 * time.Second, &t.ProbeAfter: time.Minute,
	} {
		if *d == 0 {
			*d = preset
		}
	}
	return t
}

// Hub holds all live sessions, by visitor. It owns their goroutines.
type Hub struct {
	Options

	leases lease.Holder
	gate   *capacity.Gate

	ctx      context.Context // of every pump; not of the request that happened to need it
	cancel   context.CancelFunc
	members  group.Group
	intake   intake.Options
	reads    *limits.Share // a slot for each upstream read under way
	checks   *limits.Share // a slot for each session that is read again
	draining chan struct{} // closed when the relay begins to end
	drain    sync.Once

	mu       sync.Mutex // which sessions are held, and by how many, is one consistent picture
	closed   bool
	sessions map[string]*Session
}

// NewHub returns a hub that holds no session. It starts nothing; the caller closes it.
func NewHub(o Options) *Hub {
	ctx, cancel := context.WithCancel(context.Background())
	h := &Hub{
		Options: o, ctx: ctx, cancel: cancel, intake: intake.Options{Client: o.Client, Metrics: o.Metrics},
		reads: limits.NewShare(readBounds), checks: limits.NewShare(checkBounds), draining: make(chan struct{}),
		sessions: map[string]*Session{},
	}
	h.Tuning = o.Tuning.withDefaults()
	h.leases = lease.Holder{Store: o.Store, Owner: rand.Text(), TTL: h.Tuning.Lease, Log: o.Log}
	h.gate = capacity.New(ctx, &h.members, capacity.Options{
		Store: o.Store, Max: o.MaxSessions, CountFor: h.countFor(), Sleep: h.putToSleep, Metrics: o.Metrics, Log: o.Log,
	})
	return h
}

// countFor is how long a sandbox is counted unless that is renewed.
func (h *Hub) countFor() time.Duration { return max(h.IdleTimeout, h.BootTimeout) + countedFor }

// hold returns the visitor's session and keeps it in memory until it is closed. It
// makes no call.
func (h *Hub) hold(visitor string) (*Session, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, problem.Draining
	}
	s := h.sessions[visitor]
	if s == nil {
		s = newSession(h, visitor)
		h.sessions[visitor] = s
		h.Metrics.SessionsLive.Set(float64(len(h.sessions)))
	}
	s.life.refs++
	if s.life.refs == 1 {
		s.life.resync = time.AfterFunc(s.untilResync(), s.resyncTick)
	}
	if s.life.idle != nil {
		s.life.idle.Stop()
		s.life.idle = nil
	}
	return s, nil
}

// Open returns the visitor's session with its record as it is now. The caller closes
// it; until then it stays in memory. The address that ctx is of becomes the one from which
// the visitor last came.
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

// life is how long a session stays in memory. Guarded by Hub.mu.
type life struct {
	refs      int         // holders
	listeners int         // event streams
	idle      *time.Timer // until it is forgotten; nil while it has a holder
	resync    *time.Timer // until it is read from the store again
}

// Close undoes one Open.
func (s *Session) Close() {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	if s.life.refs--; s.life.refs > 0 {
		return
	}
	s.life.resync.Stop()
	if !s.hub.closed {
		s.life.idle = time.AfterFunc(s.hub.Tuning.Linger, s.retire)
	}
}

// retire forgets a session that nobody holds: its row in the store is all that stays.
// One whose turn runs is kept until AnyFrame would have put it to sleep.
func (s *Session) retire() {
	h, works := s.hub, s.works()
	h.mu.Lock()
	if s.life.refs > 0 || h.closed {
		h.mu.Unlock()
		return
	}
	if works {
		s.life.idle = time.AfterFunc(h.Tuning.Linger, s.retire)
		h.mu.Unlock()
		s.seat.RenewIfDue(h.ctx)
		return
	}
	if h.sessions[s.visitor] == s {
		delete(h.sessions, s.visitor)
		h.Metrics.SessionsLive.Set(float64(len(h.sessions)))
	}
	h.mu.Unlock()
	s.answer.End("unsent")
	s.stopPump()
}

// Listen counts one more event stream of the session, until the function that it
// returns is called.
func (s *Session) Listen() (leave func()) {
	change := func(n int) {
		s.hub.mu.Lock()
		was := s.life.listeners
		s.life.listeners += n
		edge := was == 0 || s.life.listeners == 0
		s.hub.mu.Unlock()
		if edge {
			s.seat.RankLater()
		}
	}
	change(1)
	return func() { change(-1) }
}

// listened reports whether somebody listens.
func (s *Session) listened() bool {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	return s.life.listeners > 0
}

// Revoke ends the visitor's streams: the token is no longer good.
func (h *Hub) Revoke(visitor string) {
	h.mu.Lock()
	s := h.sessions[visitor]
	delete(h.sessions, visitor) // the next of that name is another visitor
	h.mu.Unlock()
	if s != nil {
		s.revoke()
		s.stopPump()
	}
}

// live returns the sessions in memory.
func (h *Hub) live() []*Session {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Collect(maps.Values(h.sessions))
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

// Close ends all sessions and waits for their goroutines. Sandboxes are left to go to
// sleep by themselves.
func (h *Hub) Close() {
	h.BeginDrain()
	h.mu.Lock()
	h.closed = true
	for _, s := range h.sessions {
		if s.life.idle != nil {
			s.life.idle.Stop()
		}
		s.life.resync.Stop()
	}
	h.mu.Unlock()
	h.cancel()
	h.members.Close()
}

// Kept returns how many events and bytes all logs keep together.
func (h *Hub) Kept() (events, bytes int) {
	for _, s := range h.live() {
		n, size := s.View().Log.Size()
		events, bytes = events+n, bytes+size
	}
	return events, bytes
}

// InMemory returns how many sessions are held, and how many more of whose rank the
// store has yet to be told.
func (h *Hub) InMemory() int {
	all := map[*capacity.Seat]bool{}
	for _, seat := range h.gate.Unranked() {
		all[seat] = true
	}
	for _, s := range h.live() {
		all[s.seat] = true
	}
	return len(all)
}

// SetStore makes the hub use another store. It must be called before the first Open.
func (h *Hub) SetStore(st Store) { h.Store, h.gate.Store, h.leases.Store = st, st, st }

// SetLease makes leases hold for another time. It must be called before the first Open.
func (h *Hub) SetLease(d time.Duration) { h.leases.TTL = d }

// RankNow tells the store at once of the ranks that have changed.
func (h *Hub) RankNow() { h.gate.RankNow() }
