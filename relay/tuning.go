package relay

import (
	"time"

	"github.com/anyframe-relay/relay/relay/internal/session"
	"github.com/anyframe-relay/relay/relay/internal/store"
	"github.com/anyframe-relay/relay/relay/internal/stream"
	"github.com/anyframe-relay/relay/relay/internal/webhook"
)

// tuning holds what only tests change: durations that would make them slow, and the store
// that sessions use. The zero tuning changes nothing.
type tuning struct {
	Session session.Tuning
	Webhook webhook.Tuning
	Stream  stream.Options // Lifetime comes from the Config
	// Store returns the store that sessions use instead of s.
	Store func(s store.Store) session.Store
	// EraseAgain is how long after an erasure it is repeated.
	EraseAgain time.Duration
}
