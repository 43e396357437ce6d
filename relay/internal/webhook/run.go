package webhook

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/backoff"
	"github.com/anyframe-relay/relay/relay/internal/store"
	"github.com/anyframe-relay/relay/relay/internal/telemetry"
)

// sweepEvery is how often all waiting events are checked for conversations whose first
// event is not due, because a process crashed before it made it due.
const sweepEvery = time.Minute

// Run sends waiting events until ctx ends. Only one of the processes that share the store
// sends.
func (o *Outbox) Run(ctx context.Context) {
	if o == nil {
		return
	}
	defer o.sender.client.CloseIdleConnections()
	o.begin(ctx)
	tick := time.NewTicker(o.options.Tuning.Tick)
	defer tick.Stop()
	var swept time.Time
	var release func() // releases the lease; nil while another process sends
	giveBack := func() {
		if release != nil {
			release()
			release = nil
		}
	}
	defer giveBack()
	for {
		o.lookWhetherOff(ctx)
		if !o.mine() {
			giveBack()
			if r, ok, err := o.options.Leases.Try(ctx, o.lease()); ok && err == nil {
				release = r
			}
		}
		if release != nil && !o.off.Load() {
			if time.Since(swept) > sweepEvery {
				o.sweep(ctx)
				swept = time.Now()
			}
			for more := true; more && ctx.Err() == nil && o.mine(); {
				more = o.sendDue(ctx)
			}
		}
		o.count(ctx)
		select {
		case <-tick.C:
		case <-o.wake:
		case <-ctx.Done():
			return
		}
	}
}

// lease is the name of the lease of the process that sends.
func (o *Outbox) lease() string { return "webhook:" + o.options.Site }

// mine reports whether this process is the one that sends. It may have lost the lease
// while the store was unavailable or the process was paused.
func (o *Outbox) mine() bool { return o.options.Leases.Held(o.lease()) }

// begin turns sending on again after the receiver turned it off, because a process tries
// again after a start.
func (o *Outbox) begin(ctx context.Context) {
	r, err := o.options.Store.Record(ctx, kindOff, o.receiver())
	if err == nil {
		_ = o.options.Store.DeleteRecord(ctx, kindOff, r.Key, r.Version) // otherwise it stays off for a while
	}
}

func (o *Outbox) lookWhetherOff(ctx context.Context) {
	_, err := o.options.Store.Record(ctx, kindOff, o.receiver())
	switch {
	case err == nil:
		o.off.Store(true)
	case errors.Is(err, store.ErrNotFound):
		o.off.Store(false)
	}
}

func (o *Outbox) turnOff(ctx context.Context) {
	o.off.Store(true)
	o.options.Log.Error("webhook receiver returned 410 Gone: no events are sent until the relay restarts or RELAY_WEBHOOK_URL changes")
	_, err := o.options.Store.SaveRecord(ctx, store.Record{Kind: kindOff, Key: o.receiver(), ExpiresAt: time.Now().Add(30 * 24 * time.Hour)})
	if err != nil && !errors.Is(err, store.ErrConflict) {
		o.options.Log.Warn("failed to save that the webhook is off", "error", err)
	}
}

// count updates the metric of waiting events.
func (o *Outbox) count(ctx context.Context) {
	if n, err := o.options.Store.CountRecords(ctx, kindWaiting, time.Time{}); err == nil {
		o.options.Metrics.WebhookWaiting.Set(float64(n))
	}
	o.options.Metrics.WebhookOff.Set(0)
	if o.off.Load() {
		o.options.Metrics.WebhookOff.Set(1)
	}
}

// sweep makes the first event of every conversation due.
func (o *Outbox) sweep(ctx context.Context) {
	stuck := map[string]bool{}
	err := o.each(ctx, func(i item) {
		if i.record.Due.IsZero() {
			stuck[i.record.Owner] = true
		}
	})
	for conversation := range stuck {
		err = errors.Join(err, o.release(ctx, conversation))
	}
	if err != nil && ctx.Err() == nil {
		o.options.Log.Warn("failed to scan the webhook outbox", "error", err)
	}
}

// sendDue sends due events, a few at once, and reports whether there may be more.
func (o *Outbox) sendDue(ctx context.Context) (more bool) {
	due, err := o.options.Store.RecordsDue(ctx, kindWaiting, time.Now(), page)
	if err != nil {
		if ctx.Err() == nil {
			o.options.Log.Warn("failed to look for webhook events to send", "error", err)
		}
		return false
	}
	work := make(chan store.Record)
	var wg sync.WaitGroup
	for range min(workers, len(due)) {
		wg.Go(func() {
			for r := range work {
				o.send(ctx, r)
			}
		})
	}
	for _, r := range due {
		if o.off.Load() || ctx.Err() != nil || !o.mine() {
			break
		}
		work <- r
	}
	close(work)
	wg.Wait()
	return len(due) > 0 && !o.off.Load()
}

// send sends one event and handles the receiver's response.
func (o *Outbox) send(ctx context.Context, r store.Record) {
	i, ok := o.read(ctx, r)
	if !ok {
		return
	}
	v, wait, err := o.sender.post(ctx, r.Key, &i.Message)
	if ctx.Err() != nil && v == again {
		return // it stays due
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	var result string
	switch old := time.Since(time.UnixMilli(i.Stored)) > giveUpAfter; {
	case v == delivered:
		result, err = telemetry.WebhookDelivered, o.finish(ctx, i)
	case v == gone:
		o.turnOff(ctx)
		result, err = telemetry.WebhookRefused, o.finish(ctx, i)
	case v == refused || old:
		o.options.Log.Warn("gave up delivering a webhook event", "id", r.Key, "type", i.Message.Type, "attempts", i.Attempts+1, "error", err)
		result, err = telemetry.WebhookRefused, o.finish(ctx, i)
	default:
		o.options.Log.Debug("webhook receiver did not accept an event", "id", r.Key, "error", err)
		i.Attempts++
		r.Due = time.Now().Add(max(o.delay(i.Attempts), wait))
		result = telemetry.WebhookRetried
		if r.Body, err = i.text(); err == nil {
			_, err = o.options.Store.SaveRecord(ctx, r)
		}
	}
	o.options.Metrics.Webhook(result)
	if err != nil && !errors.Is(err, store.ErrConflict) {
		o.options.Log.Warn("failed to save the result of a webhook delivery", "id", r.Key, "error", err)
		backoff.Sleep(ctx, o.options.Tuning.FirstRetry/2) // it is sent again, with the same id, but not immediately
	}
}

// delay returns the backoff after so many attempts.
func (o *Outbox) delay(attempts int) time.Duration {
	d := o.options.Tuning.FirstRetry << min(attempts-1, 20)
	if d <= 0 || d > o.options.Tuning.MaxRetry {
		d = o.options.Tuning.MaxRetry
	}
	return min(d/2+rand.N(d), o.options.Tuning.MaxRetry) //nolint:gosec // spreads retries, is no secret
}
