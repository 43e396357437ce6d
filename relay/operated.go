package relay

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/admin"
	"github.com/anyframe-relay/relay/relay/internal/backoff"
	"github.com/anyframe-relay/relay/relay/internal/control"
	"github.com/anyframe-relay/relay/relay/internal/history"
	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/store"
)

// operated returns the sites that have conversations, in the order in which operators see
// them. It wires a site that only other processes have served so far.
func (s *Server) operated(ctx context.Context) (sites []admin.Site, err error) {
	all := *s.sites.Load()
	for _, name := range slices.Sorted(maps.Keys(all)) { // the default site's name is empty
		site := all[name]
		w := site.current()
		if w == nil {
			n, err := store.ForSite(s.store, name).CountRecords(ctx, history.Kind, time.Time{})
			if err != nil {
				return nil, err
			}
			if n == 0 {
				continue
			}
			if w, err = site.use(); errors.Is(err, problem.NotFound) {
				continue // removed in the meantime
			} else if err != nil {
				return nil, err
			}
		}
		of := admin.Site{
			Name: site.label(), Hub: w.hub, Book: w.book, Erasures: w.erasing.worker, Prompts: w.prompts, Sessions: w.store, Client: w.client, Past: w.past,
		}
		if site.rated() {
			of.Feedback = w.feedback
		}
		sites = append(sites, of)
	}
	return sites, nil
}

// rated reports whether the site's visitors may rate answers.
func (s *site) rated() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.config.Feedback
}

// siteRows returns each site's view of the store.
func (s *Server) siteRows() (all []store.RecordStore) {
	for _, name := range slices.Sorted(maps.Keys(*s.sites.Load())) {
		all = append(all, store.ForSite(s.store, name))
	}
	return all
}

// usage returns the usage counts of each site, in the order of operated; days are in the
// order of [usage.Counter.Days].
func (s *Server) usage(ctx context.Context) (sites []admin.Usage, err error) {
	all := *s.sites.Load()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		days, err := all[name].usage.Days(ctx)
		if err != nil {
			return nil, err
		}
		sites = append(sites, admin.Usage{Site: all[name].label(), Days: days})
	}
	return sites, nil
}

const (
	// maxStopDelay is the maximum backoff between attempts to stop all turns.
	maxStopDelay = 15 * time.Second
	// workedFor is how far back stopLeft looks for turns whose process crashed. No turn
	// takes longer.
	workedFor = 24 * time.Hour
	// stopPage is how many conversations are read per page.
	stopPage = 200
)

// stopAll stops all running turns of all sites after an operator paused the relay. It
// retries until the stops are stored. It then runs a second time, for messages that were
// in flight to AnyFrame when the pause began. It returns early if the pause ends.
func (s *Server) stopAll(pause control.Pause) {
	for looks, failures := 0, 0; looks < 2; {
		if p := s.control.State().Pause(); p == nil || *p != pause {
			return
		}
		wait := s.config.UpstreamTimeout
		if err := s.stopSites(s.open); err != nil {
			failures++
			wait = backoff.Delay(failures, maxStopDelay)
			s.log.Warn("failed to stop running turns", "error", err)
		} else {
			looks++
		}
		if backoff.Sleep(s.open, wait); s.open.Err() != nil {
			return
		}
	}
}

// stopSites requests a stop of every conversation, on every site, in which the agent may
// be working.
func (s *Server) stopSites(ctx context.Context) error {
	sites, err := s.operated(ctx)
	errs := []error{err}
	for _, site := range sites {
		errs = append(errs, site.Hub.StopLive(ctx), stopLeft(ctx, site))
	}
	return errors.Join(errs...)
}

// stopLeft does what StopLive does for a site's conversations whose turn began, in any
// process, and has no recorded end.
func stopLeft(ctx context.Context, site admin.Site) error {
	var errs []error
	var active time.Time
	for id, since := "", time.Now().Add(-workedFor); ; {
		page, err := site.Book.Latest(ctx, active, id, stopPage)
		if err != nil {
			return errors.Join(append(errs, err)...)
		}
		for _, c := range page {
			if active, id = c.ActiveAt, c.ID; active.Before(since) {
				return errors.Join(errs...)
			}
			if c.Busy {
				errs = append(errs, site.Hub.StopAll(ctx, c.Visitor, c.Epoch))
			}
		}
		if len(page) < stopPage {
			return errors.Join(errs...)
		}
	}
}
