package session

import (
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
)

// A visitor whom the website named has a token on every device. Logging out makes one of
// them void and leaves the visitor be, so that it is not the session that ends then but
// the streams which were opened with that token.

// devices are the tokens that have streams open.
type devices struct {
	mu  sync.Mutex // a device is in the map exactly while it has streams
	all map[string]*Device
}

// Device is one token that has streams open.
type Device struct {
	streams int // guarded by devices.mu
	void    atomic.Bool
}

// Void reports whether the token is void. No device is never void.
func (d *Device) Void() bool { return d != nil && d.void.Load() }

// Attach counts a stream that is opened with a token. The caller calls Detach in the end,
// and must see that the token is still good after Attach.
func (s *Session) Attach(token string) *Device {
	s.devices.mu.Lock()
	defer s.devices.mu.Unlock()
	d := s.devices.all[token]
	if d == nil {
		if s.devices.all == nil {
			s.devices.all = map[string]*Device{}
		}
		d = &Device{}
		s.devices.all[token] = d
	}
	d.streams++
	return d
}

// Detach undoes one Attach.
func (s *Session) Detach(token string) {
	s.devices.mu.Lock()
	defer s.devices.mu.Unlock()
	if d := s.devices.all[token]; d != nil {
		if d.streams--; d.streams == 0 {
			delete(s.devices.all, token)
		}
	}
}

// closeDevice ends the streams that were opened with a token.
func (s *Session) closeDevice(token string) {
	s.devices.mu.Lock()
	d := s.devices.all[token]
	s.devices.mu.Unlock()
	if d != nil {
		d.void.Store(true)
		s.View().Log.Notify()
	}
}

// CloseDevice ends the streams of this process that were opened with the visitor's token.
// Other replicas find out when they check.
func (h *Hub) CloseDevice(visitor, token string) {
	h.mu.Lock()
	s := h.sessions[visitor]
	h.mu.Unlock()
	if s != nil {
		s.closeDevice(token)
	}
}

// checkDevices ends the streams whose tokens became void elsewhere or ran out.
func (s *Session) checkDevices(ctx context.Context) {
	s.devices.mu.Lock()
	tokens := slices.Collect(maps.Keys(s.devices.all))
	s.devices.mu.Unlock()
	for _, token := range tokens {
		if valid, err := s.hub.TokenValid(ctx, token); err == nil && !valid {
			s.closeDevice(token)
		}
	}
}
