package intake

import (
	"context"
	"log/slog"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/conversation"
	"github.com/anyframe-relay/relay/relay/internal/telemetry"
	"github.com/anyframe-relay/relay/relay/internal/upstream"
)

// Options are what the intakes of a process have in common.
type Options struct {
	Client  *anyframe.Client
	Metrics *telemetry.Metrics
}

// Intake reads for one visitor.
type Intake struct {
	*Options

	// Log returns a logger that names the session.
	Log func() *slog.Logger
	// Guard runs do and reports whether it completed: a panic is caught.
	Guard func(do func()) (ended bool)
	// Slot takes the visitor's place for one upstream read under way, so that a storm of
	// returning tabs does not become AnyFrame's, and returns what gives it back.
	Slot func(context.Context) (done func(), err error)
	// Learned is called with what an event taught that is to be stored.
	Learned func(*conversation.Conversation, conversation.Effect)
}

// apply gives an event to a conversation and sees to what comes of it.
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

// usageKinds are the members of a result's usage that are counted, as the metrics name
// them.
var usageKinds = map[string]string{
	"input_tokens": "input", "output_tokens": "output", "cache_read_input_tokens": "cache_read", "cache_creation_input_tokens": "cache_write",
}

// countUsage counts what a turn cost, if the event that ended it says so.
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
