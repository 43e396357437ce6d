package relay

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
)

// Reload applies the settings of c's sites and of the default site. Origins, limits and
// looks apply at once; agent and key apply to new epochs only. The streams of sites that
// remain are not ended. The streams of a removed site end with the problem not_found.
// Settings that all sites share apply only after a restart. An invalid c changes nothing.
func (s *Server) Reload(c Config) error {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	next := c.with(&s.config)
	next.MaxSessions, next.MaxStreams = s.config.MaxSessions, s.config.MaxStreams
	next.Sites, next.Triggers, next.ofMany = slices.Clone(c.Sites), s.config.Triggers, false
	for i := range next.Sites {
		own := &next.Sites[i].Config // which may have inherited limits that apply after a restart
		own.MaxSessions, own.MaxStreams = min(own.MaxSessions, next.MaxSessions), min(own.MaxStreams, next.MaxStreams)
	}
	if err := errors.Join(next.Validate(), c.validateSites()); err != nil {
		return err
	}
	old := *s.sites.Load()
	all := map[string]*site{}
	var added, changed []*site
	settings := next.bySite()
	for name, config := range settings {
		if all[name] = old[name]; all[name] == nil {
			all[name] = s.newSite(name, config)
			added = append(added, all[name])
		} else if !all[name].same(&config) {
			changed = append(changed, all[name])
		}
	}
	if err := changeAll(changed, settings); err != nil {
		return err
	}
	for _, site := range changed {
		s.log.Info("site changed", "name", site.label())
	}
	for _, site := range added {
		s.log.Info("site added", "name", site.label())
	}
	s.sites.Store(&all)
	for name, site := range old {
		if all[name] == nil {
			s.log.Info("site removed", "name", site.label())
			site.retire()
		}
	}
	return nil
}

// changeAll changes all sites or none. Validated settings should not fail; if those of one
// site do, the sites before it get their former settings again.
func changeAll(sites []*site, settings map[string]Config) error {
	former := map[*site]Config{}
	for _, site := range sites {
		was, err := site.change(settings[site.name])
		if err != nil {
			for site, was := range former {
				_, _ = site.change(was) // the site has run with these settings
			}
			return fmt.Errorf("site %s: %w", site.label(), err)
		}
		former[site] = was
	}
	return nil
}

// OnReload sets the function that rereads the settings when an operator requests it. read
// calls [Server.Reload] with the new settings and returns what is wrong, one line each.
func (s *Server) OnReload(read func() (wrong []string)) { s.rereads.Store(&read) }

func (s *Server) reread() (wrong []string) {
	if read := s.rereads.Load(); read != nil {
		return (*read)()
	}
	return []string{"this relay cannot read its settings again"}
}

// same reports whether the site already has these settings.
func (s *site) same(c *Config) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	was, is := s.config, *c
	for _, c := range []*Config{&was, &is} { // process-wide values cannot be compared and do not change
		c.Sites, c.Traces, c.UpstreamLog, c.tuning = nil, nil, nil, tuning{}
	}
	return reflect.DeepEqual(was, is)
}
