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

// Store is what the engine needs of the store.
type Store interface {
	store.SessionStore
	store.NoteStore
	store.LeaseStore
	store.AdmissionStore
	store.ChangeStore
	store.RecordStore
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
	MaxSessions     int           // awake at once, of all sites
	MaxOwn          int           // of them of this site; 0 is no limit of its own

	Conversation conversation.Options
	Store        Store
	// SleepForeign puts a sandbox of another site to sleep, as the hub does its own.
	// Nil where there is none.
	SleepForeign func(context.Context, store.Awake) (bool, error)
	Notifier     store.Notifier // nil where the store has none
	Client       *anyframe.Client
	Quota        Quota
	Admission    *admission.Desk
	Contexts     *visitorctx.Keeper // nil: the agent is told nothing about visitors
	Pause        Pause
	History      *history.Book                                                            // which conversations there are
	TurnFailed   func(ctx context.Context, visitor string, epoch, seq int64, turn string) // maybe again; nil: not told
	// TokenValid reports whether a token that was good still is.
	TokenValid func(ctx context.Context, token string) (bool, error)
	// TokenKey returns under which key the store has a token.
	TokenKey func(token string) string

	Metrics *telemetry.Metrics
	Log     *slog.Logger
	Tuning  Tuning
}
