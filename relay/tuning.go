package relay

import (
	"time"

	"github.com/anyframe-relay/relay/relay/internal/session"
	"github.com/anyframe-relay/relay/relay/internal/store"
	"github.com/anyframe-relay/relay/relay/internal/stream"
	"github.com/anyframe-relay/relay/relay/internal/webhook"
)

// tuning is what only tests change: times that would make them slow, and what is between
// the sessions and their store. The zero tuning changes nothing.
type tuning struct {
	Session session.Tuning
	Webhook webhook.Tuning
	Stream  stream.Options // its Lifetime is the configuration's
	// Store returns the store that sessions use instead of s.
	Store func(s store.Store) session.Store
	// EraseAgain is how long after an erasure it is done once more.
	EraseAgain time.Duration
}
