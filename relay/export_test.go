package relay

import "time"

// SetLeases makes leases of s hold for another time than usual. It must be
// called before the first request.
func (s *Server) SetLeases(d time.Duration) { s.hub.leases = d }

// SetLinger makes s keep sessions that nobody needs for another time than
// usual. It must be called before the first request.
func (s *Server) SetLinger(d time.Duration) { s.hub.linger = d }

// SetWatch makes s read sessions from the store again after another time than
// usual. It must be called before the first request.
func (s *Server) SetWatch(quiet, live time.Duration) {
	s.hub.watchQuiet, s.hub.watchLive = quiet, live
}

// SessionsInMemory is how many sessions s holds.
func (s *Server) SessionsInMemory() int {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	return len(s.hub.sessions)
}
