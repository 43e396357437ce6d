package intake

import (
	"context"
	"log/slog"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/conversation"
	"github.com/anyframe-relay/relay/relay/internal/telemetry"
	"github.com/anyframe-relay/relay/relay/internal/upstream"
)

// Options are the settings that all intakes of a process share.
type Options struct {
	Client  *anyframe.Client
	Metrics *telemetry.Metrics
}

// Intake reads for one visitor.
type Intake struct {
	*Options

	// Log returns a logger that names the session.
	Log func() *slog.Logger
	// Guard runs do, recovers from a panic, and reports whether do returned normally.
	Guard func(do func()) (ended bool)
	// Slot takes the visitor's slot for one upstream read, and returns a function that
	// releases it. Slots keep a storm of reconnecting tabs from reaching AnyFrame.
	Slot func(context.Context) (done func(), err error)
	// Learned is called with what an event revealed that must be stored.
	Learned func(*conversation.Conversation, conversation.Effect)
}

// apply passes an event to a conversation and handles its effect.
func (in *Intake) apply(ctx context.Context, c *conversation.Conversation, ev *upstream.Event) {
	e := c.Apply(ctx, ev)
	if e.Answered > 0 {
		in.Metrics.FirstEvent.Observe(e.Answered.Seconds())
	}
	if e.Ended {
		in.Metrics.TurnEnds.WithLabelValues(e.Reason).Inc()
	}
	if e.Took > 0 {
		in.Metrics.TurnSeconds.Observe(e.Took.Seconds())
		in.Log().Info("turn ended", "reason", e.Reason, "ms", e.Took.Milliseconds())
	}
	if e.Ours {
		in.countUsage(ev.Members)
	}
	if !e.Empty() {
		in.Learned(c, e)
	}
}

// usageKinds maps the counted members of a result's usage to their names in the metrics.
var usageKinds = map[string]string{
	"input_tokens": "input", "output_tokens": "output", "cache_read_input_tokens": "cache_read", "cache_creation_input_tokens": "cache_write",
}

// countUsage counts the cost of a turn, if the event that ended it contains it.
func (in *Intake) countUsage(result upstream.Object) {
	usage := result.Sub("usage")
	for member, kind := range usageKinds {
		if n, ok := usage.Amount(member); ok {
			in.Metrics.AgentTokens.WithLabelValues(kind).Add(n)
		}
	}
	if cost, ok := result.Amount("total_cost_usd"); ok {
		in.Metrics.AgentCost.WithLabelValues().Add(cost)
	}
}
