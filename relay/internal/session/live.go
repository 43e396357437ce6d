package session

import (
	"cmp"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/conversation"
	"github.com/anyframe-relay/relay/relay/internal/visitorctx"
)

// Live holds the settings of a site that may change while it is served.
type Live struct {
	AgentID      int64 // for new epochs
	MaxOwn       int   // the site's limit of sandboxes awake at once; 0 is none
	Conversation conversation.Options
	Contexts     *visitorctx.Keeper // nil if the agent gets no context about visitors
}

// Change applies other settings. Running epochs keep their agent, and conversations in
// memory keep the content they already show.
func (h *Hub) Change(l Live) {
	h.live.Store(&l)
	h.gate.SetOwn(l.MaxOwn)
}

// Retire ends the streams of a removed site and refuses further requests. The caller
// closes the hub.
func (h *Hub) Retire() {
	h.retired.Store(true)
	h.BeginDrain()
	h.NotifyStreams()
}

// Retired reports whether the site has been removed.
func (h *Hub) Retired() bool { return h.retired.Load() }

// ConversationOptions returns the options of a conversation that begins now.
func (h *Hub) ConversationOptions() *conversation.Options { return &h.live.Load().Conversation }

// contexts returns what keeps the context about visitors for the agent, or nil.
func (h *Hub) contexts() *visitorctx.Keeper { return h.live.Load().Contexts }

// agent returns the agent of new epochs.
func (h *Hub) agent() int64 { return h.live.Load().AgentID }

// Tuning holds durations that only tests change. Zero is the default.
type Tuning struct {
	// Linger is how long a session without listeners and running turns stays in memory
	// with its upstream stream open. Default 30s.
	Linger time.Duration
	// Lease is how long a crashed replica's leases block other replicas. Default 15s.
	Lease time.Duration
	// Resync is the interval of checks whether another replica has changed a session in
	// memory. Default 8s.
	Resync time.Duration
	// ProbeAfter is how long AnyFrame's stream may be silent before the relay asks
	// whether the sandbox still runs, because the stream can stay open when it does not.
	// While no turn runs, the first time is so long after the idle timeout, and the
	// interval grows up to eightfold. Default 1m.
	ProbeAfter time.Duration
}

func (t Tuning) withDefaults() Tuning {
	t.Linger, t.Lease = cmp.Or(t.Linger, 30*time.Second), cmp.Or(t.Lease, 15*time.Second)
	t.Resync, t.ProbeAfter = cmp.Or(t.Resync, 8*time.Second), cmp.Or(t.ProbeAfter, time.Minute)
	return t
}
