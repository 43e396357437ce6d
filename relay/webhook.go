package relay

import (
	"context"
	"crypto/rand"
	"log/slog"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/lease"
	"github.com/anyframe-relay/relay/relay/internal/store"
	"github.com/anyframe-relay/relay/relay/internal/telemetry"
	"github.com/anyframe-relay/relay/relay/internal/webhook"
)

// Webhook is where the relay sends its events. The zero Webhook sends none.
type Webhook = webhook.Config

// WebhookEvents lists every event type.
func WebhookEvents() []string { return webhook.Types() }

// WebhookFormats lists every event format.
func WebhookFormats() []string { return webhook.Formats() }

// sendLease is how long a crashed process keeps others from sending events.
const sendLease = 15 * time.Second

// outbox returns the outbox of a site's events.
func (c *Config) outbox(site string, st store.Store, m *telemetry.Metrics, log *slog.Logger) (*webhook.Outbox, error) {
	return webhook.New(webhook.Options{
		Config: c.Webhook, Site: site, Store: st, Metrics: m, Log: log, Tuning: c.tuning.Webhook,
		Leases: &lease.Holder{Store: st, Owner: rand.Text(), TTL: sendLease, Log: log},
	})
}

// CheckWebhook sends a test event to the receiver. It does nothing without one.
func (c *Config) CheckWebhook(ctx context.Context) error {
	if c.Webhook.URL == "" {
		return nil
	}
	return webhook.Send(ctx, &c.Webhook)
}
