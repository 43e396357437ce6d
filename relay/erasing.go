package relay

import (
	"context"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/consent"
	"github.com/anyframe-relay/relay/relay/internal/erasure"
	"github.com/anyframe-relay/relay/relay/internal/store"
	"github.com/anyframe-relay/relay/relay/internal/visitor"
)

// erasing runs the erasure worker of a site.
type erasing struct {
	worker *erasure.Worker
	stop   context.CancelFunc // guarded by Server.startMu; nil while the worker is not running
}

// eraser returns the erasure worker of a site. The caller holds mu.
func (s *site) eraser(w *wired, client *anyframe.Client) *erasure.Worker {
	c := &s.config
	return erasure.New(erasure.Options{
		Store: w.store, Book: w.book, Client: client,
		Ender:     ender{w.hub, w.journal, w.book, 2*c.VisitorTTL + c.StreamLifetime + c.IdleTimeout + c.BootTimeout},
		Retention: c.Retention, Receipts: c.VisitorTTL, Unused: visitor.ProvisionalTTL, Settle: c.tuning.EraseAgain,
		CallTimeout: c.UpstreamTimeout, Metrics: w.metrics, Log: w.log,
		Also: []func(context.Context, string, int64) error{w.contexts.Forget, w.feedback.Forget, consent.New("", w.store, consent.TTL{}).Forget},
		Done: func(ctx context.Context, e erasure.Erasure) error { return w.journal.ErasureDone(ctx, e.ID, e.Visitor) },
	})
}

// erase starts a site's erasure worker if Run is running.
func (s *Server) erase(w *wired) {
	s.startMu.Lock()
	defer s.startMu.Unlock()
	if s.running != nil {
		s.startErasing(w)
	}
}

// startErasing starts the worker. The caller holds startMu.
func (s *Server) startErasing(w *wired) {
	if w.erasing.stop != nil {
		return
	}
	ctx, cancel := context.WithCancel(s.running)
	w.erasing.stop = cancel
	worker := w.erasing.worker
	s.members.Go(func() {
		defer cancel()
		worker.Run(ctx)
	})
}

// stopErasing stops the worker. Pending erasures stay in the store.
func (s *Server) stopErasing(w *wired) {
	s.startMu.Lock()
	defer s.startMu.Unlock()
	if w.erasing.stop != nil {
		w.erasing.stop()
	}
}

// erasuresPending returns a function that counts the pending erasures of all sites of
// this process.
func (s *Server) erasuresPending(rows store.Store) func(context.Context) (int, error) {
	return func(ctx context.Context) (n int, err error) {
		for name, site := range *s.sites.Load() {
			if site.current() == nil {
				continue
			}
			pending, err := erasure.Waiting(ctx, store.ForSite(rows, name))
			if err != nil {
				return 0, err
			}
			n += pending
		}
		return n, nil
	}
}
