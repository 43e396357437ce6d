package relay

import (
	"errors"
	"reflect"
)

// Reload makes the settings of c's sites count, and those of the default site: origins,
// limits and looks at once, agent and key for new epochs only. No stream of a site that
// stays is ended. A site that is gone ends its streams with the problem not_found. What c
// says of all sites together does not count until the relay is started again. A c that is
// wrong changes nothing.
func (s *Server) Reload(c Config) error {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	next := c.with(&s.config)
	next.MaxSessions, next.MaxStreams = s.config.MaxSessions, s.config.MaxStreams
	next.Sites, next.Triggers, next.ofMany = c.Sites, s.config.Triggers, false
	if err := errors.Join(next.Validate(), next.validateSites()); err != nil {
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
			errs = append(errs, err) // it was valid; the others change all the same
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

// OnReload sets what reads the settings again when an operator asks for it: read calls
// [Server.Reload] with them, and returns what is wrong, a line each.
func (s *Server) OnReload(read func() (wrong []string)) { s.rereads.Store(&read) }

func (s *Server) reread() (wrong []string) {
	if read := s.rereads.Load(); read != nil {
		return (*read)()
	}
	return []string{"this relay cannot read its settings again"}
}

// same reports whether the site has these settings already.
func (s *site) same(c *Config) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	was, is := s.config, *c
	for _, c := range []*Config{&was, &is} { // what is the process's cannot be compared, and does not change
		c.Sites, c.Traces, c.UpstreamLog, c.tuning = nil, nil, nil, tuning{}
	}
	return reflect.DeepEqual(was, is)
}
