package resync

import (
	"context"
	"log/slog"

	"github.com/anyframe-relay/relay/relay/internal/store"
)

// Hints sends hints to other replicas, and receives theirs, that a visitor's rows have
// changed. A lost hint does no harm: a [Loop] detects the change later.
type Hints struct {
	Notifier store.Notifier // nil if the store has none
	Log      *slog.Logger
}

// Publish sends other replicas a hint.
func (h Hints) Publish(ctx context.Context, visitor string) {
	if h.Notifier == nil {
		return
	}
	if err := h.Notifier.Publish(context.WithoutCancel(ctx), visitor); err != nil {
		h.Log.Debug("failed to publish a hint", "error", err)
	}
}

// Subscribe calls hinted with other replicas' hints until ctx ends.
func (h Hints) Subscribe(ctx context.Context, hinted func(visitor string)) {
	if h.Notifier != nil {
		h.Notifier.Subscribe(ctx, hinted)
	}
}
