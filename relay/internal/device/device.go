// Package device knows which of a visitor's tokens have event streams open. A visitor whom
// the website named has a token on every device; logging out voids one of them and leaves
// the visitor be, so the streams that were opened with that token end, and the session
// does not.
//
// The package does not know what a token is, nor whether one is valid: the caller passes a
// function for that. A [Set]'s lock is a leaf, and is not held while that function runs.
package device

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
)

// Set holds the tokens that have streams open. The zero Set is empty; it is safe for
// concurrent use.
type Set struct {
	mu  sync.Mutex // a device is in the map exactly while it has streams
	all map[string]*Device
}

// Device is one token that has streams open.
type Device struct {
	streams int // guarded by Set.mu
	void    atomic.Bool
}

// Void reports whether the token is void. No device is never void.
func (d *Device) Void() bool { return d != nil && d.void.Load() }

// Attach counts a stream that is opened with a token. The caller calls Detach in the end,
// and must see that the token is still good after Attach.
func (s *Set) Attach(token string) *Device {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.all[token]
	if d == nil {
		if s.all == nil {
			s.all = map[string]*Device{}
		}
		d = &Device{}
		s.all[token] = d
	}
	d.streams++
	return d
}

// Detach undoes one Attach.
func (s *Set) Detach(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := s.all[token]; d != nil {
		if d.streams--; d.streams == 0 {
			delete(s.all, token)
		}
	}
}

// Revoke makes a token void, and reports whether it has streams open, which find that out
// when they look.
func (s *Set) Revoke(token string) bool {
	s.mu.Lock()
	d := s.all[token]
	s.mu.Unlock()
	if d == nil {
		return false
	}
	d.void.Store(true)
	return true
}

// Check asks about each token whether it is still good, and makes those void that are not.
// It reports whether there were any. A token about which valid fails stays as it is, and
// that is Check's error.
func (s *Set) Check(ctx context.Context, valid func(context.Context, string) (bool, error)) (revoked bool, err error) {
	for _, token := range s.Tokens() {
		good, failed := valid(ctx, token)
		if failed == nil && !good {
			revoked = s.Revoke(token) || revoked
		}
		err = errors.Join(err, failed)
	}
	return revoked, err
}

// Tokens returns the tokens that have streams open.
func (s *Set) Tokens() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.all))
}
