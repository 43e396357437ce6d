package session

import (
	"cmp"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/conversation"
)

// Live are the settings of a site that may change while it is served.
type Live struct {
	AgentID      int64 // of new epochs
	MaxOwn       int   // sandboxes awake at once; 0 is no limit of its own
	Conversation conversation.Options
}

// Change makes other settings count. Epochs that have begun keep their agent, and
// conversations that are in memory show what they have shown.
func (h *Hub) Change(l Live) {
	h.live.Store(&l)
	h.gate.SetOwn(l.MaxOwn)
}

// Retire ends the streams of a site that is gone, and refuses all that may still come.
// The caller closes the hub.
func (h *Hub) Retire() {
	h.retired.Store(true)
	h.BeginDrain()
	h.NotifyStreams()
}

// Retired reports whether the site is gone.
func (h *Hub) Retired() bool { return h.retired.Load() }

// ConversationOptions are what a conversation that begins now shows.
func (h *Hub) ConversationOptions() *conversation.Options { return &h.live.Load().Conversation }

// agent is the agent of new epochs.
func (h *Hub) agent() int64 { return h.live.Load().AgentID }

// Tuning are times that only tests change. Zero is the default.
type Tuning struct {
	// Linger is how long a session stays in memory, and its upstream stream open, when
	// it has no listener and no turn runs. Default 30s.
	Linger time.Duration
	// Lease is how long a replica that died keeps others from going on. Default 15s.
	Lease time.Duration
	// Resync is how often it is found out whether another replica has changed a session
	// that is held here. Default 8s.
	Resync time.Duration
	// ProbeAfter is after how long without a word from AnyFrame it is asked whether the
	// sandbox still runs: its stream may stay open when it does not. While no turn runs, it
	// is asked ever more rarely, up to eight times as late. Default 1m.
	ProbeAfter time.Duration
}

func (t Tuning) withDefaults() Tuning {
	t.Linger, t.Lease = cmp.Or(t.Linger, 30*time.Second), cmp.Or(t.Lease, 15*time.Second)
	t.Resync, t.ProbeAfter = cmp.Or(t.Resync, 8*time.Second), cmp.Or(t.ProbeAfter, time.Minute)
	return t
}
