package relay

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync/atomic"

	"github.com/anyframe-relay/relay/relay/internal/problem"
)

// A visitor whom the website named has a token on every device. Logging out
// makes one of them void and leaves the visitor be, so that it is not the
// session that ends then but the streams which were opened with that token.

// device is one token that has streams open.
type device struct {
	streams int // guarded by session.mu
	void    atomic.Bool
}

// isVoid reports whether the token is void. No device is never void.
func (d *device) isVoid() bool { return d != nil && d.void.Load() }

// attach counts a stream that is opened with a token. The caller calls detach
// in the end, and must see that the token is still good after attach.
func (s *session) attach(token string) *device {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.devices[token]
	if d == nil {
		if s.devices == nil {
			s.devices = map[string]*device{}
		}
		d = &device{}
		s.devices[token] = d
	}
	d.streams++
	return d
}

func (s *session) detach(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := s.devices[token]; d != nil {
		if d.streams--; d.streams == 0 {
			delete(s.devices, token)
		}
	}
}

// expel ends the streams that were opened with a token.
func (s *session) expel(token string) {
	s.mu.Lock()
	d, log := s.devices[token], s.log
	s.mu.Unlock()
	if d != nil {
		d.void.Store(true)
		log.Notify()
	}
}

// expel ends the streams of this process that were opened with the visitor's
// token. Other replicas find out when they check.
func (h *hub) expel(visitor, token string) {
	h.mu.Lock()
	s := h.sessions[visitor]
	h.mu.Unlock()
	if s != nil {
		s.expel(token)
	}
}

// checkDevices ends the streams whose tokens became void elsewhere or ran out.
func (s *session) checkDevices(ctx context.Context) {
	s.mu.Lock()
	tokens := slices.Collect(maps.Keys(s.devices))
	s.mu.Unlock()
	for _, token := range tokens {
		if _, err := s.hub.holder(ctx, token); errors.Is(err, problem.VisitorUnknown) {
			s.expel(token)
		}
	}
}
