package session

import (
	"context"
	"log/slog"
	"time"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/admission"
	"github.com/anyframe-relay/relay/relay/internal/conversation"
	"github.com/anyframe-relay/relay/relay/internal/history"
	"github.com/anyframe-relay/relay/relay/internal/store"
	"github.com/anyframe-relay/relay/relay/internal/telemetry"
	"github.com/anyframe-relay/relay/relay/internal/visitorctx"
)

// Store is the part of the store that sessions need.
type Store interface {
	store.SessionStore
	store.NoteStore
	store.LeaseStore
	store.AdmissionStore
	store.ChangeStore
	store.RecordStore
	Scrub(ctx context.Context) error
}

// Options configures a Hub.
type Options struct {
	AgentID int64

	IdleTimeout     time.Duration // after which AnyFrame puts a sandbox to sleep
	BootTimeout     time.Duration // of one attempt to get a sandbox running
	SendWait        time.Duration // how long a turn waits
	UpstreamTimeout time.Duration // of one call to AnyFrame
	VisitorTTL      time.Duration // of records and notes
	ProvisionalTTL  time.Duration // of the token of a visitor without a conversation
	StreamLifetime  time.Duration // of visitors' event streams
	MaxSessions     int           // awake at once, over all sites
	MaxOwn          int           // awake at once, of this site; 0 is no separate limit

	Conversation conversation.Options
	Store        Store
	// SleepForeign puts a sandbox of another site to sleep, as the hub does with its own.
	// It is nil if there are no other sites.
	SleepForeign func(context.Context, store.Awake) (bool, error)
	Notifier     store.Notifier // nil if the store has none
	Client       *anyframe.Client
	Quota        Quota
	Admission    *admission.Desk
	Contexts     *visitorctx.Keeper // nil if the agent gets no context about visitors
	Pause        Pause
	History      *history.Book                                                            // the index of conversations
	TurnFailed   func(ctx context.Context, visitor string, epoch, seq int64, turn string) // may be called more than once for a turn; may be nil
	// TokenValid reports whether a token that was valid still is.
	TokenValid func(ctx context.Context, token string) (bool, error)
	// TokenKey returns the key under which a token is stored.
	TokenKey func(token string) string

	Metrics *telemetry.Metrics
	Log     *slog.Logger
	Tuning  Tuning
}
