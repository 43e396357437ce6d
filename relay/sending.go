package relay

import (
	"context"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/backoff"
	"github.com/anyframe-relay/relay/relay/internal/erasure"
	"github.com/anyframe-relay/relay/relay/internal/history"
	"github.com/anyframe-relay/relay/relay/internal/stop"
	"github.com/anyframe-relay/relay/relay/internal/store"
	"github.com/anyframe-relay/relay/relay/internal/upstream"
	"github.com/anyframe-relay/relay/relay/internal/webhook"
)

// sending delivers the webhook events of a site. It is guarded by Server.startMu.
type sending struct {
	outbox *webhook.Outbox // nil without a receiver
	stop   context.CancelFunc
	stops  bool // the hub carries out stops that other processes requested
}

// send makes outbox the site's outbox and replaces the previous one. Events are delivered
// while Run is running.
func (s *Server) send(w *wired, outbox *webhook.Outbox) {
	s.startMu.Lock()
	defer s.startMu.Unlock()
	if w.sending.stop != nil {
		w.sending.stop()
	}
	w.sending = sending{outbox: outbox, stops: w.sending.stops}
	if s.running != nil {
		s.startSending(w)
	}
}

// startSending starts delivery. The caller holds startMu.
func (s *Server) startSending(w *wired) {
	if !w.sending.stops {
		w.sending.stops = true
		running := s.running
		s.members.Go(func() { w.hub.Run(running) })
	}
	if w.sending.outbox == nil || w.sending.stop != nil {
		return
	}
	ctx, cancel := context.WithCancel(s.running)
	w.sending.stop = cancel
	outbox := w.sending.outbox
	s.members.Go(func() {
		defer cancel()
		outbox.Run(ctx)
	})
}

// startSites starts event delivery and erasure for the wired sites. It also wires sites
// that have unfinished work from an earlier run of the process or from another process
// that has ended. It returns when ctx ends.
func (s *Server) startSites(ctx context.Context) {
	s.startMu.Lock()
	s.running = ctx
	s.startMu.Unlock() // a site's own lock must be taken before this one
	for w := range s.inUse() {
		s.startMu.Lock()
		s.startSending(w)
		s.startErasing(w)
		s.startMu.Unlock()
	}
	for {
		s.useUnfinished(ctx)
		backoff.Sleep(ctx, unfinishedEvery)
		if ctx.Err() != nil {
			return
		}
	}
}

// unfinishedEvery is how often unwired sites are checked for work that another process
// left unfinished. Each check costs a few reads of the store.
const unfinishedEvery = 10 * time.Minute

// useUnfinished wires the sites that have work without a request: events to deliver,
// stops, erasures, or conversations that reach their retention.
func (s *Server) useUnfinished(ctx context.Context) {
	for _, site := range *s.sites.Load() {
		if ctx.Err() != nil {
			return
		}
		if site.current() != nil {
			continue
		}
		rows := store.ForSite(s.store, site.name)
		waits := func(count func(context.Context) (int, error)) bool {
			n, err := count(ctx)
			return err == nil && n > 0
		}
		if site.tells() && waits(func(ctx context.Context) (int, error) { return webhook.Waiting(ctx, rows) }) ||
			waits(func(ctx context.Context) (int, error) { return stop.Pending(ctx, rows) }) ||
			waits(func(ctx context.Context) (int, error) { return erasure.Waiting(ctx, rows) }) ||
			site.retains() && waits(func(ctx context.Context) (int, error) { return rows.CountRecords(ctx, history.Kind, time.Time{}) }) {
			_, _ = site.use() // the site's first request reports the error
		}
	}
}

// retains reports whether the site has a retention period.
func (s *site) retains() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.config.Retention > 0
}

// tells reports whether the site has a webhook receiver.
func (s *site) tells() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.config.Webhook.URL != ""
}

// keyRefused publishes, on every site of an account, that AnyFrame refused its key.
func (s *Server) keyRefused(ctx context.Context, a upstream.Account) {
	for w := range s.inUse() {
		if w.route.Account() == a {
			w.journal.KeyRefused(ctx, time.Now())
		}
	}
}
