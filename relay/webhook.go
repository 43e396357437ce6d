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

// Webhook says where the relay sends its events. The zero Webhook sends none.
type Webhook = webhook.Config

// WebhookEvents lists every type of event.
func WebhookEvents() []string { return webhook.Types() }

// WebhookFormats lists every format in which events are sent.
func WebhookFormats() []string { return webhook.Formats() }

// sendLease is how long a process that died keeps others from sending events.
const sendLease = 15 * time.Second

// outbox holds the events of a site.
func (c *Config) outbox(site string, st store.Store, m *telemetry.Metrics, log *slog.Logger) (*webhook.Outbox, error) {
	return webhook.New(webhook.Options{
		Config: c.Webhook, Site: site, Store: st, Metrics: m, Log: log, Tuning: c.tuning.Webhook,
		Leases: &lease.Holder{Store: st, Owner: rand.Text(), TTL: sendLease, Log: log},
	})
}

// CheckWebhook sends an event that only tests the receiver. It does nothing where there is
// none.
func (c *Config) CheckWebhook(ctx context.Context) error {
	if c.Webhook.URL == "" {
		return nil
	}
	return webhook.Send(ctx, &c.Webhook)
}
