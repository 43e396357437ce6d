package resync

import (
	"context"
	"log/slog"

	"github.com/anyframe-relay/relay/relay/internal/store"
)

// Hints passes on to other replicas, and takes from them, that something of a visitor's has
// changed. A hint that is lost makes nothing wrong: a [Loop] finds the change later.
type Hints struct {
	Notifier store.Notifier // nil where the store has none
	Log      *slog.Logger
}

// Publish gives other replicas a hint.
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
