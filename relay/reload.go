package relay

import (
	"errors"
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
	var changed []*site
	settings := next.bySite()
	for name, config := range settings {
		if all[name] = old[name]; all[name] == nil {
			all[name] = s.newSite(name, config)
			s.log.Info("site added", "name", all[name].label())
		} else if !all[name].same(&config) {
			changed = append(changed, all[name])
		}
	}
	var errs []error
	for _, site := range changed {
		s.log.Info("site changed", "name", site.label())
		if err := site.change(settings[site.name]); err != nil {
			errs = append(errs, err) // the settings were valid, so the other sites still change
		}
	}
	s.sites.Store(&all)
	for name, site := range old {
		if all[name] == nil {
			s.log.Info("site removed", "name", site.label())
			site.retire()
		}
	}
	return errors.Join(errs...)
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
