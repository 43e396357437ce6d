package relay

import "time"

// SetLeases makes leases of s hold for another time than usual. It must be
// called before the first request.
func (s *Server) SetLeases(d time.Duration) { s.hub.leases = d }

// SetLinger makes s keep sessions that nobody needs for another time than
// usual. It must be called before the first request.
func (s *Server) SetLinger(d time.Duration) { s.hub.linger = d }
